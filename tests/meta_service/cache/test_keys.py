"""Names of keys: as ever with one partition, and spread over a cluster's slots with many."""

from __future__ import annotations

from collections import Counter
from uuid import UUID

import pytest
from redis.crc import key_slot

from meta_service.cache.keys import MAX_PARTITIONS, ONE, SLOTS, Keys

MATCH = UUID(int=1)


def test_with_one_partition_the_names_are_those_of_earlier_releases() -> None:
    home = ONE.home
    assert [
        home.counters,
        home.leases,
        home.unsettled,
        home.stream,
        home.rejected,
        home.epoch,
        home.beat,
    ] == [
        "{meta}:counters",
        "{meta}:leases",
        "{meta}:unsettled",
        "{meta}:writebehind",
        "{meta}:writebehind:rejected",
        "{meta}:epoch",
        "{meta}:beat",
    ]
    assert [home.session_ends, home.revocations, home.kicks, home.wearables("m")] == [
        "{meta}:session-ends",
        "{meta}:revocations",
        "{meta}:kicks",
        "{meta}:wearables:m",
    ]
    assert [ONE.player(7), ONE.fill_lock(7), ONE.name(7), ONE.blocks(7), ONE.friends(7), ONE.presence(7)] == [
        f"{{meta}}:{what}:7" for what in ("player", "fill-lock", "name", "blocks", "friends", "presence")
    ]
    assert [ONE.match(MATCH), ONE.credential("nina"), ONE.login("ab"), ONE.attempts("nina", "::1")] == [
        f"{{meta}}:match:{MATCH}",
        "{meta}:credential:nina",
        "{meta}:login:ab",
        "{meta}:attempts:nina:::1",
    ]


@pytest.mark.parametrize("count", [2, 7, 8, 64, MAX_PARTITIONS])
def test_each_partition_has_a_part_of_the_slots_to_itself(count: int) -> None:
    keys = Keys(count)
    assert keys.home.tag == "{meta}"
    first = key_slot(b"{meta}")
    parts = [(key_slot(each.stream.encode()) - first) % SLOTS * count // SLOTS for each in keys.partitions]
    assert parts == list(range(count))
    assert Keys(count).partitions[-1].tag == keys.partitions[-1].tag


@pytest.mark.parametrize("step", [1, 1000, 0x9E3779B97F4A7C15 >> 2])
def test_players_are_spread_evenly_over_three_nodes(step: int) -> None:
    keys = Keys(64)
    ids = [number * step % 2**62 for number in range(1, 10_001)]
    thirds = Counter(key_slot(keys.player(id_).encode()) * 3 // SLOTS for id_ in ids)
    assert all(abs(count - 10_000 / 3) <= 0.25 * 10_000 / 3 for count in thirds.values())
    assert len(thirds) == 3


def test_all_of_a_player_that_a_script_touches_is_in_one_slot() -> None:
    keys = Keys(64)
    for player_id in (7, 2**62 + 11):
        mine = keys.of(player_id)
        touched = [keys.player(player_id), keys.fill_lock(player_id), mine.counters, mine.leases, mine.stream]
        touched += [mine.unsettled, mine.session_ends, mine.revocations, mine.kicks, mine.wearables("m")]
        assert len({key_slot(key.encode()) for key in touched}) == 1


@pytest.mark.parametrize("count", [0, -1, MAX_PARTITIONS + 1])
def test_another_number_of_partitions_is_none(count: int) -> None:
    with pytest.raises(ValueError, match="partitions"):
        Keys(count)

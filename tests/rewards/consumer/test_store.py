from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from rewards.consumer.store import Store
from rewards.errors import StoreRefusedError, StoreUnavailableError
from rewards.progression import rules
from rewards.records import RawRecord
from tests.rewards.examples import NOW_S, a_death, a_grant, a_kill, a_result
from tests.rewards.running import LETTERS, TOPIC, Gate, batch, progression, query


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    made = Store(store_url, "rewards", rules.load(), LETTERS)
    yield made
    await made.close()


async def test_a_batch_gives_xp_levels_statistics_and_offsets_at_once(store: Store, store_url: str) -> None:
    applied = await store.apply(batch([a_kill(1, 2), a_death(2), a_result([1, 2])], first_offset=40), NOW_S)

    assert await progression(store_url) == {1: (650, 2, 1, 0, 1), 2: (50, 1, 0, 1, 1)}
    assert sorted(applied.progress) == [(1, 650, 2), (2, 50, 1)]
    assert await store.next_offsets() == {(TOPIC, 0): 43}


async def test_an_event_counts_once_within_a_batch_and_across_batches(store: Store, store_url: str) -> None:
    event = a_kill(1, 2)

    first = await store.apply(batch([event, event]), NOW_S)
    again = await store.apply(batch([event, a_death(2)], first_offset=2), NOW_S)

    assert (first.duplicates, again.duplicates) == (1, 1)
    assert await progression(store_url) == {1: (100, 1, 1, 0, 0), 2: (0, 1, 0, 1, 0)}
    assert await store.next_offsets() == {(TOPIC, 0): 4}


async def test_the_level_in_the_store_is_the_level_of_the_rules(store: Store, store_url: str) -> None:
    made = rules.load()
    edges = [point + step for point in made.thresholds[1:] for step in (-1, 0)]
    await store.apply(batch(a_grant(player, xp) for player, xp in enumerate(edges, 1)), NOW_S)
    assert [row[1] for row in (await progression(store_url)).values()] == [made.level(xp) for xp in edges]

    await store.apply(
        batch((a_grant(player, 777) for player in range(1, len(edges) + 1)), first_offset=999), NOW_S
    )
    assert [row[1] for row in (await progression(store_url)).values()] == [
        made.level(xp + 777) for xp in edges
    ]


async def test_consumers_that_apply_the_same_events_at_the_same_time_apply_them_once(
    store: Store, store_url: str
) -> None:
    events = [a_kill(player, player % 50 + 1) for player in range(1, 51)] * 4
    batches = [batch(events[shift:] + events[:shift], partition=shift) for shift in range(8)]

    applied = await asyncio.gather(*(store.apply(one, NOW_S) for one in batches))

    assert sum(sum(one.effects.kinds.values()) for one in applied) == 50
    assert await progression(store_url) == dict.fromkeys(range(1, 51), (100, 1, 1, 0, 0))


async def test_a_batch_that_fails_at_its_last_statement_leaves_nothing(store: Store, store_url: str) -> None:
    await query(store_url, "ALTER TABLE consumer_offsets ADD CHECK (next_offset < 100)")

    with pytest.raises(StoreRefusedError):
        await store.apply(batch([a_kill(1, 2)], first_offset=99), NOW_S)

    assert await progression(store_url) == {}
    assert await query(store_url, "SELECT event_id FROM event_inbox") == []


async def test_bad_records_are_remembered_by_their_place(store: Store, store_url: str) -> None:
    bad = batch([b"junk", b"junk", a_kill(1, 2)])

    first, again = await store.apply(bad, NOW_S), await store.apply(bad, NOW_S)

    assert (first.dead_letters, again.dead_letters) == (2, 0)
    assert await store.known([record.raw.dead_letter_id for record in bad.bad_records]) == {
        record.raw.dead_letter_id for record in bad.bad_records
    }
    totals = await store.totals([TOPIC])
    assert (totals.events, totals.dead_letters, totals.kills) == (1, 2, 1)


async def test_an_outage_has_its_own_name_and_passes(gate: Gate, store_url: str) -> None:
    store = Store(gate.url, "rewards", rules.load(), LETTERS)
    await store.apply(batch([a_kill(1, 2)]), NOW_S)

    await gate.shut()
    with pytest.raises(StoreUnavailableError):
        await store.apply(batch([a_kill(1, 2)], first_offset=1), NOW_S)
    await gate.open()
    applied = await store.apply(batch([a_kill(1, 2)], first_offset=1), NOW_S)

    assert applied.progress == [(1, 200, 1)]
    await store.close()


async def test_a_store_without_its_tables_counts_as_unavailable(store_url: str, store: Store) -> None:
    await query(store_url, "DROP TABLE progression")

    with pytest.raises(StoreUnavailableError, match="progression"):
        await store.apply(batch([a_kill(1, 2)]), NOW_S)


async def test_recent_progress_is_what_changed_shortly_before_the_newest_change(
    store: Store, store_url: str
) -> None:
    await store.apply(batch([a_kill(1, 2), a_kill(3, 2)]), NOW_S)
    connection = await asyncpg.connect(store_url)
    await connection.execute(
        "UPDATE progression SET updated_at = updated_at - interval '1 hour' WHERE player_id = 3"
    )
    await connection.close()

    assert await store.recent_progress(600) == [(1, 100, 1)]
    assert sorted(await store.recent_progress(4000)) == [(1, 100, 1), (3, 100, 1)]


def test_the_id_of_a_bad_record_is_of_its_place_and_content() -> None:
    raw = RawRecord(TOPIC, 0, 1, None, b"junk", 0)
    assert raw.dead_letter_id == RawRecord(TOPIC, 0, 1, b"other key", b"junk", 5).dead_letter_id
    others = [
        RawRecord(TOPIC, 0, 2, None, b"junk", 0),
        RawRecord(TOPIC, 1, 1, None, b"junk", 0),
        RawRecord(TOPIC, 0, 1, None, b"", 0),
    ]
    assert len({raw.dead_letter_id, *(other.dead_letter_id for other in others)}) == 4
    assert isinstance(raw.dead_letter_id, uuid.UUID)


async def test_events_that_come_late_for_a_deleted_player_bring_nothing_back(
    store: Store, store_url: str
) -> None:
    await query(store_url, "INSERT INTO erasures (player_id, asked_by, asked_at) VALUES (1, 'player', now())")
    match = a_result([1, 2])
    match.match_ended.placements[1].team = 1
    late = [a_kill(1, 2), a_kill(2, 1), a_grant(1, 100_000), match]

    applied = await store.apply(batch(late), NOW_S)

    assert [player_id for player_id, _, _ in applied.progress] == [2]
    for table in ("progression", "ratings", "season_progress", "challenge_progress", "reward_grants"):
        assert await query(store_url, f"SELECT 1 FROM {table} WHERE player_id = 1") == []
    assert await query(store_url, "SELECT 1 FROM ratings WHERE player_id = 2") != []

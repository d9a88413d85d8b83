"""The timing wheel against a dictionary of who was last sent when."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.replication.priority import PERIOD_TICKS, STALE_TICKS, WEIGHT, order_of_the_calm
from dedicated_server.replication.wheel import (
    OLDEST,
    WHEEL_TICKS,
    by_waiting,
    clear,
    list_members,
    put_in,
    set_of,
    take_out,
    turn,
)
from tests.dedicated_server.replication.sets import members_of, words_of

GROUPS = 3
ENTITIES = st.sets(st.integers(0, 64 * GROUPS - 1), max_size=20)


class Wheel:
    """One client's wheel."""

    def __init__(self) -> None:
        self.buckets = np.zeros((WHEEL_TICKS, GROUPS), np.uint64)
        self.filled = np.uint64(0)
        self.tick = 0

    def waited(self) -> dict[int, int]:
        """How long everybody in the wheel has waited, read by ``by_waiting``."""
        order = int(by_waiting(self.filled, self.tick))
        found: dict[int, int] = {}
        for waited in range(WHEEL_TICKS):
            members = members_of(self.buckets[(self.tick - waited) % WHEEL_TICKS])
            if not order >> (OLDEST - waited) & 1:
                assert not members
            assert not members & found.keys()
            found |= dict.fromkeys(members, waited)
        return found


@given(
    turns=st.lists(
        st.tuples(st.sampled_from([1, 1, 2, 8, 62, 63, 64, 200]), ENTITIES, st.integers(0, 70)), max_size=40
    )
)
def test_a_wheel_knows_how_long_each_has_waited_up_to_its_oldest(
    turns: list[tuple[int, set[int], int]],
) -> None:
    wheel, sent_tick = Wheel(), dict[int, int]()
    for elapsed, entities, back in turns:
        tick = wheel.tick + elapsed
        wheel.filled = np.uint64(turn(wheel.buckets, wheel.filled, wheel.tick, tick))
        wheel.tick = tick
        assert wheel.waited() == {entity: min(tick - sent, OLDEST) for entity, sent in sent_tick.items()}
        words, at = words_of(entities, GROUPS), tick - min(back, OLDEST)
        wheel.filled = np.uint64(take_out(wheel.buckets, wheel.filled, words))
        wheel.filled = np.uint64(put_in(wheel.buckets, wheel.filled, at, words))
        sent_tick |= dict.fromkeys(entities, at)


@given(entities=ENTITIES, others=ENTITIES)
def test_who_is_taken_out_is_in_no_bucket_and_empty_buckets_are_not_looked_at(
    entities: set[int], others: set[int]
) -> None:
    wheel = Wheel()
    wheel.filled = np.uint64(put_in(wheel.buckets, wheel.filled, 0, words_of(entities, GROUPS)))
    wheel.filled = np.uint64(take_out(wheel.buckets, wheel.filled, words_of(others, GROUPS)))
    assert members_of(wheel.buckets[0]) == entities - others
    assert (int(wheel.filled) != 0) == bool(entities - others)


def test_a_wheel_that_is_cleared_holds_nobody() -> None:
    wheel = Wheel()
    for tick in (3, 17, 64):
        wheel.filled = np.uint64(put_in(wheel.buckets, wheel.filled, tick, words_of([1, 130], GROUPS)))
    clear(wheel.buckets, wheel.filled)
    assert not wheel.buckets.any()


@given(entities=ENTITIES, limit=st.integers(0, 25))
def test_members_are_listed_in_their_order_as_many_as_there_is_room_for(
    entities: set[int], limit: int
) -> None:
    row, count = np.full(64, -1, np.int32), 0
    for group, members in enumerate(words_of(entities, GROUPS)):
        count = list_members(members, group, row, count, limit)
    assert row[:count].tolist() == sorted(entities)[:limit]
    assert (row[count:] == -1).all()


@given(row=st.lists(st.integers(0, 64 * GROUPS - 1), max_size=30))
def test_a_list_in_any_order_becomes_the_set_of_its_members(row: list[int]) -> None:
    words = words_of([5], GROUPS)
    set_of(np.array(row, np.int32), words)
    assert members_of(words) == set(row)


def test_the_calm_go_by_weight_and_waiting_and_each_ring_from_its_period_on() -> None:
    order = order_of_the_calm().tolist()
    keys = [int(WEIGHT[ring]) * waited for waited, ring in order]
    assert keys == sorted(keys, reverse=True)
    assert sorted(order) == sorted(
        [waited, ring]
        for ring, period in enumerate(PERIOD_TICKS.tolist())
        for waited in range(period, STALE_TICKS)
    )

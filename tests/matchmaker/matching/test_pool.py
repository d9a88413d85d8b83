from __future__ import annotations

from uuid import UUID

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from matchmaker.matching.pool import EXPIRY_GRACE_S, FIRST_CAPACITY, Pool
from matchmaker.tickets.ticket import RecordFormat, Ticket, binary_ids, text_ids

FORMAT = RecordFormat(2)


def ticket(number: int, expires_at: float = 100.0) -> Ticket:
    return Ticket(UUID(int=number), number, 1.0, expires_at, "pc", True, "", (float(number), float("inf")))


def records(numbers: list[int]) -> NDArray[np.void]:
    tickets = [ticket(number) for number in numbers]
    return FORMAT.unpack(FORMAT.pack(tickets, {each.player_id: (25.0, 8.0) for each in tickets}))


def ids(numbers: list[int]) -> NDArray[np.uint64]:
    return binary_ids([str(UUID(int=number)) for number in numbers])


def players(pool: Pool) -> list[int]:
    return sorted(pool.player_id[pool.searching(0.0)].tolist())


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 30)), max_size=30))
def test_a_pool_knows_its_tickets_and_says_once_when_an_entry_is_empty(steps: list[tuple[int, int]]) -> None:
    pool, known, entries, acknowledged, number = (
        Pool(2),
        set[int](),
        dict[bytes, set[int]](),
        list[bytes](),
        0,
    )
    for arrivals, departures in steps:
        if arrivals:
            new = list(range(number, number + arrivals))
            number += arrivals
            entry = b"%d-0" % number
            rows = pool.add(entry, records(new))
            assert pool.player_id[rows].tolist() == new
            known |= set(new)
            entries[entry] = set(new)
        gone = sorted(known)[: departures % 7]
        acknowledged += pool.remove(pool.find(ids([*gone, 999])))
        known -= set(gone)
        assert players(pool) == sorted(known)
        assert len(pool) == len(known)
    empty = [entry for entry, members in entries.items() if not members & known]
    assert sorted(acknowledged) == sorted(empty)


def test_a_pool_grows_and_reuses_rows() -> None:
    pool = Pool(2)
    first = pool.add(b"1-0", records(list(range(FIRST_CAPACITY))))
    second = pool.add(b"2-0", records(list(range(FIRST_CAPACITY, FIRST_CAPACITY + 10))))
    assert len(pool) == FIRST_CAPACITY + 10
    assert pool.units(second)[0].latency_ms[:, 0].tolist() == list(range(FIRST_CAPACITY, FIRST_CAPACITY + 10))
    capacity = len(pool.state)
    assert pool.remove(first) == [b"1-0"]
    pool.add(b"3-0", records(list(range(2_000, 2_000 + FIRST_CAPACITY))))
    assert len(pool.state) == capacity


def test_held_and_late_tickets_are_not_searching() -> None:
    pool = Pool(2)
    rows = pool.add(b"1-0", records([1, 2, 3]))
    pool.hold(rows[:2])
    assert players(pool) == [3]
    pool.release(rows[:1])
    assert players(pool) == [1, 3]
    assert pool.searching(now=100.0).tolist() == [0, 2]  # whether they have expired says the cache
    assert pool.searching(now=100.0 + EXPIRY_GRACE_S).tolist() == []
    assert len(pool) == 3


def test_a_record_carries_the_whole_ticket() -> None:
    wish = Ticket(
        UUID("12345678-9abc-def0-1234-56789abcdef0"),
        2**62,
        5.25,
        305.25,
        "xbox",
        False,
        "",
        (12.5, float("inf")),
    )
    [record] = FORMAT.unpack(FORMAT.pack([wish], {2**62: (31.5, 2.5)}))
    assert text_ids(record["ticket_id"]) == [str(wish.ticket_id)]
    assert (record["player_id"], record["enqueued_at"], record["expires_at"]) == (2**62, 5.25, 305.25)
    assert (record["skill_mean"], record["skill_deviation"], record["group"]) == (31.5, 2.5, 3)
    assert record["latency_ms"].tolist() == [12.5, float("inf")]


@given(st.lists(st.uuids(), max_size=20))
def test_ids_survive_the_way_to_arrays_and_back(uuids: list[UUID]) -> None:
    texts = [str(each) for each in uuids]
    assert text_ids(binary_ids(texts)) == texts

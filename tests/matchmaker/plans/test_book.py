"""The tickets of a queue from cycle to cycle: what is tried, and what costs nothing."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from matchmaker.plans.book import AGAIN_S, MIN_GONE, TicketBook
from matchmaker.plans.cycle import CAPS
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from tests.matchmaker.plans.pools import ALONE, NEAR, NOW, Pool, ticket
from tests.matchmaker.plans.written import ONE, TWO, Rule, compiled

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

WIDER = [{"target": "rules[R0].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 20}]}]


def test_a_book_without_tickets_is_idle_and_gives_no_match() -> None:
    pool = Pool()
    assert pool.book.is_idle(NOW)
    assert pool.form() == []
    assert pool.form(everything=True) == []


def test_a_cycle_in_which_nothing_came_is_idle_and_does_no_work() -> None:
    pool = Pool()
    pool.add(ticket("a", 0.0), ticket("b", 50.0))
    assert not pool.book.is_idle(NOW)
    assert pool.form() == []
    assert pool.book.is_idle(NOW)
    assert pool.form() == []
    assert pool.last is not None
    assert (pool.last.looks, pool.last.joins) == (0, 0)


def test_only_what_came_is_tried_until_the_rest_is_due_again() -> None:
    pool = Pool(caps=ALONE)
    pool.add(*(ticket(f"far{number}", 100.0 * number) for number in range(50)))
    assert pool.form() == []
    pool.add(ticket("late", 1_002.0))
    assert pool.form(NOW + AGAIN_S / 2) == [["far10", "late"]]
    assert pool.last is not None
    assert pool.last.looks < 50


def test_a_ticket_is_tried_again_when_its_limits_have_widened() -> None:
    pool = Pool(expansions=WIDER)
    pool.add(ticket("a", 0.0), ticket("b", 15.0))
    assert pool.form() == []
    assert pool.book.is_idle(NOW + 9.9)
    assert not pool.book.is_idle(NOW + 10.0)
    assert pool.form(NOW + 10.0) == [["a", "b"]]


@pytest.mark.parametrize(("selection", "matches"), [("newest", []), ("oldest", [["new", "old"]])])
def test_limits_are_those_of_the_newest_or_the_oldest_ticket(
    selection: str, matches: list[list[str]]
) -> None:
    pool = Pool(expansions=WIDER, algorithm={"expansionAgeSelection": selection})
    pool.add(ticket("old", 0.0, waits=30.0), ticket("new", 15.0))
    assert pool.form() == matches


def test_matched_tickets_stay_until_they_are_held_or_removed() -> None:
    pool = Pool()
    pool.add(ticket("a", 1.0), ticket("b", 2.0))
    assert pool.form() == [["a", "b"]]
    assert pool.form() == [["a", "b"]]
    pool.book.hold(pool.rows("a", "b"))
    assert pool.form() == []
    assert len(pool.book) == 2
    pool.book.remove(pool.rows("a", "b"))
    assert len(pool.book) == 0
    assert pool.form(everything=True) == []


def test_who_is_held_meets_nobody_and_once_released_everybody() -> None:
    pool = Pool()
    pool.add(ticket("a", 1.0), ticket("b", 2.0))
    pool.book.hold(pool.rows("a"))
    assert pool.form() == []
    assert pool.book.is_idle(NOW)
    pool.book.release(pool.rows("a"))
    assert not pool.book.is_idle(NOW)
    assert pool.form() == [["a", "b"]]


def test_who_is_removed_is_in_no_match() -> None:
    pool = Pool()
    pool.add(ticket("a", 1.0), ticket("b", 2.0), ticket("c", 3.0))
    pool.book.remove(pool.rows("b"))
    assert pool.form() == [["a", "c"]]


def test_rows_stay_the_same_when_those_that_have_gone_are_dropped() -> None:
    pool = Pool()
    rng = Random(1)
    pool.add(*(ticket(f"t{number}", 1_000.0 * number) for number in range(2 * MIN_GONE)))
    kept = sorted(rng.sample(range(2 * MIN_GONE), 60))
    gone = np.setdiff1d(np.arange(2 * MIN_GONE), kept)
    for some in np.array_split(gone, 5):
        pool.book.remove(some)
    assert len(pool.book) == 60
    pool.add(*(ticket(f"x{number}", 1_000.0 * number + 1.0) for number in kept))
    assert pool.form(everything=True) == sorted(sorted((f"t{n}", f"x{n}")) for n in kept)


def test_a_longer_wait_counts_once_it_is_told() -> None:
    pool = Pool(expansions=WIDER)
    rows = pool.add(ticket("a", 0.0), ticket("b", 15.0))
    assert pool.form() == []
    pool.book.wait_since(rows, np.full(2, NOW - 30.0))
    pool.tickets = {
        row: FlexMatchTicket(each.ticket_id, NOW - 30.0, each.players) for row, each in pool.tickets.items()
    }
    assert pool.form() == [["a", "b"]]


@pytest.mark.parametrize("seed", range(8))
def test_the_order_in_which_tickets_were_added_decides_nothing(seed: int) -> None:
    rng = Random(seed)
    sizes = [rng.choice([1, 1, 2]) for _ in range(70)]
    tickets = [
        ticket(f"t{number}", *(rng.uniform(0, 60) for _ in range(size)), waits=float(number))
        for number, size in enumerate(sizes)
    ]
    found = []
    for _ in range(3):
        pool = Pool((NEAR,), TWO)
        for each in rng.sample(tickets, len(tickets)):
            pool.add(each)
        found.append(pool.form())
    assert len(found[0]) > 2
    assert found[0] == found[1] == found[2]


def test_the_same_tickets_give_the_same_matches_whichever_cycles_they_waited_through() -> None:
    rng = Random(3)
    tickets = [ticket(f"t{number}", rng.uniform(0, 2_000), waits=float(number)) for number in range(80)]
    at_once, one_by_one = Pool(), Pool()
    at_once.add(*tickets)
    expected = at_once.form()
    for each in tickets:
        one_by_one.add(each)
        one_by_one.form()
    assert sum(map(len, one_by_one.form(everything=True))) == sum(map(len, expected))


def test_a_cycle_that_is_cut_says_so_and_the_next_one_begins_with_who_was_not_tried() -> None:
    pool = Pool()
    pool.add(*(ticket(f"t{number}", 1_000.0 * (number // 2), waits=float(number)) for number in range(200)))
    little = ALONE._replace(cycle_looks=0.0, cycle_joins=0.0, least=60)
    seated, cycles = 0, 0
    while seated < 200:
        seated += sum(map(len, pool.take(caps=little)))
        cycles += 1
        assert cycles < 50
        assert pool.last is not None
        if seated < 200:
            assert pool.last.cut > 0
            assert not pool.book.is_idle(NOW)
    assert cycles > 2


def test_those_who_were_not_tried_come_first_although_others_wait_longer() -> None:
    pool = Pool()
    pool.add(*(ticket(f"alone{number}", 1e6 * (number + 1), waits=900.0) for number in range(200)))
    pool.add(ticket("a", 0.0), ticket("b", 1.0))
    little = ALONE._replace(cycle_looks=0.0, cycle_joins=0.0, least=400, looks=2.0, joins=2.0)
    now, cycles = NOW, 0
    while not pool.form(now, caps=little):
        assert pool.last is not None
        assert pool.last.cut > 0
        now, cycles = now + 2 * AGAIN_S, cycles + 1
        assert cycles < 60
    assert cycles > 1


@pytest.mark.parametrize(
    ("group", "platform", "matches"),
    [
        ((0, 0), (0, 1), [["a", "b"]]),
        ((1, 0), (0, 0), [["a", "b"]]),
        ((1, 0), (0, 1), []),
        ((0, 1), (0, 0), [["a", "b"]]),
        ((0, 1), (1, 0), []),
        ((1, 2), (0, 1), []),
        ((2, 2), (1, 1), [["a", "b"]]),
    ],
)
def test_who_keeps_to_a_platform_meets_that_platform_alone(
    group: tuple[int, int], platform: tuple[int, int], matches: list[list[str]]
) -> None:
    pool = Pool()
    pool.add(ticket("a", 0.0, waits=2.0), ticket("b", 1.0), group=group, platform=platform)
    assert pool.form() == matches


def test_nobody_plays_where_one_of_them_has_measured_nothing() -> None:
    pool = Pool()
    pool.add(ticket("a", 0.0, latency_ms={"eu": 9.0}), ticket("b", 0.0, latency_ms={"us": 9.0}))
    assert pool.form() == []
    pool.add(ticket("c", 0.0, latency_ms={"us": 30.0}))
    assert pool.form() == [["b", "c"]]
    assert pool.last is not None
    assert pool.last.region.tolist() == [1]


def test_a_pool_that_is_searched_through_is_said_to_be() -> None:
    pool = Pool(caps=CAPS)
    pool.add(ticket("a", 0.0), ticket("b", 50.0), ticket("c", 51.0))
    assert pool.form() == [["b", "c"]]
    assert pool.last is not None
    assert pool.last.exact


def test_a_rule_set_without_a_plan_has_no_book() -> None:
    teams: list[Rule] = [{"name": f"t{number}", "minPlayers": 1, "maxPlayers": 1} for number in range(70)]
    made = compiled([NEAR], teams, algorithm={"strategy": "balanced", "balancedAttribute": "skill"})
    with pytest.raises(ValueError, match="no plan: has 70 kinds of teams"):
        TicketBook(made, ["eu"])


def test_a_cycle_finds_the_same_each_time() -> None:
    rng = Random(5)
    pool = Pool((NEAR,), ONE)
    pool.add(*(ticket(f"t{number}", rng.uniform(0, 900), waits=float(number)) for number in range(300)))
    first = pool.form(everything=True)
    assert len(first) > 20
    assert pool.form(everything=True) == first

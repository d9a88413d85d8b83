"""A live queue by any rule set: what comes into the book, what stays out of it, what a cycle gives back."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from dedicated_server.cards import shipped_cards
from launchday.clock import ManualClock, SystemClock
from launchday.settings import Settings
from matchmaker.matching import rule_set_matcher, ticket_reading
from matchmaker.matching.arrays import BackfillRequests
from matchmaker.matching.matcher import OpenSlots
from matchmaker.matching.pool import EXPIRY_GRACE_S, Pool, Rows
from matchmaker.matching.rule_set_matcher import RuleSetMatcher
from matchmaker.plans.book import PlanCycle, TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.plans.running import RunningMatch
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.modes import SearchRules, make_mode
from matchmaker.tickets.seated import SeatedPlayer
from matchmaker.tickets.ticket import RecordFormat
from tests.matchmaker.rules.flexmatch.examples import rule_set

FORMAT = RecordFormat(1)
A, B = '{"mode":{"S":"a"}}', '{"mode":{"S":"b"}}'


def fill(pool: Pool, matcher: RuleSetMatcher, players: range, attributes: list[str], **fields: Any) -> Rows:
    records = np.zeros(len(players), FORMAT.dtype)
    records["ticket_id"][:, 1] = records["player_id"] = players
    records["enqueued_at"], records["expires_at"] = players, 1e9
    records["party_size"], records["latency_ms"], records["skill_mean"] = 1, 20.0, 25.0
    for name, value in fields.items():
        records[name] = value
    rows = pool.add(b"1-1", records, attributes)
    matcher.add_tickets(rows, attributes)
    return rows


def searched(wanted: int = 1, **changes: Any) -> SearchRules:
    """Duels of two whose modes are the same text, which the kernel has no numbers for."""
    rule = {
        "type": "comparison",
        "measurements": ["flatten(teams[*].players.attributes[mode])"],
        "operation": "=",
    }
    document = rule_set([rule] * wanted) | changes
    rules = make_mode(
        "own", shipped_cards()["teams_of_five"], read_rule_set(json.dumps(document)), Settings()
    ).rules
    assert isinstance(rules, SearchRules)
    return rules


class WatchedBook(TicketBook):
    """A book that counts its cycles; ``meanwhile`` is called while one runs."""

    def __init__(self, rules: SearchRules) -> None:
        super().__init__(compile_plan(rules.rule_set, live=True), ["eu"])
        self.cycles = 0
        self.meanwhile: Callable[[], None] = lambda: None

    def form(  # type: ignore[override]
        self, now: float, seed: int = 0, running: Sequence[RunningMatch] = ()
    ) -> PlanCycle:
        self.cycles += 1
        found = super().form(now, seed, running)
        self.meanwhile()
        return found


class Queue:
    """A pool, its matcher and the book behind it."""

    def __init__(self, rules: SearchRules | None = None) -> None:
        rules = rules or searched()
        self.pool, self.book = Pool(1), WatchedBook(rules)
        self.matcher = RuleSetMatcher(rules, ["eu"], ManualClock(), self.book)

    def fill(self, players: range, attributes: list[str], **fields: Any) -> Rows:
        return fill(self.pool, self.matcher, players, attributes, **fields)

    async def matches(self, now: float = 100.0, open_slots: OpenSlots | None = None) -> list[list[int]]:
        """The players of each match that is formed."""
        found = await self.matcher.match(self.pool, now, 0, open_slots)
        of = [found.rows[found.match_of == number] for number in range(len(found.region_of))]
        return sorted(sorted(self.pool.player_id[rows].tolist()) for rows in of)


async def test_matching_changes_nothing_and_gives_the_same_again() -> None:
    pool, matcher = Pool(1), RuleSetMatcher(searched(), ["eu"], SystemClock())
    fill(pool, matcher, range(1, 7), [A, B] * 3)
    first, second = [await matcher.match(pool, 100.0, 3) for _ in range(2)]
    assert len(first.region_of) == 2
    for name in ("rows", "match_of", "team_of", "region_of"):
        assert np.array_equal(getattr(first, name), getattr(second, name))
    assert (pool.state[first.rows] == 1).all()


async def test_a_cycle_does_nothing_where_nothing_came_came_back_or_ended() -> None:
    queue = Queue()
    rows = queue.fill(range(1, 4), [A, A, B])
    assert await queue.matches() == [[1, 2]]
    queue.pool.hold(rows[:2])
    await queue.matches(100.1)
    cycles = queue.book.cycles
    for tenth in range(50):
        assert await queue.matches(102.0 + tenth / 10) == []
    assert queue.book.cycles <= cycles + 1  # what is left is tried once more
    queue.pool.remove(rows[:1])
    assert await queue.matches(110.0) == []
    cycles = queue.book.cycles
    queue.fill(range(4, 5), [B])
    assert await queue.matches(111.0) == [[3, 4]]
    assert queue.book.cycles == cycles + 1


async def test_held_tickets_are_left_alone_and_come_back_when_they_are_released() -> None:
    queue = Queue()
    rows = queue.fill(range(1, 5), [A] * 4)
    queue.pool.hold(rows[:3])
    assert await queue.matches() == []
    queue.pool.release(rows[:1])
    assert await queue.matches(100.1) == [[1, 4]]
    queue.pool.hold(rows[[0, 3]])
    queue.pool.release(rows[1:3])
    assert await queue.matches(100.2) == [[2, 3]]


async def test_tickets_that_ended_are_swept_out_and_their_rows_are_others_then(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(rule_set_matcher, "MIN_ENDED_TO_SWEEP", 2)
    queue = Queue()
    queue.fill(range(1, 9), [json.dumps({"mode": {"S": f"m{n}"}}) for n in range(8)])
    assert await queue.matches() == []
    queue.pool.remove(np.arange(8))
    queue.fill(range(11, 13), ['{"mode":{"S":"m1"}}'] * 2)
    assert await queue.matches() == [[11, 12]]
    assert (len(queue.matcher), len(queue.book)) == (2, 2)


async def test_a_ticket_that_ends_while_the_plan_runs_is_in_no_match() -> None:
    queue = Queue()
    rows = queue.fill(range(1, 7), [A, A, B, B, A, A])
    queue.book.meanwhile = lambda: setattr(queue.book, "gone", queue.pool.remove(rows[2:3]))
    assert await queue.matches() == [[1, 2], [5, 6]]


async def test_a_party_comes_into_the_book_when_it_is_complete_and_ends_together() -> None:
    rule = {"type": "batchDistance", "batchAttribute": "mode"}
    teams = [
        {"name": "red", "minPlayers": 2, "maxPlayers": 2},
        {"name": "blue", "minPlayers": 1, "maxPlayers": 1},
    ]
    queue = Queue(searched(1, **rule_set([rule], teams=teams)))
    [first] = queue.fill(range(1, 2), [A], party=77, party_size=2)
    queue.fill(range(3, 4), [A])
    assert await queue.matches() == []
    assert len(queue.book) == 1
    queue.fill(range(2, 3), [A], party=77, party_size=2)
    assert await queue.matches(100.1) == [[1, 2, 3]]
    queue.pool.remove(np.array([first]))
    assert await queue.matches(100.2) == []
    assert len(queue.book) == 1


async def test_a_ticket_that_is_made_older_is_as_old_in_the_book() -> None:
    rule = {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 1}
    expansions = [{"target": "rules[rule0].maxDistance", "steps": [{"waitTimeSeconds": 50, "value": 100}]}]
    document = rule_set([rule]) | {"expansions": expansions}
    document["rules"][0]["name"] = "rule0"
    queue = Queue(searched(1, **document))
    queue.fill(range(1, 3), ["", ""], enqueued_at=95.0, skill_mean=np.array([1.0, 50.0]))
    assert await queue.matches(100.0) == []
    queue.pool.backdate(b"2-1", np.array([[0, 1]], np.uint64), np.array([40.0]))
    queue.pool.backdate(b"2-2", np.array([[0, 2]], np.uint64), np.array([40.0]))
    assert await queue.matches(100.1) == [[1, 2]]


async def test_an_expansion_that_is_due_wakes_an_idle_queue() -> None:
    rule = {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 1}
    expansions = [{"target": "rules[rule0].maxDistance", "steps": [{"waitTimeSeconds": 50, "value": 100}]}]
    document = rule_set([rule]) | {"expansions": expansions}
    document["rules"][0]["name"] = "rule0"
    queue = Queue(searched(1, **document))
    queue.fill(range(1, 3), ["", ""], enqueued_at=95.0, skill_mean=np.array([1.0, 50.0]))
    assert [await queue.matches(now) for now in (100.0, 110.0, 144.9)] == [[], [], []]
    assert await queue.matches(145.0) == [[1, 2]]


async def test_a_ticket_that_expired_long_ago_is_nobodys() -> None:
    queue = Queue()
    queue.fill(range(1, 3), [A, A], expires_at=np.array([50.0, 1e9]))
    assert await queue.matches(50.0 + EXPIRY_GRACE_S) == []
    assert len(queue.book) == 1


async def test_attributes_that_suit_the_rules_no_more_end_their_ticket() -> None:
    pool, matcher = Pool(1), RuleSetMatcher(searched(), ["eu"], SystemClock())
    fill(pool, matcher, range(1, 3), ['{"mode":{"N":4}}', A])
    found = await matcher.match(pool, 100.0, 0)
    assert {reason: rows.tolist() for reason, rows in found.unmatchable.items()} == {
        ticket_reading.RULES_CHANGED: [0]
    }


def open_match(
    seated: list[SeatedPlayer] | None, room: list[int], excluded: Sequence[int] = (), group: int = 0
) -> OpenSlots:
    return OpenSlots(
        BackfillRequests(
            np.zeros(1, np.int32),
            np.array([group], np.int32),
            np.zeros(1, np.float32),
            np.zeros(1, np.float32),
            np.array([90.0]),
            np.array([room], np.int32),
        ),
        [list(excluded)],
        ["00000000-0000-0000-0000-000000000001"],
        [seated],
    )


def seat(player_id: int, team: int, attributes: str) -> SeatedPlayer:
    return SeatedPlayer(player_id, team, 25.0, attributes, {"eu": 20.0})


async def test_a_running_match_takes_whom_its_rules_let_in() -> None:
    queue = Queue()
    queue.fill(range(1, 3), [B, A])
    slots = open_match([seat(9, 0, A)], [0, 1])
    found = await queue.matcher.match(queue.pool, 100.0, 0, slots)
    [came] = found.backfill
    assert (queue.pool.player_id[came.rows].tolist(), came.request, came.team) == ([2], 0, 1)
    assert (len(found.region_of), found.match_of.tolist()) == (0, [-1])


async def test_a_running_match_takes_nobody_whom_it_excludes_or_of_whose_players_it_knows_nothing() -> None:
    queue = Queue()
    queue.fill(range(2, 3), [A])
    for slots in (open_match([seat(9, 0, A)], [0, 1], excluded=[2]), open_match(None, [0, 1])):
        assert list((await queue.matcher.match(queue.pool, 100.0, 0, slots)).backfill) == []
    damaged = open_match([seat(9, 0, '{"mode":{"N":4}}')], [0, 1])
    assert list((await queue.matcher.match(queue.pool, 100.0, 0, damaged)).backfill) == []
    assert list(
        (await queue.matcher.match(queue.pool, 100.0, 0, open_match([seat(9, 0, A)], [0, 1]))).backfill
    )

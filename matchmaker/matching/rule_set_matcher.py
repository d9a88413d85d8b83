"""Matches of a live queue by any rule set: the pool's tickets as the rows of a book, which the rule set's
plan matches once a cycle.

A ticket comes into the book when it comes, a party when the last of its players has come; from then on a
cycle does nothing for each but to match it. A cycle before which nothing came, came back or widened does
nothing at all. The plan runs on another thread: it holds no lock of the interpreter, and placements go on
beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from launchday.clock import Clock
from matchmaker.matching.entered_tickets import ENDED, HELD, WAITING, EnteredTickets
from matchmaker.matching.matcher import BackfillAssignment, MatchingResult, OpenSlots
from matchmaker.matching.pool import FREE, Pool
from matchmaker.matching.searched_book import SearchedBook
from matchmaker.matching.ticket_reading import TicketReading
from matchmaker.plans.book import PlanCycle, TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.plans.running import RunningMatch
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from matchmaker.rules.flexmatch.ticket_table import Rows
from matchmaker.rules.modes import SearchRules

MIN_ENDED_TO_SWEEP = 256  # tickets that have ended, which are not worth an own sweep


class Book(Protocol):
    """Where the tickets stand; see `TicketBook`."""

    def add(
        self, tickets: Sequence[FlexMatchTicket], group: NDArray[np.int32], platform: NDArray[np.int32]
    ) -> Rows:
        """Enter tickets; returns their rows, which ascend."""

    def hold(self, rows: Rows) -> None:
        """Keep tickets out of the matching for a while."""

    def release(self, rows: Rows) -> None:
        """Let held tickets be matched again."""

    def remove(self, rows: Rows) -> None:
        """Forget tickets."""

    def wait_since(self, rows: Rows, start_s: NDArray[np.float64]) -> None:
        """Change when tickets began to wait."""

    def is_idle(self, now: float, running: bool = False) -> bool:
        """Whether a cycle at ``now`` has nothing to do."""

    def form(self, now: float, seed: int = 0, running: Sequence[RunningMatch] = ()) -> PlanCycle:
        """Form matches."""


class RuleSetMatcher:
    """Finds the matches of one queue by a rule set.

    Args:
        rules: the mode's rules.
        regions: the fleet's regions, columns of the pool's latencies.
        clock: runs the plan in a thread.
        book: where the tickets stand; None: a new one.
    """

    def __init__(
        self, rules: SearchRules, regions: Sequence[str], clock: Clock, book: Book | None = None
    ) -> None:
        self._clock = clock
        self._column = np.argsort(np.array(regions, dtype=str), kind="stable")  # the plan goes by name
        self._regions = [regions[column] for column in self._column]
        self._reading = TicketReading(rules, regions)
        self._book = book_of(rules, self._regions, clock) if book is None else book
        self._entered = EnteredTickets()
        self._row_of = np.zeros(0, np.int64)  # the book's row of each row of the pool, -1 where it has none
        self._new: dict[int, str] = {}  # the attributes of rows that the book has not, by the pool's row
        self._next_expiry = np.inf
        self._pool: Pool | None = None

    def __len__(self) -> int:
        return int(np.count_nonzero(self._entered.state))

    def add_tickets(self, rows: Rows, attributes: Sequence[str]) -> None:
        """Learn of tickets that have come into the pool; see ``Matcher.add_tickets``."""
        self._new.update(zip(rows.tolist(), attributes or [""] * len(rows), strict=True))

    async def match(
        self, pool: Pool, now: float, seed: int, open_slots: OpenSlots | None = None
    ) -> MatchingResult:
        """Form the matches that can be formed at ``now`` with bounded work, and fill running ones; where the
        work ends, the next call goes on. See ``Matcher.match``.
        """
        if pool is not self._pool:
            pool.watch()
            self._pool = pool
        self._keep_up(pool.take_touched(), pool)
        unmatchable = self._admit(pool)
        if now >= self._next_expiry:
            self._expire(now)
        self._sweep()
        running, request_of = self._running(open_slots)
        if self._book.is_idle(now, bool(running)):
            return MatchingResult(_NO_ROWS, _NO_NUMBERS, _NO_NUMBERS, _NO_NUMBERS, unmatchable=unmatchable)
        found = await self._clock.run_in_thread(self._book.form, now, seed, running)
        return self._result(found, pool, request_of, unmatchable)

    def _result(
        self, found: PlanCycle, pool: Pool, request_of: Sequence[int], unmatchable: dict[str, Rows]
    ) -> MatchingResult:
        """What was found, as the pool's rows. A ticket may have ended meanwhile: its match is none."""
        entered = self._entered
        at = np.searchsorted(entered.row, found.rows)
        _, free = entered.look(at, pool)
        rows, size = entered.pool_row[entered.players(at)], entered.size[at]
        whole = np.ones(len(found.region), np.bool_)
        whole[found.match[~free]] = False
        first = np.cumsum(size) - size
        fills = np.flatnonzero(whole[found.match] & (found.running[found.match] >= 0))
        backfill = [
            BackfillAssignment(
                rows[first[place] : first[place] + size[place]],
                request_of[int(found.running[found.match[place]])],
                int(found.team[place]),
            )
            for place in fills.tolist()
        ]
        formed = np.flatnonzero(whole & (found.running < 0))
        number = np.full(len(found.region), -1, np.int32)
        number[formed] = np.arange(len(formed))
        return MatchingResult(
            rows,
            np.repeat(number[found.match], size),
            np.repeat(found.team, size),
            self._column[found.region[formed]].astype(np.int32),
            backfill,
            unmatchable,
            found.cut,
        )

    def _keep_up(self, touched: Rows, pool: Pool) -> None:
        """Hold, release and forget in the book what was held, released and removed in the pool."""
        rows = np.unique(self._row_of[touched[touched < len(self._row_of)]])
        rows = rows[rows >= 0]
        if not len(rows):
            return
        entered = self._entered
        at = np.searchsorted(entered.row, rows)
        alive, free = entered.look(at, pool)
        before, since = entered.state[at], entered.since(at, pool)
        older = alive & (since != entered.start_s[at])
        if older.any():
            entered.start_s[at[older]] = since[older]
            self._book.wait_since(entered.row[at[older]], since[older])
        self._end(at[~alive])
        self._set(at[alive & ~free & (before == WAITING)], HELD, self._book.hold)
        self._set(at[alive & free & (before == HELD)], WAITING, self._book.release)

    def _set(self, at: Rows, state: int, tell: Callable[[Rows], None]) -> None:
        if len(at):
            self._entered.state[at] = state
            tell(self._entered.row[at])

    def _end(self, at: Rows) -> None:
        entered = self._entered
        self._row_of[entered.pool_row[entered.players(at)]] = -1
        self._set(at, ENDED, self._book.remove)

    def _expire(self, now: float) -> None:
        """Forget tickets that are nobody's any more."""
        entered = self._entered
        self._end(np.flatnonzero((entered.state != ENDED) & (entered.expires_s <= now)))
        self._next_expiry = float(entered.expires_s[entered.state != ENDED].min(initial=np.inf))

    def _sweep(self) -> None:
        """Drop what is left of tickets that have ended, once they are many."""
        state = self._entered.state
        kept = np.flatnonzero(state != ENDED)
        if len(state) - len(kept) > max(MIN_ENDED_TO_SWEEP, len(state) // 2):
            self._entered.keep(kept)

    def _admit(self, pool: Pool) -> dict[str, Rows]:
        """Enter new tickets and complete parties into the book; returns those that can never match."""
        for row in [row for row in self._new if pool.state[row] == FREE]:
            del self._new[row]
        if not self._new:
            return {}
        read: list[tuple[FlexMatchTicket, list[int]]] = []
        never: dict[str, list[int]] = {}
        for unit in _units(pool, np.fromiter(self._new, np.int64, len(self._new))):
            ticket = self._reading.ticket(pool, unit, [self._new[row] for row in unit])
            if isinstance(ticket, str):
                never.setdefault(ticket, []).extend(unit)
            else:
                read.append((ticket, unit))
            for row in unit:
                del self._new[row]
        if read:
            read.sort(key=lambda each: (each[0].start_time, each[0].ticket_id))
            tickets = [ticket for ticket, _ in read]
            rows = np.array([row for _, unit in read for row in unit], np.int64)
            size = np.array([len(unit) for _, unit in read], np.int64)
            heads = rows[np.cumsum(size) - size]
            entered = self._book.add(tickets, pool.group[heads], pool.platform[heads])
            self._entered.add(entered, pool, rows, size)
            if len(self._row_of) < len(pool.state):
                more = np.full(len(pool.state) - len(self._row_of), -1, np.int64)
                self._row_of = np.append(self._row_of, more)
            self._row_of[rows] = np.repeat(entered, size)
            self._next_expiry = min(self._next_expiry, float(self._entered.expires_s[-len(size) :].min()))
            self._hold_back(pool, len(size))
        return {reason: np.array(found, np.int64) for reason, found in never.items()}

    def _hold_back(self, pool: Pool, count: int) -> None:
        """Hold those of the last ``count`` tickets that were held before they came into the book: a director
        that takes over holds the tickets of the matches that it found.
        """
        at = np.arange(len(self._entered.row) - count, len(self._entered.row))
        _, free = self._entered.look(at, pool)
        self._set(at[~free], HELD, self._book.hold)

    def _running(self, open_slots: OpenSlots | None) -> tuple[list[RunningMatch], list[int]]:
        """The running matches of whose players all is known, and which request each of them is."""
        if open_slots is None:
            return [], []
        rows_of = self._rows_of({each for excluded in open_slots.excluded for each in excluded})
        running, request_of = [], []
        for index, seated in enumerate(open_slots.seated):
            players = None if seated is None else self._reading.players(open_slots.match_ids[index], seated)
            if players is None:
                continue
            requests = open_slots.requests
            group = int(requests.group[index])
            running.append(
                RunningMatch(
                    open_slots.match_ids[index],
                    self._regions[int(np.flatnonzero(self._column == requests.region[index])[0])],
                    group,
                    group - 1,
                    float(requests.opened_at[index]),
                    players,
                    tuple(requests.room[index].tolist()),
                    tuple(row for each in open_slots.excluded[index] for row in rows_of.get(each, ())),
                )
            )
            request_of.append(index)
        self._reading.forget_all_but(open_slots.match_ids)
        return running, request_of

    def _rows_of(self, player_ids: set[int]) -> dict[int, list[int]]:
        """The book's rows of these players' tickets."""
        found: dict[int, list[int]] = {}
        if player_ids:
            entered = self._entered
            players = np.flatnonzero(np.isin(entered.player_id, list(player_ids)))
            at = np.searchsorted(entered.first, players, side="right") - 1
            for player_id, row in zip(
                entered.player_id[players].tolist(), entered.row[at].tolist(), strict=True
            ):
                found.setdefault(player_id, []).append(row)
        return found


def book_of(rules: SearchRules, regions: Sequence[str], clock: Clock) -> Book:
    """The book for a mode's tickets: by its plan, or by the search where no plan can express its rules."""
    compiled = compile_plan(rules.rule_set, live=True)
    return (
        SearchedBook(rules.rule_set, regions, clock)
        if compiled.plan is None
        else TicketBook(compiled, regions)
    )


def _units(pool: Pool, rows: Rows) -> list[list[int]]:
    """The pool's rows of each player alone, and of each party that is complete."""
    rows = rows[np.lexsort((pool.player_id[rows], pool.party[rows]))]
    alone = rows[pool.party[rows] == 0]
    together = rows[pool.party[rows] != 0]
    _, begin, count = np.unique(pool.party[together], return_index=True, return_counts=True)
    complete = count == pool.party_size[together[begin]]
    return [[row] for row in alone.tolist()] + [
        together[at : at + players].tolist()
        for at, players in zip(begin[complete], count[complete], strict=True)
    ]


_NO_ROWS: Rows = np.zeros(0, np.int64)
_NO_NUMBERS: NDArray[np.int32] = np.zeros(0, np.int32)

"""The book of a queue: its tickets under a plan, and the matches they form, cycle after cycle.

A cycle tries what came, came back or widened since the last one; where nothing did, it does nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.cycle import (
    LIVE,
    SEARCHED,
    Caps,
    Outcome,
    Tickets,
    for_regions,
    run_cycle,
    search_through,
)
from matchmaker.plans.running import RunningMatch, as_arrays
from matchmaker.plans.store import TicketStore
from matchmaker.rules.flexmatch.table import Table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer

Rows = NDArray[np.int64]

GONE, WAITING, HELD, PLAYING = range(4)
AGAIN_S = 1.0  # after which the tickets that are left are tried again, if anything has changed
MIN_GONE = 1_024  # rows of tickets that have gone, which are not worth to be dropped


class PlanCycle(NamedTuple):
    """What a cycle found: M matches of N tickets.

    Attributes:
        rows: int64[N], tickets; match, team: int32[N], each one's match and copy of a team.
        region, running: int32[M], each match's region, or -1, and the running match that it fills, or -1.
        cut: seeds that the work did not suffice for: they come first in the next cycle.
        looks, joins: the work.
        exact: whether what is left was searched through: no match of it is possible.
    """

    rows: Rows
    match: NDArray[np.int32]
    team: NDArray[np.int32]
    region: NDArray[np.int32]
    running: NDArray[np.int32]
    cut: int
    looks: int
    joins: int
    exact: bool


class TicketBook:
    """The tickets of one queue.

    Rows are numbers that a ticket keeps as long as it is in the book.

    Args:
        compiled: the rule set.
        regions: names of the regions, in the order of their numbers.
        live: as in a live queue every match has a region that all of its players have measured.
    """

    def __init__(self, compiled: CompiledPlan, regions: Sequence[str], *, live: bool = True) -> None:
        if compiled.plan is None:
            raise ValueError(f"no plan: {'; '.join(compiled.searched)}")
        by_region = compiled.program.by_region or live or (compiled.plan.large and len(regions) > 0)
        plan = compiled.plan._replace(by_region=by_region)
        compiled = replace(compiled, plan=plan)
        self._compiled = compiled
        self._regions = list(regions)
        self._program = compiled.program._replace(by_region=by_region)
        self._teams = [copy for team in compiled.rule_set.teams for copy in team.copies]
        self._running: dict[str, tuple[tuple[TicketPlayer, ...], Rows]] = {}
        self._store = TicketStore(compiled, regions)
        self._plan = for_regions(plan, len(regions), by_region)
        self._fewest = int(self._plan.fewest.sum(axis=1).min())  # players of a match at any level
        self._row = np.zeros(0, np.int64)  # [T] ascending
        self._state = np.zeros(0, np.uint8)
        self._untried = np.zeros(0, np.bool_)
        self._level = np.zeros(0, np.int32)  # when it was tried last
        self._next_row = 0
        self._changed = False  # something came or came back since the last cycle
        self._stale = False  # something did since all were tried
        self._exact = False  # what was left after the last cycle was searched through
        self._asked: tuple[RunningMatch, ...] = ()  # in the last cycle
        self._next_step = np.inf  # when a ticket crosses the next step of an expansion
        self._all_tried_at = -np.inf
        self._cut = False  # the work did not suffice for all: who is left is tried before all are tried again

    def __len__(self) -> int:
        return int(np.count_nonzero((self._state == WAITING) | (self._state == HELD)))

    def add(
        self,
        tickets: Sequence[FlexMatchTicket],
        group: NDArray[np.int32] | None = None,
        platform: NDArray[np.int32] | None = None,
    ) -> Rows:
        """Enter tickets; returns their rows. None: all cross-play."""
        count = len(tickets)
        group = np.zeros(count, np.int32) if group is None else np.ascontiguousarray(group, np.int32)
        platform = (
            np.full(count, -1, np.int32) if platform is None else np.ascontiguousarray(platform, np.int32)
        )
        self._store.add(tickets, group, platform)
        rows = np.arange(self._next_row, self._next_row + count)
        self._next_row += count
        self._row = np.append(self._row, rows)
        self._state = np.append(self._state, np.full(count, WAITING, np.uint8))
        self._untried = np.append(self._untried, np.ones(count, np.bool_))
        self._level = np.append(self._level, np.zeros(count, np.int32))
        self._changed = self._changed or count > 0
        return rows

    def hold(self, rows: Rows) -> None:
        """Keep tickets out of the matching for a while."""
        self._state[self._at(rows)] = HELD

    def release(self, rows: Rows) -> None:
        """Let held tickets be matched again."""
        places = self._at(rows)
        self._state[places], self._untried[places] = WAITING, True
        self._changed = self._changed or len(rows) > 0

    def remove(self, rows: Rows) -> None:
        """Forget tickets."""
        self._state[self._at(rows)] = GONE
        gone = len(self._state) - int(np.count_nonzero(self._state))
        if gone > max(MIN_GONE, len(self._state) // 2):
            kept = np.flatnonzero(self._state)
            self._store.keep(kept)
            self._row, self._state = self._row[kept], self._state[kept]
            self._untried, self._level = self._untried[kept], self._level[kept]

    def wait_since(self, rows: Rows, start_s: NDArray[np.float64]) -> None:
        """Change when tickets began to wait."""
        self._store.columns.start_s[self._at(rows)] = start_s
        self._changed = self._changed or len(rows) > 0

    def is_idle(self, now: float, running: bool = False) -> bool:
        """Whether a cycle at ``now`` has nothing to do: nothing came, came back or widened."""
        again = self._stale and now - self._all_tried_at >= AGAIN_S
        return not (self._changed or running or again or now >= self._next_step)

    def form(
        self,
        now: float,
        seed: int = 0,
        running: Sequence[RunningMatch] = (),
        caps: Caps = LIVE,
        *,
        everything: bool = False,
    ) -> PlanCycle:
        """Form matches at ``now``, on the clock of the tickets' start times.

        Tickets that are matched stay as they are until they are held or removed: whoever calls does that. A
        ticket that was tried in vain is tried again when it has widened, and now and then with the others
        that are left.

        Args:
            seed: decides where the rule set says ``random``.
            running: matches that want players.
            everything: try all tickets, whatever has been tried before.
        """
        asked = bool(running) and (self._cut or tuple(running) != self._asked)
        if self.is_idle(now, asked) and not everything:
            return _NOTHING
        self._stale, self._asked = self._stale or self._changed, tuple(running)
        held = self._seat(running)
        columns = self._store.columns
        age_s = np.maximum(0.0, now - columns.start_s)
        waits = self._plan.wait_s
        level = (np.searchsorted(waits, age_s, side="right") - 1).astype(np.int32)
        waiting = self._state == WAITING
        again = everything or (now - self._all_tried_at >= AGAIN_S and not self._cut)
        tried = waiting if again else waiting & (self._untried | (level > self._level))
        playing = self._state == PLAYING
        if not (asked or tried.any() or (playing & (level > self._level)).any()):
            self._changed = False
            self._next_step = self._step_after(level, playing | waiting, columns.start_s)
            return _NOTHING
        by_age = np.flatnonzero(waiting)
        by_age = by_age[np.argsort(columns.start_s[by_age], kind="stable")]
        tickets = Tickets(columns, self._table(len(by_age)), self._store.strings, level, by_age, tried)
        found = self._found(tickets, running, held, age_s, seed, caps)
        matched = found.match_of >= 0
        self._level = level
        self._untried = (self._untried & ~tried) | matched | found.untried
        self._cut = bool(found.untried.any())
        self._exact = found.exact and (again or self._exact)
        self._changed = self._cut or bool(matched.any())
        self._stale = self._changed or (self._stale and not again)
        if again:
            self._all_tried_at = now
        self._next_step = self._step_after(level, playing | (waiting & ~matched), columns.start_s)
        places = np.flatnonzero(matched)
        return PlanCycle(
            self._row[places],
            found.match_of[places],
            found.team_of[places],
            found.region_of,
            found.running_of,
            int(np.count_nonzero(found.untried)),
            found.looks,
            found.joins,
            self._exact,
        )

    def _found(
        self,
        tickets: Tickets,
        running: Sequence[RunningMatch],
        held: Sequence[Rows],
        age_s: NDArray[np.float64],
        seed: int,
        caps: Caps,
    ) -> Outcome:
        """By the plan; of few tickets by the search around those that are tried, if that seats as many, or
        more.
        """
        excluded = [self._known(np.array(match.excluded, np.int64)) for match in running]
        arrays = as_arrays(
            running,
            [self._at(rows) for rows in held],
            excluded,
            len(self._teams),
            self._teams,
            self._regions,
            len(age_s),
        )
        opened_at = np.array([match.opened_at for match in running], np.float64)
        best = run_cycle(self._compiled, self._plan, tickets, arrays, opened_at, caps, seed)
        size = tickets.columns.size
        if len(tickets.by_age) <= SEARCHED and not running and not self._plan.large:
            if int(size[tickets.by_age].sum()) < self._fewest:
                best.exact = True
                return best
            searched, whole = search_through(
                self._compiled,
                self._program,
                tickets,
                tickets.by_age,
                seed,
                caps.search,
                age_s[tickets.by_age],
            )
            if int(size[searched.match_of >= 0].sum()) >= int(size[best.match_of >= 0].sum()):
                searched.looks, searched.joins, searched.exact = best.looks, best.joins, whole
                return searched
        return best

    def _table(self, waiting: int) -> Table:
        """The evaluator's table, where something reads it."""
        if self._plan.generic or waiting <= SEARCHED:
            return self._store.table()
        return self._store.no_table

    def _step_after(
        self, level: NDArray[np.int32], left: NDArray[np.bool_], start_s: NDArray[np.float64]
    ) -> float:
        """When the first of the tickets that are left crosses the next step of an expansion."""
        waits = np.append(self._plan.wait_s, np.inf)
        return float((start_s[left] + waits[level[left] + 1]).min(initial=np.inf))

    def _seat(self, running: Sequence[RunningMatch]) -> list[Rows]:
        """Enter who plays in running matches, and forget those that have ended; returns each match's rows."""
        wanted = {match.match_id: match for match in running}
        for match_id, (players, rows) in list(self._running.items()):
            match = wanted.get(match_id)
            if match is None or match.players != players:
                del self._running[match_id]
                self.remove(rows)
        for match_id, match in wanted.items():
            if match_id not in self._running:
                count = len(match.players)
                rows = self.add(
                    match.tickets(),
                    np.full(count, match.group, np.int32),
                    np.full(count, match.platform, np.int32),
                )
                self._state[self._at(rows)] = PLAYING
                self._running[match_id] = (match.players, rows)
        return [self._running[match.match_id][1] for match in running]

    def _known(self, rows: Rows) -> Rows:
        """The places of those of these rows that are in the book."""
        places = self._at(rows)
        inside = places < len(self._row)
        places, rows = places[inside], rows[inside]
        known: Rows = places[self._row[places] == rows]
        return known

    def _at(self, rows: Rows) -> Rows:
        return np.searchsorted(self._row, rows)


_NOTHING = PlanCycle(
    np.zeros(0, np.int64), np.zeros(0, np.int32), np.zeros(0, np.int32), np.zeros(0, np.int32),
    np.zeros(0, np.int32), 0, 0, 0, True,
)  # fmt: skip

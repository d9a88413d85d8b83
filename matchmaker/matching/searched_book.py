"""The book of a queue whose rule set no plan can express: its tickets are searched, depth first.

The work of a search is bounded, by what the last one took too; where it is used up, the next one goes on from
there. Running matches take nobody in.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from launchday.clock import Clock
from matchmaker.plans.book import PlanCycle
from matchmaker.plans.running import RunningMatch
from matchmaker.rules.flexmatch.cycle import form_matches
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.search import NOT_TRIED, UNMATCHED, SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from matchmaker.rules.flexmatch.ticket_table import Rows, TicketTable

BUDGET = SearchBudget(per_ticket=20_000, per_cycle=200_000)  # most rule sets: 0.54 to 0.63 s on a busy core
# Of a cycle. Nodes of some rule sets cost ten times as much as others' (8.7 s a cycle for 100 against 100
# with four distances), so the nodes of a cycle follow the time that the last one took.
MAX_SEARCH_S = 1.0
MIN_SHARE = 0.01  # of them
MIN_GONE = 256  # rows of tickets that have gone, which are not worth to be dropped

GONE, WAITING, HELD = range(3)


class SearchedBook:
    """The tickets of one queue; see `matchmaker.plans.book.TicketBook`.

    Args:
        rule_set: the queue's.
        regions: names of the regions, in the order of their numbers.
        clock: times the search.

    Attributes:
        share: of the budget's nodes, that the next search may look at.
    """

    def __init__(self, rule_set: RuleSet, regions: Sequence[str], clock: Clock) -> None:
        self._rule_set = rule_set
        self._clock = clock
        self._table = TicketTable(rule_set, regions)
        self._row = np.zeros(0, np.int64)
        self._state = np.zeros(0, np.uint8)
        self._next_row = 0
        self._begin = -1  # row of the ticket with which the next search begins; -1: the oldest
        self._changed = False
        steps = {wait_s for each in rule_set.expansions for wait_s, _ in each.steps}
        self._waits = np.array([*sorted(steps), np.inf])
        self._next_step = np.inf
        self.share = 1.0

    def __len__(self) -> int:
        return int(np.count_nonzero(self._state))

    def add(
        self, tickets: Sequence[FlexMatchTicket], group: NDArray[np.int32], platform: NDArray[np.int32]
    ) -> Rows:
        """Enter tickets; returns their rows."""
        self._table.add(tickets, group, platform)
        rows = np.arange(self._next_row, self._next_row + len(tickets))
        self._next_row += len(tickets)
        self._row = np.append(self._row, rows)
        self._state = np.append(self._state, np.full(len(tickets), WAITING, np.uint8))
        self._changed = self._changed or len(tickets) > 0
        return rows

    def hold(self, rows: Rows) -> None:
        """Keep tickets out of the search for a while."""
        self._state[self._at(rows)] = HELD

    def release(self, rows: Rows) -> None:
        """Let held tickets be searched again."""
        self._state[self._at(rows)] = WAITING
        self._changed = True

    def remove(self, rows: Rows) -> None:
        """Forget tickets."""
        self._state[self._at(rows)] = GONE
        kept = np.flatnonzero(self._state)
        if len(self._state) - len(kept) > max(MIN_GONE, len(self._state) // 2):
            self._table.keep(kept)
            self._row, self._state = self._row[kept], self._state[kept]

    def wait_since(self, rows: Rows, start_s: NDArray[np.float64]) -> None:
        """Change when tickets began to wait."""
        self._table.start_time[self._at(rows)] = start_s
        self._changed = True

    def is_idle(self, now: float, running: bool = False) -> bool:
        """Whether a cycle at ``now`` has nothing to do."""
        return not self._changed and now < self._next_step

    def form(self, now: float, seed: int = 0, running: Sequence[RunningMatch] = ()) -> PlanCycle:
        """Form matches; fills no running ones."""
        start_s = self._table.start_time
        waiting = np.flatnonzero(self._state == WAITING)
        units = waiting[np.lexsort((self._row[waiting], start_s[waiting]))]
        begin = int((self._row[units] == self._begin).argmax()) if len(units) else 0
        budget = BUDGET._replace(per_cycle=max(1, int(BUDGET.per_cycle * self.share)))
        table = self._table.at(units, now)
        begun = self._clock.monotonic()
        formed, found = form_matches(self._rule_set, self._table.program, table, seed, budget, begin)
        self.follow(self._clock.monotonic() - begun)
        left = found.match_of == UNMATCHED
        untried = np.flatnonzero((found.obstacle == NOT_TRIED) & left)
        self._begin = -1
        if len(untried):
            self._begin = int(self._row[units[untried[((untried - begin) % len(units)).argmin()]]])
        self._changed = formed > 0 or len(untried) > 0
        self._next_step = self._step_after(now, start_s[units[left]])
        at = np.flatnonzero(~left)
        return PlanCycle(
            self._row[units[at]],
            found.match_of[at],
            found.team_of[table.tickets["first"][at]],
            found.region_of[:formed].astype(np.int32),
            np.full(formed, -1, np.int32),
            len(untried),
            0,
            0,
            False,
        )

    def follow(self, took_s: float) -> None:
        """Bound the next search by what this one took, in seconds."""
        if took_s > MAX_SEARCH_S:
            self.share = max(MIN_SHARE, self.share * MAX_SEARCH_S / took_s)
        elif took_s < MAX_SEARCH_S / 2:
            self.share = min(1.0, 2 * self.share)

    def _step_after(self, now: float, start_s: NDArray[np.float64]) -> float:
        """When the first of these tickets crosses the next step of an expansion."""
        level = np.searchsorted(self._waits, now - start_s, side="right")
        return float((start_s + self._waits[np.minimum(level, len(self._waits) - 1)]).min(initial=np.inf))

    def _at(self, rows: Rows) -> Rows:
        return np.searchsorted(self._row, rows)

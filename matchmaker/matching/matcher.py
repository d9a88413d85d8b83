"""What finds the matches of a queue's pool: the fast kernel, or the search of a rule set that needs more than that has numbers for."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matchmaker.director.backfill import Backfill
from matchmaker.matching.kernel import UNMATCHED
from matchmaker.matching.pool import Pool, Rows
from matchmaker.matching.result import NO_COMMON_REGION, BackfillAssignment, Matcher, MatchingResult
from matchmaker.matching.rule_set_matcher import RuleSetMatcher
from matchmaker.queue.queue import QueueEntry
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import Rules


class KernelMatcher:
    """The fast kernel's matches."""

    def __init__(self, rules: Rules, backfill: Backfill) -> None:
        self._rules = rules
        self._backfill = backfill

    def add_tickets(self, rows: Rows, entry: QueueEntry) -> None:
        """Nothing: the pool holds all that the kernel reads."""

    async def match(self, pool: Pool, now: float, seed: int) -> MatchingResult:
        """Form all matches that can be formed at ``now``, and give tickets to running ones."""
        tickets, members, first = pool.units(pool.searching(now))
        size = np.diff(first)
        lost = (size > 1) & ~(tickets.latency_ms <= self._rules.max_latency_ms).any(axis=1)
        formed = self._backfill.match(tickets, members, first, pool, now, seed)
        joining = [
            BackfillAssignment(
                members[first[unit] : first[unit + 1]],
                int(formed.opening_of[unit]),
                int(formed.team_of[unit]),
            )
            for unit in np.flatnonzero(formed.opening_of != UNMATCHED)
        ]
        return MatchingResult(
            members,
            np.repeat(formed.match_of, size),
            np.repeat(formed.team_of, size),
            formed.region_of,
            joining,
            {NO_COMMON_REGION: members[np.repeat(lost, size)]} if lost.any() else {},
        )


def make_matcher(rules: Rules | SearchRules, regions: Sequence[str], backfill: Backfill) -> Matcher:
    """What a mode's rules are matched by."""
    return KernelMatcher(rules, backfill) if isinstance(rules, Rules) else RuleSetMatcher(rules, regions)

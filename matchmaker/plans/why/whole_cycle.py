"""A whole cycle of a rule set: what a queue would do with the tickets, whoever is asked about."""

from __future__ import annotations

from collections.abc import Sequence

from matchmaker.plans.matching import match as match_by_plan
from matchmaker.rules.flexmatch.cycle import CycleResult, match
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

BUDGET = SearchBudget(20_000, 200_000)  # of a rule set that has no plan, as a live queue searches it


def searched(rules: RuleSet, tickets: Sequence[FlexMatchTicket], now: float) -> CycleResult:
    """A cycle by the search alone, of tickets that may all meet."""
    return match(rules, tickets, now, effort=BUDGET, live=True)


class PlannedCycle:
    """Cycles as a rule set's queue has them: by its plan, else by the search.

    Args:
        tickets: of the queue, with whom each may meet (``group``) and its ``platform``, as the pool has them;
            None: all cross-play.
    """

    def __init__(
        self,
        tickets: Sequence[FlexMatchTicket],
        group: Sequence[int] | None = None,
        platform: Sequence[int] | None = None,
    ) -> None:
        self._meets: dict[str, tuple[int, int]] = {}
        if group is not None and platform is not None:
            self._meets = {
                ticket.ticket_id: (meets, at)
                for ticket, meets, at in zip(tickets, group, platform, strict=True)
            }

    def __call__(self, rules: RuleSet, tickets: Sequence[FlexMatchTicket], now: float) -> CycleResult:
        """The matches that form at ``now``, and the tickets that are left."""
        return match_by_plan(rules, tickets, now, live=True, meets=self._meets, effort=BUDGET)

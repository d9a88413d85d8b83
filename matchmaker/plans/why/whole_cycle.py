"""A whole cycle of a rule set: what a queue would do with the tickets, whoever is asked about."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from matchmaker.plans.book import TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.rules.flexmatch.cycle import CycleResult, RuleSetMatch, UnmatchedTicket, match
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

BUDGET = SearchBudget(20_000, 200_000)  # of a rule set that has no plan, as a live queue searches it
ALL_CROSS_PLAY, ANY_PLATFORM = 0, -1


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
        self._group: dict[str, tuple[int, int]] = {}
        if group is not None and platform is not None:
            self._group = {
                ticket.ticket_id: (meets, at)
                for ticket, meets, at in zip(tickets, group, platform, strict=True)
            }

    def __call__(self, rules: RuleSet, tickets: Sequence[FlexMatchTicket], now: float) -> CycleResult:
        """The matches that form at ``now``, and the tickets that are left, without reasons."""
        compiled = compile_plan(rules, live=True)
        if compiled.plan is None:
            return searched(rules, tickets, now)
        regions = sorted({name for each in tickets for player in each.players for name in player.latency_ms})
        book = TicketBook(compiled, regions)
        meets = [self._group.get(each.ticket_id, (ALL_CROSS_PLAY, ANY_PLATFORM)) for each in tickets]
        rows = book.add(
            tickets,
            np.array([group for group, _ in meets], np.int32),
            np.array([platform for _, platform in meets], np.int32),
        )
        cycle = book.form(now)
        copies = [copy for team in rules.teams for copy in team.copies]
        by_row = dict(zip(rows.tolist(), tickets, strict=True))
        formed: list[tuple[dict[str, list[str]], list[FlexMatchTicket]]] = [
            ({copy: [] for copy in copies}, []) for _ in cycle.region
        ]
        for row, number, team in zip(
            cycle.rows.tolist(), cycle.match.tolist(), cycle.team.tolist(), strict=True
        ):
            teams, members = formed[number]
            members.append(by_row.pop(row))
            teams[copies[team]] += [player.player_id for player in members[-1].players]
        return CycleResult(
            [
                RuleSetMatch(
                    regions[region] if region >= 0 else None,
                    teams,
                    [each.ticket_id for each in sorted(members, key=_age)],
                )
                for (teams, members), region in zip(formed, cycle.region.tolist(), strict=True)
            ],
            [UnmatchedTicket(each.ticket_id, "") for each in by_row.values()],
        )


def _age(ticket: FlexMatchTicket) -> tuple[float, str]:
    return ticket.start_time, ticket.ticket_id

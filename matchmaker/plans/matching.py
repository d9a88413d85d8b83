"""One cycle of a rule set over a file's tickets: by the plan, or depth first where no plan can express it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np

from matchmaker.plans.book import PlanCycle, TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.plans.cycle import CAPS, SEARCHED, Caps
from matchmaker.plans.running import ANYWHERE, RunningMatch
from matchmaker.rules.flexmatch.cycle import (
    DEFAULT_BUDGET,
    CycleResult,
    RuleSetMatch,
    UnmatchedTicket,
    unmatchable_reason,
)
from matchmaker.rules.flexmatch.cycle import match as search_match
from matchmaker.rules.flexmatch.program import compile_rules
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.search import UNMATCHED, SearchBudget
from matchmaker.rules.flexmatch.table import Columns
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

Meets = tuple[int, int]  # the group and the platform of a ticket
CROSS_PLAY: Meets = (0, -1)

LEFT = "no match with it holds all rules; --why says which rule turns whom away"
CUT = "not tried: the cycle's work was used up; the next cycle begins with it"


def match(
    rules: RuleSet,
    tickets: Sequence[FlexMatchTicket],
    now: float,
    seed: int = 0,
    caps: Caps = CAPS,
    live: bool = False,
    meets: Mapping[str, Meets] | None = None,
    effort: SearchBudget = DEFAULT_BUDGET,
) -> CycleResult:
    """Form matches at ``now``, as ``rules.flexmatch.cycle.match`` does, but by the rule set's plan.

    Args:
        rules, tickets, now, seed, live: as there.
        caps: bounds of the plan's work.
        meets: whom a ticket may meet and its platform, as in TICKET, by its id; None, or a ticket that is not
            in it: all cross-play. A rule set without a plan does not keep to it.
        effort: bounds the search of a rule set that has no plan.
    """
    compiled = compile_plan(rules, live=live)
    if compiled.plan is None:
        return search_match(rules, tickets, now, seed, effort, live)
    tickets = sorted(tickets, key=lambda ticket: (ticket.start_time, ticket.ticket_id))
    columns = Columns([])
    compile_rules(rules, columns)
    hopeless = {ticket.ticket_id: unmatchable_reason(rules, ticket, columns.used) for ticket in tickets}
    regions = sorted({region for t in tickets for player in t.players for region in player.latency_ms})
    waiting = [t for t in tickets if not t.backfill and hopeless[t.ticket_id] is None]
    open_matches = [t for t in tickets if t.backfill and hopeless[t.ticket_id] is None]
    book = TicketBook(compiled, regions, live=live)
    whom = [(meets or {}).get(ticket.ticket_id, CROSS_PLAY) for ticket in waiting]
    rows = book.add(
        waiting,
        np.array([group for group, _ in whom], np.int32),
        np.array([platform for _, platform in whom], np.int32),
    )
    running = [_running(rules, ticket) for ticket in open_matches]
    cycle = book.form(now, seed, running, caps, everything=True)
    places = np.searchsorted(rows, cycle.rows)
    matches = _matches(rules, waiting, open_matches, cycle, places.tolist(), regions)
    taken = {ticket for each in matches for ticket in each.tickets}
    order = {ticket.ticket_id: place for place, ticket in enumerate(tickets)}
    matches.sort(key=lambda each: order[each.tickets[0]])
    why = CUT if cycle.cut else LEFT
    left = [t.ticket_id for t in tickets if t.ticket_id not in taken]
    reasons = {id_: hopeless[id_] or why for id_ in left}
    if left and len(tickets) <= SEARCHED and meets is None:
        # Few: the search knows which rule kept each out.
        these = [t for t in tickets if t.ticket_id in reasons]
        for each in search_match(rules, these, now, seed, caps.search, live).unmatched:
            reasons[each.ticket] = each.reason
    return CycleResult(matches, [UnmatchedTicket(id_, reasons[id_]) for id_ in left])


def _running(rules: RuleSet, ticket: FlexMatchTicket) -> RunningMatch:
    """A ticket whose players have teams, as a running match; its free seats are those of the rules."""
    seats = [2**30] * sum(team.quantity for team in rules.teams)
    return RunningMatch(ticket.ticket_id, ANYWHERE, 0, -1, ticket.start_time, ticket.players, tuple(seats))


def _matches(
    rules: RuleSet,
    waiting: Sequence[FlexMatchTicket],
    open_matches: Sequence[FlexMatchTicket],
    cycle: PlanCycle,
    places: Sequence[int],
    regions: Sequence[str],
) -> list[RuleSetMatch]:
    teams = [copy for team in rules.teams for copy in team.copies]
    found = []
    order = np.argsort(cycle.match, kind="stable")
    bounds = np.searchsorted(cycle.match[order], np.arange(len(cycle.region) + 1))
    for number, (first, last) in enumerate(pairwise(bounds.tolist())):
        seats: dict[str, list[str]] = {team: [] for team in teams}
        ids = []
        if cycle.running[number] != UNMATCHED:
            ticket = open_matches[cycle.running[number]]
            ids.append(ticket.ticket_id)
            for player in ticket.players:
                seats[str(player.team)].append(player.player_id)
        for spot in sorted(order[first:last].tolist(), key=lambda each: places[each]):
            ticket = waiting[places[spot]]
            ids.append(ticket.ticket_id)
            seats[teams[cycle.team[spot]]] += [player.player_id for player in ticket.players]
        region = int(cycle.region[number])
        found.append(RuleSetMatch(None if region < 0 else regions[region], seats, ids))
    return found

"""The same question about a ticket of a running queue, whatever matches it: the kernel or a plan."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from matchmaker.plans.why.asked import cross_play
from matchmaker.plans.why.reasons import why
from matchmaker.plans.why.warm_up import compile_aside
from matchmaker.plans.why.whole_cycle import PlannedCycle, searched
from matchmaker.rules.flexmatch.cycle import CycleResult
from matchmaker.rules.flexmatch.expressions import parse_expression
from matchmaker.rules.flexmatch.rule_set import Algorithm, Attribute, Expansion, Rule, RuleSet, Team
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import RATING, Rules, Steps


def explain_ticket(
    rules: RuleSet | Rules | SearchRules,
    tickets: Sequence[FlexMatchTicket],
    ticket_id: str,
    now: float,
    *,
    group: Sequence[int] | None = None,
    platform: Sequence[int] | None = None,
) -> dict[str, Any]:
    """Say why a ticket of a queue has no match, as JSON has it; see ``why`` and ``Why``.

    Call it in a thread: it takes some 1 s at most, and the first one of all waits until its kernels have been
    compiled elsewhere.

    Args:
        rules: those of the queue.
        tickets: those of its pool that may be matched; of a party one ticket, as old as its last member's.
        ticket_id: which is asked about.
        now: the queue's time, seconds.
        group, platform: of each ticket, as the pool has them; None: all cross-play.

    Raises:
        UnknownTicketError: it is not among them.
    """
    compile_aside()
    if isinstance(rules, SearchRules):
        rules = rules.rule_set
    if isinstance(rules, RuleSet):
        cycle = PlannedCycle(tickets, group, platform)
        return why(
            rules, tickets, ticket_id, now, live=True, cycle=cycle, group=group, platform=platform
        ).as_document()
    at_home = [
        ticket if now - ticket.start_time >= rules.region_expansion_s else _at_home(ticket)
        for ticket in tickets
    ]
    row = next((place for place, each in enumerate(tickets) if each.ticket_id == ticket_id), 0)
    meets = [True] * len(tickets)
    if group is not None and platform is not None and tickets:
        meets = cross_play(row, group, platform)
    met = {each.ticket_id for each, may in zip(tickets, meets, strict=True) if may}

    def by_search(made: RuleSet, waiting: Sequence[FlexMatchTicket], then: float) -> CycleResult:
        # Not by a plan: where the fast kernel matches, the plans' kernels need not be compiled.
        return searched(made, [each for each in waiting if each.ticket_id in met], then)

    told = why(
        rule_set_of(rules),
        at_home,
        ticket_id,
        now,
        live=True,
        cycle=by_search,
        group=group,
        platform=platform,
    ).as_document()
    own = next(ticket for ticket in tickets if ticket.ticket_id == ticket_id)
    told["other_regions_after_s"] = max(0.0, rules.region_expansion_s - max(0.0, now - own.start_time))
    return told


def rule_set_of(rules: Rules) -> RuleSet:
    """The kernel's numbers as a rule set."""
    halves = rules.teams == 2 and bool(rules.team_gap)
    fewest = rules.min_players_by_wait or ((0.0, rules.players), (rules.fill_s, rules.min_players))
    names = ("first", "second") if halves else ("team",)
    each = [(wait_s, math.ceil(value / rules.teams)) for wait_s, value in fewest]
    teams = tuple(Team(name, int(each[0][1]), rules.team_size, rules.teams // len(names)) for name in names)
    expansions = [
        Expansion("teams", name, "minPlayers", tuple((w, float(v)) for w, v in each[1:]))
        for name in names
        if each[1:]
    ]
    made: list[Rule] = []

    def add(rule: Rule, limit: str, steps: Steps) -> None:
        made.append(replace(rule, limits=((limit, steps[0][1]),)))
        if steps[1:]:
            expansions.append(Expansion("rules", rule.name, limit, tuple(steps[1:])))

    latency = rules.latency or ((0.0, rules.max_latency_ms),)
    add(Rule("latency", "latency", party_aggregation="max"), "maxLatency", latency)
    if rules.skill:
        add(Rule("skill", "batchDistance", attribute=RATING), "maxDistance", rules.skill)
    if halves:
        quantities, types = dict.fromkeys(names, 1), {RATING: "number"}
        one, other = (
            parse_expression(f"avg(teams[{name}].players.attributes[{RATING}])", quantities, types)
            for name in names
        )
        add(Rule("team_gap", "distance", (one,), other), "maxDistance", rules.team_gap)
    return RuleSet(
        rules.mode,
        (Attribute(RATING, "number", None),),
        teams,
        Algorithm(expansion_age_selection="oldest", backfill_priority=rules.backfill),
        tuple(made),
        tuple(expansions),
    )


def _at_home(ticket: FlexMatchTicket) -> FlexMatchTicket:
    """The ticket with the region alone that is nearest to the player who is farthest away from it."""
    common = set.intersection(*(set(player.latency_ms) for player in ticket.players))
    if not common:
        return ticket
    home = min(sorted(common), key=lambda name: max(player.latency_ms[name] for player in ticket.players))
    players = (replace(player, latency_ms={home: player.latency_ms[home]}) for player in ticket.players)
    return replace(ticket, players=tuple(players))

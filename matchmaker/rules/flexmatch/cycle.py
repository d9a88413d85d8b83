"""One matching cycle of a rule set: ``(tickets, rules, now, seed) → matches``. Pure: no clock, no I/O."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.evaluate import new_candidate
from matchmaker.rules.flexmatch.program import Program, compile_rules
from matchmaker.rules.flexmatch.rule_set import RuleSet, most_players
from matchmaker.rules.flexmatch.search import (
    CUT_SHORT,
    NO_REGION,
    NOT_TRIED,
    TOO_FEW,
    UNMATCHED,
    SearchBudget,
    SearchResult,
    new_workspace,
    search,
)
from matchmaker.rules.flexmatch.table import Columns, Table, aggregate, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

DEFAULT_BUDGET = SearchBudget(per_ticket=100_000, per_cycle=2_000_000)  # some 0.1 s and 2 s at most


@dataclass(frozen=True, slots=True)
class RuleSetMatch:
    """A formed match: its region (None where no region is measured by all), players by team, and tickets,
    oldest first.
    """

    region: str | None
    teams: dict[str, list[str]]
    tickets: list[str]


@dataclass(frozen=True, slots=True)
class UnmatchedTicket:
    """A ticket that has no match, and why."""

    ticket: str
    reason: str


@dataclass(frozen=True, slots=True)
class CycleResult:
    """What one cycle made of the tickets: matches in the order in which they were formed, and the tickets
    left.
    """

    matches: list[RuleSetMatch]
    unmatched: list[UnmatchedTicket]


def match(
    rules: RuleSet,
    tickets: Sequence[FlexMatchTicket],
    now: float,
    seed: int = 0,
    effort: SearchBudget = DEFAULT_BUDGET,
    live: bool = False,
) -> CycleResult:
    """Form matches at ``now`` (seconds, on the clock of the tickets' start times).

    The order of ``tickets`` is irrelevant; ``seed`` decides where the rule set says ``random``; ``live``: as
    in a live queue every match has a region, one that all of its players have measured.
    """
    tickets = sorted(tickets, key=lambda ticket: (ticket.start_time, ticket.ticket_id))
    columns = Columns(tickets)
    program = compile_rules(rules, columns)
    regions = sorted({region for t in tickets for player in t.players for region in player.latency_ms})
    teams = [copy for team in rules.teams for copy in team.copies]
    hopeless = [unmatchable_reason(rules, ticket, columns.used) for ticket in tickets]
    table = build_table(tickets, columns, regions, teams, [reason is None for reason in hopeless], now)
    if live:
        program = program._replace(by_region=True)
    formed, found = form_matches(rules, program, table, seed, effort)
    return CycleResult(
        [
            _match(tickets, table.tickets["first"].tolist(), found, number, regions, teams)
            for number in range(formed)
        ],
        [
            UnmatchedTicket(ticket.ticket_id, hopeless[row] or _reason(rules, int(found.obstacle[row])))
            for row, ticket in enumerate(tickets)
            if found.match_of[row] == UNMATCHED
        ],
    )


def form_matches(
    rules: RuleSet,
    program: Program,
    table: Table,
    seed: int,
    effort: SearchBudget,
    begin: int = 0,
    around: NDArray[np.bool_] | None = None,
) -> tuple[int, SearchResult]:
    """Search a table whose tickets stand in order of age; returns the number of matches, and which tickets
    form them.

    ``begin`` is the ticket around which the first match is tried, those before it come last: where the work
    of the search before this one was used up (``NOT_TRIED``), it goes on from there.
    ``around``: bool[T], the tickets whose matches are searched for; None: all.
    """
    players = most_players(rules.teams, rules.expansions)
    count = len(table.tickets)
    found = SearchResult(
        np.full(count, UNMATCHED, np.int32),
        np.zeros(len(table.seat), np.int32),
        np.full(count, NO_REGION, np.int32),
        np.full(count, TOO_FEW, np.int32),
    )
    by_age = np.arange(count, dtype=np.int32)
    rank = np.where(table.tickets["backfill"], program.backfill_rank, 0)
    anchors = np.roll(by_age, -begin)
    if around is not None:
        anchors = anchors[around[anchors]]
    anchors = anchors[np.argsort(rank[anchors], kind="stable")]
    candidates = np.random.default_rng(seed).permutation(by_age) if program.shuffle else by_age
    candidates = candidates[np.argsort(rank[candidates], kind="stable")]
    room = max(players, int((table.tickets["last"] - table.tickets["first"]).max(initial=0)))
    formed = search(
        program,
        table,
        anchors,
        candidates,
        effort,
        new_candidate(program, table, room),
        new_workspace(program, count, room),
        found,
        0,
    )
    return formed, found


def _match(
    tickets: Sequence[FlexMatchTicket],
    first: Sequence[int],
    found: SearchResult,
    number: int,
    regions: Sequence[str],
    teams: Sequence[str],
) -> RuleSetMatch:
    seats: dict[str, list[str]] = {team: [] for team in teams}
    rows = np.flatnonzero(found.match_of == number).tolist()
    for row in rows:
        for place, player in enumerate(tickets[row].players, start=first[row]):
            seats[teams[found.team_of[place]]].append(player.player_id)
    region = int(found.region_of[number])
    return RuleSetMatch(
        None if region == NO_REGION else regions[region], seats, [tickets[row].ticket_id for row in rows]
    )


def unmatchable_reason(rules: RuleSet, ticket: FlexMatchTicket, used: set[str]) -> str | None:
    """Why a ticket can never match, whatever others come; None where it can."""
    if not ticket.backfill and len(ticket.players) > rules.largest_team:
        return (
            f"can never match: its {len(ticket.players)} players fit into no team (at most "
            f"{rules.largest_team})"
        )
    for player in ticket.players:
        for name in sorted(used):
            if player.attributes.get(name) is None:
                return (
                    f"can never match: player {player.player_id} has no attribute {name}, and it has "
                    "no default"
                )
    return _out_of_reach(rules, ticket)


def _out_of_reach(rules: RuleSet, ticket: FlexMatchTicket) -> str | None:
    """Why no region will ever do for a ticket, however far the limits of the latency rules that stand alone
    widen.
    """
    inside = {item for rule in rules.rules for item in rule.statement if isinstance(item, str)}
    for rule in rules.rules:
        most = rule.limit("maxLatency")
        if rule.type != "latency" or rule.name in inside or most is None:
            continue
        key = ("rules", rule.name, "maxLatency")
        steps = [step for e in rules.expansions if (e.kind, e.name, e.field) == key for step in e.steps]
        most = max([most, *(value for _, value in steps)])
        measured = set.intersection(*(set(player.latency_ms) for player in ticket.players))
        parties = [[player.latency_ms[region] for player in ticket.players] for region in measured]
        if not any(aggregate(party, rule.party_aggregation) <= most for party in parties):
            return f"can never match: no region is within the {most:g} ms of the rule {rule.name}"
    return None


def _reason(rules: RuleSet, obstacle: int) -> str:
    if obstacle == TOO_FEW:
        return "not enough players left who could fill the teams"
    if obstacle == NOT_TRIED:
        return "not looked at: the cycle's work was used up; the next cycle begins with the oldest"
    ordered = [rule for rule in rules.rules if not rule.type.endswith("Sort")]
    often = ""
    if obstacle != CUT_SHORT:
        rule = ordered[CUT_SHORT - 1 - obstacle if obstacle < CUT_SHORT else obstacle]
        often = f" (most often the rule {rule.name}, {rule.type}, was broken)"
    if obstacle <= CUT_SHORT:
        return (
            f"not decided: the work around it was used up before every combination was tried{often}; "
            "there may be a match"
        )
    none = "no match was found that" if rules.algorithm.strategy == "balanced" else "no match"
    return f"{none} holds every rule{often}"

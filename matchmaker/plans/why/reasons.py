"""``why``: a ticket of a file or of a queue, and what keeps it from a match."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from matchmaker.errors import MatchmakerError
from matchmaker.plans.matching import match
from matchmaker.plans.why.asked import Meeting, meet
from matchmaker.plans.why.changes import Change, Changes
from matchmaker.plans.why.joining import brings
from matchmaker.plans.why.probe import Probe
from matchmaker.plans.why.report import Matched, NeverAsked, Short, Why
from matchmaker.plans.why.tallies import Tallies, read_by, tally
from matchmaker.rules.flexmatch.cycle import CycleResult, RuleSetMatch
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.search import SearchBudget
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket

MAX_TICKETS = 2_000  # that are looked at, the nearest first
BUDGET = SearchBudget(20_000, 200_000)  # of one whole cycle, as of a live queue's search
# Whole cycles with a changed rule set: some 20 ms each of 300 tickets, 100 of 2,000.
MAX_CYCLES, MAX_CYCLES_OF_MANY, MANY = 40, 6, 300

Cycle = Callable[[RuleSet, Sequence[FlexMatchTicket], float], CycleResult]


class UnknownTicketError(MatchmakerError):
    """Raised when no ticket has the id that is asked about. Look at the spelling, or whether it has ended."""


def why(
    rules: RuleSet,
    tickets: Sequence[FlexMatchTicket],
    ticket_id: str,
    now: float,
    *,
    live: bool = False,
    cycle: Cycle | None = None,
    group: Sequence[int] | None = None,
    platform: Sequence[int] | None = None,
) -> Why:
    """Say why a ticket has no match at ``now`` among these tickets, or which it has.

    Args:
        rules: the rule set.
        tickets: all that wait. At most ``MAX_TICKETS`` of them are looked at, the nearest.
        ticket_id: which is asked about.
        now: seconds, on the clock of the tickets' start times.
        live: whether every match needs a region that all of its players have measured, as in a live queue.
        cycle: forms the matches of a rule set and tickets at a time; None: as ``launchday match``.
        group, platform: whom each ticket may meet, as the pool has it; None: all cross-play.

    Raises:
        UnknownTicketError: there is no such ticket.
    """
    form = cycle or _cycle_of(live)
    asked = next((each for each in tickets if each.ticket_id == ticket_id), None)
    if asked is None:
        raise UnknownTicketError(f"there is no ticket {ticket_id} among the {len(tickets)} that wait")
    outcome = form(rules, tickets, now)
    waited_s = max(0.0, now - asked.start_time)
    mine = next((each for each in outcome.matches if ticket_id in each.tickets), None)
    taken = {each for found in outcome.matches for each in found.tickets}
    if mine is not None:
        return _matched(asked, waited_s, mine, len(tickets), len(taken))
    left = [place for place, each in enumerate(tickets) if each.ticket_id not in taken]
    near = _nearest(rules, tickets, left, asked)[:MAX_TICKETS]
    chosen = [tickets[place] for place in near]
    probe = Probe(rules, chosen, now, live)
    row = near.index(next(place for place in left if tickets[place] is asked))
    order = np.array([each for each in range(len(chosen)) if each != row], np.int32)
    meeting = meet(
        probe,
        row,
        order,
        None if group is None else [group[place] for place in near],
        None if platform is None else [platform[place] for place in near],
    )
    tallies = tally(probe, row, meeting)
    pool = tickets if len(tickets) <= MAX_TICKETS else chosen
    reason = next((each.reason for each in outcome.unmatched if each.ticket == ticket_id), "")
    return Why(
        ticket_id,
        waited_s,
        None,
        _reason(probe, meeting, tallies, reason, row),
        len(tickets),
        len(taken),
        len(left) - len(near),
        len(meeting.order),
        tuple(
            NeverAsked(
                each.because,
                each.rule,
                len(each.tickets),
                chosen[each.tickets[0]].ticket_id,
                _reads(probe, each.rule, each.tickets[0]),
                probe.hopeless[each.tickets[0]] or "",
            )
            for each in meeting.apart
        ),
        tallies.seated,
        _fewest(probe, row),
        probe.regions[tallies.region] if 0 <= tallies.region < len(probe.regions) else None,
        tallies.holds,
        tallies.rules,
        tuple(_short(probe, row, meeting)),
        tuple(_changes(probe, row, meeting, order, form, pool, ticket_id, tallies)),
    )


def _changes(
    probe: Probe,
    row: int,
    meeting: Meeting,
    order: NDArray[np.int32],
    form: Cycle,
    tickets: Sequence[FlexMatchTicket],
    ticket_id: str,
    tallies: Tallies,
) -> list[Change]:
    if _lacks_attribute(probe, row):
        return []
    apart = {each for kept in meeting.apart if kept.because == "cross_play" for each in kept.tickets}
    apart |= {each for each in order.tolist() if _lacks_attribute(probe, each)}
    others = order[~np.isin(order, list(apart))]
    left = MAX_CYCLES if len(tickets) <= MANY else MAX_CYCLES_OF_MANY

    def forms(rules: RuleSet, seconds: float) -> bool | None:
        nonlocal left
        left -= 1
        if left < 0:
            return None
        outcome = form(rules, tickets, probe.now + seconds)
        return any(ticket_id in each.tickets for each in outcome.matches)

    changes = Changes(probe, row, others, forms)
    single = changes.single()
    if single or tallies.holds or not len(others):
        return single
    pair = changes.pair()
    return [] if pair is None else [pair]


def _cycle_of(live: bool) -> Cycle:
    def form(rules: RuleSet, tickets: Sequence[FlexMatchTicket], now: float) -> CycleResult:
        return match(rules, tickets, now, live=live, effort=BUDGET)

    return form


def _matched(
    asked: FlexMatchTicket, waited_s: float, mine: RuleSetMatch, tickets: int, in_matches: int
) -> Why:
    has = Matched(mine.region, mine.teams, mine.tickets)
    return Why(
        asked.ticket_id,
        waited_s,
        has,
        "has a match",
        tickets,
        in_matches,
        0,
        0,
        (),
        0,
        0,
        mine.region,
        True,
        (),
        (),
        (),
    )


def _nearest(
    rules: RuleSet, tickets: Sequence[FlexMatchTicket], left: list[int], asked: FlexMatchTicket
) -> list[int]:
    """Places of tickets, the nearest first: by the number that the rules compare, else the oldest first."""
    name = _axis(rules)
    own = _mean(asked, name) if name else None

    def apart(place: int) -> tuple[float, float, str]:
        other = tickets[place]
        value = _mean(other, name) if name else None
        distance = 0.0 if own is None or value is None else abs(value - own)
        return distance, other.start_time, other.ticket_id

    order = sorted(left, key=apart)
    mine = next(place for place in left if tickets[place] is asked)
    return [mine, *(place for place in order if place != mine)]


def _axis(rules: RuleSet) -> str | None:
    numbers = {each.name for each in rules.attributes if each.type == "number"}
    sorts = [rule.attribute for rule in rules.rules if rule.type == "distanceSort"]
    batches = [rule.attribute for rule in rules.rules if rule.type == "batchDistance"]
    measured = [
        each.attribute
        for rule in rules.rules
        if rule.type in ("distance", "comparison")
        for each in rule.measurements
        if each.attribute
    ]
    return next((name for name in (*sorts, *batches, *measured) if name in numbers), None)


def _mean(ticket: FlexMatchTicket, name: str | None) -> float | None:
    values = [
        float(value)
        for player in ticket.players
        if isinstance(value := player.attributes.get(name or ""), int | float)
    ]
    return sum(values) / len(values) if values else None


def _lacks_attribute(probe: Probe, row: int) -> bool:
    players = probe.tickets[row].players
    return any(player.attributes.get(name) is None for player in players for name in probe.used)


def _reads(probe: Probe, rule: str, row: int) -> dict[str, list[object]]:
    found = next((each for each in probe.ordered if each.name == rule), None)
    return {} if found is None else read_by(probe, found, row)


def _fewest(probe: Probe, row: int) -> int:
    limits = probe.limits_at(float(probe.table.tickets["age_s"][row]))
    return int(sum(limits[int(team["fewest"])] for team in probe.program.teams))


def _short(probe: Probe, row: int, meeting: Meeting) -> list[Short]:
    """Players, and those who bring what a rule asks for, where there are fewer than a match needs."""
    rows = [row, *meeting.order.tolist()]
    players = sum(len(probe.tickets[each].players) for each in rows)
    short = []
    if players < (fewest := _fewest(probe, row)):
        short.append(Short("players", fewest, players))
    for rule in probe.ordered:
        least = rule.limit("minCount") if rule.operation == "contains" else None
        if least is None or not isinstance(rule.reference, tuple):
            continue
        grouped = max(
            (
                sum(team.quantity for team in probe.rules.teams if team.name in each.teams)
                for each in rule.measurements
                if each.grouped and "flatten" not in each.calls
            ),
            default=1,
        )
        there = sum(brings(probe.tickets[each], rule) for each in rows)
        if there < (needed := int(least) * grouped):
            short.append(Short(f"{rule.name}: {rule.reference[0]}", needed, there))
    return short


def _reason(probe: Probe, meeting: Meeting, tallies: Tallies, found: str, row: int) -> str:
    """One sentence; the first of these that holds."""
    if (hopeless := probe.hopeless[row]) is not None:
        return hopeless
    if meeting.alone:
        return f"it may be in no team, whoever else plays: rule {meeting.alone}"
    by_itself = next((each.rule for each in tallies.rules if each.alone), "")
    if by_itself:
        return f"it breaks the rule {by_itself} by itself"
    if tallies.holds:
        return (
            "a match around it holds; the work of the cycle was used up before, or others take its partners"
        )
    ended = next((each for each in tallies.rules if each.at_end), None)
    if ended is not None:
        return f"the match that is built around it breaks the rule {ended.rule} when it is complete"
    worst = max(tallies.rules, key=lambda each: each.turned_away, default=None)
    if worst is not None and worst.turned_away:
        return (
            f"the rule {worst.rule} turns away {worst.turned_away} of the {len(meeting.order)} that are asked"
        )
    if meeting.apart and not len(meeting.order):
        most = max(meeting.apart, key=lambda each: len(each.tickets))
        rule = f" (rule {most.rule})" if most.rule else ""
        return f"nobody can be asked: {len(most.tickets)} are kept apart by {most.because}{rule}"
    if len(probe.tickets) == 1:
        return "nobody is left who could be asked: the others have matches"
    return found or "not enough players left who could fill the teams"

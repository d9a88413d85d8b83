"""The guide's greedy, around one ticket, slowly and by the evaluator alone: who joins, who is turned away,
and by which rule.

Nothing of the fast walk over plans is used here: what this says of a match is said twice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.evaluate import ALL_HOLD, Candidate, first_broken, set_limits
from matchmaker.rules.flexmatch.program import Program
from matchmaker.rules.flexmatch.table import NO_TEAM, Table
from matchmaker.rules.flexmatch.tolerance import TOLERANCE

SEATED, NOT_ASKED, NO_SEAT = -2, -3, -4  # instead of a rule
TRIES = 2  # teams of one kind that a ticket is tried in: copies that stand alike answer alike
MEASURED = 100  # tickets turned away whose limit is looked for: 60 to 100 judgements each

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Levers(NamedTuple):
    """The numbers that could have made a rule hold, Q rules and the teams' sizes last.

    Attributes:
        begin: int32[Q + 2], where each rule's levers begin.
        number: int32[…], the Program's number; direction: float64[…], +1 where more is laxer, -1 where less.
    """

    begin: Ints
    number: Ints
    direction: Floats


class Walked(NamedTuple):
    """What a walk left, of T tickets.

    Attributes:
        refused: int32[T], the rule that turned the ticket away, SEATED, NOT_ASKED or NO_SEAT.
        number, value, allowed, way: int32[T], float64[T]: the number that would have had to be ``value`` for
            it to join, what it was instead, and +1 where more is laxer; number -1 where none is known.
        team: int32[T], the team that a seated ticket was given, or in which it was turned away.
        result: int64[5]: players seated; the rule that the end broke (Q: the sizes of the teams); tickets of
            the largest match that held on the way, 0 for none; its players; the region.
        ticket: int32[…], tickets in the order in which they were seated.
    """

    refused: Ints
    number: Ints
    value: Floats
    allowed: Floats
    way: Floats
    team: Ints
    result: NDArray[np.int64]
    ticket: Ints


def new_walked(tickets: int, players: int) -> Walked:
    """Room for walks over ``tickets`` to matches of ``players``."""
    return Walked(
        np.zeros(tickets, np.int32),
        np.zeros(tickets, np.int32),
        np.zeros(tickets, np.float64),
        np.zeros(tickets, np.float64),
        np.zeros(tickets, np.float64),
        np.zeros(tickets, np.int32),
        np.zeros(5, np.int64),
        np.zeros(players + 2, np.int32),
    )


@njit(cache=True, nogil=True)
def gather(
    joining: Program, whole: Program, table: Table, order: Ints, fits: Bools, seed: int, team: int,
    region: int, age_s: float, levers: Levers, match: Candidate, walked: Walked,
) -> None:  # fmt: skip
    """Seat ``seed`` in ``team``, then each ticket of ``order`` that breaks no rule of ``joining``.

    Args:
        joining: the rules that are tested as a ticket joins.
        whole: all rules, tested where the teams have their least players.
        order: tickets to be asked.
        fits: bool[T, K], whether a ticket may be in a team at all.
        region: or -1.
        age_s: the age of the match; NaN: that of its tickets.
        levers: of all rules.
        match: room for a candidate.
        walked: is written.
    """
    walked.refused[:] = NOT_ASKED
    walked.number[:] = -1
    walked.result[:] = 0
    walked.result[4] = region
    seated, measured = 1, 0
    walked.ticket[0], walked.team[seed] = seed, team
    broken = _join(joining, table, walked, 1, age_s, region, match)
    if broken != ALL_HOLD:
        walked.refused[seed] = broken
        walked.result[1] = broken
        if broken >= 0:
            _measure(joining, table, match, region, broken, levers, walked, seed)
        return
    walked.refused[seed] = SEATED
    _keep(whole, table, match, region, 1, walked)
    full = False
    for ticket in order:
        if full or ticket == seed:
            continue
        refusal, refused_in = NO_SEAT, team
        compose(joining, table, walked.ticket[:seated], walked.team, age_s, match)
        for chosen in _teams_to_try(joining, table, match, fits, ticket):
            if chosen < 0:
                break
            walked.ticket[seated], walked.team[ticket] = ticket, chosen
            broken = _join(joining, table, walked, seated + 1, age_s, region, match)
            if broken == ALL_HOLD:
                refusal = SEATED
                break
            if refusal == NO_SEAT and broken != NO_SEAT:
                refusal, refused_in = broken, chosen
                if measured < MEASURED:
                    measured += 1
                    _measure(joining, table, match, region, broken, levers, walked, ticket)
        walked.refused[ticket] = refusal
        if refusal == SEATED:
            seated += 1
            walked.number[ticket] = -1
            full = _keep(whole, table, match, region, seated, walked)
        else:
            walked.team[ticket] = refused_in
    kept = _join(whole, table, walked, seated, age_s, region, match)
    walked.result[0] = match.size[1]
    walked.result[1] = judge(whole, table, match, region) if kept == ALL_HOLD else kept


@njit(cache=True, nogil=True)
def judge(program: Program, table: Table, match: Candidate, region: int) -> int:
    """The rule that a match breaks at the limits it has; Q where a team has too few or too many players."""
    for team in range(program.teams.shape[0]):
        players = match.team_start[team + 1] - match.team_start[team]
        if (
            players < match.limit[program.teams[team].fewest]
            or players > match.limit[program.teams[team].most]
        ):
            return int(program.rules.shape[0])
    if match.size[0] == 1 and table.tickets[match.ticket[0]].backfill:
        return int(program.rules.shape[0])
    return int(first_broken(program, table, match, region, False))


@njit(cache=True, nogil=True)
def compose(
    program: Program, table: Table, tickets: Ints, team: Ints, age_s: float, match: Candidate
) -> None:
    """Write a candidate of ``tickets``, each in its ``team``, and its limits at ``age_s`` (NaN: its own)."""
    teams = program.teams.shape[0]
    match.team_start[:] = 0
    for ticket in tickets:
        for player in range(table.tickets[ticket].first, table.tickets[ticket].last):
            seat = table.seat[player]
            match.team_start[(team[ticket] if seat == NO_TEAM else seat) + 1] += 1
    for each in range(teams):
        match.team_start[each + 1] += match.team_start[each]
    match.size[0], match.size[1] = tickets.shape[0], match.team_start[teams]
    age = age_s
    for place, ticket in enumerate(tickets):
        match.ticket[place] = ticket
        for player in range(table.tickets[ticket].first, table.tickets[ticket].last):
            seat = table.seat[player]
            chosen = team[ticket] if seat == NO_TEAM else seat
            match.player[match.team_start[chosen]] = player
            match.team_start[chosen] += 1
        own = table.tickets[ticket].age_s
        if np.isnan(age_s):
            if place == 0:
                age = own
            age = min(age, own) if program.newest else max(age, own)
    for each in range(teams, 0, -1):
        match.team_start[each] = match.team_start[each - 1]
    match.team_start[0] = 0
    set_limits(program, age, match.limit)


@njit(cache=True, nogil=True)
def critical(
    program: Program, table: Table, match: Candidate, region: int, rule: int, number: int, direction: float
) -> float:
    """The nearest value of a number with which the candidate does not break ``rule`` first; NaN where none
    does. ``rule`` ALL_HOLD - 1: with which it breaks nothing, the sizes of its teams included.
    """
    limit = match.limit[number]
    low, step, found = limit, 1e-3 * (1.0 + abs(limit)), False
    high = limit
    for _ in range(64):
        high = limit + direction * step
        match.limit[number] = high
        if _passes(program, table, match, region, rule):
            found = True
            break
        low = high
        step *= 2.0
    for _ in range(80):
        if not found or abs(high - low) <= 1e-13 * (1.0 + abs(high)):
            break
        middle = (low + high) / 2.0
        match.limit[number] = middle
        if _passes(program, table, match, region, rule):
            high = middle
        else:
            low = middle
    match.limit[number] = limit
    # What is compared with a limit may pass it by the tolerance, by which the limit found falls short of it.
    return high + direction * TOLERANCE * (1.0 + abs(high)) if found else np.nan


@njit(cache=True, nogil=True)
def stand_alone(
    program: Program, table: Table, rows: Ints, region: int, age_s: float, match: Candidate,
    team: Ints, broken: Ints,
) -> None:  # fmt: skip
    """Write into int32[len(rows), K] the rule that each ticket breaks by itself in each team, or ALL_HOLD."""
    for place in range(rows.shape[0]):
        for each in range(program.teams.shape[0]):
            team[rows[place]] = each
            compose(program, table, rows[place : place + 1], team, age_s, match)
            broken[place, each] = _in_room(program, table, match, region)


@njit(cache=True, nogil=True)
def stand_together(
    program: Program, table: Table, one: int, rows: Ints, teams: Ints, region: int, match: Candidate,
    team: Ints, broken: Ints,
) -> None:  # fmt: skip
    """Write into int32[len(rows)] the rule that each ticket breaks beside ``one``, each in any of ``teams``,
    or ALL_HOLD.
    """
    pair = np.zeros(2, np.int32)
    for place in range(rows.shape[0]):
        pair[0], pair[1] = one, rows[place]
        broken[place] = NO_SEAT
        for each in teams:
            for other in teams:
                if broken[place] == ALL_HOLD:
                    break
                team[one], team[rows[place]] = each, other
                compose(program, table, pair, team, np.nan, match)
                rule = _in_room(program, table, match, region)
                if rule != NO_SEAT:
                    broken[place] = rule


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _passes(program: Program, table: Table, match: Candidate, region: int, rule: int) -> bool:
    if rule < ALL_HOLD:
        return bool(judge(program, table, match, region) == ALL_HOLD)
    return bool(first_broken(program, table, match, region, False) != rule)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _in_room(program: Program, table: Table, match: Candidate, region: int) -> int:
    for team in range(program.teams.shape[0]):
        if match.team_start[team + 1] - match.team_start[team] > match.limit[program.teams[team].most]:
            return NO_SEAT
    running = 0
    for place in range(match.size[0]):
        running += table.tickets[match.ticket[place]].backfill
    if running > 1:
        return NO_SEAT
    return int(first_broken(program, table, match, region, False))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _join(
    program: Program, table: Table, walked: Walked, count: int, age_s: float, region: int, match: Candidate
) -> int:
    compose(program, table, walked.ticket[:count], walked.team, age_s, match)
    return int(_in_room(program, table, match, region))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _teams_to_try(program: Program, table: Table, match: Candidate, fits: Bools, ticket: int) -> Ints:
    """The teams that a ticket is tried in, those short of players first, then the emptiest; -1 ends them."""
    teams = program.teams.shape[0]
    chosen = np.full(teams + 1, -1, np.int32)
    tried = np.zeros(teams, np.bool_)
    count = 0
    size = table.tickets[ticket].last - table.tickets[ticket].first
    for _ in range(teams):
        best, best_key, best_short = -1, 0.0, False
        for team in range(teams):
            players = match.team_start[team + 1] - match.team_start[team]
            most = match.limit[program.teams[team].most]
            if tried[team] or not fits[ticket, team] or players + size > most:
                continue
            short = players < match.limit[program.teams[team].fewest]
            key = players / max(most, 1.0)
            if best < 0 or (short and not best_short) or (short == best_short and key < best_key):
                best, best_key, best_short = team, key, short
        if best < 0:
            break
        tried[best] = True
        same = 0
        for place in range(count):
            same += program.teams[chosen[place]].kind == program.teams[best].kind
        if same < TRIES:
            chosen[count] = best
            count += 1
        if table.tickets[ticket].backfill:
            break
    return chosen


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _measure(
    program: Program, table: Table, match: Candidate, region: int, rule: int, levers: Levers,
    walked: Walked, ticket: int,
) -> None:  # fmt: skip
    """Find the number of a broken rule that lies nearest to where the rule holds."""
    nearest = np.inf
    for place in range(levers.begin[rule], levers.begin[rule + 1]):
        number, direction = levers.number[place], levers.direction[place]
        value = critical(program, table, match, region, rule, number, direction)
        apart = abs(value - match.limit[number]) / (1.0 + abs(match.limit[number]))
        if apart < nearest:
            nearest = apart
            walked.number[ticket], walked.value[ticket] = number, value
            walked.allowed[ticket], walked.way[ticket] = match.limit[number], direction


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _keep(program: Program, table: Table, match: Candidate, region: int, seated: int, walked: Walked) -> bool:
    """Note the match where it holds as it stands; returns whether nobody fits in any more."""
    if judge(program, table, match, region) == ALL_HOLD and match.size[1] > walked.result[3]:
        walked.result[2], walked.result[3] = seated, match.size[1]
    for team in range(program.teams.shape[0]):
        if match.team_start[team + 1] - match.team_start[team] < match.limit[program.teams[team].most]:
            return False
    return True

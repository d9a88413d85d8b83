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
ANYTHING = ALL_HOLD - 4  # instead of a rule: the whole match

Ints = NDArray[np.int32]
Bools = NDArray[np.bool_]
Floats = NDArray[np.float64]


class Walked(NamedTuple):
    """What a walk left, of T tickets.

    Attributes:
        refused: int32[T], the rule that turned the ticket away, SEATED, NOT_ASKED or NO_SEAT.
        beside: int32[T], how many tickets were seated then; team: int32[T], the team that a seated ticket was
            given, or in which it was turned away.
        result: int64[6]: players seated; the rule that the end broke (Q: too few in a team); tickets of the
            largest match that held on the way, 0 for none; its players; the region; tickets seated.
        ticket: int32[…], tickets in the order in which they were seated.
    """

    refused: Ints
    beside: Ints
    team: Ints
    result: NDArray[np.int64]
    ticket: Ints


def new_walked(tickets: int, players: int) -> Walked:
    """Room for walks over ``tickets`` to matches of ``players``."""
    return Walked(
        np.zeros(tickets, np.int32),
        np.zeros(tickets, np.int32),
        np.zeros(tickets, np.int32),
        np.zeros(6, np.int64),
        np.zeros(players + 2, np.int32),
    )


@njit(cache=True, nogil=True)
def gather(
    joining: Program, whole: Program, table: Table, order: Ints, fits: Bools, seed: int, team: int,
    region: int, age_s: float, match: Candidate, walked: Walked,
) -> None:  # fmt: skip
    """Seat ``seed`` in ``team``, then each ticket of ``order`` that breaks no rule of ``joining``.

    Args:
        joining: the rules that are tested as a ticket joins.
        whole: all rules, tested where the teams have their least players.
        order: tickets to be asked.
        fits: bool[T, K], whether a ticket may be in a team at all.
        region: or -1.
        age_s: the age of the match; NaN: that of its tickets.
        match: room for a candidate.
        walked: is written.
    """
    walked.refused[:] = NOT_ASKED
    walked.result[:] = 0
    walked.result[4] = region
    seated, full = 0, False
    for turn in range(-1, order.shape[0]):
        ticket = seed if turn < 0 else order[turn]
        if full or (turn >= 0 and ticket == seed):
            continue
        compose(joining, table, walked.ticket[:seated], walked.team, age_s, match)
        tries = _teams_to_try(joining, table, match, fits, ticket)
        if turn < 0:
            tries[:] = -1
            tries[0] = team
        refusal, refused_in = NO_SEAT, team
        for chosen in tries:
            if chosen < 0:
                break
            walked.ticket[seated], walked.team[ticket] = ticket, chosen
            compose(joining, table, walked.ticket[: seated + 1], walked.team, age_s, match)
            broken = check(joining, table, match, region, False)
            if broken == ALL_HOLD:
                refusal = SEATED
                break
            if refusal == NO_SEAT and broken != NO_SEAT:
                refusal, refused_in = broken, chosen
        walked.refused[ticket], walked.beside[ticket] = refusal, seated
        if refusal != SEATED:
            walked.team[ticket] = refused_in
            if turn < 0:
                break
            continue
        seated += 1
        if check(whole, table, match, region, True) == ALL_HOLD and match.size[1] > walked.result[3]:
            walked.result[2], walked.result[3] = seated, match.size[1]
        full = True
        for each in range(whole.teams.shape[0]):
            players = match.team_start[each + 1] - match.team_start[each]
            full = full and players >= match.limit[whole.teams[each].most]
    if seated == 0:
        walked.result[1] = walked.refused[seed]
        return
    compose(whole, table, walked.ticket[:seated], walked.team, age_s, match)
    walked.result[0], walked.result[5] = match.size[1], seated
    walked.result[1] = check(whole, table, match, region, True)


@njit(cache=True, nogil=True)
def check(program: Program, table: Table, match: Candidate, region: int, whole: bool) -> int:
    """The rule that a match breaks at the limits it has, or ALL_HOLD; NO_SEAT where a team has too many
    players, and, ``whole``, Q where one has too few.
    """
    running = 0
    for place in range(match.size[0]):
        running += table.tickets[match.ticket[place]].backfill
    if running > 1:
        return NO_SEAT
    few = whole and running == 1 and match.size[0] == 1
    for team in range(program.teams.shape[0]):
        players = match.team_start[team + 1] - match.team_start[team]
        if players > match.limit[program.teams[team].most]:
            return NO_SEAT
        few = few or (whole and players < match.limit[program.teams[team].fewest])
    if few:
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
    does. ``rule`` ANYTHING: with which it breaks nothing, the sizes of its teams included.
    """
    limit = match.limit[number]
    low, high, step = limit, limit, 1e-3 * (1.0 + abs(limit))
    found, turn = False, 0
    while turn < 160:
        turn += 1
        trial = (low + high) / 2.0 if found else limit + direction * step
        match.limit[number] = trial
        broken = check(program, table, match, region, rule == ANYTHING)
        if (broken == ALL_HOLD) if rule == ANYTHING else (broken != rule):
            high, found = trial, True
        else:
            low = trial
        step *= 2.0
        if found and abs(high - low) <= 1e-13 * (1.0 + abs(high)):
            break
        if not found and turn > 64:
            break
    match.limit[number] = limit
    # What is compared with a limit may pass it by the tolerance, by which the limit found falls short of it.
    return high + direction * TOLERANCE * (1.0 + abs(high)) if found else np.nan


@njit(cache=True, nogil=True)
def stand(
    program: Program, table: Table, one: int, rows: Ints, teams: Ints, region: int, match: Candidate,
    team: Ints, broken: Ints,
) -> None:  # fmt: skip
    """Write into int32[len(rows), len(teams)] the rule that each ticket breaks in each of some teams, or
    ALL_HOLD: by itself, or beside ``one`` (-1: nobody), which may be in any of them.
    """
    pair = np.zeros(2, np.int32)
    pair[0] = one
    begin = 1 if one < 0 else 0
    for place in range(rows.shape[0]):
        pair[1] = rows[place]
        for column in range(teams.shape[0]):
            broken[place, column] = NO_SEAT
            team[rows[place]] = teams[column]
            for other in range(1 if one < 0 else teams.shape[0]):
                if broken[place, column] == ALL_HOLD:
                    break
                if one >= 0:
                    team[one] = teams[other]
                compose(program, table, pair[begin:], team, np.nan, match)
                rule = check(program, table, match, region, False)
                if rule != NO_SEAT:
                    broken[place, column] = rule


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

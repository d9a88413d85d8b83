"""Whether the match that is being built holds its rules, from its running sums: an atom in constant time, or
in the number of its teams.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.plans.greedy.desk import (
    Bits,
    Desk,
    draft_of,
    match_of,
    plan_of,
    program_of,
    table_of,
    tickets_of,
)
from matchmaker.plans.greedy.state import ALL_REGIONS, DEPTH, LEVEL
from matchmaker.plans.layout import (
    ALIKE,
    ALL,
    AVG,
    BLOCK,
    COMPARE,
    COUNT,
    DEFERRABLE,
    DISTANCE,
    EACH,
    EQUAL,
    FINAL,
    INTERSECT,
    LATENCY,
    LATENCY_DISTANCE,
    LESS,
    LESS_EQUAL,
    LITERAL,
    MAX,
    MIN,
    MORE,
    MORE_EQUAL,
    NONE,
    OF_TEAMS,
    PLAYERS,
    SPREAD,
    SUM,
    TEAM,
)
from matchmaker.rules.flexmatch.evaluate import rule_holds
from matchmaker.rules.flexmatch.tolerance import at_most, equal

NO_REGIONS = np.uint64(0)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def regions_left(desk: Desk, final: bool, deferred: bool) -> Bits:
    """The regions in which the match holds its rules; 0: in none.

    ``final``: all of them, as a match that is complete; else those that each ticket that joins must hold,
    ``deferred`` without fairness.
    """
    plan = plan_of(desk)
    draft = draft_of(desk)
    level = draft.at[LEVEL]
    left = draft.mask[0, level]
    if draft.mask[draft.mask.shape[0] - 1, level] == NO_REGIONS:
        return NO_REGIONS
    for index in range(plan.rules.shape[0]):
        if left == NO_REGIONS:
            return left
        stage = plan.rules[index].stage
        if not final and (stage == FINAL or (deferred and stage == DEFERRABLE)):
            continue
        begin, end = np.int64(plan.rules[index].code_from), np.int64(plan.rules[index].code_to)
        if end - begin == 1:
            left &= _atom(desk, np.int64(plan.code[begin].code), level, final)
        else:
            left &= _statement(desk, begin, end, level, final)
    return left


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _statement(desk: Desk, begin: int, end: int, level: int, final: bool) -> Bits:
    """A compound rule, region by region at once."""
    plan = plan_of(desk)
    stack = np.empty(64, np.uint64)
    height = 0
    for place in range(begin, end):
        code = np.int64(plan.code[place].code)
        if code >= 0:
            stack[height] = _atom(desk, code, level, final)
            height += 1
            continue
        first = height - plan.code[place].arity
        if code == -1:
            value = ALL_REGIONS
            for each in range(first, height):
                value &= stack[each]
        elif code == -2:
            value = NO_REGIONS
            for each in range(first, height):
                value |= stack[each]
        elif code == -3:
            once, twice = NO_REGIONS, NO_REGIONS
            for each in range(first, height):
                twice |= once & stack[each]
                once |= stack[each]
            value = once & ~twice
        else:
            value = ALL_REGIONS
            for each in range(first, height):
                value &= ~stack[each]
        stack[first] = value
        height = first + 1
    return stack[0]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _atom(desk: Desk, atom: int, level: int, final: bool) -> Bits:
    plan = plan_of(desk)
    draft = draft_of(desk)
    kind = plan.atoms[atom].kind
    if kind == LATENCY:
        return draft.mask[plan.atoms[atom].column, level]
    if kind == LATENCY_DISTANCE:
        return _near_each_other(desk, atom, level)
    holds = True
    if kind in (SPREAD, ALIKE):
        low = _extreme(desk, plan.atoms[atom].teams, plan.atoms[atom].column, np.bool_(False))
        high = _extreme(desk, plan.atoms[atom].teams, plan.atoms[atom].high, np.bool_(True))
        if low <= high:
            if kind == ALIKE:
                holds = equal(low, high)
            else:
                holds = at_most(high - low, plan.number[level, plan.atoms[atom].first])
    elif kind in (DISTANCE, COMPARE):
        holds = _compares(desk, atom, level)
    elif kind == COUNT:
        holds = _counts(desk, atom, level, final)
    elif kind == INTERSECT:
        holds = _shares(desk, atom, level, final)
    elif kind == BLOCK:
        pass  # a guard has seen to it
    else:
        _compose(desk, level)
        holds = rule_holds(program_of(desk), table_of(desk), match_of(desk), NONE, plan.atoms[atom].rule)
    return ALL_REGIONS if holds else NO_REGIONS


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _extreme(desk: Desk, teams: Bits, column: int, largest: bool) -> float:
    """The least or largest value of the players of some kinds of teams; ±inf where there are none."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    copies = plan.kind.shape[0]
    if _covers_all(desk, teams):
        return float(draft.most[copies, column] if largest else draft.least[copies, column])
    found = -np.inf if largest else np.inf
    for copy in range(copies):
        if (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            found = max(found, draft.most[copy, column]) if largest else min(found, draft.least[copy, column])
    return found


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _covers_all(desk: Desk, teams: Bits) -> bool:
    plan = plan_of(desk)
    kinds = np.uint64(plan.kind[plan.kind.shape[0] - 1] + 1)
    return bool(teams == (np.uint64(1) << kinds) - np.uint64(1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _of_team(desk: Desk, row: int, column: int, function: int) -> float:
    """A function of the players of a row of the sums; NaN of none, but for sums and counts."""
    draft = draft_of(desk)
    if function == PLAYERS:
        return float(draft.players[row])
    if function == SUM:
        return float(draft.total[row, column])
    if draft.players[row] == 0:
        return np.nan
    if function == AVG:
        return float(draft.total[row, column] / draft.players[row])
    return float(draft.least[row, column] if function == MIN else draft.most[row, column])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _of_all(desk: Desk, teams: Bits, column: int, function: int) -> float:
    """A function of the players of some kinds of teams together."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    copies = plan.kind.shape[0]
    if _covers_all(desk, teams):
        return float(_of_team(desk, copies, column, function))
    players, total = 0, 0.0
    for copy in range(copies):
        if (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            players += draft.players[copy]
            if function in (AVG, SUM):
                total += draft.total[copy, column]
    if function == PLAYERS:
        return float(players)
    if function == SUM:
        return total
    if players == 0:
        return np.nan
    if function == AVG:
        return total / players
    return float(_extreme(desk, teams, column, function == MAX))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _of_teams(desk: Desk, teams: Bits, column: int, function: int, outer: int) -> float:
    """A function of the teams' values; an empty team has none, unless it is a sum or a count."""
    plan = plan_of(desk)
    least, most, total, count = np.inf, -np.inf, 0.0, 0
    for copy in range(plan.kind.shape[0]):
        if (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            value = _of_team(desk, copy, column, function)
            if np.isnan(value):
                return np.nan
            least, most, total, count = min(least, value), max(most, value), total + value, count + 1
    if outer == PLAYERS:
        return float(count)
    if outer == SUM:
        return total
    if count == 0:
        return np.nan
    if outer == AVG:
        return total / count
    return least if outer == MIN else most


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _reference(desk: Desk, atom: int, level: int) -> float:
    plan = plan_of(desk)
    shape = plan.atoms[atom].reference_shape
    if shape == LITERAL:
        return float(plan.number[level, plan.atoms[atom].reference])
    teams, column = plan.atoms[atom].reference_teams, plan.atoms[atom].reference_column
    function = plan.atoms[atom].reference_function
    if shape == OF_TEAMS:
        return float(_of_teams(desk, teams, column, function, plan.atoms[atom].reference_outer))
    return float(_of_all(desk, teams, column, function))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _compares(desk: Desk, atom: int, level: int) -> bool:
    """A distance or a comparison."""
    plan = plan_of(desk)
    reference = _reference(desk, atom, level)
    if np.isnan(reference):
        return True
    teams, column, function = plan.atoms[atom].teams, plan.atoms[atom].column, plan.atoms[atom].function
    shape = plan.atoms[atom].shape
    if shape == EACH:
        low, high = (
            _extreme(desk, teams, column, np.bool_(False)),
            _extreme(desk, teams, column, np.bool_(True)),
        )
        return bool(
            low > high
            or (_suits(desk, atom, low, reference, level) and _suits(desk, atom, high, reference, level))
        )
    if shape == ALL:
        return bool(_suits(desk, atom, _of_all(desk, teams, column, function), reference, level))
    if shape == OF_TEAMS:
        value = _of_teams(desk, teams, column, function, plan.atoms[atom].outer)
        return bool(_suits(desk, atom, value, reference, level))
    for copy in range(plan.kind.shape[0]):
        measured = (teams >> np.uint64(plan.kind[copy])) & np.uint64(1)
        if measured and not _suits(desk, atom, _of_team(desk, copy, column, function), reference, level):
            return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _suits(desk: Desk, atom: int, value: float, reference: float, level: int) -> bool:
    plan = plan_of(desk)
    if np.isnan(value):
        return True
    if plan.atoms[atom].kind == DISTANCE:
        apart = abs(value - reference)
        first, second = plan.atoms[atom].first, plan.atoms[atom].second
        if first >= 0 and not at_most(apart, plan.number[level, first]):
            return False
        return bool(second < 0 or at_most(plan.number[level, second], apart))
    operation = plan.atoms[atom].operation
    if operation == LESS:
        return not at_most(reference, value)
    if operation == LESS_EQUAL:
        return bool(at_most(value, reference))
    if operation == EQUAL:
        return bool(equal(value, reference))
    if operation == MORE:
        return not at_most(value, reference)
    if operation == MORE_EQUAL:
        return bool(at_most(reference, value))
    return not equal(value, reference)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _counts(desk: Desk, atom: int, level: int, final: bool) -> bool:
    """Whether a count is within its limits; while the match fills, whether what is lacking still fits."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    first, second = plan.atoms[atom].first, plan.atoms[atom].second
    column, teams = plan.atoms[atom].column, plan.atoms[atom].teams
    seats, counted = 0, 0.0
    for copy in range(plan.kind.shape[0]):
        if not (teams >> np.uint64(plan.kind[copy])) & np.uint64(1):
            continue
        own = draft.total[copy, column]
        room = min(plan.most[level, copy] - draft.players[copy], draft.ceiling[copy] - draft.players[copy])
        seats, counted = seats + room, counted + own
        if plan.atoms[atom].shape == TEAM:
            if first >= 0 and not at_most(own, plan.number[level, first]):
                return False
            if second >= 0 and not at_most(plan.number[level, second], own if final else own + room):
                return False
    if plan.atoms[atom].shape == TEAM:
        return True
    if first >= 0 and not at_most(counted, plan.number[level, first]):
        return False
    return bool(second < 0 or at_most(plan.number[level, second], counted if final else counted + seats))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _shares(desk: Desk, atom: int, level: int, final: bool) -> bool:
    plan = plan_of(desk)
    draft = draft_of(desk)
    first, second = plan.atoms[atom].first, plan.atoms[atom].second
    count = 0
    for word in range(draft.shared.shape[1]):
        bits = draft.shared[plan.atoms[atom].column, word]
        while bits:
            bits &= bits - np.uint64(1)
            count += 1
    if second >= 0 and count < plan.number[level, second]:
        return False
    return bool(first < 0 or not final or count <= plan.number[level, first])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _near_each_other(desk: Desk, atom: int, level: int) -> Bits:
    """The regions in which every round trip is near the mean (or the least) of all."""
    plan = plan_of(desk)
    tickets = tickets_of(desk)
    draft = draft_of(desk)
    row = plan.kind.shape[0]
    limit = plan.number[level, plan.atoms[atom].first]
    left = draft.mask[0, level]
    for region in range(tickets.latency_ms.shape[1]):
        column = plan.atoms[atom].column + region
        low, high = draft.least[row, column], draft.most[row, column]
        apart = high - low
        if plan.atoms[atom].reference_function == AVG:
            middle = draft.total[row, column] / draft.players[row]
            apart = max(high - middle, middle - low)
        if not at_most(apart, limit):
            left &= ~(np.uint64(1) << np.uint64(region))
    return left


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _compose(desk: Desk, level: int) -> None:
    """Write the match as the evaluator reads it."""
    plan = plan_of(desk)
    draft = draft_of(desk)
    table = table_of(desk)
    match = match_of(desk)
    teams, depth = plan.kind.shape[0], draft.at[DEPTH]
    match.team_start[0] = 0
    for team in range(teams):
        match.team_start[team + 1] = match.team_start[team] + draft.players[team]
    match.size[0], match.size[1] = depth, match.team_start[teams]
    for place in range(depth):
        ticket, team = draft.ticket[place], draft.team[place]
        match.ticket[place] = ticket
        for player in range(table.tickets[ticket].first, table.tickets[ticket].last):
            match.player[match.team_start[team]] = player
            match.team_start[team] += 1
    for team in range(teams, 0, -1):
        match.team_start[team] = match.team_start[team - 1]
    match.team_start[0] = 0
    for index in range(match.limit.shape[0]):
        match.limit[index] = plan.number[level, index]

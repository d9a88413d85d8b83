"""Whether a candidate match holds the rules: property expressions and rules, compiled.

A value of an expression is a run of numbers and, for each level of lists above it, where each list begins.
Levels count from the outermost. Strings are numbers by then.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.expressions import FUNCTIONS
from matchmaker.rules.flexmatch.program import (
    BATCH_NUMBER,
    BATCH_STRING,
    COLLECTION,
    COMPARISON,
    DISTANCE,
    EXPRESSION_REFERENCE,
    LITERAL_REFERENCE,
    NO_REFERENCE,
    NUMBER_REFERENCE,
    OPERATIONS,
    Program,
)
from matchmaker.rules.flexmatch.table import Table
from matchmaker.rules.flexmatch.tolerance import at_most, equal

ALL_HOLD = -1

_MIN, _MAX, _AVG, _MEDIAN, _SUM, _STDDEV, _COUNT, _FLATTEN, _INTERSECT = range(len(FUNCTIONS))
_LESS, _LESS_EQUAL, _EQUAL, _UNEQUAL, _MORE, _MORE_EQUAL, _INTERSECTION, _CONTAINS, _COMMON = range(
    len(OPERATIONS)
)

Floats = NDArray[np.float64]


class Candidate(NamedTuple):
    """A match that might be, and room to evaluate it. Sizes are those of the largest match possible.

    Attributes:
        player: players, team by team; team_start [K + 1].
        ticket: its tickets; size: [0] tickets, [1] players.
        limit: [V] the program's numbers at the match's age.
        value, spare, reference: runs of numbers; start [3, …], lists: [3] levels of a value; shape: [0]
            depth, [1] length. While values are read, spare says of which ticket each is.
        verdict: stack of compound statements.
    """

    player: NDArray[np.int32]
    team_start: NDArray[np.int32]
    ticket: NDArray[np.int32]
    size: NDArray[np.int32]
    limit: Floats
    value: Floats
    spare: Floats
    reference: Floats
    start: NDArray[np.int64]
    lists: NDArray[np.int64]
    shape: NDArray[np.int64]
    verdict: NDArray[np.bool_]


def new_candidate(program: Program, table: Table, players: int) -> Candidate:
    """Room for a match of up to ``players`` players."""
    longest = int(np.diff(table.string_start, axis=1).max(initial=1)) if table.string_start.size else 1
    teams = len(program.teams)
    room = players * max(longest, 1) + teams + 2
    measurements = int((program.rules["measure_to"] - program.rules["measure_from"]).max(initial=1))
    compared = len(program.literals) + room * max(
        measurements, 1
    )  # a rule may compare all of its measurements
    return Candidate(
        np.zeros(players + 1, np.int32),
        np.zeros(teams + 1, np.int32),
        np.zeros(players + 1, np.int32),
        np.zeros(2, np.int32),
        np.zeros(len(program.numbers), np.float64),
        np.zeros(room, np.float64),
        np.zeros(room, np.float64),
        np.zeros(2 * compared, np.float64),  # values, and whose each of them is
        np.zeros((3, room + 1), np.int64),
        np.zeros(3, np.int64),
        np.zeros(2, np.int64),
        np.zeros(len(program.code) + 1, np.bool_),
    )


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def set_limits(program: Program, age_s: float, limit: Floats) -> None:
    """Fill the program's numbers as they are after ``age_s``."""
    for index in range(program.numbers.shape[0]):
        limit[index] = program.numbers[index].base
        for step in range(program.numbers[index].step_from, program.numbers[index].step_to):
            if program.steps[step].wait_s <= age_s:
                limit[index] = program.steps[step].value


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def first_broken(program: Program, table: Table, match: Candidate, region: int, hereditary: bool) -> int:
    """The first enforced rule (only hereditary ones, if asked) that the match breaks in a region, or
    ALL_HOLD.

    A rule's statement is in postfix order; that of a rule that is not compound names the rule itself.
    """
    for rule in range(program.rules.shape[0]):
        if not program.rules[rule].enforced or (hereditary and not program.rules[rule].hereditary):
            continue
        height = 0
        for place in range(program.rules[rule].code_from, program.rules[rule].code_to):
            code = program.code[place].code
            if code >= 0:
                match.verdict[height] = rule_holds(program, table, match, region, code)
                height += 1
                continue
            first = height - program.code[place].arity
            true = 0
            for argument in range(first, height):
                true += match.verdict[argument]
            if code == -1:
                match.verdict[first] = true == height - first
            elif code == -2:
                match.verdict[first] = true > 0
            elif code == -3:
                match.verdict[first] = true == 1
            else:
                match.verdict[first] = true == 0
            height = first + 1
        if not match.verdict[0]:
            return rule
    return ALL_HOLD


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def rule_holds(program: Program, table: Table, match: Candidate, region: int, rule: int) -> bool:
    """Whether the match holds one rule, which is not compound, in a region."""
    kind = program.rules[rule].kind
    if kind in (BATCH_NUMBER, BATCH_STRING):
        return bool(_batch_holds(program, table, match, rule, kind == BATCH_NUMBER))
    if kind in (DISTANCE, COMPARISON):
        return bool(_numbers_hold(program, table, match, rule))
    if kind == COLLECTION:
        return bool(_collections_hold(program, table, match, rule))
    return bool(_latency_holds(program, table, match, region, rule))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _batch_holds(program: Program, table: Table, match: Candidate, rule: int, number: bool) -> bool:
    least, most = np.inf, -np.inf
    for place in range(match.size[1]):
        value = table.number[program.rules[rule].column, match.player[place]]
        least, most = min(least, value), max(most, value)
    return bool(at_most(most - least, match.limit[program.rules[rule].first]) if number else least >= most)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _latency_holds(program: Program, table: Table, match: Candidate, region: int, rule: int) -> bool:
    if region < 0:
        return False
    least, total, players = np.inf, 0.0, 0
    for place in range(match.size[0]):
        ticket = match.ticket[place]
        latency = np.float64(table.latency_ms[program.rules[rule].column, ticket, region])
        if program.rules[rule].first >= 0 and not at_most(latency, match.limit[program.rules[rule].first]):
            return False
        members = table.tickets[ticket].last - table.tickets[ticket].first
        least = min(least, latency)
        total += latency * members
        players += members
    if program.rules[rule].second < 0:
        return True
    middle = least if program.rules[rule].distance_to_min else total / players
    for place in range(match.size[0]):
        latency = np.float64(table.latency_ms[program.rules[rule].column, match.ticket[place], region])
        if not at_most(abs(latency - middle), match.limit[program.rules[rule].second]):
            return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _numbers_hold(program: Program, table: Table, match: Candidate, rule: int) -> bool:
    """A distance or a comparison."""
    kind = program.rules[rule].reference_kind
    if kind == NO_REFERENCE:
        return bool(_all_alike(program, table, match, rule))
    reference = 0.0
    if kind == NUMBER_REFERENCE:
        reference = match.limit[program.rules[rule].reference]
    elif kind == LITERAL_REFERENCE:
        reference = program.literals[program.literal_sets[program.rules[rule].reference].first]
    else:
        _evaluate(program, table, match, program.rules[rule].reference)
        reference = match.value[0]
    distance = program.rules[rule].kind == DISTANCE
    for expression in range(program.rules[rule].measure_from, program.rules[rule].measure_to):
        _evaluate(program, table, match, expression)
        for place in range(match.shape[1]):
            value = match.value[place]
            if np.isnan(value) or np.isnan(reference):
                continue  # of nobody: an empty team has no average that could be wrong
            if distance:
                apart = abs(value - reference)
                first, second = program.rules[rule].first, program.rules[rule].second
                if first >= 0 and not at_most(apart, match.limit[first]):
                    return False
                if second >= 0 and not at_most(match.limit[second], apart):
                    return False
            elif not _compares(program.rules[rule].operation, value, reference):
                return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _compares(operation: int, value: float, reference: float) -> bool:
    if operation == _LESS:
        return not at_most(reference, value)
    if operation == _LESS_EQUAL:
        return bool(at_most(value, reference))
    if operation == _EQUAL:
        return bool(equal(value, reference))
    if operation == _UNEQUAL:
        return not equal(value, reference)
    if operation == _MORE:
        return not at_most(value, reference)
    return bool(at_most(reference, value))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _all_alike(program: Program, table: Table, match: Candidate, rule: int) -> bool:
    """A comparison without reference: all values equal, or all different, those of one ticket apart."""
    count, half = 0, match.reference.shape[0] // 2
    for expression in range(program.rules[rule].measure_from, program.rules[rule].measure_to):
        _evaluate(program, table, match, expression)
        of_players = not program.expressions[expression].is_set
        for place in range(program.expressions[expression].call_count):
            of_players = of_players and program.calls[expression, place] == _FLATTEN
        for place in range(match.shape[1]):
            value = match.value[place]
            ticket = match.spare[place] if of_players else -1.0
            if np.isnan(value):
                continue  # of nobody, as in a comparison with a reference
            for seen in range(count):
                if program.rules[rule].operation == _EQUAL:
                    if not equal(match.reference[seen], value):
                        return False
                elif equal(match.reference[seen], value) and (
                    ticket < 0 or match.reference[half + seen] != ticket
                ):
                    return False
            if count == 0 or program.rules[rule].operation == _UNEQUAL:
                match.reference[count], match.reference[half + count] = value, ticket
                count += 1
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _collections_hold(program: Program, table: Table, match: Candidate, rule: int) -> bool:
    operation = program.rules[rule].operation
    known = 0  # strings in match.reference
    if program.rules[rule].reference_kind == EXPRESSION_REFERENCE:
        _evaluate(program, table, match, program.rules[rule].reference)
        for place in range(match.shape[1]):
            known = _add(match.reference, known, match.value[place])
    elif program.rules[rule].reference_kind == LITERAL_REFERENCE:
        literal = program.rules[rule].reference
        for place in range(program.literal_sets[literal].first, program.literal_sets[literal].last):
            known = _add(match.reference, known, program.literals[place])
    begun = False
    for expression in range(program.rules[rule].measure_from, program.rules[rule].measure_to):
        _evaluate(program, table, match, expression)
        inner = match.shape[0] - 1
        if operation == _CONTAINS:
            if not _containing_holds(program, match, rule, program.expressions[expression].is_set):
                return False
            continue
        for each in range(match.lists[inner]):
            first, last = match.start[inner, each], match.start[inner, each + 1]
            if operation == _COMMON:
                common = 0
                for place in range(first, last):
                    fresh = not _has(match.value, first, place, match.value[place])
                    common += fresh and _has(match.reference, 0, known, match.value[place])
                if not _counts(program, match, rule, common):
                    return False
            elif not begun:
                for place in range(first, last):
                    known = _add(match.reference, known, match.value[place])
                begun = True
            else:
                kept = 0
                for place in range(known):
                    if _has(match.value, first, last, match.reference[place]):
                        match.reference[kept] = match.reference[place]
                        kept += 1
                known = kept
    return bool(operation != _INTERSECTION or _counts(program, match, rule, known))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _containing_holds(program: Program, match: Candidate, rule: int, of_lists: bool) -> bool:
    """Whether, in every group, the number of collections that contain the reference is within its limits.

    The strings of a player are one collection; without lists, or when they have been joined, each string is
    one.
    """
    inner = match.shape[0] - 1
    wanted = match.reference[0]
    if not of_lists or inner == 0:
        for each in range(match.lists[inner]):
            found = 0
            for place in range(match.start[inner, each], match.start[inner, each + 1]):
                found += match.value[place] == wanted
            if not _counts(program, match, rule, found):
                return False
        return True
    for group in range(match.lists[inner - 1]):
        found = 0
        for each in range(match.start[inner - 1, group], match.start[inner - 1, group + 1]):
            found += _has(match.value, match.start[inner, each], match.start[inner, each + 1], wanted)
        if not _counts(program, match, rule, found):
            return False
    return True


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _counts(program: Program, match: Candidate, rule: int, count: int) -> bool:
    if program.rules[rule].first >= 0 and count > match.limit[program.rules[rule].first]:
        return False
    return bool(program.rules[rule].second < 0 or count >= match.limit[program.rules[rule].second])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _has(values: Floats, first: int, last: int, wanted: float) -> bool:
    for place in range(first, last):  # noqa: SIM110 - this is compiled
        if values[place] == wanted:
            return True
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _add(values: Floats, count: int, value: float) -> int:
    if _has(values, 0, count, value):
        return count
    values[count] = value
    return count + 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _evaluate(program: Program, table: Table, match: Candidate, expression: int) -> None:
    """Leave the expression's value in the candidate."""
    _read(program, table, match, expression)
    for place in range(program.expressions[expression].call_count):
        function = program.calls[expression, place]
        if function == _FLATTEN:
            _flatten(match)
        elif function == _INTERSECT:
            _intersect(match)
        else:
            _aggregate(match, function)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _read(program: Program, table: Table, match: Candidate, expression: int) -> None:
    column = program.expressions[expression].column
    grouped, is_set = program.expressions[expression].grouped, program.expressions[expression].is_set
    once = program.expressions[expression].once
    level = 1 if grouped else 0  # of the lists of players
    length, players, groups, ticket = 0, 0, 0, 0
    match.start[level, 0] = 0
    if is_set:
        match.start[level + 1, 0] = 0
    for team in range(program.teams.shape[0]):
        if not program.expression_teams[expression, team]:
            continue
        for place in range(match.team_start[team], match.team_start[team + 1]):
            player = match.player[place]
            if table.heads[player]:
                ticket = player
            if once and not table.heads[player]:
                continue
            if is_set:
                for item in range(table.string_start[column, player], table.string_start[column, player + 1]):
                    match.value[length] = table.string[item]
                    length += 1
                match.start[level + 1, players + 1] = length
            else:
                match.value[length], match.spare[length] = table.number[column, player], ticket
                length += 1
            players += 1
        if grouped:
            groups += 1
            match.start[1, groups] = players
    if grouped:
        match.start[0, 0], match.start[0, 1], match.lists[0] = 0, groups, 1
    else:
        groups = 1
        match.start[0, 1] = players
    match.lists[level] = groups
    if is_set:
        match.lists[level + 1] = players
    match.shape[0] = level + 1 + is_set
    match.shape[1] = length


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _flatten(match: Candidate) -> None:
    depth = match.shape[0]
    match.start[0, 0], match.start[0, 1], match.lists[0] = 0, match.start[1, match.lists[1]], 1
    if depth == 3:
        for each in range(match.lists[2] + 1):
            match.start[1, each] = match.start[2, each]
        match.lists[1] = match.lists[2]
    match.shape[0] = depth - 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _intersect(match: Candidate) -> None:
    outer, inner = match.shape[0] - 2, match.shape[0] - 1
    length = 0
    first = match.start[outer, 0]
    for group in range(match.lists[outer]):
        last = match.start[outer, group + 1]
        begin = length
        if last > first:
            for place in range(match.start[inner, first], match.start[inner, first + 1]):
                everywhere = not _has(match.spare, begin, length, match.value[place])
                for each in range(first + 1, last):
                    everywhere = everywhere and _has(
                        match.value,
                        match.start[inner, each],
                        match.start[inner, each + 1],
                        match.value[place],
                    )
                if everywhere:
                    match.spare[length] = match.value[place]
                    length += 1
        match.start[outer, group + 1] = length
        first = last
    match.start[outer, 0] = 0
    match.value[:length] = match.spare[:length]
    match.shape[0] -= 1
    match.shape[1] = length


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _aggregate(match: Candidate, function: int) -> None:
    """Replace each innermost list by one number."""
    inner = match.shape[0] - 1
    for each in range(match.lists[inner]):
        match.spare[each] = _aggregated(
            match.value[match.start[inner, each] : match.start[inner, each + 1]], function
        )
    match.value[: match.lists[inner]] = match.spare[: match.lists[inner]]
    match.shape[0] -= 1
    match.shape[1] = match.lists[inner]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _aggregated(values: Floats, function: int) -> float:
    count = values.shape[0]
    if function == _COUNT:
        return float(count)
    if function == _SUM:
        return float(values.sum())
    if count == 0:
        return np.nan
    if function == _MIN:
        return float(values.min())
    if function == _MAX:
        return float(values.max())
    if function == _MEDIAN:
        ordered = np.sort(values)
        return float((ordered[(count - 1) // 2] + ordered[count // 2]) / 2)
    mean = values.sum() / count
    if function == _AVG:
        return float(mean)
    return float(np.sqrt(((values - mean) ** 2).sum() / count))

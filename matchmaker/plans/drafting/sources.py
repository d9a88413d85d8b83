"""From where seats are filled: lists of tickets, each sorted by what the rules ask of neighbours."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np

from matchmaker.plans.drafting.draft import Draft
from matchmaker.plans.layout import (
    ALL,
    AVG,
    BACKWARD,
    COMPARE,
    COUNT,
    DISTANCE,
    EACH,
    FARTHEST,
    FORWARD,
    MAX,
    MIN,
    NEAREST,
    NONE,
    OF_TEAMS,
    SPREAD,
    SUM,
    TEAM,
)
from matchmaker.plans.recipes import Value
from matchmaker.rules.flexmatch.program import SORTED_PIECES
from matchmaker.rules.flexmatch.table import SORTED_BYTES
from matchmaker.rules.flexmatch.tolerance import TOLERANCE

MEANS: Final = (AVG, MIN, MAX)


class ListRow(NamedTuple):
    """A LIST row; fields as in ``Plan``."""

    teams: int
    role: int
    axis: int
    walk: int
    target_teams: int
    target_column: int
    window: int
    reach: float


def make_lists(draft: Draft) -> list[ListRow]:
    """The lists of a draft whose rules are all in it, as LIST rows, those of roles first."""
    standing = [
        draft.atoms[code] for _, piece in draft.pieces if len(piece.code) == 1 for code, _ in piece.code
    ]
    groups = _groups(draft, standing)
    axis, walk = _sorted_by(draft)
    general = [_list(draft, standing, teams, axis, walk) for teams in groups]
    roles = []
    for atom in standing:
        if atom["kind"] != COUNT or atom["second"] == NONE or draft.numbers[atom["second"]].max() < 1.0:
            continue
        group = next((teams for teams in groups if teams & atom["teams"] == atom["teams"]), atom["teams"])
        way = _list(draft, standing, group, axis, walk)
        roles.append(way._replace(teams=atom["teams"], role=draft.atoms.index(atom)))
    _unindexed(draft, standing, [*roles, *general])
    return [*roles, *general]


def balance_of(draft: Draft) -> int:
    """The number column by which teams are levelled: the balanced attribute's, or that of the first rule that
    compares teams' means; NONE where nothing does.
    """
    if draft.program.balanced_column != NONE:
        return draft.value(Value("number", draft.program.balanced_column))
    return next((atom["column"] for atom in draft.atoms if _is_fair(draft, atom)), NONE)


def _sorted_by(draft: Draft) -> tuple[int, int]:
    """Axis and walk as the first sort key asks for; NONE where there is none, or none that is a number."""
    axis, walk, place = NONE, FORWARD, 0
    for name, attribute, mapped in _sort_keys(draft):
        sort = draft.program.sorts[place]
        number = draft.types[attribute] == "number"
        if place or mapped:
            draft.not_indexed.append(f"{name}: lists are sorted by one number, the first sort key's")
        else:
            axis = draft.value(Value("number", int(sort["column"])))
            if sort["relative"]:
                walk = NEAREST if sort["sign"] > 0 else FARTHEST
            else:
                walk = FORWARD if sort["sign"] > 0 else BACKWARD
            if not number:
                draft.not_indexed.append(f"{name}: lists are sorted by the first {SORTED_BYTES} bytes alone")
        place += 1 if number or mapped else SORTED_PIECES
    return axis, walk


def _sort_keys(draft: Draft) -> list[tuple[str, str, bool]]:
    """What candidates are sorted by, the first decides first: where it is written, attribute, whether it is a
    value of a map.
    """
    rules = [rule for rule in draft.rule_set.rules if rule.type.endswith("Sort")]
    keys = [(rule.name, rule.attribute, bool(rule.map_key)) for rule in rules]
    by_attributes = draft.rule_set.algorithm.sort_by_attributes
    return keys + [(f"sortByAttributes {name}", name, False) for name in by_attributes]


def _groups(draft: Draft, standing: list[dict[str, int]]) -> list[int]:
    """Kinds of teams that are filled from one list: those for which the same tickets are sought."""
    joins = [atom for atom in standing if _is_join(atom)]
    asked = [recipe.teams for recipe in draft.eligibility if recipe.teams != draft.all_teams]
    groups: dict[tuple[bool, ...], int] = {}
    for kind in range(draft.kinds):
        bits = [*asked, *(teams for atom in joins for teams in (atom["teams"], atom["reference_teams"]))]
        key = tuple(bool(teams >> kind & 1) for teams in bits)
        groups[key] = groups.get(key, 0) | 1 << kind
    return list(groups.values())


def _list(draft: Draft, standing: list[dict[str, int]], teams: int, axis: int, walk: int) -> ListRow:
    target_teams, target_column = 0, NONE
    if axis == NONE:
        axis, target_teams, target_column = _axis(draft, standing, teams)
        walk = FORWARD if axis == NONE else NEAREST
    window, reach = _window(draft, standing, axis)
    return ListRow(teams, NONE, axis, walk, target_teams, target_column, window, reach)


def _axis(draft: Draft, standing: list[dict[str, int]], teams: int) -> tuple[int, int, int]:
    """What to sort by: a window, a join, or means; then age."""
    for atom in standing:
        if _reach(draft, atom):
            return atom["column"], 0, NONE
    for atom in standing:
        if _is_between(atom):
            sides = (atom["teams"], atom["column"]), (atom["reference_teams"], atom["reference_column"])
            for (own, column), (other, target) in (sides, sides[::-1]):
                if own & teams and not other & teams:
                    return column, other, target
    for atom in standing:
        each = atom["kind"] == DISTANCE and atom["shape"] == EACH and atom["reference_column"] != NONE
        if each or _is_fair(draft, atom):
            return atom["column"], 0, NONE
    return NONE, 0, NONE


def _window(draft: Draft, standing: list[dict[str, int]], axis: int) -> tuple[int, float]:
    """The number beyond ``reach`` times which two tickets' values on the axis keep them apart: the largest at
    any level that a match with a seed of that level may have, and a little for rounding.
    """
    for atom in standing:
        reach = _reach(draft, atom)
        if axis == NONE or not reach or atom["column"] != axis:
            continue
        limit = draft.numbers[atom["first"]]
        if draft.program.newest:  # a match's level is that of its newest ticket: at most the seed's
            largest = np.maximum.accumulate(limit)
        else:
            largest = np.maximum.accumulate(limit[::-1])[::-1]
        return draft.add_number(largest + TOLERANCE * (1.0 + np.abs(largest))), reach
    return NONE, 0.0


def _reach(draft: Draft, atom: dict[str, int]) -> float:
    """How many times a limit two tickets of one match may be apart in the atom's column; 0: it says nothing.

    Of two players each within d of a third value, |a - b| <= |a - m| + |m - b| <= 2 d. Where the value is
    the least (or largest) of those measured, all are between it and d from it, so |a - b| <= d.
    """
    if atom["kind"] == SPREAD:
        return 1.0 if atom["teams"] == draft.all_teams else 0.0
    if atom["kind"] != DISTANCE or atom["shape"] != EACH or atom["first"] == NONE:
        return 0.0
    same = atom["reference_column"] == atom["column"]
    if atom["teams"] == draft.all_teams:
        of_all = atom["reference_shape"] == ALL and atom["reference_teams"] == draft.all_teams
        return 1.0 if same and of_all and atom["reference_function"] in (MIN, MAX) else 2.0
    # All but one player are measured against that one.
    rest = draft.all_teams & ~atom["teams"]
    one = atom["reference_teams"] == rest and draft.capacity(rest) == 1
    if not same or not one or atom["reference_function"] not in MEANS:
        return 0.0
    return 1.0 if draft.capacity(atom["teams"]) == 1 else 2.0


def _is_between(atom: dict[str, int]) -> bool:
    """Whether an atom compares numbers of some teams with numbers of others."""
    if atom["kind"] not in (DISTANCE, COMPARE) or NONE in (atom["column"], atom["reference_column"]):
        return False
    apart = not atom["teams"] & atom["reference_teams"]
    return apart and (atom["kind"] == DISTANCE or atom["function"] in MEANS or atom["shape"] == EACH)


def _is_join(atom: dict[str, int]) -> bool:
    """Whether an atom joins one attribute of some teams with another one of others."""
    return _is_between(atom) and atom["column"] != atom["reference_column"]


def _is_fair(draft: Draft, atom: dict[str, int]) -> bool:
    """Whether an atom compares means of teams in one attribute."""
    if atom["kind"] not in (DISTANCE, COMPARE) or NONE in (atom["column"], atom["reference_column"]):
        return False
    of_teams = atom["shape"] in (TEAM, OF_TEAMS) or atom["teams"] != draft.all_teams
    return of_teams and atom["function"] in (*MEANS, SUM) and atom["column"] == atom["reference_column"]


def _unindexed(draft: Draft, standing: list[dict[str, int]], lists: list[ListRow]) -> None:
    axes = {row.axis for row in lists}
    for atom in standing:
        if _reach(draft, atom) and atom["column"] not in axes:
            name = draft.rules[atom["rule"]].name
            draft.not_indexed.append(f"{name}: the lists are sorted by another number")

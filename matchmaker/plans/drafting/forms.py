"""What a property expression measures: a value a player, a team, or one value of all."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.layout import ALL, AVG, EACH, MAX, MIN, NONE, OF_TEAMS, PLAYERS, SUM, TEAM
from matchmaker.rules.flexmatch.expressions import FUNCTIONS, Expression
from matchmaker.rules.flexmatch.program import SORTED_PIECES, Program
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.table import PLAYER_ID

Source = Literal["number", "text", "list", "players"]

FUNCTION: Final = {"min": MIN, "max": MAX, "avg": AVG, "sum": SUM, "count": PLAYERS}


@dataclass(frozen=True, slots=True)
class Form:
    """What an expression measures.

    Attributes:
        shape: EACH, TEAM, ALL or OF_TEAMS.
        source: what is read of a player: a number, a string, a list of strings, or that there is one.
        column: of the Program's table: a number column, of lists one of theirs; NONE of players.
        teams: bits of the kinds of teams that it reads.
        function: MIN, MAX, AVG, SUM or PLAYERS of a team's, or of all teams' players; NONE of EACH.
        outer: of the teams' values; NONE but for OF_TEAMS.
    """

    shape: int
    source: Source
    column: int
    teams: int
    function: int = NONE
    outer: int = NONE

    @property
    def grows(self) -> bool:
        """Whether it says little of a match that is not full: it is a sum, or counts players."""
        return self.function in (SUM, PLAYERS) or self.outer == SUM


def kinds_of(expression: int, program: Program) -> int | None:
    """Bits of the kinds of teams that an expression of the Program reads; None where it reads one copy of a
    team, and not another.
    """
    reads: NDArray[np.bool_] = program.expression_teams[expression]
    kinds = program.teams["kind"]
    bits = 0
    for kind in np.unique(kinds).tolist():
        read = reads[kinds == kind]
        if read.all():
            bits |= 1 << kind
        elif read.any():
            return None
    return bits


def form_of(expression: Expression, index: int, program: Program) -> Form | None:
    """What an expression measures, None where no shape holds it.

    Args:
        expression: as it was read.
        index: its place in the Program's expressions.
        program: of the rule set.
    """
    form = listed_form(expression, index, program)
    if form is None:
        return None
    row = program.expressions[index]
    calls = [FUNCTIONS[call] for call in program.calls[index, : row["call_count"]]]
    flat = not row["grouped"]
    while calls and calls[0] == "flatten":
        calls.pop(0)
        if flat:
            return None  # the strings of lists joined into one list
        flat = True
    if not calls:
        return form
    if "flatten" in calls or not set(calls) <= set(FUNCTION) or len(calls) > 2 - flat:
        return None
    function = FUNCTION[calls[0]]
    if function == PLAYERS:
        if form.source == "list":
            return None  # strings are counted, not players
        form = replace(form, source="players", column=NONE)
    elif form.source != "number":
        return None
    if flat:
        return replace(form, shape=ALL, function=function)
    if len(calls) == 1:
        return replace(form, shape=TEAM, function=function)
    outer = FUNCTION[calls[1]]
    return None if outer == PLAYERS else replace(form, shape=OF_TEAMS, function=function, outer=outer)


def listed_form(expression: Expression, index: int, program: Program) -> Form | None:
    """What an expression reads of each player, whatever is made of it then; arguments as of ``form_of``."""
    teams = kinds_of(index, program)
    if teams is None:
        return None
    row = program.expressions[index]
    source = _source(expression, bool(row["is_set"]))
    return Form(EACH, source, NONE if source == "players" else int(row["column"]), teams)


def column_names(rule_set: RuleSet, program: Program) -> dict[int, str]:
    """The attribute, or ``playerId``, of each number column of a Program's table."""
    names: dict[int, str] = {}
    ordered = [rule for rule in rule_set.rules if not rule.type.endswith("Sort")]
    for rule, row in zip(ordered, program.rules, strict=True):
        if rule.type == "batchDistance":
            names[int(row["column"])] = rule.attribute
        read = list(zip(rule.measurements, range(row["measure_from"], row["measure_to"]), strict=True))
        if isinstance(rule.reference, Expression):
            read.append((rule.reference, int(row["reference"])))
        for expression, index in read:
            if not program.expressions[index]["is_set"]:
                names[int(program.expressions[index]["column"])] = expression.attribute or PLAYER_ID
    keys = [(rule.attribute, bool(rule.map_key)) for rule in rule_set.rules if rule.type.endswith("Sort")]
    keys += [(name, False) for name in rule_set.algorithm.sort_by_attributes]
    types = {attribute.name: attribute.type for attribute in rule_set.attributes}
    place = 0
    for name, mapped in keys:
        columns = 1 if mapped or types[name] == "number" else SORTED_PIECES
        for sort in program.sorts[place : place + columns]:
            if not mapped:
                names.setdefault(int(sort["column"]), name)
        place += columns
    if rule_set.algorithm.balanced_attribute is not None:
        names.setdefault(program.balanced_column, rule_set.algorithm.balanced_attribute)
    return names


def names_of(rule_set: RuleSet, program: Program, teams: int) -> list[str]:
    """The names of the teams whose kinds' bits are set; of copies that are alike, the team's."""
    copies = [(team, copy) for team in rule_set.teams for copy in team.copies]
    names: list[str] = []
    for kind in np.unique(program.teams["kind"]).tolist():
        own = [copies[place] for place in np.flatnonzero(program.teams["kind"] == kind)]
        if teams >> kind & 1:
            names.append(own[0][0].name if len(own) == own[0][0].quantity else own[0][1])
    return names


def _source(expression: Expression, is_set: bool) -> Source:
    if expression.attribute is None and not expression.player_id:
        return "players"
    if is_set:
        return "list"
    return "text" if expression.element == "string" else "number"

"""A rule set as arrays, which is how the kernels read it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from matchmaker.rules.flexmatch.expressions import FUNCTIONS, MAX_CALLS, Expression
from matchmaker.rules.flexmatch.rule_set import Rule, RuleSet, Team
from matchmaker.rules.flexmatch.table import PLAYER_ID, Columns

DISTANCE, COMPARISON, COLLECTION, COMPOUND, LATENCY, BATCH_NUMBER, BATCH_STRING = range(7)
NO_REFERENCE, NUMBER_REFERENCE, EXPRESSION_REFERENCE, LITERAL_REFERENCE = range(4)
OPERATIONS = ("<", "<=", "=", "!=", ">", ">=", "intersection", "contains", "reference_intersection_count")
AGGREGATIONS = ("min", "max", "avg")
LOGIC = {"and": -1, "or": -2, "xor": -3, "not": -4}
NONE = -1
SORTED_PIECES = 4  # of 6 bytes, by which texts are put in order: no studio's maps differ later only

_KINDS = {
    "distance": DISTANCE,
    "comparison": COMPARISON,
    "collection": COLLECTION,
    "compound": COMPOUND,
    "latency": LATENCY,
}
_FIRST_LIMIT = {"latency": "maxLatency", "collection": "maxCount"}
_SECOND_LIMIT = {"latency": "maxDistance", "distance": "minDistance", "collection": "minCount"}


TEAM = np.dtype([("kind", "i4"), ("fewest", "i4"), ("most", "i4")])
NUMBER = np.dtype([("base", "f8"), ("step_from", "i4"), ("step_to", "i4"), ("widens", "i4")], align=True)
STEP = np.dtype([("wait_s", "f8"), ("value", "f8")])
RULE = np.dtype(
    [
        ("kind", "i4"),
        ("operation", "i4"),
        ("first", "i4"),
        ("second", "i4"),
        ("column", "i4"),
        ("distance_to_min", "?"),
        ("enforced", "?"),
        ("hereditary", "?"),
        ("reference_kind", "i4"),
        ("reference", "i4"),
        ("measure_from", "i4"),
        ("measure_to", "i4"),
        ("code_from", "i4"),
        ("code_to", "i4"),
    ],
    align=True,
)
CODE = np.dtype([("code", "i4"), ("arity", "i4")])
EXPRESSION = np.dtype(
    [("column", "i4"), ("grouped", "?"), ("is_set", "?"), ("call_count", "i4"), ("once", "?")], align=True
)
RANGE = np.dtype([("first", "i4"), ("last", "i4")])
SORT = np.dtype(
    [("column", "i4"), ("map", "?"), ("sign", "f8"), ("relative", "?"), ("largest", "?")], align=True
)

Records = NDArray[Any]


class Program(NamedTuple):
    """A rule set: K teams (copies counted), Q rules, X expressions, V numbers that waiting may change.

    Records, not an array a field: a kernel that is handed forty arrays takes minutes to compile.

    Attributes:
        teams: TEAM[K]; copies of one team have the same kind, unless an expression or an expansion names one
            of them; fewest and most players are indices into the numbers.
        numbers: NUMBER[V]; widens: +1 where more is laxer, -1 where less is, 0 where neither.
        steps: STEP[…], what the numbers become.
        rules: RULE[Q]. enforced: a match must hold it (not those inside compound rules). hereditary: a match
            that breaks it cannot be mended by more players. first, second: the limits (maximum; minimum, or
            maxDistance of latency), or NONE. column: of batchDistance a number column, of latency an
            aggregation.
        code: CODE[…], statements in postfix order; that of a rule that is not compound is the rule itself.
        expressions: EXPRESSION[X]. once: values are read once a ticket, not once a player: a party counts as
            one, and is not compared with itself.
        expression_teams: bool[X, K]; calls: int32[X, MAX_CALLS].
        literal_sets: RANGE[…] into ``literals``: strings that rules name.
        sorts: SORT[…], sort keys, the first decides first: by a number column, or by the key of a column of
            maps whose value is the ticket's largest or least.
        newest: whether the newest ticket's age decides what has widened.
        balanced_column: number column, or NONE; axis_column: along which like tickets are gathered, or NONE.
        by_region: whether a match is searched for region by region, among tickets that have measured it:
            where any rule reads round trips, and in a live queue always.
        large: whether the strategy is balanced.
        shuffle: whether candidates are tried in random order.
        backfill_rank: running matches come first (-1), by age (0), or last (+1).
    """

    teams: Records
    numbers: Records
    steps: Records
    rules: Records
    code: Records
    expressions: Records
    expression_teams: NDArray[np.bool_]
    calls: NDArray[np.int32]
    literal_sets: Records
    literals: NDArray[np.float64]
    sorts: Records
    newest: bool
    balanced_column: int
    axis_column: int
    by_region: bool
    large: bool
    shuffle: bool
    backfill_rank: int


def compile_rules(rules: RuleSet, columns: Columns) -> Program:
    """Compile a rule set over the columns of a table; columns it needs are made."""
    return _Compiler(rules, columns).program()


class _Compiler:
    def __init__(self, rules: RuleSet, columns: Columns) -> None:
        self.rules = rules
        self.columns = columns
        self.copies = [copy for team in rules.teams for copy in team.copies]
        self.team_of_copy = [index for index, team in enumerate(rules.teams) for _ in team.copies]
        self.types = {attribute.name: attribute.type for attribute in rules.attributes}
        self.steps: dict[tuple[str, str, str], tuple[tuple[float, float], ...]] = {
            (e.kind, e.name, e.field): e.steps for e in rules.expansions
        }
        self.base: list[float] = []
        self.number_steps: list[tuple[tuple[float, float], ...]] = []
        self.widens: list[int] = []
        self.expressions: list[tuple[Expression, int]] = []
        self.sets: list[bool] = []
        self.once: list[bool] = []
        self.literals: list[tuple[float, ...]] = []

    def number(self, kind: str, name: str, field: str, value: float | None) -> int:
        if value is None:
            return NONE
        self.base.append(value)
        self.number_steps.append(self.steps.get((kind, name, field), ()))
        self.widens.append(1 if field.startswith("max") else -1 if field.startswith("min") else 0)
        return len(self.base) - 1

    def team_number(self, team: Team, copy: str, field: str, value: float) -> int:
        named = ("teams", copy, field) in self.steps
        return self.number("teams", copy if named else team.name, field, value)

    def kinds(self) -> Iterator[tuple[int, Team, str]]:
        """Each copy with its team and kind: what tells copies apart makes them kinds of their own."""
        named = {name for _, name, _ in self.steps} | {
            name
            for rule in self.rules.rules
            for expression in (*rule.measurements, rule.reference)
            if isinstance(expression, Expression)
            for name in expression.teams
        }
        kind = -1
        for team in self.rules.teams:
            apart = team.quantity > 1 and not named.isdisjoint(team.copies)
            for place, copy in enumerate(team.copies):
                kind += apart or place == 0
                yield kind, team, copy

    def program(self) -> Program:
        teams = [
            (
                kind,
                self.team_number(team, copy, "minPlayers", team.min_players),
                self.team_number(team, copy, "maxPlayers", team.max_players),
            )
            for kind, team, copy in self.kinds()
        ]
        ordered = [rule for rule in self.rules.rules if not rule.type.endswith("Sort")]
        number_of = {rule.name: index for index, rule in enumerate(ordered)}
        inside = {item for rule in ordered for item in rule.statement if isinstance(item, str)}
        measure_start, code_start = [0], [0]
        code: list[tuple[int, int]] = []
        rows = []
        for rule in ordered:
            rows.append(self.row(rule))
            measure_start.append(len(self.expressions))
            code += [
                (number_of[item], 0) if isinstance(item, str) else (LOGIC[item[0]], item[1])
                for item in rule.statement or (rule.name,)
            ]
            code_start.append(len(code))
        references = [
            self.reference(rule) for rule in ordered
        ]  # after all measurements, which stand together
        rules = np.zeros(len(ordered), RULE)
        for index, rule in enumerate(ordered):
            rules[index] = (
                *rows[index],
                rule.name not in inside,
                self.hereditary(rule),
                *references[index],
                *measure_start[index : index + 2],
                *code_start[index : index + 2],
            )
        algorithm = self.rules.algorithm
        balanced = algorithm.balanced_attribute
        balanced_column = NONE if balanced is None else self.columns.number(balanced, "avg")
        axis = next(
            (
                self.columns.number(r.attribute, r.party_aggregation)
                for r in ordered
                if r.type == "batchDistance" and self.types[r.attribute] == "number"
            ),
            balanced_column if balanced_column != NONE else self.measured_column(ordered),
        )
        ranks = {"high": -1, "normal": 0, "low": 1}
        return Program(
            np.array(teams, TEAM),
            self.numbers(),
            np.array([step for steps in self.number_steps for step in steps], STEP),
            rules,
            np.array(code, CODE),
            np.array(
                [
                    (column, x.grouped, is_set, len(x.calls), once)
                    for (x, column), is_set, once in zip(self.expressions, self.sets, self.once, strict=True)
                ],
                EXPRESSION,
            ),
            self.expression_teams(),
            self.calls(),
            _ranges([len(items) for items in self.literals]),
            np.array([item for items in self.literals for item in items], np.float64),
            np.array(self.sorts(), SORT),
            algorithm.expansion_age_selection == "newest",
            balanced_column,
            axis,
            any(rule.type == "latency" for rule in ordered),
            algorithm.strategy == "balanced",
            algorithm.batching_preference == "random",
            ranks[algorithm.backfill_priority],
        )

    def numbers(self) -> Records:
        ranges = _ranges([len(steps) for steps in self.number_steps])
        return np.array(
            [
                (base, steps["first"], steps["last"], widens)
                for base, steps, widens in zip(self.base, ranges, self.widens, strict=True)
            ],
            NUMBER,
        )

    def row(self, rule: Rule) -> tuple[int, int, int, int, int, bool]:
        for measurement in rule.measurements:
            self.expression(measurement, rule, measured=True)
        first = _FIRST_LIMIT.get(rule.type, "maxDistance")
        second = _SECOND_LIMIT.get(rule.type, "")
        column = NONE
        if rule.type == "latency":
            column = AGGREGATIONS.index(rule.party_aggregation)
        if rule.type == "batchDistance":
            number = self.types[rule.attribute] == "number"
            kind = BATCH_NUMBER if number else BATCH_STRING
            column = (
                self.columns.number(rule.attribute, rule.party_aggregation)
                if number
                else self.columns.text(rule.attribute)
            )
        else:
            kind = _KINDS[rule.type]
        return (
            kind,
            OPERATIONS.index(rule.operation) if rule.operation else NONE,
            self.number("rules", rule.name, first, rule.limit(first)),
            self.number("rules", rule.name, second, rule.limit(second)),
            column,
            rule.distance_reference == "min",
        )

    def reference(self, rule: Rule) -> tuple[int, int]:
        if (number := rule.limit("referenceValue")) is not None:
            return NUMBER_REFERENCE, self.number("rules", rule.name, "referenceValue", number)
        if isinstance(rule.reference, Expression):
            return EXPRESSION_REFERENCE, self.expression(rule.reference, rule)
        if rule.reference is not None:
            self.literals.append(tuple(sorted({self.columns.string(text) for text in rule.reference})))
            return LITERAL_REFERENCE, len(self.literals) - 1
        return NO_REFERENCE, NONE

    def expression(self, expression: Expression, rule: Rule, measured: bool = False) -> int:
        name = expression.attribute
        # A player's string is a collection of one, so that a party of two medics is one collection too.
        single = measured and rule.type == "collection" and expression.plain
        is_set = self.types.get(name or "") in (("string_list", "string") if single else ("string_list",))
        if name is None:
            column = self.columns.text(PLAYER_ID)
        elif is_set:
            column = self.columns.strings(name, rule.party_aggregation)
        elif self.types[name] == "number":
            column = self.columns.number(name, rule.party_aggregation)
        else:
            column = self.columns.text(name)
        self.expressions.append((expression, column))
        self.sets.append(is_set)
        self.once.append(self.read_once(expression, rule, is_set))
        return len(self.expressions) - 1

    def read_once(self, expression: Expression, rule: Rule, is_set: bool) -> bool:
        if is_set:
            return rule.party_aggregation in ("union", "intersection")
        alike = rule.type == "comparison" and rule.reference is None and rule.limit("referenceValue") is None
        return alike and expression.plain and expression.element == "number"

    def expression_teams(self) -> NDArray[np.bool_]:
        teams = np.zeros((len(self.expressions), len(self.copies)), np.bool_)
        for row, (expression, _) in enumerate(self.expressions):
            for copy, team in enumerate(self.team_of_copy):
                names = (self.rules.teams[team].name, self.copies[copy])
                teams[row, copy] = any(name in expression.teams for name in names)
        return teams

    def calls(self) -> NDArray[np.int32]:
        calls = np.full((len(self.expressions), MAX_CALLS), NONE, np.int32)
        for row, (expression, _) in enumerate(self.expressions):
            for place, name in enumerate(expression.calls):
                calls[row, place] = FUNCTIONS.index(name)
        return calls

    def hereditary(self, rule: Rule) -> bool:
        if rule.type == "batchDistance":
            return True
        if rule.type == "latency":
            return rule.limit("maxDistance") is None or rule.distance_reference == "min"
        if rule.type == "compound" or not all(m.plain and m.depth for m in rule.measurements):
            return False
        if rule.type == "collection":
            return (rule.operation == "intersection" and rule.limit("maxCount") is None) or (
                rule.operation == "contains"
                and rule.limit("minCount") is None
                and not isinstance(rule.reference, Expression)
            )
        expanded = ("rules", rule.name, "referenceValue") in self.steps
        return not expanded and not isinstance(rule.reference, Expression)

    def measured_column(self, rules: list[Rule]) -> int:
        for rule in rules:
            for measurement in rule.measurements:
                if measurement.attribute and self.types[measurement.attribute] == "number":
                    return self.columns.number(measurement.attribute, "avg")
        return NONE

    def sorts(self) -> list[tuple[int, bool, float, bool, bool]]:
        keys = []
        for rule in self.rules.rules:
            if not rule.type.endswith("Sort"):
                continue
            is_map = bool(rule.map_key)
            columns = (
                [self.columns.map(rule.attribute, rule.party_aggregation)]
                if is_map
                else self.sort_columns(rule.attribute, rule.party_aggregation)
            )
            sign = -1.0 if rule.descending else 1.0
            relative, largest = rule.type == "distanceSort", rule.map_key == "maxValue"
            keys += [(column, is_map, sign, relative, largest) for column in columns]
        for name in self.rules.algorithm.sort_by_attributes:
            keys += [(column, False, 1.0, True, False) for column in self.sort_columns(name, "avg")]
        return keys

    def sort_columns(self, name: str, party: str) -> list[int]:
        """The number columns that put players in order of an attribute, the first decides first."""
        if self.types[name] == "number":
            return [self.columns.number(name, party)]
        return [self.columns.alphabetical(name, place) for place in range(SORTED_PIECES)]


def _ranges(counts: list[int]) -> Records:
    last = np.cumsum(np.array(counts, np.int64))
    return np.array(list(zip(last - counts, last, strict=True)), RANGE)

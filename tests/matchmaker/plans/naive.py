"""The oracle: whether a match holds a plan, from the columns of its tickets, with nothing carried along."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.layout import (
    ALIKE,
    ALL,
    AVG,
    BLOCK,
    COMPARE,
    COUNT,
    DISTANCE,
    EACH,
    GENERIC,
    INTERSECT,
    LATENCY,
    LATENCY_DISTANCE,
    LITERAL,
    MAX,
    MIN,
    NONE,
    OF_TEAMS,
    PLAYERS,
    SPREAD,
    SUM,
    Plan,
    TicketColumns,
)
from matchmaker.rules.flexmatch.tolerance import at_most, equal


@dataclass(frozen=True)
class NaiveMatch:
    """Rows of tickets and the copy of a team of each, at ``now``, in a region (or None)."""

    rows: Sequence[int]
    copies: Sequence[int]
    now: float
    region: int | None


class NaivePlan:
    """Judges matches by a plan. ``generic`` answers for rules of which the evaluator would be asked."""

    def __init__(
        self, compiled: CompiledPlan, columns: TicketColumns, generic: Callable[[int, NaiveMatch], bool]
    ) -> None:
        assert compiled.plan is not None
        self.plan: Plan = compiled.plan
        self.columns = columns
        self.generic = generic

    def holds(self, match: NaiveMatch) -> bool:
        plan, columns, rows = self.plan, self.columns, list(match.rows)
        levels = [
            int(np.searchsorted(plan.wait_s, match.now - columns.start_s[row], side="right")) - 1
            for row in rows
        ]
        level = min(levels) if plan.newest else max(levels)
        for copy, kind in enumerate(plan.kind):
            own = [row for row, at in zip(rows, match.copies, strict=True) if at == copy]
            if not plan.fewest[level, copy] <= columns.size[own].sum() <= plan.most[level, copy]:
                return False
            if not all(int(columns.eligible[row, level]) >> int(kind) & 1 for row in own):
                return False
        if len(set(columns.bucket[rows].tolist())) > 1 or columns.bucket[rows[0]] < 0:
            return False
        if match.region is not None and not self._near(0, rows, level, match.region):
            return False
        return all(self._rule(rule, match, level) for rule in plan.rules)

    def _near(self, mask: int, rows: list[int], level: int, region: int) -> bool:
        return all(int(self.columns.mask[row, mask, level]) >> region & 1 for row in rows)

    def _rule(self, rule: Any, match: NaiveMatch, level: int) -> bool:
        stack: list[bool] = []
        for code, arity in self.plan.code[rule["code_from"] : rule["code_to"]].tolist():
            if code >= 0:
                stack.append(self._atom(self.plan.atoms[code], match, level))
                continue
            taken = stack[len(stack) - arity :]
            del stack[len(stack) - arity :]
            stack.append({-1: all(taken), -2: any(taken), -3: sum(taken) == 1, -4: not any(taken)}[code])
        [verdict] = stack
        return verdict

    def _atom(self, atom: Any, match: NaiveMatch, level: int) -> bool:
        kind, rows = atom["kind"], list(match.rows)
        if kind == GENERIC:
            return self.generic(int(atom["rule"]), match)
        if kind in (LATENCY, LATENCY_DISTANCE):
            assert match.region is not None
            if kind == LATENCY:
                return self._near(int(atom["column"]), rows, level, match.region)
            return self._near_each_other(atom, rows, level, match.region)
        if kind in (INTERSECT, BLOCK):
            return self._strings(atom, rows, level)
        if kind == COUNT:
            groups = [self._values(atom["column"], [copy], match, True) for copy in self._copies(atom)]
            if atom["shape"] == ALL:
                groups = [[value for group in groups for value in group]]
            return all(
                (atom["first"] == NONE or sum(group) <= self.plan.number[level, atom["first"]])
                and (atom["second"] == NONE or sum(group) >= self.plan.number[level, atom["second"]])
                for group in groups
            )
        if kind in (SPREAD, ALIKE):
            low = min(self._values(atom["column"], self._copies(atom), match), default=np.nan)
            high = max(self._values(atom["high"], self._copies(atom), match), default=np.nan)
            if np.isnan(low):
                return True
            if kind == ALIKE:
                return bool(equal(low, high))
            return bool(at_most(high - low, self.plan.number[level, atom["first"]]))
        return self._compares(atom, match, level)

    def _compares(self, atom: Any, match: NaiveMatch, level: int) -> bool:
        assert atom["kind"] in (DISTANCE, COMPARE)
        if atom["reference_shape"] == LITERAL:
            reference = self.plan.number[level, atom["reference"]]
        else:
            teams = [copy for copy in range(len(self.plan.kind)) if self._has(atom["reference_teams"], copy)]
            names = ("reference_shape", "reference_column", "reference_function", "reference_outer")
            [reference] = self._measured(teams, match, *(int(atom[name]) for name in names))
        names = ("shape", "column", "function", "outer")
        values = self._measured(self._copies(atom), match, *(int(atom[name]) for name in names))
        for value in values:
            if np.isnan(value) or np.isnan(reference):
                continue
            if atom["kind"] == COMPARE:
                less, more = not at_most(reference, value), not at_most(value, reference)
                same = equal(value, reference)
                if not (less, less or same, same, not same, more, more or same)[atom["operation"]]:
                    return False
                continue
            apart = abs(value - reference)
            if atom["first"] != NONE and not at_most(apart, self.plan.number[level, atom["first"]]):
                return False
            if atom["second"] != NONE and not at_most(self.plan.number[level, atom["second"]], apart):
                return False
        return True

    def _measured(
        self, copies: list[int], match: NaiveMatch, shape: int, column: int, function: int, outer: int
    ) -> list[float]:
        if shape == EACH:
            return self._values(column, copies, match)
        teams = [self._values(column, [copy], match) for copy in copies]
        if shape == ALL:
            return [_aggregate(function, [value for team in teams for value in team])]
        values = [_aggregate(function, team) for team in teams]
        return [_aggregate(outer, values)] if shape == OF_TEAMS else values

    def _values(self, column: int, copies: list[int], match: NaiveMatch, once: bool = False) -> list[float]:
        return [
            float(self.columns.value[row, column]) if column != NONE else 1.0
            for row, at in zip(match.rows, match.copies, strict=True)
            if at in copies
            for _ in range(1 if once else int(self.columns.size[row]))
        ]

    def _copies(self, atom: Any) -> list[int]:
        return [copy for copy in range(len(self.plan.kind)) if self._has(atom["teams"], copy)]

    def _has(self, teams: Any, copy: int) -> bool:
        return bool(int(teams) >> int(self.plan.kind[copy]) & 1)

    def _set(self, row: int, column: int) -> set[int]:
        first = self.columns.set_first[row, column]
        found = self.columns.strings[first : first + self.columns.set_count[row, column]].tolist()
        assert len(set(found)) == len(found)
        return set(found)

    def _strings(self, atom: Any, rows: list[int], level: int) -> bool:
        if atom["kind"] == INTERSECT:
            shared = len(set.intersection(*(self._set(row, atom["column"]) for row in rows)))
            limits = [np.inf if atom["first"] == NONE else self.plan.number[level, atom["first"]]]
            least = 0.0 if atom["second"] == NONE else self.plan.number[level, atom["second"]]
            return bool(least <= shared <= limits[0])
        return not any(
            self._set(one, atom["column"]) & self._set(other, atom["high"])
            for one in rows
            for other in rows
            if one != other
        )

    def _near_each_other(self, atom: Any, rows: list[int], level: int, region: int) -> bool:
        regions = self.columns.latency_ms.shape[1]
        column = self.plan.columns + regions * atom["column"] + region
        own = [float(self.columns.value[row, column]) for row in rows]
        weights = [int(self.columns.size[row]) for row in rows]
        middle = min(own)
        if atom["reference_function"] == AVG:
            middle = sum(value * weight for value, weight in zip(own, weights, strict=True)) / sum(weights)
        limit = self.plan.number[level, atom["first"]]
        return all(bool(at_most(abs(value - middle), limit)) for value in own)


def _aggregate(function: int, values: list[float]) -> float:
    if function == PLAYERS:
        return float(len(values))
    if function == SUM:
        return float(sum(values))
    if not values:
        return np.nan
    if function == AVG:
        return float(np.mean(values))
    assert function in (MIN, MAX)
    return float(np.min(values) if function == MIN else np.max(values))

"""In which kinds of teams each ticket may be, level by level: what rules say of one player alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from matchmaker.plans.compile import CompiledPlan
from matchmaker.plans.layout import EQUAL, LESS, LESS_EQUAL, MORE, MORE_EQUAL, NONE
from matchmaker.plans.recipes import Eligibility
from matchmaker.rules.flexmatch.table import NO_TEAM, Table
from matchmaker.rules.flexmatch.tolerance import TOLERANCE

Flags = NDArray[np.bool_]
Floats = NDArray[np.float64]


def eligible_bits(
    compiled: CompiledPlan, table: Table, first: NDArray[np.int64], size: NDArray[np.int32]
) -> NDArray[np.uint64]:
    """uint64[T, L], bit q: a ticket may be in teams of kind q at that level, by its size and by the rules.

    A running match, whose players have their teams, may be in all, or in none where one of them is wrong.
    """
    plan = compiled.plan
    assert plan is not None
    levels, kinds = len(plan.wait_s), int(plan.kind.max()) + 1
    bits = np.zeros((len(first), levels), np.uint64)
    if not len(first):
        return bits
    running = table.tickets["backfill"]
    for level in range(levels):
        for kind in range(kinds):
            fits = size <= plan.most[level, plan.kind == kind].max()
            bits[:, level] |= (fits | running).astype(np.uint64) << np.uint64(kind)
    for recipe in compiled.eligibility:
        seated = _seated(compiled, table, recipe)
        known: dict[tuple[float, ...], Flags] = {}
        for level in range(levels):
            numbers = plan.number[level]
            limits = (
                _number(numbers, recipe.reference),
                _number(numbers, recipe.first),
                _number(numbers, recipe.second),
            )
            key = tuple(np.nan_to_num(limits, nan=-1.0).tolist())
            if key not in known:
                keeps = _keeps(compiled, table, recipe, limits) | ~seated
                known[key] = np.logical_and.reduceat(keeps, first)
            wrong = np.where(running, np.iinfo(np.uint64).max, np.uint64(recipe.teams)).astype(np.uint64)
            bits[:, level] &= ~np.where(known[key], np.uint64(0), wrong)
    return bits


def _number(numbers: Floats, index: int) -> float:
    return float(numbers[index]) if index != NONE else np.nan


def holding(table: Table, column: int, wanted: Sequence[float]) -> Flags:
    """bool[W, P], whether each player's list in a column has each of some strings."""
    starts = table.string_start[column]
    items = table.string[starts[0] : starts[-1]]
    found = np.zeros((len(wanted), len(starts) - 1), np.bool_)
    for place, string in enumerate(wanted):
        at = np.flatnonzero(items == string) + starts[0]
        found[place, np.searchsorted(starts, at, side="right") - 1] = True
    return found


def _seated(compiled: CompiledPlan, table: Table, recipe: Eligibility) -> Flags:
    """bool[P], of whom a rule says something, should they play: all but those whom a running match has in
    other teams.
    """
    plan = compiled.plan
    assert plan is not None
    kind = plan.kind[np.maximum(table.seat, 0)].astype(np.uint64)
    inside = (np.uint64(recipe.teams) >> kind) & np.uint64(1) > 0
    return np.asarray((table.seat == NO_TEAM) | inside)


def _keeps(
    compiled: CompiledPlan, table: Table, recipe: Eligibility, limits: tuple[float, float, float]
) -> Flags:
    """bool[P], who keeps a rule alone; limits: reference, first and second, NaN where there is none."""
    reference, most, least = limits
    strings = [float(compiled.strings[text]) for text in dict.fromkeys(recipe.texts)]
    if recipe.kind == "text":
        return np.asarray(np.isin(table.number[recipe.column], strings) == (recipe.operation == EQUAL))
    if recipe.kind == "list":
        count = holding(table, recipe.column, strings).sum(axis=0)
        return np.asarray(~(count > most) & ~(count < least))
    value = table.number[recipe.column]
    if recipe.operation == NONE:
        apart = np.abs(value - reference)
        near = _at_most(apart, most) if recipe.first != NONE else np.ones(len(value), np.bool_)
        return near & (_at_most(least, apart) if recipe.second != NONE else True)
    return _compares(recipe.operation, value, reference)


def _compares(operation: int, value: Floats, reference: float) -> Flags:
    if operation == LESS:
        return ~_at_most(reference, value)
    if operation == LESS_EQUAL:
        return _at_most(value, reference)
    if operation == MORE:
        return ~_at_most(value, reference)
    if operation == MORE_EQUAL:
        return _at_most(reference, value)
    same = _at_most(value, reference) & _at_most(reference, value)
    return same if operation == EQUAL else ~same


def _at_most(value: Floats | float, limit: Floats | float) -> Flags:
    """As ``tolerance.at_most``, of arrays."""
    value, limit = np.asarray(value), np.asarray(limit)
    return np.asarray((value <= limit) | (value <= limit + TOLERANCE * (1.0 + np.abs(limit))))

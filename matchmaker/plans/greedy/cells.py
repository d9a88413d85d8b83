"""From where seats are filled: the tickets of each list of a plan, cell by cell, in order of its axis, linked
so that who has left costs nothing.

A cell is a bucket, or a bucket and a home region: who may meet stands together.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.plans.layout import NONE, Plan, TicketColumns

_DIGIT = 11  # bits that one pass of the sort looks at


class Lists(NamedTuple):
    """N lists of tickets in B cells.

    Attributes:
        ticket: int32[E], list after list, cell after cell, in order.
        value: float64[E], each one's value on its list's axis (its start where the axis is its age).
        after, before: int32[E], a place that is no later (no earlier) than the next that is still there.
        begin, end: int32[N, B], the places of each cell in each list.
        place: int32[N, T], each ticket's place in each list, or -1.
        waiting: int64[N, B], players still there.
        cell: int32[T], or -1.
        number: int32[buckets · width], each one's cell, or -1; width: int64[1], cells a bucket may have.
    """

    ticket: NDArray[np.int32]
    value: NDArray[np.float64]
    after: NDArray[np.int32]
    before: NDArray[np.int32]
    begin: NDArray[np.int32]
    end: NDArray[np.int32]
    place: NDArray[np.int32]
    waiting: NDArray[np.int64]
    cell: NDArray[np.int32]
    number: NDArray[np.int32]
    width: NDArray[np.int64]


@njit(cache=True, nogil=True)
def build_lists(
    plan: Plan,
    tickets: TicketColumns,
    level: NDArray[np.int32],
    by_age: NDArray[np.int64],
    there: NDArray[np.bool_],
    at_home: bool,
    aged: bool,
) -> Lists:
    """Sort the tickets that are there into the plan's lists.

    Args:
        level: int32[T], each ticket's level.
        by_age: rows of the tickets, oldest first.
        there: bool[T], who may be taken.
        at_home: cells are buckets and home regions, not buckets.
        aged: whether lists are in order of age, whatever their axis (but see ``keeps_axis``).
    """
    width = tickets.latency_ms.shape[1] + 1 if at_home else 1
    cell, cells, number = _cells(tickets, by_age, there, width)
    names = plan.lists.shape[0]
    place = np.full((names, cell.shape[0]), NONE, np.int32)
    begin, end = np.zeros((names, cells), np.int32), np.zeros((names, cells), np.int32)
    waiting = np.zeros((names, cells), np.int64)
    ticket = np.empty(by_age.shape[0] * names, np.int32)
    value = np.empty(by_age.shape[0] * names, np.float64)
    filled = 0
    for name in range(names):
        axis = plan.lists[name].axis
        if aged and not keeps_axis(plan, name):
            axis = NONE
        chosen = _members(plan, tickets, level, by_age, there, cell, name)
        if axis >= 0:
            keys = np.empty(chosen.shape[0], np.float64)
            for index in range(chosen.shape[0]):
                keys[index] = tickets.value[chosen[index], axis] + 0.0  # -0.0 is 0.0
            chosen = chosen[radix_order(sortable(keys))]
        for index in range(chosen.shape[0]):
            end[name, cell[chosen[index]]] += 1
        start = filled
        for each in range(cells):
            begin[name, each] = start
            start += end[name, each]
            end[name, each] = begin[name, each]
        for index in range(chosen.shape[0]):
            row = chosen[index]
            spot = end[name, cell[row]]
            ticket[spot] = row
            value[spot] = tickets.start_s[row] if axis < 0 else tickets.value[row, axis]
            place[name, row] = spot
            end[name, cell[row]] = spot + 1
            waiting[name, cell[row]] += tickets.size[row]
        filled += chosen.shape[0]
    after = np.arange(filled).astype(np.int32)
    return Lists(
        ticket[:filled], value[:filled], after, after.copy(), begin, end, place, waiting, cell, number,
        np.full(1, width, np.int64),
    )  # fmt: skip


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def keeps_axis(plan: Plan, name: int) -> bool:
    """Whether a list is sorted by its axis even where candidates are taken by age: those of roles."""
    return bool(plan.lists[name].role >= 0)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _members(
    plan: Plan,
    tickets: TicketColumns,
    level: NDArray[np.int32],
    by_age: NDArray[np.int64],
    there: NDArray[np.bool_],
    cell: NDArray[np.int32],
    name: int,
) -> NDArray[np.int64]:
    """The tickets of a list: those that may be in one of its teams, somewhere, at a level that a match with
    them can have, and have its role.
    """
    chosen = np.empty(by_age.shape[0], np.int64)
    count = 0
    role = plan.lists[name].role
    for row in by_age:
        if cell[row] < 0 or not there[row]:
            continue
        belongs = role < 0 or tickets.value[row, plan.atoms[role].column] > 0.0
        if not belongs:
            continue
        first = 0 if plan.newest else level[row]
        last = level[row] + 1 if plan.newest else plan.wait_s.shape[0]
        for each in range(first, last):
            if tickets.eligible[row, each] & plan.lists[name].teams and tickets.mask[row, 0, each]:
                chosen[count] = row
                count += 1
                break
    return chosen[:count]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _cells(
    tickets: TicketColumns, by_age: NDArray[np.int64], there: NDArray[np.bool_], width: int
) -> tuple[NDArray[np.int32], int, NDArray[np.int32]]:
    """Number the cells that have tickets, in the order in which they are met."""
    buckets = 0
    for row in by_age:
        buckets = max(buckets, tickets.bucket[row] + 1)
    number = np.full(buckets * width, NONE, np.int32)
    cell = np.full(tickets.bucket.shape[0], NONE, np.int32)
    cells = 0
    for row in by_age:
        if not there[row] or tickets.bucket[row] < 0 or (width > 1 and tickets.home[row] < 0):
            continue
        key = tickets.bucket[row] * width + (tickets.home[row] if width > 1 else 0)
        if number[key] < 0:
            number[key] = cells
            cells += 1
        cell[row] = number[key]
    return cell, cells, number


@njit(cache=True, nogil=True)
def sortable(values: NDArray[np.float64]) -> NDArray[np.uint64]:
    """Numbers as bits that sort like them."""
    keys = values.view(np.uint64).copy()
    sign = np.uint64(1) << np.uint64(63)
    for index in range(keys.shape[0]):
        keys[index] = ~keys[index] if keys[index] & sign else keys[index] | sign
    return keys


@njit(cache=True, nogil=True)
def radix_order(keys: NDArray[np.uint64]) -> NDArray[np.int64]:
    """The order that sorts keys, stably; passes over digits that are all alike are left out."""
    count = keys.shape[0]
    order, other = np.arange(count), np.empty(count, np.int64)
    differ = np.uint64(0)
    for index in range(1, count):
        differ |= keys[index] ^ keys[0]
    mask = np.uint64((1 << _DIGIT) - 1)
    for turn in range((64 + _DIGIT - 1) // _DIGIT):
        shift = np.uint64(turn * _DIGIT)
        if (differ >> shift) & mask == 0:
            continue
        starts = np.zeros((1 << _DIGIT) + 1, np.int64)
        for index in range(count):
            starts[np.int64((keys[index] >> shift) & mask) + 1] += 1
        starts = np.cumsum(starts)
        for index in range(count):
            row = order[index]
            digit = np.int64((keys[row] >> shift) & mask)
            other[starts[digit]] = row
            starts[digit] += 1
        order, other = other, order
    return order

"""Walking a list of which tickets have left."""

from __future__ import annotations

from numba import njit

from matchmaker.plans.greedy.desk import Desk, lists_of, there_of, tickets_of


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def next_there(desk: Desk, place: int, end: int) -> int:
    """The first place from ``place`` on whose ticket is still there; ``end`` where none is before it."""
    lists = lists_of(desk)
    there = there_of(desk)
    while place < end and not there[lists.ticket[place]]:
        jump = max(lists.after[place], place + 1)
        if jump < end:
            jump = max(jump, lists.after[jump])  # halves the way for who comes next
        lists.after[place] = jump
        place = jump
    return min(place, end)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def last_there(desk: Desk, place: int, begin: int) -> int:
    """The last place up to ``place`` whose ticket is still there; ``begin - 1`` where there is none."""
    lists = lists_of(desk)
    there = there_of(desk)
    while place >= begin and not there[lists.ticket[place]]:
        jump = min(lists.before[place], place - 1)
        if jump >= begin:
            jump = min(jump, lists.before[jump])
        lists.before[place] = jump
        place = jump
    return max(place, begin - 1)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def find_value(desk: Desk, begin: int, end: int, value: float) -> int:
    """The first place of a cell whose value is not less than ``value``."""
    lists = lists_of(desk)
    while begin < end:
        middle = (begin + end) // 2
        if lists.value[middle] < value:
            begin = middle + 1
        else:
            end = middle
    return begin


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def leave(desk: Desk, row: int) -> None:
    """Take a ticket out of all lists."""
    tickets = tickets_of(desk)
    lists = lists_of(desk)
    there = there_of(desk)
    there[row] = False
    for name in range(lists.place.shape[0]):
        if lists.place[name, row] >= 0:
            lists.waiting[name, lists.cell[row]] -= tickets.size[row]

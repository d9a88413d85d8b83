"""Lines: the tickets of each group and region, in order of skill."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import Arrays, least_skilled_first
from matchmaker.matching.limits import LATENCY, SKILL, Limits, limit_at, low_population_factor


class Buckets(NamedTuple):
    """One line for each group and region, at ``group * regions + region``.

    Attributes:
        home: int32[T], each ticket's nearest region, or -1 where none is ever near enough.
        ticket: int64[N], line after line.
        start: int64[lines + 1] into ``ticket``.
        players: int64[N + 1], players before each place.
        oldest_s: float64[lines], seconds the line's oldest ticket has waited.
    """

    home: NDArray[np.int32]
    ticket: NDArray[np.int64]
    start: NDArray[np.int64]
    players: NDArray[np.int64]
    oldest_s: NDArray[np.float64]


@njit(cache=True, nogil=True)
def sort_into_buckets(tickets: Arrays, groups: int, limits: Limits) -> Buckets:
    """Line the pool up."""
    regions = tickets.latency_ms.shape[1]
    home = _nearest_regions(tickets.latency_ms, limits.value[LATENCY].max())
    start = np.zeros(groups * regions + 1, np.int64)
    oldest_s = np.zeros(groups * regions, np.float64)
    for row in range(home.shape[0]):
        if home[row] >= 0:
            line = tickets.group[row] * regions + home[row]
            start[line + 1] += 1
            oldest_s[line] = max(oldest_s[line], limits.now - tickets.enqueued_at[row])
    start = np.cumsum(start)
    ticket = np.empty(start[-1], np.int64)
    end = start[:-1].copy()
    for row in range(home.shape[0]):
        if home[row] >= 0:
            line = tickets.group[row] * regions + home[row]
            ticket[end[line]] = row
            end[line] += 1
    players = np.zeros(start[-1] + 1, np.int64)
    for line in range(groups * regions):
        ticket[start[line] : start[line + 1]] = least_skilled_first(
            tickets, ticket[start[line] : start[line + 1]].copy()
        )
    for place in range(ticket.shape[0]):
        players[place + 1] = players[place] + tickets.size[ticket[place]]
    return Buckets(home, ticket, start, players, oldest_s)


@njit(cache=True, nogil=True)
def effective_age_s(tickets: Arrays, limits: Limits, lines: Buckets, ticket: int) -> float:
    """How old a ticket is as far as its limits are concerned: older than by the clock where few like it come."""
    waited_s = limits.now - tickets.enqueued_at[ticket]
    line = tickets.group[ticket] * tickets.latency_ms.shape[1] + lines.home[ticket]
    first, last = lines.start[line], lines.start[line + 1]
    reach = limit_at(limits, SKILL, waited_s)
    if reach < np.inf:
        own = np.float64(tickets.skill[ticket])
        first = find_place(tickets, lines, first, last, own - reach, False)
        last = find_place(tickets, lines, first, last, own + reach, True)
    like_it = lines.players[last] - lines.players[first]
    return float(waited_s * low_population_factor(limits, like_it, lines.oldest_s[line], waited_s))


@njit(cache=True, nogil=True)
def find_place(tickets: Arrays, lines: Buckets, first: int, last: int, skill: float, after: bool) -> int:
    """The first place of a stretch whose ticket has at least this skill, or with ``after`` more than it."""
    while first < last:
        middle = (first + last) // 2
        found = np.float64(tickets.skill[lines.ticket[middle]])
        if found < skill or (after and found == skill):
            first = middle + 1
        else:
            last = middle
    return int(first)


@njit(cache=True, nogil=True)
def _nearest_regions(latency_ms: NDArray[np.float32], most_ms: float) -> NDArray[np.int32]:
    """Each ticket's nearest region, or -1 where none is near enough. NaN compares false, so it is never chosen."""
    home = np.full(latency_ms.shape[0], -1, np.int32)
    for ticket in range(latency_ms.shape[0]):
        nearest = np.float32(np.inf)
        for region in range(latency_ms.shape[1]):
            latency = latency_ms[ticket, region]
            if latency <= most_ms and latency < nearest:
                nearest = latency
                home[ticket] = region
    return home

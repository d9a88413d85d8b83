"""Buckets: the tickets of each group and region, in order of skill."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import (
    LATENCY,
    SKILL,
    Limits,
    Tickets,
    least_skilled_first,
    limit_at,
    low_population_factor,
)


class Buckets(NamedTuple):
    """One bucket for each group and region, at ``group * regions + region``.

    Attributes:
        home: int32[T], each ticket's nearest region, or -1 where none is ever near enough.
        ticket: int64[N], bucket after bucket.
        start: int64[buckets + 1] into ``ticket``.
        players: int64[N + 1], players before each place.
        oldest_s: float64[buckets], seconds the bucket's oldest ticket has waited.
    """

    home: NDArray[np.int32]
    ticket: NDArray[np.int64]
    start: NDArray[np.int64]
    players: NDArray[np.int64]
    oldest_s: NDArray[np.float64]


@njit(cache=True, nogil=True)
def sort_into_buckets(tickets: Tickets, groups: int, limits: Limits) -> Buckets:
    """Sort tickets into the buckets of their groups and nearest regions."""
    regions = tickets.latency_ms.shape[1]
    home = _nearest_regions(tickets.latency_ms, limits.value[LATENCY].max())
    start = np.zeros(groups * regions + 1, np.int64)
    oldest_s = np.zeros(groups * regions, np.float64)
    for row in range(home.shape[0]):
        if home[row] >= 0:
            bucket = tickets.group[row] * regions + home[row]
            start[bucket + 1] += 1
            oldest_s[bucket] = max(oldest_s[bucket], limits.now - tickets.enqueued_at[row])
    start = np.cumsum(start)
    ticket = np.empty(start[-1], np.int64)
    end = start[:-1].copy()
    for row in range(home.shape[0]):
        if home[row] >= 0:
            bucket = tickets.group[row] * regions + home[row]
            ticket[end[bucket]] = row
            end[bucket] += 1
    players = np.zeros(start[-1] + 1, np.int64)
    for bucket in range(groups * regions):
        ticket[start[bucket] : start[bucket + 1]] = least_skilled_first(
            tickets, ticket[start[bucket] : start[bucket + 1]].copy()
        )
    for place in range(ticket.shape[0]):
        players[place + 1] = players[place] + tickets.size[ticket[place]]
    return Buckets(home, ticket, start, players, oldest_s)


@njit(cache=True, nogil=True)
def effective_age_s(tickets: Tickets, limits: Limits, buckets: Buckets, ticket: int) -> float:
    """Return the age of a ticket as far as its limits are concerned: higher than by the clock where few like
    it come.
    """
    waited_s = limits.now - tickets.enqueued_at[ticket]
    bucket = tickets.group[ticket] * tickets.latency_ms.shape[1] + buckets.home[ticket]
    first, last = buckets.start[bucket], buckets.start[bucket + 1]
    reach = limit_at(limits, SKILL, waited_s)
    if reach < np.inf:
        own = np.float64(tickets.skill[ticket])
        first = find_place(tickets, buckets, first, last, own - reach, False)
        last = find_place(tickets, buckets, first, last, own + reach, True)
    like_it = buckets.players[last] - buckets.players[first]
    return float(waited_s * low_population_factor(limits, like_it, buckets.oldest_s[bucket], waited_s))


@njit(cache=True, nogil=True)
def find_place(tickets: Tickets, buckets: Buckets, first: int, last: int, skill: float, after: bool) -> int:
    """Return the first place of a stretch whose ticket has at least this skill, or with ``after`` more than
    it.
    """
    while first < last:
        middle = (first + last) // 2
        found = np.float64(tickets.skill[buckets.ticket[middle]])
        if found < skill or (after and found == skill):
            first = middle + 1
        else:
            last = middle
    return int(first)


@njit(cache=True, nogil=True)
def _nearest_regions(latency_ms: NDArray[np.float32], max_ms: float) -> NDArray[np.int32]:
    """Each ticket's nearest region, or -1 where none is near enough. NaN compares false, so it is never
    chosen.
    """
    home = np.full(latency_ms.shape[0], -1, np.int32)
    for ticket in range(latency_ms.shape[0]):
        nearest = np.float32(np.inf)
        for region in range(latency_ms.shape[1]):
            latency = latency_ms[ticket, region]
            if latency <= max_ms and latency < nearest:
                nearest = latency
                home[ticket] = region
    return home

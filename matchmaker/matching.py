"""The matching kernel: one compiled call takes the whole pool and says who plays with whom, and where.

Until its oldest ticket is overdue, a match is formed only when it is full, from tickets whose nearest region it is: the
oldest tickets enter, and are cut into matches of like skill. So nobody is passed over for his skill or his age, and skill
narrows by itself as the pool grows. Around an overdue ticket (waited ``fill_s``) a match opens at once, in the region where
it fills best: first with those at home there, then with those who have waited long enough to roam.

A ticket that can reach ``min_players`` tickets, itself included, therefore waits at most ``fill_s`` and one cycle.

Cost: sorting, O(n log n); what follows touches only what full matches left over, fewer than ``players`` a region and group.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.rules import Rules

UNMATCHED = -1

Ints = NDArray[np.integer[Any]]


class Tickets(NamedTuple):
    """The pool: T tickets and R regions, one array a field.

    Attributes:
        latency_ms: [T, R] round trips; inf or NaN where a ticket has not measured a region.
        skill: [T] mean of the rating.
        enqueued_at: [T] Unix seconds.
        group: [T] small non-negative numbers; only tickets of one group may meet (cross-play).
        player_id: [T] unique; decides between tickets of the same instant, so that the order of rows is irrelevant.
    """

    latency_ms: NDArray[np.float32]
    skill: NDArray[np.float32]
    enqueued_at: NDArray[np.float64]
    group: NDArray[np.int32]
    player_id: NDArray[np.int64]


class Limits(NamedTuple):
    """The rules as the kernel reads them; units as in Rules. ``now`` is in Unix seconds."""

    now: float
    players: int
    min_players: int
    fill_s: float
    roam_s: float
    max_latency_ms: float


@dataclass(frozen=True, slots=True)
class Formed:
    """What one cycle formed.

    Attributes:
        match_of: int32[T], each ticket's match, or UNMATCHED.
        region_of: int32[M], each match's region, a column of the latencies.
    """

    match_of: NDArray[np.int32]
    region_of: NDArray[np.int32]


def match_tickets(rules: Rules, now: float, tickets: Tickets) -> Formed:
    """Form all matches that the rules allow at ``now`` (Unix seconds). Pure: same input, same matches."""
    count, regions = tickets.latency_ms.shape
    match_of = np.full(count, UNMATCHED, np.int32)
    region_of = np.zeros(count // rules.min_players, np.int32)
    if count == 0 or regions == 0:
        return Formed(match_of, region_of[:0])
    limits = Limits(
        now, rules.players, rules.min_players, rules.fill_s, rules.roam_s, float(rules.max_latency_ms)
    )
    formed = form_matches(tickets, int(tickets.group.max()) + 1, limits, match_of, region_of)
    return Formed(match_of, region_of[:formed])


@njit(cache=True, nogil=True)
def form_matches(
    tickets: Tickets,
    groups: int,
    limits: Limits,
    match_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
) -> int:
    """Fill ``match_of`` (UNMATCHED before) and ``region_of``; returns the number of matches."""
    by_id = np.argsort(tickets.player_id, kind="mergesort")
    by_age = by_id[np.argsort(tickets.enqueued_at[by_id], kind="mergesort")]
    home = _nearest_regions(tickets.latency_ms, limits.max_latency_ms)
    formed = _form_full(tickets, groups, limits, by_age, home, match_of, region_of)
    left = by_age[(match_of[by_age] < 0) & (home[by_age] >= 0)]
    return int(_form_overdue(tickets, groups, limits, left, home, match_of, region_of, formed))


@njit(cache=True, nogil=True)
def _nearest_regions(latency_ms: NDArray[np.float32], max_latency_ms: float) -> NDArray[np.int32]:
    """Each ticket's nearest region, or -1 where none is near enough. NaN compares false, so it is never chosen."""
    home = np.full(latency_ms.shape[0], -1, np.int32)
    for ticket in range(latency_ms.shape[0]):
        nearest = np.float32(np.inf)
        for region in range(latency_ms.shape[1]):
            latency = latency_ms[ticket, region]
            if latency <= max_latency_ms and latency < nearest:
                nearest = latency
                home[ticket] = region
    return home


@njit(cache=True, nogil=True)
def _form_full(
    tickets: Tickets,
    groups: int,
    limits: Limits,
    by_age: Ints,
    home: NDArray[np.int32],
    match_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
) -> int:
    """Form full matches of tickets at home, a bucket (group, region) at a time; returns how many."""
    regions = tickets.latency_ms.shape[1]
    starts = np.zeros(groups * regions + 1, np.int64)
    for ticket in by_age:
        if home[ticket] >= 0:
            starts[tickets.group[ticket] * regions + home[ticket] + 1] += 1
    starts = np.cumsum(starts)
    bucketed = np.empty(starts[-1], np.int64)
    ends = starts[:-1].copy()
    for ticket in by_age:  # a stable scatter keeps every bucket in order of age
        if home[ticket] >= 0:
            bucket = tickets.group[ticket] * regions + home[ticket]
            bucketed[ends[bucket]] = ticket
            ends[bucket] += 1

    formed = 0
    for bucket in range(groups * regions):
        size = starts[bucket + 1] - starts[bucket]
        admitted = bucketed[starts[bucket] : starts[bucket] + size - size % limits.players]
        by_skill = admitted[np.argsort(tickets.skill[admitted], kind="mergesort")]
        for seat in range(by_skill.shape[0]):
            match_of[by_skill[seat]] = formed + seat // limits.players
        for _ in range(by_skill.shape[0] // limits.players):
            region_of[formed] = bucket % regions
            formed += 1
    return formed


@njit(cache=True, nogil=True)
def _form_overdue(
    tickets: Tickets,
    groups: int,
    limits: Limits,
    left: Ints,
    home: NDArray[np.int32],
    match_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
    formed: int,
) -> int:
    """Open a match around each overdue ticket of ``left`` (oldest first) that can have one; returns the new count."""
    regions = tickets.latency_ms.shape[1]
    reachable = np.zeros((groups, regions), np.int64)  # tickets left that may play there
    for ticket in left:
        for region in range(regions):
            reachable[tickets.group[ticket], region] += _may_play(tickets, limits, home, ticket, region)

    chosen = np.empty(limits.players, np.int64)
    best = np.empty(limits.players, np.int64)
    for seed in left:
        if limits.now - tickets.enqueued_at[seed] < limits.fill_s:
            break  # all that follow are younger
        if match_of[seed] >= 0:
            continue
        best_size, best_cost, best_region = limits.min_players - 1, np.inf, -1
        for region in range(regions):
            if not _may_play(tickets, limits, home, seed, region):
                continue
            size = min(reachable[tickets.group[seed], region], limits.players)
            if size < limits.min_players or size < best_size:
                continue
            cost = _fill(tickets, limits, left, home, match_of, seed, region, chosen[:size])
            if size > best_size or cost < best_cost:
                best_size, best_cost, best_region = size, cost, region
                best[:size] = chosen[:size]
        if best_region < 0:
            continue
        region_of[formed] = best_region
        for ticket in best[:best_size]:
            match_of[ticket] = formed
            for region in range(regions):
                reachable[tickets.group[ticket], region] -= _may_play(tickets, limits, home, ticket, region)
        formed += 1
    return formed


@njit(cache=True, nogil=True)
def _may_play(tickets: Tickets, limits: Limits, home: NDArray[np.int32], ticket: int, region: int) -> bool:
    """Whether a ticket may play in a region: at home always, elsewhere once it has waited ``roam_s``."""
    if home[ticket] == region:
        return True
    near = tickets.latency_ms[ticket, region] <= limits.max_latency_ms
    return bool(near and limits.now - tickets.enqueued_at[ticket] >= limits.roam_s)


@njit(cache=True, nogil=True)
def _fill(
    tickets: Tickets,
    limits: Limits,
    left: Ints,
    home: NDArray[np.int32],
    match_of: NDArray[np.int32],
    seed: int,
    region: int,
    chosen: NDArray[np.int64],
) -> float:
    """Fill ``chosen`` with the seed, then those at home in the region, then those who roam, oldest first.

    Returns the sum of their round trips to the region. The caller has counted that there are enough.
    """
    chosen[0] = seed
    taken, cost = 1, np.float64(tickets.latency_ms[seed, region])
    for at_home in (True, False):
        for ticket in left:
            if taken == chosen.shape[0]:
                return cost
            if ticket == seed or match_of[ticket] >= 0 or tickets.group[ticket] != tickets.group[seed]:
                continue
            if (home[ticket] == region) == at_home and _may_play(tickets, limits, home, ticket, region):
                chosen[taken] = ticket
                taken += 1
                cost += tickets.latency_ms[ticket, region]
    return cost

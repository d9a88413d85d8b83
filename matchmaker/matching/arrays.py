"""What the matching kernels read and write: tickets, limits that widen with waiting, backfill requests, and
the matches formed.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import ArrayLike, NDArray

from matchmaker.rules.rules import Rules, Steps

UNMATCHED = -1

# When running matches are filled: before full ones are formed, after them, or last.
BACKFILL_FIRST, BACKFILL_BETWEEN, BACKFILL_LAST = -1, 0, 1

SKILL, LATENCY, TEAM_GAP, MIN_PLAYERS = range(4)


class Tickets(NamedTuple):
    """T tickets and R regions, one array a field; ``make_tickets`` makes them of whatever arrays there are.

    Attributes:
        latency_ms: float32[T, R], round trips, of a party the longest; inf or NaN where a ticket has not
            measured a region.
        skill: float32[T], mean of the rating, of a party the mean of its players'.
        enqueued_at: float64[T], Unix seconds.
        group: int32[T], small non-negative numbers: 0 for all who cross-play, 1 + platform for those who keep
            to their platform.
        player_id: int64[T], unique, of a party that of any of its players; decides between tickets of the
            same instant and skill.
        size: int32[T], players of the ticket.
        platform: int32[T], numbers by which those who cross-play may fill matches of their own platform; -1:
            they never do.
    """

    latency_ms: NDArray[np.float32]
    skill: NDArray[np.float32]
    enqueued_at: NDArray[np.float64]
    group: NDArray[np.int32]
    player_id: NDArray[np.int64]
    size: NDArray[np.int32]
    platform: NDArray[np.int32]


class FormedMatches(NamedTuple):
    """The matches of one cycle: M matches of T tickets.

    Attributes:
        match_of: int32[T], each ticket's match, or UNMATCHED.
        backfill_of: int32[T], the backfill request that a ticket fills, or UNMATCHED.
        team_of: int32[T], the team of a ticket that has a match or a slot in a running one.
        region_of: int32[M], each match's region, a column of the latencies; while the kernels write, [T].
    """

    match_of: NDArray[np.int32]
    backfill_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    region_of: NDArray[np.int32]


class BackfillRequests(NamedTuple):
    """B running matches that want more players.

    Attributes:
        region: int32[B], columns of the latencies.
        group: int32[B], whom their players may meet.
        lowest, highest: float32[B], skill of those who play already.
        opened_at: float64[B], Unix seconds; the first is filled first.
        room: int32[B, K], free slots in each of K teams.
    """

    region: NDArray[np.int32]
    group: NDArray[np.int32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    opened_at: NDArray[np.float64]
    room: NDArray[np.int32]


def make_tickets(
    latency_ms: ArrayLike,
    skill: ArrayLike,
    enqueued_at: ArrayLike,
    group: ArrayLike,
    player_id: ArrayLike,
    size: ArrayLike | None = None,
    platform: ArrayLike | None = None,
) -> Tickets:
    """Return tickets as the kernels read them, contiguous and of the right types; fields as in ``Tickets``.

    Args:
        size: None: all play alone.
        platform: None: nobody fills matches of their own platform alone.
    """
    count = len(np.asarray(skill))
    return Tickets(
        np.ascontiguousarray(latency_ms, np.float32),
        np.ascontiguousarray(skill, np.float32),
        np.ascontiguousarray(enqueued_at, np.float64),
        np.ascontiguousarray(group, np.int32),
        np.ascontiguousarray(player_id, np.int64),
        np.ones(count, np.int32) if size is None else np.ascontiguousarray(size, np.int32),
        np.full(count, -1, np.int32) if platform is None else np.ascontiguousarray(platform, np.int32),
    )


def no_backfill_requests(teams: int) -> BackfillRequests:
    """Return the requests where no running match of ``teams`` teams wants players."""
    none, numbers = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return BackfillRequests(
        none, none, numbers, numbers, np.zeros(0, np.float64), np.zeros((0, teams), np.int32)
    )


@njit(cache=True, nogil=True)
def is_matched(matches: FormedMatches, ticket: int) -> bool:
    """Whether a ticket has a match, or a place in a running one."""
    return bool(matches.match_of[ticket] >= 0 or matches.backfill_of[ticket] >= 0)


@njit(cache=True, nogil=True)
def is_older(tickets: Tickets, one: int, other: int) -> bool:
    """Whether ``one`` comes before ``other``: by the time it was made, then by player id."""
    if tickets.enqueued_at[one] != tickets.enqueued_at[other]:
        return bool(tickets.enqueued_at[one] < tickets.enqueued_at[other])
    return bool(tickets.player_id[one] < tickets.player_id[other])


@njit(cache=True, nogil=True)
def oldest_first(tickets: Tickets, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``rows``, int64[N], by age, the oldest first."""
    ordered = rows[np.argsort(tickets.enqueued_at[rows])]
    begin = 0
    for place in range(1, ordered.shape[0] + 1):
        if (
            place == ordered.shape[0]
            or tickets.enqueued_at[ordered[place]] != tickets.enqueued_at[ordered[begin]]
        ):
            if place - begin > 1:
                tied = ordered[begin:place].copy()
                ordered[begin:place] = tied[np.argsort(tickets.player_id[tied])]
            begin = place
    return ordered


@njit(cache=True, nogil=True)
def least_skilled_first(tickets: Tickets, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return ``rows``, int64[N], by skill; those alike by age."""
    ordered = rows[np.argsort(tickets.skill[rows])]
    begin = 0
    for place in range(1, ordered.shape[0] + 1):
        if place == ordered.shape[0] or tickets.skill[ordered[place]] != tickets.skill[ordered[begin]]:
            if place - begin > 1:
                ordered[begin:place] = oldest_first(tickets, ordered[begin:place].copy())
            begin = place
    return ordered


class Limits(NamedTuple):
    """The rules of a cycle; units as in Rules.

    Attributes:
        now: Unix seconds.
        teams, team_size: of a full match.
        region_expansion_s, fully_relaxed_s: see Rules.
        max_low_population_factor: how many times faster limits widen at most.
        backfill: BACKFILL_FIRST, BACKFILL_BETWEEN or BACKFILL_LAST.
        wait_s, value: float64[4, S], the steps of SKILL, LATENCY, TEAM_GAP and MIN_PLAYERS; unused places
            wait for ever.
    """

    now: float
    teams: int
    team_size: int
    region_expansion_s: float
    fully_relaxed_s: float
    max_low_population_factor: float
    backfill: int
    wait_s: NDArray[np.float64]
    value: NDArray[np.float64]


def limits_of(rules: Rules, now: float) -> Limits:
    """Return the limits of ``rules`` for a cycle at ``now`` (Unix seconds)."""
    largest: Steps = ((0.0, math.inf),)
    tables = (
        rules.skill or largest,
        rules.latency or ((0.0, rules.max_latency_ms),),
        rules.team_gap or largest,
        rules.min_players_by_wait or ((0.0, rules.players), (rules.fill_s, rules.min_players)),
    )
    width = max(map(len, tables))
    wait_s, value = np.full((4, width), np.inf), np.zeros((4, width))
    for row, steps in enumerate(tables):
        for place, (wait, limit) in enumerate(steps):
            wait_s[row, place], value[row, place] = wait, limit
    backfill = {"high": BACKFILL_FIRST, "normal": BACKFILL_BETWEEN, "low": BACKFILL_LAST}[rules.backfill]
    return Limits(
        now,
        rules.teams,
        rules.team_size,
        rules.region_expansion_s,
        rules.fully_relaxed_s,
        rules.max_low_population_factor,
        backfill,
        wait_s,
        value,
    )


@njit(cache=True, nogil=True)
def limit_at(limits: Limits, which: int, waited_s: float) -> float:
    """Return one of the limits after ``waited_s``."""
    value = limits.value[which, 0]
    for step in range(1, limits.wait_s.shape[1]):
        if limits.wait_s[which, step] <= waited_s:
            value = limits.value[which, step]
    return float(value)


@njit(cache=True, nogil=True)
def low_population_factor(limits: Limits, players: int, within_s: float, waited_s: float) -> float:
    """How many times faster a ticket's limits widen, from 1 to ``max_low_population_factor``.

    ``players`` like it have come within ``within_s``. If at that rate the match is full before everything has
    widened, the clock alone decides; the longer it would take beyond that, the sooner the limits widen.
    """
    missing = limits.teams * limits.team_size - players
    if missing <= 0 or limits.fully_relaxed_s <= 0.0:
        return 1.0
    full_after_s = waited_s + missing * max(within_s, 1.0) / max(players, 1)
    return float(min(max(full_after_s / limits.fully_relaxed_s, 1.0), limits.max_low_population_factor))

"""What the matching kernels read and write."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray


class Arrays(NamedTuple):
    """The pool as the kernels read it, see Tickets; ``key`` decides between tickets of the same skill and instant."""

    latency_ms: NDArray[np.float32]
    skill: NDArray[np.float32]
    enqueued_at: NDArray[np.float64]
    group: NDArray[np.int32]
    key: NDArray[np.int64]
    size: NDArray[np.int32]
    platform: NDArray[np.int32]


class MatchArrays(NamedTuple):
    """What the kernels write, see Formed; a match's number is below the number of tickets."""

    match_of: NDArray[np.int32]
    backfill_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    region_of: NDArray[np.int32]


class BackfillRequests(NamedTuple):
    """Running matches that want more players, B of them.

    Attributes:
        region: int32[B], columns of the latencies.
        group: int32[B], whom they may take.
        lowest, highest: float32[B], skill of those who play already.
        opened_at: float64[B], Unix seconds; the first is served first.
        room: int32[B, K], free places in each team.
    """

    region: NDArray[np.int32]
    group: NDArray[np.int32]
    lowest: NDArray[np.float32]
    highest: NDArray[np.float32]
    opened_at: NDArray[np.float64]
    room: NDArray[np.int32]


def no_backfill_requests(teams: int) -> BackfillRequests:
    """No running match wants players."""
    none, numbers = np.zeros(0, np.int32), np.zeros(0, np.float32)
    return BackfillRequests(
        none, none, numbers, numbers, np.zeros(0, np.float64), np.zeros((0, teams), np.int32)
    )


@njit(cache=True, nogil=True)
def is_matched(seating: MatchArrays, ticket: int) -> bool:
    """Whether a ticket has a match, or a place in a running one."""
    return bool(seating.match_of[ticket] >= 0 or seating.backfill_of[ticket] >= 0)


@njit(cache=True, nogil=True)
def is_older(tickets: Arrays, one: int, other: int) -> bool:
    """Whether ``one`` comes before ``other``: by the time it was made, then by key."""
    if tickets.enqueued_at[one] != tickets.enqueued_at[other]:
        return bool(tickets.enqueued_at[one] < tickets.enqueued_at[other])
    return bool(tickets.key[one] < tickets.key[other])


@njit(cache=True, nogil=True)
def oldest_first(tickets: Arrays, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """``rows`` by age, the oldest first."""
    ordered = rows[np.argsort(tickets.enqueued_at[rows])]
    begin = 0
    for place in range(1, ordered.shape[0] + 1):
        if (
            place == ordered.shape[0]
            or tickets.enqueued_at[ordered[place]] != tickets.enqueued_at[ordered[begin]]
        ):
            if place - begin > 1:
                tied = ordered[begin:place].copy()
                ordered[begin:place] = tied[np.argsort(tickets.key[tied])]
            begin = place
    return ordered


@njit(cache=True, nogil=True)
def least_skilled_first(tickets: Arrays, rows: NDArray[np.int64]) -> NDArray[np.int64]:
    """``rows`` by skill; those alike by age."""
    ordered = rows[np.argsort(tickets.skill[rows])]
    begin = 0
    for place in range(1, ordered.shape[0] + 1):
        if place == ordered.shape[0] or tickets.skill[ordered[place]] != tickets.skill[ordered[begin]]:
            if place - begin > 1:
                ordered[begin:place] = oldest_first(tickets, ordered[begin:place].copy())
            begin = place
    return ordered

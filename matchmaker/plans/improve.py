"""What a small pool's greedy has left over, tried again with some of the matches taken apart: now and then
the same players make more matches.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

TURNS = 32
IN_VAIN = 16  # turns one after the other, after which no more are tried
TAKEN_APART = 12  # matches a turn
LEFT_TICKETS = 256  # of which so many take part in a turn

# ``rows -> (match of each row, team of each row, region of each match)``: a try among these rows alone.
Try = Callable[[NDArray[np.int64], int], tuple[NDArray[np.int32], NDArray[np.int32], NDArray[np.int32]]]


def improve(
    waiting: NDArray[np.int64],
    size: NDArray[np.int32],
    bucket: NDArray[np.int32],
    match_of: NDArray[np.int32],
    team_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
    fixed: NDArray[np.bool_],
    attempt: Try,
    may_go_on: Callable[[], bool],
    seed: int,
) -> NDArray[np.int32]:
    """Seat more of the tickets that wait; ``match_of`` and ``team_of`` change in place.

    Args:
        waiting: int64[W], rows that wait, oldest first.
        size, bucket: int32[T].
        match_of, team_of: int32[T]; region_of: int32[M].
        fixed: bool[M], matches that are not taken apart.
        attempt: forms matches among some rows, in one of several ways.
        may_go_on: whether there is work left to do.
        seed: which matches are taken apart.

    Returns:
        The region of each match; those that are no more have no tickets.
    """
    rng = np.random.default_rng(seed)
    in_vain = 0
    for turn in range(TURNS):
        left = waiting[(match_of[waiting] < 0) & (bucket[waiting] >= 0)]
        if not len(left) or in_vain == IN_VAIN or not may_go_on():
            break
        in_vain += 1
        buckets = np.unique(bucket[left])
        here = buckets[turn % len(buckets)]
        left = left[bucket[left] == here]
        seated = waiting[(match_of[waiting] >= 0) & (bucket[waiting] == here)]
        candidates = np.unique(match_of[seated])
        candidates = candidates[~fixed[candidates]]
        if not len(candidates):
            continue
        chosen = rng.permutation(candidates)[:TAKEN_APART]
        apart = seated[np.isin(match_of[seated], chosen)]
        rows = np.concatenate((left[:LEFT_TICKETS], apart))
        inside = np.zeros(len(match_of), np.bool_)
        inside[rows] = True
        rows = waiting[inside[waiting]]
        matches, teams, regions = attempt(rows, turn)
        if size[rows][matches >= 0].sum() <= size[apart].sum():
            continue
        in_vain = 0
        match_of[rows] = np.where(matches >= 0, matches + len(region_of), -1)
        team_of[rows] = teams
        region_of = np.concatenate((region_of, regions))
        fixed = np.concatenate((fixed, np.zeros(len(regions), np.bool_)))
    return region_of

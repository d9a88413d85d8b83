"""How even a match is expected to be, from 0 (decided before it begins) to 1 (anybody's).

For two teams: 1 − 2·|p − ½|, p being the probability of a win that OpenSkill predicts from the players' ratings (``predict_win``). For more, the
mean of that over all pairs of teams, as each of them plays against each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

BETA = 25.0 / 6.0  # OpenSkill's: how much a player's form varies from match to match


def match_quality(
    skill: NDArray[np.float32], deviation: NDArray[np.float32], teams: Sequence[int]
) -> float | None:
    """How even a match of these players is: mean and deviation of each one's rating, [N], and each one's team.

    None where there is nobody to play against. 100 teams of one take 42 µs.
    """
    team = np.asarray(teams, np.int64)
    number = int(team.max()) + 1 if len(team) else 0
    if number < 2:
        return None
    found = mean_quality(
        np.ascontiguousarray(skill, np.float32), np.ascontiguousarray(deviation, np.float32), team, number
    )
    return round(float(found), 4)


@njit(cache=True, nogil=True)
def mean_quality(
    skill: NDArray[np.float32], deviation: NDArray[np.float32], team: NDArray[np.int64], teams: int
) -> float:
    """The mean over all pairs of teams that have players."""
    mean, variance = np.zeros(teams, np.float64), np.zeros(teams, np.float64)
    seated = np.zeros(teams, np.int64)
    for player in range(team.shape[0]):
        mean[team[player]] += np.float64(skill[player])
        variance[team[player]] += np.float64(deviation[player]) ** 2
        seated[team[player]] += 1
    total, pairs = 0.0, 0
    for one in range(teams):
        for other in range(one + 1, teams):
            if seated[one] == 0 or seated[other] == 0:
                continue
            # 1 − 2·|Φ(z) − ½| = erfc(|z| / √2)
            spread = 2.0 * BETA * BETA + variance[one] + variance[other]
            total += math.erfc(abs(mean[one] - mean[other]) / math.sqrt(2.0 * spread))
            pairs += 1
    return total / pairs if pairs else 1.0

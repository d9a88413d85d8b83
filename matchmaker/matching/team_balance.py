"""Teams: which one a ticket fits into, who plays in which so that they are level, and how level a match is
expected to be.

The predicted chance of a team to win (OpenSkill, Bradley–Terry: the normal distribution of the difference of
the teams' summed means over the root of all variances) is one half exactly where the sums are equal, and of
two teams the variance is the same however the players are dealt. So levelling the sums of the means is
levelling the chances.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numba import njit
from numpy.typing import NDArray

MAX_EXHAUSTIVE_TICKETS = 12  # tickets of two teams of which every deal is tried: 2,048 at most
BETA = 25.0 / 6.0  # OpenSkill's: how much a player's form varies from match to match
MAX_SWAP_ROUNDS = 4  # of swaps where there are more


@njit(cache=True, nogil=True)
def team_with_room(room: NDArray[np.int32], size: int) -> int:
    """Return the team with the least room that is enough for ``size`` players, or -1."""
    best = -1
    for team in range(room.shape[0]):
        if room[team] >= size and (best < 0 or room[team] < room[best]):
            best = team
    return best


@njit(cache=True, nogil=True)
def balance_teams(
    size: NDArray[np.int32],
    skill: NDArray[np.float32],
    tickets: NDArray[np.int64],
    team: NDArray[np.int32],
    teams: int,
    team_size: int,
) -> float:
    """Level the teams of a match; return the difference between the highest and the lowest mean skill of a
    team.

    ``team`` is a valid division of ``tickets`` into teams, and becomes a better one.
    """
    if teams == 1:
        return 0.0
    if teams == 2 and tickets.shape[0] <= MAX_EXHAUSTIVE_TICKETS:
        return float(_balance_two_teams(size, skill, tickets, team, team_size))
    return float(_swap_tickets(size, skill, tickets, team, teams))


@njit(cache=True, nogil=True)
def _balance_two_teams(
    size: NDArray[np.int32],
    skill: NDArray[np.float32],
    tickets: NDArray[np.int64],
    team: NDArray[np.int32],
    team_size: int,
) -> float:
    """Try every deal to two teams, one ticket changing sides at a time (a Gray code), the first staying where
    it is.
    """
    count = tickets.shape[0]
    total, total_skill = 0, 0.0
    for ticket in tickets:
        total += size[ticket]
        total_skill += np.float64(skill[ticket]) * size[ticket]
    near, near_skill = size[tickets[0]], np.float64(skill[tickets[0]]) * size[tickets[0]]
    away = np.int64((1 << (count - 1)) - 1)  # bit i: ticket i + 1 is in the other team
    best, best_uneven, best_apart = np.int64(-1), np.int64(1 << 30), np.inf
    for code in range(1 << (count - 1)):
        if code > 0:
            bit = 0
            while not (code >> bit) & 1:
                bit += 1
            ticket = tickets[bit + 1]
            sign = 1 if (away >> bit) & 1 else -1
            away ^= np.int64(1) << bit
            near += sign * size[ticket]
            near_skill += sign * np.float64(skill[ticket]) * size[ticket]
        far = total - near
        if near > team_size or far > team_size or far == 0:
            continue
        uneven = abs(near - far)
        if uneven > best_uneven:
            continue
        apart = abs(near_skill / near - (total_skill - near_skill) / far)
        if uneven < best_uneven or apart < best_apart:
            best, best_uneven, best_apart = away, uneven, apart
    if best < 0:
        return np.inf
    team[0] = 0
    for place in range(1, count):
        team[place] = (best >> (place - 1)) & 1
    return float(best_apart)


@njit(cache=True, nogil=True)
def _swap_tickets(
    size: NDArray[np.int32],
    skill: NDArray[np.float32],
    tickets: NDArray[np.int64],
    team: NDArray[np.int32],
    teams: int,
) -> float:
    """Swap tickets of one size between teams while that brings their sums together."""
    total = np.zeros(teams, np.float64)
    seated = np.zeros(teams, np.int64)
    for place in range(tickets.shape[0]):
        total[team[place]] += np.float64(skill[tickets[place]]) * size[tickets[place]]
        seated[team[place]] += size[tickets[place]]
    for _ in range(MAX_SWAP_ROUNDS):
        swapped = False
        for one in range(tickets.shape[0]):
            for other in range(one + 1, tickets.shape[0]):
                a, b = tickets[one], tickets[other]
                if team[one] == team[other] or size[a] != size[b]:
                    continue
                gain = (np.float64(skill[b]) - np.float64(skill[a])) * size[a]
                apart = total[team[one]] - total[team[other]]
                if abs(apart + 2 * gain) < abs(apart) - 1e-9:
                    total[team[one]] += gain
                    total[team[other]] -= gain
                    team[one], team[other] = team[other], team[one]
                    swapped = True
        if not swapped:
            break
    least, most = np.inf, -np.inf
    for each in range(teams):
        if seated[each] > 0:
            mean = total[each] / seated[each]
            least, most = min(least, mean), max(most, mean)
    return float(most - least)


def match_quality(
    skill: NDArray[np.float32], deviation: NDArray[np.float32], teams: Sequence[int]
) -> float | None:
    """Return how even a match of N players is expected to be, from 0 (decided before it begins) to 1 (open).

    For two teams it is 1 − 2·|p − ½|, p being the probability of a win that OpenSkill predicts from the
    players' ratings (``predict_win``). For more it is the mean of that over all pairs of teams, as each of
    them plays against each. 100 teams of one take 42 µs.

    Args:
        skill, deviation: float32[N], mean and deviation of each player's rating.
        teams: each player's team.

    Returns:
        The quality; None where there is nobody to play against.
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
    """Return the mean over all pairs of teams that have players."""
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

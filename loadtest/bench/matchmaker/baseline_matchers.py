"""Two baselines for the matching kernel: first come, first served, and nearest in skill.

Both respect regions, platforms, parties and the size of teams. Neither widens a limit, balances teams or
cares for the tickets that are left over.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import FormedMatches, Limits, Tickets, oldest_first
from matchmaker.matching.buckets import Buckets, sort_into_buckets
from matchmaker.matching.team_balance import team_with_room

OPEN_MATCHES: Final = 8  # open matches of a bucket, for parties that do not fit into the first
MAX_CANDIDATES: Final = 4  # tickets looked at around a seed, in players of a match


@njit(cache=True, nogil=True)
def first_come_first_served(tickets: Tickets, groups: int, limits: Limits, matches: FormedMatches) -> int:
    """Put each ticket, the oldest first, into the first open match of its bucket that has room.

    Args:
        tickets: the pool.
        groups: one more than the largest group.
        limits: of the rules.
        matches: filled with the full matches.

    Returns:
        The number of full matches.
    """
    buckets: Buckets = sort_into_buckets(tickets, groups, limits)
    regions = tickets.latency_ms.shape[1]
    players = limits.teams * limits.team_size
    chosen, team = np.empty((OPEN_MATCHES, players), np.int64), np.empty((OPEN_MATCHES, players), np.int32)
    room, count = np.empty((OPEN_MATCHES, limits.teams), np.int32), np.empty(OPEN_MATCHES, np.int64)
    formed = 0
    for bucket in range(buckets.start.shape[0] - 1):
        room[:], count[:] = limits.team_size, 0
        for ticket in oldest_first(
            tickets, buckets.ticket[buckets.start[bucket] : buckets.start[bucket + 1]].copy()
        ):
            for match in range(OPEN_MATCHES):
                at = team_with_room(room[match], tickets.size[ticket])
                if at < 0:
                    continue
                room[match, at] -= tickets.size[ticket]
                chosen[match, count[match]], team[match, count[match]] = ticket, at
                count[match] += 1
                if room[match].sum() == 0:
                    _form(matches, chosen[match, : count[match]], team[match], bucket % regions, formed)
                    formed += 1
                    room[match], count[match] = limits.team_size, 0
                break
    return formed


@njit(cache=True, nogil=True)
def nearest_in_skill(tickets: Tickets, groups: int, limits: Limits, matches: FormedMatches) -> int:
    """Around each ticket, the oldest first, take the nearest in skill of its bucket.

    Arguments and result are those of ``first_come_first_served``.
    """
    buckets: Buckets = sort_into_buckets(tickets, groups, limits)
    regions = tickets.latency_ms.shape[1]
    players = limits.teams * limits.team_size
    chosen, team = np.empty(players, np.int64), np.empty(players, np.int32)
    before, after = np.arange(buckets.ticket.shape[0]) - 1, np.arange(buckets.ticket.shape[0]) + 1
    place = np.empty(buckets.home.shape[0], np.int64)
    place[buckets.ticket] = np.arange(buckets.ticket.shape[0])
    formed = 0
    for bucket in range(buckets.start.shape[0] - 1):
        first, last = buckets.start[bucket], buckets.start[bucket + 1]
        for seed in oldest_first(tickets, buckets.ticket[first:last].copy()):
            if matches.match_of[seed] >= 0:
                continue
            room = np.full(limits.teams, limits.team_size, np.int32)
            room[0] -= tickets.size[seed]
            chosen[0], team[0], count, candidates = seed, 0, 1, MAX_CANDIDATES * players
            below, above = before[place[seed]], after[place[seed]]
            while room.sum() > 0 and candidates > 0 and (below >= first or above < last):
                candidates -= 1
                upwards = below < first
                if not upwards and above < last:
                    own = tickets.skill[seed]
                    upwards = (
                        tickets.skill[buckets.ticket[above]] - own
                        < own - tickets.skill[buckets.ticket[below]]
                    )
                ticket = buckets.ticket[above if upwards else below]
                if upwards:
                    above = after[above]
                else:
                    below = before[below]
                at = team_with_room(room, tickets.size[ticket])
                if at >= 0:
                    room[at] -= tickets.size[ticket]
                    chosen[count], team[count] = ticket, at
                    count += 1
            if room.sum() > 0:
                continue
            _form(matches, chosen[:count], team, bucket % regions, formed)
            formed += 1
            for ticket in chosen[:count]:
                at = place[ticket]
                if before[at] >= 0:
                    after[before[at]] = after[at]
                if after[at] < buckets.ticket.shape[0]:
                    before[after[at]] = before[at]
    return formed


@njit(cache=True, nogil=True)
def _form(
    matches: FormedMatches, chosen: NDArray[np.int64], team: NDArray[np.int32], region: int, match: int
) -> None:
    for place in range(chosen.shape[0]):
        matches.match_of[chosen[place]], matches.team_of[chosen[place]] = match, team[place]
    matches.region_of[match] = region

"""Full matches of tickets at home: each bucket is cut, from the least skilled on, into matches of neighbours.

The youngest tickets, as many as a bucket holds beyond whole matches, are left out first, so it is never the
most skilled who stay. A ticket that fits into no team of the match being filled is passed and begins the next
one.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import (
    LATENCY,
    SKILL,
    TEAM_GAP,
    FormedMatches,
    Limits,
    Tickets,
    is_matched,
    is_older,
    limit_at,
)
from matchmaker.matching.buckets import Buckets
from matchmaker.matching.team_balance import balance_teams, team_with_room

SEARCH_FACTOR = 4  # times the players of a match: how many tickets are looked at to fill one


@njit(cache=True, nogil=True)
def form_full(tickets: Tickets, limits: Limits, buckets: Buckets, matches: FormedMatches) -> int:
    """Form full matches, a bucket at a time; return how many."""
    players = limits.teams * limits.team_size
    regions = tickets.latency_ms.shape[1]
    chosen, team = np.empty(players, np.int64), np.empty(players, np.int32)
    formed = 0
    for bucket in range(buckets.start.shape[0] - 1):
        if buckets.players[buckets.start[bucket + 1]] - buckets.players[buckets.start[bucket]] < players:
            continue
        admitted = _eligible(tickets, limits, buckets, matches, bucket, players)
        for place in range(admitted.shape[0]):
            while matches.match_of[admitted[place]] < 0:
                count = _fill(tickets, limits, admitted, place, matches, chosen, team)
                if count == 0:
                    break  # left for form_relaxed, or for those still to come
                for seat in range(count):
                    matches.match_of[chosen[seat]] = formed
                    matches.team_of[chosen[seat]] = team[seat]
                matches.region_of[formed] = bucket % regions
                formed += 1
    return formed


@njit(cache=True, nogil=True)
def _eligible(
    tickets: Tickets, limits: Limits, buckets: Buckets, matches: FormedMatches, bucket: int, players: int
) -> NDArray[np.int64]:
    """Return the bucket's tickets that may play at home now, without the youngest spare ones."""
    region = bucket % tickets.latency_ms.shape[1]
    found = np.empty(buckets.start[bucket + 1] - buckets.start[bucket], np.int64)
    count, total = 0, 0
    for place in range(buckets.start[bucket], buckets.start[bucket + 1]):
        ticket = buckets.ticket[place]
        near = limit_at(limits, LATENCY, limits.now - tickets.enqueued_at[ticket])
        if not is_matched(matches, ticket) and tickets.latency_ms[ticket, region] <= near:
            found[count] = ticket
            count += 1
            total += tickets.size[ticket]
    spare = total % players if total >= players else total
    youngest = np.empty(spare, np.int64)  # the youngest first
    kept = 0
    for place in range(count - 1, -1, -1):  # those alike lie by age, so this way few enter
        ticket = found[place]
        if kept == spare and (spare == 0 or is_older(tickets, ticket, youngest[kept - 1])):
            continue
        if kept < spare:
            kept += 1
        at = kept - 1
        while at > 0 and is_older(tickets, youngest[at - 1], ticket):
            youngest[at] = youngest[at - 1]
            at -= 1
        youngest[at] = ticket
    out = 0
    while out < kept and spare > 0:
        spare -= tickets.size[youngest[out]]
        out += 1
    if out == 0:
        return found[:count]
    bound = youngest[out - 1]  # all that are older stay
    admitted = 0
    for place in range(count):
        if is_older(tickets, found[place], bound):
            found[admitted] = found[place]
            admitted += 1
    return found[:admitted]


@njit(cache=True, nogil=True)
def _fill(
    tickets: Tickets, limits: Limits, bucket: NDArray[np.int64], begin: int, matches: FormedMatches,
    chosen: NDArray[np.int64], team: NDArray[np.int32],
) -> int:  # fmt: skip
    """Fill a match from a place of the bucket on; return its number of tickets, or 0."""
    players = limits.teams * limits.team_size
    room = np.full(limits.teams, limits.team_size, np.int32)
    lowest = np.float64(tickets.skill[bucket[begin]])
    waited_s, seated, count = 0.0, 0, 0
    for place in range(begin, min(bucket.shape[0], begin + SEARCH_FACTOR * players)):
        ticket = bucket[place]
        if matches.match_of[ticket] >= 0:
            continue
        longest_s = max(waited_s, limits.now - tickets.enqueued_at[ticket])
        if np.float64(tickets.skill[ticket]) - lowest > limit_at(limits, SKILL, longest_s):
            break
        at = team_with_room(room, tickets.size[ticket])
        if at < 0:
            continue
        room[at] -= tickets.size[ticket]
        chosen[count], team[count] = ticket, at
        count += 1
        seated += tickets.size[ticket]
        waited_s = longest_s
        if seated == players:
            apart = balance_teams(
                tickets.size, tickets.skill, chosen[:count], team[:count], limits.teams, limits.team_size
            )
            return count if apart <= limit_at(limits, TEAM_GAP, waited_s) else 0
    return 0

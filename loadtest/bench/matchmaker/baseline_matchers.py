"""Two matchers to stand beside ours: first come, first served, and one that takes whoever is nearest in skill.

Both know regions, platforms, parties and the size of teams; neither widens a limit, levels teams or cares for what is left over.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import Arrays, MatchArrays, oldest_first
from matchmaker.matching.buckets import Buckets, sort_into_buckets
from matchmaker.matching.limits import Limits
from matchmaker.matching.team_balance import team_with_room

OPEN_MATCHES: Final = 8  # matches of a line that are open at once: where a party does not fit into the first
MAX_CANDIDATES: Final = 4  # times the players of a match


@njit(cache=True, nogil=True)
def first_come_first_served(tickets: Arrays, groups: int, limits: Limits, seating: MatchArrays) -> int:
    """Seat each ticket, the oldest first, in the first open match of its line with room; returns the number of full matches."""
    lines: Buckets = sort_into_buckets(tickets, groups, limits)
    regions = tickets.latency_ms.shape[1]
    players = limits.teams * limits.team_size
    chosen, team = np.empty((OPEN_MATCHES, players), np.int64), np.empty((OPEN_MATCHES, players), np.int32)
    room, count = np.empty((OPEN_MATCHES, limits.teams), np.int32), np.empty(OPEN_MATCHES, np.int64)
    formed = 0
    for line in range(lines.start.shape[0] - 1):
        room[:], count[:] = limits.team_size, 0
        for ticket in oldest_first(tickets, lines.ticket[lines.start[line] : lines.start[line + 1]].copy()):
            for match in range(OPEN_MATCHES):
                at = team_with_room(room[match], tickets.size[ticket])
                if at < 0:
                    continue
                room[match, at] -= tickets.size[ticket]
                chosen[match, count[match]], team[match, count[match]] = ticket, at
                count[match] += 1
                if room[match].sum() == 0:
                    _form(seating, chosen[match, : count[match]], team[match], line % regions, formed)
                    formed += 1
                    room[match], count[match] = limits.team_size, 0
                break
    return formed


@njit(cache=True, nogil=True)
def nearest_in_skill(tickets: Arrays, groups: int, limits: Limits, seating: MatchArrays) -> int:
    """Around each ticket, the oldest first, take the nearest in skill of its line; returns the number of full matches."""
    lines: Buckets = sort_into_buckets(tickets, groups, limits)
    regions = tickets.latency_ms.shape[1]
    players = limits.teams * limits.team_size
    chosen, team = np.empty(players, np.int64), np.empty(players, np.int32)
    before, after = np.arange(lines.ticket.shape[0]) - 1, np.arange(lines.ticket.shape[0]) + 1
    place = np.empty(lines.home.shape[0], np.int64)
    place[lines.ticket] = np.arange(lines.ticket.shape[0])
    formed = 0
    for line in range(lines.start.shape[0] - 1):
        first, last = lines.start[line], lines.start[line + 1]
        for seed in oldest_first(tickets, lines.ticket[first:last].copy()):
            if seating.match_of[seed] >= 0:
                continue
            room = np.full(limits.teams, limits.team_size, np.int32)
            room[0] -= tickets.size[seed]
            chosen[0], team[0], count, looks = seed, 0, 1, MAX_CANDIDATES * players
            below, above = before[place[seed]], after[place[seed]]
            while room.sum() > 0 and looks > 0 and (below >= first or above < last):
                looks -= 1
                upwards = below < first
                if not upwards and above < last:
                    own = tickets.skill[seed]
                    upwards = (
                        tickets.skill[lines.ticket[above]] - own < own - tickets.skill[lines.ticket[below]]
                    )
                ticket = lines.ticket[above if upwards else below]
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
            _form(seating, chosen[:count], team, line % regions, formed)
            formed += 1
            for ticket in chosen[:count]:
                at = place[ticket]
                if before[at] >= 0:
                    after[before[at]] = after[at]
                if after[at] < lines.ticket.shape[0]:
                    before[after[at]] = before[at]
    return formed


@njit(cache=True, nogil=True)
def _form(
    seating: MatchArrays, chosen: NDArray[np.int64], team: NDArray[np.int32], region: int, match: int
) -> None:
    for place in range(chosen.shape[0]):
        seating.match_of[chosen[place]], seating.team_of[chosen[place]] = match, team[place]
    seating.region_of[match] = region

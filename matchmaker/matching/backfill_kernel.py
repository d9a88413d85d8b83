"""Backfill: free places of running matches go to those at home there who are like the ones who play, the oldest tickets first."""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.matching.arrays import Arrays, BackfillRequests, MatchArrays, is_matched, oldest_first
from matchmaker.matching.buckets import Buckets, find_place
from matchmaker.matching.limits import LATENCY, SKILL, Limits, limit_at
from matchmaker.matching.team_balance import team_with_room


@njit(cache=True, nogil=True)
def fill_backfill_requests(
    tickets: Arrays, limits: Limits, lines: Buckets, openings: BackfillRequests, seating: MatchArrays
) -> None:
    """Give tickets to running matches, the longest open first."""
    regions = tickets.latency_ms.shape[1]
    for opening in np.argsort(openings.opened_at, kind="mergesort"):
        region = openings.region[opening]
        line = openings.group[opening] * regions + region
        if line >= lines.start.shape[0] - 1:
            continue
        room = openings.room[opening].copy()
        lowest, highest = np.float64(openings.lowest[opening]), np.float64(openings.highest[opening])
        open_s = limits.now - openings.opened_at[opening]
        widest = limits.value[SKILL].max()
        first = find_place(tickets, lines, lines.start[line], lines.start[line + 1], highest - widest, False)
        last = find_place(tickets, lines, first, lines.start[line + 1], lowest + widest, True)
        for ticket in oldest_first(tickets, lines.ticket[first:last].copy()):
            waited_s = limits.now - tickets.enqueued_at[ticket]
            reach = limit_at(limits, SKILL, max(waited_s, open_s))
            skill = np.float64(tickets.skill[ticket])
            if max(highest, skill) - min(lowest, skill) > reach or is_matched(seating, ticket):
                continue
            if tickets.latency_ms[ticket, region] > limit_at(limits, LATENCY, waited_s):
                continue
            team = team_with_room(room, tickets.size[ticket])
            if team >= 0:
                room[team] -= tickets.size[ticket]
                lowest, highest = min(lowest, skill), max(highest, skill)
                seating.backfill_of[ticket], seating.team_of[ticket] = opening, team
            if room.sum() == 0:
                break

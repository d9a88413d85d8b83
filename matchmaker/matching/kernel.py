"""The matching: one compiled call takes the whole pool and says who plays with whom, in which team, and where.

``match_tickets(rules, now, tickets, seed=0, openings=None)`` is pure: the same input gives the same matches, whatever the order of
the rows. The director calls it each cycle on live tickets, the simulator in virtual time::

    rules = load_rules(settings)["teams_of_five"]
    formed = match_tickets(rules, now, Tickets(latency_ms, skill, enqueued_at, group, player_id, size=size))
    formed.match_of[row], formed.team_of[row]       # the match and the team of the ticket in that row
    formed.region_of[match]                         # the column of latency_ms where it is played

How: ``full_matches`` cuts the tickets of one region and group, in order of skill, into full matches, so that skill narrows by itself
as a pool grows, and leaves out the youngest; ``late_matches`` opens a match around each ticket that has waited long enough, the oldest first, from
those near it in skill, at home or where they may roam; ``openings`` fills running matches. ``seats`` deals the teams.

What bounds a wait: nobody is passed over for skill or age. Once a ticket has waited ``rules.horizon_s``, every limit has reached its widest, and
it plays in the next cycle in which as many players as the rules then need may play with it in one region and can be seated:
solo players always can, parties where the greedy seating finds places for them. Where the pool is thin the limits widen sooner (``limits.eagerness``).

Cost: sorting, O(n log n); the rest touches each ticket a bounded number of times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import Arrays, BackfillRequests, MatchArrays, no_backfill_requests
from matchmaker.matching.backfill_kernel import fill_backfill_requests
from matchmaker.matching.buckets import Buckets, sort_into_buckets
from matchmaker.matching.full_matches import form_full
from matchmaker.matching.limits import BACKFILL_BETWEEN, BACKFILL_FIRST, BACKFILL_LAST, Limits, limits_of
from matchmaker.matching.relaxed_matches import form_relaxed
from matchmaker.rules.rules import Rules

__all__ = [
    "UNMATCHED",
    "Formed",
    "BackfillRequests",
    "Tickets",
    "form_matches",
    "match_tickets",
    "no_backfill_requests",
]

UNMATCHED = -1


class Tickets(NamedTuple):
    """The pool: T tickets and R regions, one array a field.

    Attributes:
        latency_ms: [T, R] round trips, of a party the longest; inf or NaN where a ticket has not measured a region.
        skill: [T] mean of the rating, of a party the mean of its players'.
        enqueued_at: [T] Unix seconds.
        group: [T] small non-negative numbers: 0 for all who cross-play, 1 + platform for those who keep to their platform.
        player_id: [T] unique, of a party that of any of its players; decides between tickets of the same instant.
        size: [T] players of the ticket; None: all play alone.
        platform: [T] numbers, by which those who cross-play may fill matches of their own platform; None: they never do.
    """

    latency_ms: NDArray[np.float32]
    skill: NDArray[np.float32]
    enqueued_at: NDArray[np.float64]
    group: NDArray[np.int32]
    player_id: NDArray[np.int64]
    size: NDArray[np.int32] | None = None
    platform: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True)
class Formed:
    """What one cycle formed: M matches of T tickets.

    Attributes:
        match_of: int32[T], each ticket's match, or UNMATCHED.
        region_of: int32[M], each match's region, a column of the latencies.
        team_of: int32[T], the team of a ticket that has a match or a place in a running one.
        opening_of: int32[T], the running match that a ticket joins, or UNMATCHED.
    """

    match_of: NDArray[np.int32]
    region_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    opening_of: NDArray[np.int32]


def match_tickets(
    rules: Rules, now: float, tickets: Tickets, seed: int = 0, openings: BackfillRequests | None = None
) -> Formed:
    """Form all matches that the rules allow at ``now`` (Unix seconds).

    ``seed`` decides between tickets that are alike in skill and age; ``openings`` are running matches that want more players.
    """
    count, regions = tickets.latency_ms.shape
    seating = MatchArrays(
        np.full(count, UNMATCHED, np.int32),
        np.full(count, UNMATCHED, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
    )
    formed = 0
    if count and regions:
        pool = Arrays(
            np.ascontiguousarray(tickets.latency_ms, np.float32),
            np.ascontiguousarray(tickets.skill, np.float32),
            np.ascontiguousarray(tickets.enqueued_at, np.float64),
            np.ascontiguousarray(tickets.group, np.int32),
            np.ascontiguousarray(tickets.player_id, np.int64) ^ np.int64(seed),
            np.ones(count, np.int32) if tickets.size is None else np.ascontiguousarray(tickets.size, np.int32),
            np.full(count, -1, np.int32) if tickets.platform is None else np.ascontiguousarray(tickets.platform, np.int32),
        )  # fmt: skip
        wanted = no_backfill_requests(rules.teams) if openings is None else openings
        formed = form_matches(pool, int(pool.group.max()) + 1, limits_of(rules, now), wanted, seating)
    return Formed(seating.match_of, seating.region_of[:formed], seating.team_of, seating.backfill_of)


@njit(cache=True, nogil=True)
def form_matches(
    pool: Arrays, groups: int, limits: Limits, openings: BackfillRequests, seating: MatchArrays
) -> int:
    """One cycle: fill ``seating``; returns the number of matches."""
    lines: Buckets = sort_into_buckets(pool, groups, limits)
    if limits.backfill == BACKFILL_FIRST:
        fill_backfill_requests(pool, limits, lines, openings, seating)
    formed = form_full(pool, limits, lines, seating)
    if limits.backfill == BACKFILL_BETWEEN:
        fill_backfill_requests(pool, limits, lines, openings, seating)
    formed = form_relaxed(pool, groups, limits, lines, seating, formed)
    if limits.backfill == BACKFILL_LAST:
        fill_backfill_requests(pool, limits, lines, openings, seating)
    return int(formed)

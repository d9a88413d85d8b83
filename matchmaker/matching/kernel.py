"""The matching: one compiled call takes the whole pool and says who plays with whom, in which team, and
where.

``match_tickets(rules, now, tickets, seed=0, requests=None)`` is pure: the same input gives the same matches,
whatever the order of
the rows. The director calls it each cycle on live tickets, the simulator in virtual time::

    rules = load_rules(settings)["teams_of_five"]
    tickets = make_tickets(latency_ms, skill, enqueued_at, group, player_id, size=size)
    matches = match_tickets(rules, now, tickets)
    matches.match_of[row], matches.team_of[row]     # the match and the team of the ticket in that row
    matches.region_of[match]                        # the column of latency_ms where it is played

How: ``full_matches`` cuts the tickets of one region and group, in order of skill, into full matches, so that
skill narrows by itself as a pool grows, and leaves out the youngest; ``relaxed_matches`` opens a match around
each ticket that has waited long enough, the oldest first, from those near it in skill, at home or in the
other regions where they may play; ``fill_backfill_requests`` fills running matches. ``team_balance`` deals
the teams.

What bounds a wait: nobody is passed over for skill or age. Once a ticket has waited
``rules.fully_relaxed_s``, every limit has reached its widest, and it plays in the next cycle in which as many
players as the rules then need may play with it in one region and fit into the teams: solo players always do,
parties where the greedy search finds room for them. Where few players search, the limits widen sooner
(``arrays.low_population_factor``).

Cost: sorting, O(n log n); the rest touches each ticket a bounded number of times.
"""

from __future__ import annotations

import numpy as np
from numba import njit

from matchmaker.matching.arrays import (
    BACKFILL_BETWEEN,
    BACKFILL_FIRST,
    BACKFILL_LAST,
    LATENCY,
    SKILL,
    UNMATCHED,
    BackfillRequests,
    FormedMatches,
    Limits,
    Tickets,
    is_matched,
    limit_at,
    limits_of,
    no_backfill_requests,
    oldest_first,
)
from matchmaker.matching.buckets import Buckets, find_place, sort_into_buckets
from matchmaker.matching.full_matches import form_full
from matchmaker.matching.relaxed_matches import form_relaxed
from matchmaker.matching.team_balance import team_with_room
from matchmaker.rules.rules import Rules


def match_tickets(
    rules: Rules, now: float, tickets: Tickets, seed: int = 0, requests: BackfillRequests | None = None
) -> FormedMatches:
    """Form all matches that the rules allow.

    Args:
        rules: the mode's rules.
        now: Unix seconds.
        tickets: T of them, see ``make_tickets``.
        seed: decides between tickets that are alike in skill and age.
        requests: running matches that want more players; None: there are none.
    """
    count, regions = tickets.latency_ms.shape
    matches = FormedMatches(
        np.full(count, UNMATCHED, np.int32),
        np.full(count, UNMATCHED, np.int32),
        np.zeros(count, np.int32),
        np.zeros(count, np.int32),
    )
    formed = 0
    if count and regions:
        pool = tickets._replace(player_id=tickets.player_id ^ np.int64(seed))
        wanted = no_backfill_requests(rules.teams) if requests is None else requests
        formed = form_matches(pool, int(pool.group.max()) + 1, limits_of(rules, now), wanted, matches)
    return matches._replace(region_of=matches.region_of[:formed])


@njit(cache=True, nogil=True)
def form_matches(
    pool: Tickets, groups: int, limits: Limits, requests: BackfillRequests, matches: FormedMatches
) -> int:
    """Run one cycle: fill ``matches``, and return how many there are."""
    buckets: Buckets = sort_into_buckets(pool, groups, limits)
    if limits.backfill == BACKFILL_FIRST:
        fill_backfill_requests(pool, limits, buckets, requests, matches)
    formed = form_full(pool, limits, buckets, matches)
    if limits.backfill == BACKFILL_BETWEEN:
        fill_backfill_requests(pool, limits, buckets, requests, matches)
    formed = form_relaxed(pool, groups, limits, buckets, matches, formed)
    if limits.backfill == BACKFILL_LAST:
        fill_backfill_requests(pool, limits, buckets, requests, matches)
    return int(formed)


@njit(cache=True, nogil=True)
def fill_backfill_requests(
    tickets: Tickets, limits: Limits, buckets: Buckets, requests: BackfillRequests, matches: FormedMatches
) -> None:
    """Give the free slots of running matches to tickets at home there that are like those who play.

    The match that is open longest comes first, and for each the oldest tickets.
    """
    regions = tickets.latency_ms.shape[1]
    for request in np.argsort(requests.opened_at, kind="mergesort"):
        region = requests.region[request]
        bucket = requests.group[request] * regions + region
        if bucket >= buckets.start.shape[0] - 1:
            continue
        room = requests.room[request].copy()
        lowest, highest = np.float64(requests.lowest[request]), np.float64(requests.highest[request])
        open_s = limits.now - requests.opened_at[request]
        widest = limits.value[SKILL].max()
        begin, end = buckets.start[bucket], buckets.start[bucket + 1]
        first = find_place(tickets, buckets, begin, end, highest - widest, False)
        last = find_place(tickets, buckets, first, end, lowest + widest, True)
        for ticket in oldest_first(tickets, buckets.ticket[first:last].copy()):
            waited_s = limits.now - tickets.enqueued_at[ticket]
            reach = limit_at(limits, SKILL, max(waited_s, open_s))
            skill = np.float64(tickets.skill[ticket])
            if max(highest, skill) - min(lowest, skill) > reach or is_matched(matches, ticket):
                continue
            if tickets.latency_ms[ticket, region] > limit_at(limits, LATENCY, waited_s):
                continue
            team = team_with_room(room, tickets.size[ticket])
            if team >= 0:
                room[team] -= tickets.size[ticket]
                lowest, highest = min(lowest, skill), max(highest, skill)
                matches.backfill_of[ticket], matches.team_of[ticket] = request, team
            if room.sum() == 0:
                break

"""Relaxed matches: one around each ticket that has waited long enough, the oldest first, where it fills best.

What full matches left over lies in one list by skill. From the ticket's place there the search goes outwards,
the nearest in skill first, once for each region that the ticket may play in; those at home there may enter,
and those who have waited long enough to play elsewhere. A match that is not full is formed once the rules
need no more players. Tickets that keep to their platform may be joined by those of that platform who need
not, so a rare platform is not alone.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.matching.arrays import (
    LATENCY,
    MIN_PLAYERS,
    SKILL,
    TEAM_GAP,
    FormedMatches,
    Limits,
    Tickets,
    is_matched,
    least_skilled_first,
    limit_at,
    oldest_first,
)
from matchmaker.matching.buckets import Buckets, effective_age_s
from matchmaker.matching.team_balance import balance_teams, team_with_room

SEARCH_FACTOR = (
    4  # times the players of a match: how many tickets are looked at before everything has widened
)
MAX_RETRIES = 3  # further tries, each without the largest parties that the one before could take


class Leftovers(NamedTuple):
    """What full matches left over: L tickets in order of skill.

    Attributes:
        ticket: int64[L]; place: int64[T], where each is.
        before, after: int64[L], the nearest places still free; -1 and L at the ends.
        age_s: float64[T], as far as limits are concerned.
        playable: bool[L, R], where each may play.
        reach: int64[groups, R], players who may play there, with those who may join a platform's group.
    """

    ticket: NDArray[np.int64]
    place: NDArray[np.int64]
    before: NDArray[np.int64]
    after: NDArray[np.int64]
    age_s: NDArray[np.float64]
    playable: NDArray[np.bool_]
    reach: NDArray[np.int64]


class PartialMatch(NamedTuple):
    """A match being filled: its tickets and their teams, and the free places of each team."""

    ticket: NDArray[np.int64]
    team: NDArray[np.int32]
    room: NDArray[np.int32]


@njit(cache=True, nogil=True)
def form_relaxed(
    tickets: Tickets, groups: int, limits: Limits, buckets: Buckets, matches: FormedMatches, formed: int
) -> int:
    """Form relaxed matches after ``formed`` full ones; return the new number of matches."""
    left = _leftovers(tickets, groups, limits, buckets, matches)
    players = limits.teams * limits.team_size
    partial, best = _new_partial_match(limits), _new_partial_match(limits)
    for ticket in oldest_first(tickets, left.ticket):
        if is_matched(matches, ticket) or left.age_s[ticket] < limits.region_expansion_s:
            continue
        fewest = int(limit_at(limits, MIN_PLAYERS, limits.now - tickets.enqueued_at[ticket]))
        best_players, best_count, best_cost, best_region = fewest - 1, 0, np.inf, -1
        for region in range(tickets.latency_ms.shape[1]):
            if not left.playable[left.place[ticket], region]:
                continue
            within = left.reach[tickets.group[ticket], region]
            if within < max(fewest, best_players):
                continue
            count = _fill(tickets, limits, left, ticket, region, partial)
            seated = players - partial.room.sum()
            if (count < 2 and seated < players) or seated < max(fewest, best_players):
                continue
            cost = _mean_latency(tickets, partial.ticket[:count], region)
            if seated > best_players or cost < best_cost:
                best_players, best_count, best_cost, best_region = seated, count, cost, region
                best.ticket[:count], best.team[:count] = partial.ticket[:count], partial.team[:count]
        if best_region < 0:
            continue
        for seat in range(best_count):
            matches.match_of[best.ticket[seat]] = formed
            matches.team_of[best.ticket[seat]] = best.team[seat]
            _take_out(tickets, groups, left, best.ticket[seat])
        matches.region_of[formed] = best_region
        formed += 1
    return formed


@njit(cache=True, nogil=True)
def _new_partial_match(limits: Limits) -> PartialMatch:
    players = limits.teams * limits.team_size
    return PartialMatch(
        np.empty(players, np.int64), np.empty(players, np.int32), np.empty(limits.teams, np.int32)
    )


@njit(cache=True, nogil=True)
def _leftovers(
    tickets: Tickets, groups: int, limits: Limits, buckets: Buckets, matches: FormedMatches
) -> Leftovers:
    rows = np.empty(buckets.ticket.shape[0], np.int64)
    count = 0
    for ticket in buckets.ticket:
        if not is_matched(matches, ticket):
            rows[count] = ticket
            count += 1
    rows = least_skilled_first(tickets, rows[:count])
    regions = tickets.latency_ms.shape[1]
    place, age_s = np.full(buckets.home.shape[0], -1, np.int64), np.zeros(buckets.home.shape[0], np.float64)
    playable, reach = np.zeros((count, regions), np.bool_), np.zeros((groups, regions), np.int64)
    for at in range(count):
        ticket = rows[at]
        place[ticket] = at
        age_s[ticket] = effective_age_s(tickets, limits, buckets, ticket)
        near = limit_at(limits, LATENCY, age_s[ticket])
        for region in range(regions):
            may_leave = age_s[ticket] >= limits.region_expansion_s
            if tickets.latency_ms[ticket, region] <= near and (may_leave or buckets.home[ticket] == region):
                playable[at, region] = True
    left = Leftovers(rows, place, np.arange(count) - 1, np.arange(count) + 1, age_s, playable, reach)
    for at in range(count):
        _count(tickets, groups, left, rows[at], 1)
    return left


@njit(cache=True, nogil=True)
def _count(tickets: Tickets, groups: int, left: Leftovers, ticket: int, sign: int) -> None:
    """Add a ticket's players to all that may play with it, or take them away."""
    joins = tickets.platform[ticket] + 1 if tickets.group[ticket] == 0 else 0
    for region in range(left.playable.shape[1]):
        if left.playable[left.place[ticket], region]:
            left.reach[tickets.group[ticket], region] += sign * tickets.size[ticket]
            if 0 < joins < groups:
                left.reach[joins, region] += sign * tickets.size[ticket]


@njit(cache=True, nogil=True)
def _take_out(tickets: Tickets, groups: int, left: Leftovers, ticket: int) -> None:
    _count(tickets, groups, left, ticket, -1)
    at = left.place[ticket]
    if left.before[at] >= 0:
        left.after[left.before[at]] = left.after[at]
    if left.after[at] < left.ticket.shape[0]:
        left.before[left.after[at]] = left.before[at]


@njit(cache=True, nogil=True)
def _fill(
    tickets: Tickets, limits: Limits, left: Leftovers, first: int, region: int, partial: PartialMatch
) -> int:
    """Fill the partial around a ticket; returns its number of tickets: 0 where the teams cannot be level
    enough.
    """
    largest = limits.team_size
    for _ in range(MAX_RETRIES + 1):
        count, refused = _gather(tickets, limits, left, first, region, largest, partial)
        if partial.room.sum() == 0 or not refused:
            break
        largest = 0
        for ticket in partial.ticket[1:count]:
            largest = max(largest, tickets.size[ticket])
        if largest <= 1:
            break
        largest -= 1
    apart = balance_teams(
        tickets.size,
        tickets.skill,
        partial.ticket[:count],
        partial.team[:count],
        limits.teams,
        limits.team_size,
    )
    if apart <= limit_at(limits, TEAM_GAP, left.age_s[first]):
        return int(count)
    partial.room[:] = limits.team_size
    return 0


@njit(cache=True, nogil=True)
def _gather(
    tickets: Tickets,
    limits: Limits,
    left: Leftovers,
    first: int,
    region: int,
    largest: int,
    partial: PartialMatch,
) -> tuple[int, bool]:
    """Gather tickets of up to ``largest`` players around one; return how many, and if one fitted nowhere."""
    group = tickets.group[first]
    own = np.float64(tickets.skill[first])
    reach = limit_at(limits, SKILL, left.age_s[first])
    overdue = limits.now - tickets.enqueued_at[first] >= limits.fully_relaxed_s
    looks = left.ticket.shape[0] if overdue else SEARCH_FACTOR * limits.teams * limits.team_size
    lowest, highest = own, own
    partial.room[:] = limits.team_size
    partial.room[0] -= tickets.size[first]
    partial.ticket[0], partial.team[0] = first, 0
    free = limits.teams * limits.team_size - tickets.size[first]
    count, refused = 1, False
    below, above = left.before[left.place[first]], left.after[left.place[first]]
    while looks > 0 and free > 0 and (below >= 0 or above < left.ticket.shape[0]):
        looks -= 1
        upwards = below < 0
        if not upwards and above < left.ticket.shape[0]:
            upwards = np.float64(tickets.skill[left.ticket[above]]) - own < own - np.float64(
                tickets.skill[left.ticket[below]]
            )
        at = above if upwards else below
        if upwards:
            above = left.after[above]
        else:
            below = left.before[below]
        ticket = left.ticket[at]
        skill = np.float64(tickets.skill[ticket])
        if max(highest, skill) - min(lowest, skill) > reach:
            # What lies beyond is farther away still.
            if upwards:
                above = left.ticket.shape[0]
            else:
                below = -1
            continue
        joins = tickets.group[ticket] == 0 and tickets.platform[ticket] + 1 == group
        if not left.playable[at, region] or not (tickets.group[ticket] == group or joins):
            continue
        if tickets.size[ticket] > largest:
            continue
        team = team_with_room(partial.room, tickets.size[ticket])
        if team < 0:
            refused = True
            continue
        partial.room[team] -= tickets.size[ticket]
        free -= tickets.size[ticket]
        partial.ticket[count], partial.team[count] = ticket, team
        count += 1
        lowest, highest = min(lowest, skill), max(highest, skill)
    return count, refused


@njit(cache=True, nogil=True)
def _mean_latency(tickets: Tickets, chosen: NDArray[np.int64], region: int) -> float:
    total, players = 0.0, 0
    for ticket in chosen:
        total += np.float64(tickets.latency_ms[ticket, region]) * tickets.size[ticket]
        players += tickets.size[ticket]
    return total / players

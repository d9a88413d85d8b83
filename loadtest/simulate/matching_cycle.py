"""One matching cycle of a mode: the real kernel forms matches of the queue, and the matches get servers in
the real order.

The director asks for a server for each match, the match with the oldest ticket first. In a region without a
ready server only the oldest match asks again, as soon as the fleet says that it has one (``openings``) and
every ``retry_s`` all the same, until one of them is assigned. The tickets of a match that got no server
search again and keep their age.

A cycle looks at the oldest ``window`` tickets of each home region, or at four times as many players as the
region's ready servers can hold, whichever is more. It could place no more of a longer queue, and so the cost
of a cycle stays bounded while many players wait for servers.

This is the only module here that knows the shape of the matching kernel. What a run takes of the rules is one
row a mode, so a run of two modes needs no other compiled code than a run of one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from loadtest.simulate.failures.requeue import leave_party, meet_cut
from loadtest.simulate.warm_pool import allocate, count_server_seconds
from loadtest.simulate.world import Counter, Parameters, SimulatedWorld, TicketState
from matchmaker.matching.arrays import (
    BackfillRequests,
    FormedMatches,
    Limits,
    Tickets,
    limits_of,
    no_backfill_requests,
)
from matchmaker.matching.kernel import form_matches
from matchmaker.rules.rules import Rules

WINDOW_SEATS = 4  # the least window, in seats of a region's ready servers

_ABANDONED, _CYCLES, _CAPPED, _REQUEUED = (
    int(Counter.ABANDONED),
    int(Counter.CYCLES),
    int(Counter.CAPPED),
    int(Counter.REQUEUED),
)
_WAITING, _MATCHED, _GAVE_UP = int(TicketState.WAITING), int(TicketState.MATCHED), int(TicketState.ABANDONED)


class RuleTable(NamedTuple):
    """The rules of all modes as the kernel takes them, and no running match that wants backfill.

    Attributes:
        numbers: float64[K, 6]: teams, team size, roam_s, horizon_s, thin, backfill.
        wait_s, value: float64[K, 4, S], the steps by which limits widen.
    """

    numbers: NDArray[np.float64]
    wait_s: NDArray[np.float64]
    value: NDArray[np.float64]
    requests: BackfillRequests


def rule_table(rules: Sequence[Rules]) -> RuleTable:
    """Return the table of ``rules``, a row each, in their order."""
    limits = [limits_of(each, 0.0) for each in rules]
    width = max(each.wait_s.shape[1] for each in limits)
    wait_s, value = np.full((len(limits), 4, width), np.inf), np.zeros((len(limits), 4, width))
    for mode, each in enumerate(limits):
        wait_s[mode, :, : each.wait_s.shape[1]] = each.wait_s
        value[mode, :, : each.value.shape[1]] = each.value
    numbers = [
        (
            each.teams,
            each.team_size,
            each.region_expansion_s,
            each.fully_relaxed_s,
            each.max_low_population_factor,
            each.backfill,
        )
        for each in limits
    ]
    return RuleTable(np.array(numbers, np.float64), wait_s, value, no_backfill_requests(1))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def run_kernel(
    table: RuleTable,
    mode: int,
    now_s: float,
    groups: int,
    latency_ms: NDArray[np.float32],
    skill: NDArray[np.float32],
    enqueued_s: NDArray[np.float64],
    group: NDArray[np.int32],
    ticket_id: NDArray[np.int64],
    size: NDArray[np.int32],
    platform: NDArray[np.int32],
    match_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
) -> int:
    """Form matches of one mode's tickets with the real kernel.

    Args:
        table: the rules; ``mode`` is a row of it.
        now_s: seconds of virtual time.
        groups: one more than the largest group.
        latency_ms: float32[T, R], round trip of each ticket to each region.
        skill, enqueued_s, group, ticket_id, size, platform: [T], a field of the tickets each, as the kernel
            has them.
        match_of: int32[T], -1 everywhere; filled with the match of each ticket, -1 without one.
        region_of: int32[T]; its first places are filled with the region of each match.

    Returns:
        The number of matches.
    """
    rules = table.numbers[mode]
    limits = Limits(
        now_s,
        int(rules[0]),
        int(rules[1]),
        rules[2],
        rules[3],
        rules[4],
        int(rules[5]),
        table.wait_s[mode],
        table.value[mode],
    )
    count = match_of.shape[0]
    matches = FormedMatches(match_of, np.full(count, -1, np.int32), np.zeros(count, np.int32), region_of)
    tickets = Tickets(latency_ms, skill, enqueued_s, group, ticket_id, size, platform)
    return int(form_matches(tickets, groups, limits, table.requests, matches))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def prune_queue(world: SimulatedWorld, parameters: Parameters, mode: int, now_s: float) -> None:
    """Drop the tickets that have been matched, and abandon those whose players ran out of patience by
    ``now_s``.
    """
    tickets, records, queue = world.tickets, world.records, world.queue
    start = queue.starts[mode]
    kept = start
    for place in range(start, start + queue.used[mode]):
        row = queue.rows[place]
        if records.state[row] != _WAITING:
            continue
        if tickets.arrives_s[row] + parameters.login_s + tickets.patience_s[row] < now_s:
            records.state[row] = _GAVE_UP
            queue.waiting[mode, tickets.home[tickets.location[row]]] -= tickets.size[row]
            world.counters[_ABANDONED] += tickets.size[row]
            leave_party(world, parameters, row, now_s)
            continue
        queue.rows[kept] = row
        kept += 1
    queue.used[mode] = kept - start


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def can_allocate(world: SimulatedWorld, parameters: Parameters, region: int, now_s: float) -> bool:
    """Return whether a match of the region would ask for a server at ``now_s`` and get one."""
    fleet = world.fleet
    open_now = fleet.ready[region] > 0 and not fleet.closed[region]
    return bool(open_now and (parameters.openings or now_s >= fleet.retry_at_s[region]))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def hear_answers(world: SimulatedWorld, now_s: float) -> None:
    """Let the regions in which a match has been assigned by ``now_s`` be asked for servers by all again."""
    fleet = world.fleet
    for region in range(fleet.ready.shape[0]):
        if fleet.answer_s[region] <= now_s:
            fleet.retry_at_s[region] = -np.inf
            later = fleet.last_answer_s[region] > now_s
            fleet.answer_s[region] = fleet.last_answer_s[region] if later else np.inf


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def match_and_allocate(
    world: SimulatedWorld, parameters: Parameters, rules: RuleTable, mode: int, now_s: float
) -> int:
    """Run one cycle over a pruned queue, and return the number of matches that got a server.

    Where a region is cut off there must be spare tickets for all who wait.
    """
    room, rows, aged_s = waiting_window(world, parameters, mode)
    tickets = world.tickets
    count, regions = rows.shape[0], world.fleet.ready.shape[0]
    latency_ms = np.empty((count, regions), np.float32)
    for ticket in range(count):
        row = rows[ticket]
        for region in range(regions):
            latency_ms[ticket, region] = (
                tickets.rtt_ms[tickets.location[row], region] + tickets.access_ms[row]
            )
    match_of = np.full(count, -1, np.int32)
    region_of = np.zeros(count, np.int32)
    formed = run_kernel(
        rules,
        mode,
        now_s - parameters.login_s,
        parameters.groups,
        latency_ms,
        tickets.skill[rows],
        aged_s,
        tickets.group[rows],
        rows.astype(np.int64),
        tickets.size[rows],
        tickets.platform[rows],
        match_of,
        region_of,
    )
    return int(
        allocate_found(world, parameters, mode, room, rows, aged_s, match_of, region_of, formed, now_s)
    )


@njit(cache=True, nogil=True)
def waiting_window(
    world: SimulatedWorld, parameters: Parameters, mode: int
) -> tuple[NDArray[np.int64], NDArray[np.int32], NDArray[np.float64]]:
    """Return what a cycle looks at: int64[R] how many players of each home region, int32[N] the tickets in
    order of age, and float64[N] since when the age of each counts.
    """
    room = _room(world, parameters, mode)
    rows = _window(world, mode, room)
    return room, rows, _aged_since(world, rows)


@njit(cache=True, nogil=True)
def allocate_found(
    world: SimulatedWorld,
    parameters: Parameters,
    mode: int,
    room: NDArray[np.int64],
    rows: NDArray[np.int32],
    aged_s: NDArray[np.float64],
    match_of: NDArray[np.int32],
    region_of: NDArray[np.int32],
    formed: int,
    now_s: float,
) -> int:
    """Ask for the servers of the matches that a cycle has found, and return how many got one.

    Args:
        room, rows, aged_s: as `waiting_window` returned them.
        match_of: int32[N], each ticket's match, or -1.
        region_of: int32[at least formed], each match's region.
        formed: how many matches were found.
    """
    tickets, records, count = world.tickets, world.records, rows.shape[0]
    world.counters[_CYCLES] += 1
    if not formed:
        return 0

    oldest_s = np.full(formed, np.inf)
    players = np.zeros(formed, np.int64)
    for ticket in range(count):
        match = match_of[ticket]
        if match >= 0:
            oldest_s[match] = min(oldest_s[match], aged_s[ticket])
            players[match] += tickets.size[rows[ticket]]
    order = np.argsort(oldest_s, kind="mergesort")
    number_of = np.full(formed, -1, np.int64)
    count_server_seconds(world, now_s)
    placed = _place(world, parameters, mode, room, region_of, players, order, number_of, now_s)
    for ticket in range(count):
        if match_of[ticket] < 0 or number_of[match_of[ticket]] < 0:
            continue
        row, number = rows[ticket], number_of[match_of[ticket]]
        records.state[row] = _MATCHED
        records.assigned_s[row] = now_s + parameters.place_s
        records.match[row] = number
        records.next_in_match[row] = world.matches.first_ticket[number]
        world.matches.first_ticket[number] = row
        world.queue.waiting[mode, tickets.home[tickets.location[row]]] -= tickets.size[row]
    for formed in order:
        number = number_of[formed]
        if number >= 0 and world.fleet.cut_until_s[region_of[formed]] > now_s:
            meet_cut(world, parameters, number)
    return int(placed)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _aged_since(world: SimulatedWorld, rows: NDArray[np.int32]) -> NDArray[np.float64]:
    """Return float64[N], since when the age of each of these tickets counts."""
    aged_s = world.tickets.arrives_s[rows]
    if world.counters[_REQUEUED]:
        drawn = world.tickets.drawn_count[0]
        for place in range(rows.shape[0]):
            if rows[place] >= drawn:
                aged_s[place] = world.requeues.aged_s[rows[place] - drawn]
    return aged_s


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _room(world: SimulatedWorld, parameters: Parameters, mode: int) -> NDArray[np.int64]:
    """Return int64[R], how many players of each home region a cycle looks at."""
    ready = world.fleet.ready
    room = np.empty(ready.shape[0], np.int64)
    for region in range(ready.shape[0]):
        room[region] = max(parameters.window, WINDOW_SEATS * ready[region] * world.modes.players[mode])
    return room


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _window(world: SimulatedWorld, mode: int, room: NDArray[np.int64]) -> NDArray[np.int32]:
    """Return int32[N], the oldest tickets of each home region up to ``room`` players, in order of age."""
    queue, tickets = world.queue, world.tickets
    start = queue.starts[mode]
    queued = queue.rows[start : start + queue.used[mode]]
    if (queue.waiting[mode] <= room).all():
        return queued.copy()
    world.counters[_CAPPED] += 1
    if world.counters[_REQUEUED]:  # who has queued again is older than those who came meanwhile
        queued = queued[np.argsort(_aged_since(world, queued), kind="mergesort")]
    left = room.copy()
    seen = np.empty(queued.shape[0], np.int32)
    count = 0
    for row in queued:
        home = tickets.home[tickets.location[row]]
        if left[home] > 0:
            left[home] -= tickets.size[row]
            seen[count] = row
            count += 1
    return seen[:count].copy()


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _place(
    world: SimulatedWorld,
    parameters: Parameters,
    mode: int,
    room: NDArray[np.int64],
    region_of: NDArray[np.int32],
    players: NDArray[np.int64],
    order: NDArray[np.int64],
    number_of: NDArray[np.int64],
    now_s: float,
) -> int:
    """Ask for a server for each match in turn.

    Args:
        room: int64[R], players that the cycle looked at.
        region_of, players: [M], region and number of players of each match.
        order: int64[M], the matches, the one with the oldest ticket first.
        number_of: int64[M], filled with the number of each match that got a server.

    Returns:
        How many matches got one.
    """
    fleet = world.fleet
    regions = fleet.ready.shape[0]
    scarce = fleet.retry_at_s > -np.inf  # what the director knew before it asked
    asked = np.zeros(regions, np.bool_)
    first_failure = np.ones(regions, np.bool_)
    placed = 0
    for formed in order:
        region = region_of[formed]
        told = parameters.openings and fleet.ready[region] > 0 and not fleet.closed[region]
        if scarce[region] and not told and (asked[region] or now_s < fleet.retry_at_s[region]):
            continue
        asked[region] = True
        if fleet.ready[region] > 0 and not fleet.closed[region]:
            number_of[formed] = allocate(world, parameters, region, mode, players[formed], now_s)
            fleet.last_answer_s[region] = now_s + parameters.place_s
            fleet.answer_s[region] = min(fleet.answer_s[region], fleet.last_answer_s[region])
            if scarce[region]:
                fleet.retry_at_s[region] = now_s + parameters.retry_s
            placed += 1
        else:
            fleet.retry_at_s[region] = now_s + parameters.retry_s
            fleet.unmet[region] += 1
            if (
                first_failure[region] and not scarce[region]
            ):  # matches beyond the window would have asked, too
                beyond = world.queue.waiting[mode, region] - room[region]
                fleet.unmet[region] += max(0, beyond // world.modes.players[mode])
            first_failure[region] = False
    return placed

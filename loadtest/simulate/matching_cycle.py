"""One matching cycle of a mode: the queue as it is, the real kernel's matches, a server for each, in the real director's order.

The director asks for a server for each match, the one with the oldest ticket first; in a region that had none it lets the
oldest alone ask again, every ``scarce_s``; tickets of a match without a server search again with their age.

A cycle looks at the oldest ``window`` tickets of each home region, or at four times as many as its ready servers can seat, if that is
more. Of a longer queue it could place no more anyway, and what it costs stays bounded while a crowd waits for servers.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from loadtest.simulate.kernel_rules import RuleTable, run_kernel
from loadtest.simulate.warm_pool import allocate, count_server_seconds
from loadtest.simulate.world import Counter, Parameters, SimulatedWorld, TicketState

WINDOW_SEATS = 4  # window, in seats of the region's ready servers

_ABANDONED, _CYCLES, _CAPPED = int(Counter.ABANDONED), int(Counter.CYCLES), int(Counter.CAPPED)
_WAITING, _MATCHED, _GAVE_UP = int(TicketState.WAITING), int(TicketState.MATCHED), int(TicketState.ABANDONED)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def prune_queue(world: SimulatedWorld, mode: int, now_s: float) -> None:
    """Drop the tickets that have been matched, and those whose players have run out of patience by ``now_s``."""
    crowd, fates, queue = world.tickets, world.records, world.queue
    start = queue.starts[mode]
    kept = start
    for place in range(start, start + queue.used[mode]):
        row = queue.rows[place]
        if fates.state[row] != _WAITING:
            continue
        if crowd.arrives_s[row] + crowd.patience_s[row] < now_s:
            fates.state[row] = _GAVE_UP
            queue.waiting[mode, crowd.home[crowd.location[row]]] -= crowd.size[row]
            world.counters[_ABANDONED] += crowd.size[row]
            continue
        queue.rows[kept] = row
        kept += 1
    queue.used[mode] = kept - start


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def can_allocate(world: SimulatedWorld, region: int, now_s: float) -> bool:
    """Whether a match of the region would ask for a server at ``now_s`` and get one."""
    fleet = world.fleet
    open_now = fleet.ready[region] > 0 and not fleet.closed[region]
    return bool(open_now and now_s >= fleet.retry_at_s[region])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def match_and_allocate(
    world: SimulatedWorld, parameters: Parameters, rules: RuleTable, mode: int, now_s: float
) -> int:
    """Run one cycle over a tidy queue; returns the number of matches that got a server."""
    room = _room(world, parameters, mode)
    rows = _window(world, mode, room)
    crowd, fates = world.tickets, world.records
    count, regions = rows.shape[0], world.fleet.ready.shape[0]
    latency_ms = np.empty((count, regions), np.float32)
    for ticket in range(count):
        row = rows[ticket]
        for region in range(regions):
            latency_ms[ticket, region] = crowd.rtt_ms[crowd.location[row], region] + crowd.access_ms[row]
    match_of = np.full(count, -1, np.int32)
    region_of = np.zeros(count, np.int32)
    formed = run_kernel(
        rules,
        mode,
        now_s,
        parameters.groups,
        latency_ms,
        crowd.skill[rows],
        crowd.arrives_s[rows],
        crowd.group[rows],
        rows.astype(np.int64),
        crowd.size[rows],
        crowd.platform[rows],
        match_of,
        region_of,
    )
    world.counters[_CYCLES] += 1
    if not formed:
        return 0

    oldest_s = np.full(formed, np.inf)
    players = np.zeros(formed, np.int64)
    for ticket in range(count):
        match = match_of[ticket]
        if match >= 0:
            oldest_s[match] = min(oldest_s[match], crowd.arrives_s[rows[ticket]])
            players[match] += crowd.size[rows[ticket]]
    order = np.argsort(oldest_s, kind="mergesort")
    number_of = np.full(formed, -1, np.int64)
    count_server_seconds(world, now_s)
    placed = _place(world, parameters, mode, room, region_of, players, order, number_of, now_s)
    for ticket in range(count):
        if match_of[ticket] < 0 or number_of[match_of[ticket]] < 0:
            continue
        row, number = rows[ticket], number_of[match_of[ticket]]
        fates.state[row] = _MATCHED
        fates.assigned_s[row] = now_s
        fates.match[row] = number
        fates.next_in_match[row] = world.matches.first_ticket[number]
        world.matches.first_ticket[number] = row
        world.queue.waiting[mode, crowd.home[crowd.location[row]]] -= crowd.size[row]
    return int(placed)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _room(world: SimulatedWorld, parameters: Parameters, mode: int) -> NDArray[np.int64]:
    """How many players of each home region a cycle looks at."""
    ready = world.fleet.ready
    room = np.empty(ready.shape[0], np.int64)
    for region in range(ready.shape[0]):
        room[region] = max(parameters.window, WINDOW_SEATS * ready[region] * world.modes.players[mode])
    return room


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _window(world: SimulatedWorld, mode: int, room: NDArray[np.int64]) -> NDArray[np.int32]:
    """The oldest tickets of each home region, all of them in order of age."""
    queue, crowd = world.queue, world.tickets
    start = queue.starts[mode]
    queued = queue.rows[start : start + queue.used[mode]]
    if (queue.waiting[mode] <= room).all():
        return queued.copy()
    world.counters[_CAPPED] += 1
    left = room.copy()
    seen = np.empty(queued.shape[0], np.int32)
    count = 0
    for row in queued:
        home = crowd.home[crowd.location[row]]
        if left[home] > 0:
            left[home] -= crowd.size[row]
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
    """Ask for a server for each match in turn; fills ``number_of`` in and returns how many got one."""
    fleet = world.fleet
    regions = fleet.ready.shape[0]
    scarce = fleet.retry_at_s > -np.inf  # as the director knew it before it asked
    asked = np.zeros(regions, np.bool_)
    first_failure = np.ones(regions, np.bool_)
    placed = 0
    for formed in order:
        region = region_of[formed]
        if scarce[region] and (asked[region] or now_s < fleet.retry_at_s[region]):
            continue
        asked[region] = True
        if fleet.ready[region] > 0 and not fleet.closed[region]:
            number_of[formed] = allocate(world, parameters, region, mode, players[formed], now_s)
            fleet.retry_at_s[region] = -np.inf
            placed += 1
        else:
            fleet.retry_at_s[region] = now_s + parameters.retry_s
            fleet.unmet[region] += 1
            if first_failure[region] and not scarce[region]:  # those beyond the window would have asked, too
                beyond = world.queue.waiting[mode, region] - room[region]
                fleet.unmet[region] += max(0, beyond // world.modes.players[mode])
            first_failure[region] = False
    return placed

"""Time passes: from one matching cycle to the next, leaping over those in which nothing can happen. The whole loop is compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from loadtest.simulate.event_queue import next_event_s, pop_event
from loadtest.simulate.kernel_rules import RuleTable
from loadtest.simulate.matching_cycle import can_allocate, match_and_allocate, prune_queue
from loadtest.simulate.samples import take_sample
from loadtest.simulate.warm_pool import apply_event, count_server_seconds
from loadtest.simulate.world import Counter, Parameters, SimulatedWorld, TicketState

_CYCLE, _ARRIVED, _ARRIVED_PLAYERS = int(Counter.CYCLE), int(Counter.ARRIVED), int(Counter.ARRIVED_PLAYERS)
_SAMPLES, _ABANDONED, _EVERY, _RETURNING = (
    int(Counter.SAMPLES),
    int(Counter.ABANDONED),
    int(Counter.SAMPLE_EVERY),
    int(Counter.RETURNING),
)
_WAITING, _GAVE_UP, _REFUSED = int(TicketState.WAITING), int(TicketState.ABANDONED), int(TicketState.REFUSED)
_ROUNDING = 1e-9  # of a period: an instant that falls on a cycle belongs to it


@njit(cache=True, nogil=True)
def advance(world: SimulatedWorld, parameters: Parameters, rules: RuleTable, until_s: float) -> bool:
    """Let time pass up to ``until_s``; returns whether everybody is home, in which case it may have stopped before."""
    now, queue = world.counters, world.queue
    modes = queue.used.shape[0]
    while True:
        now_s = now[_CYCLE] * parameters.period_s
        if now_s > until_s:
            process_events(world, parameters, until_s)
            return False
        process_events(world, parameters, now_s)
        process_arrivals(world, now_s)
        everybody_came = now[_ARRIVED] == world.tickets.independent_count[0]
        due = now_s >= now[_SAMPLES] * now[_EVERY] * parameters.sample_s
        asks = _somebody_asks(world, now_s)
        if due or asks or everybody_came:
            for mode in range(modes):
                prune_queue(world, mode, now_s)
        if now_s >= parameters.give_up_at_s:
            _give_up(world)
        if due:
            count_server_seconds(world, now_s)
            take_sample(world, parameters, now_s)
        if everybody_came and _nobody_left(world):
            count_server_seconds(world, now_s)
            if not due:
                take_sample(world, parameters, now_s)
            return True
        if not asks:
            _find_scarce(world, parameters, now_s)
        for mode in range(modes):
            if asks and queue.waiting[mode].sum() >= world.modes.min_players[mode]:
                match_and_allocate(world, parameters, rules, mode, now_s)
        now[_CYCLE] = _next_cycle(world, parameters, now_s, until_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def process_events(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Everything in the calendar up to ``now_s``, in order."""
    while next_event_s(world.events) <= now_s:
        at_s = next_event_s(world.events)
        count_server_seconds(world, at_s)
        returning = apply_event(world, parameters, pop_event(world.events), at_s)
        if returning >= 0:
            world.tickets.arrives_s[returning] = at_s
            _enqueue(world, returning)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def process_arrivals(world: SimulatedWorld, now_s: float) -> None:
    """Queue everybody who arrives by himself up to ``now_s``."""
    crowd, now = world.tickets, world.counters
    while now[_ARRIVED] < crowd.independent_count[0] and crowd.arrives_s[now[_ARRIVED]] <= now_s:
        _enqueue(world, now[_ARRIVED])
        now[_ARRIVED] += 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _enqueue(world: SimulatedWorld, row: int) -> None:
    crowd, queue = world.tickets, world.queue
    home, mode = crowd.home[crowd.location[row]], crowd.mode[row]
    world.counters[_ARRIVED_PLAYERS] += crowd.size[row]
    if (
        home < 0
        or crowd.rtt_ms[crowd.location[row], home] + crowd.access_ms[row] > world.modes.max_latency_ms[mode]
    ):
        world.records.state[row] = _REFUSED
        return
    world.records.state[row] = _WAITING
    queue.rows[queue.starts[mode] + queue.used[mode]] = row
    queue.used[mode] += 1
    queue.waiting[mode, home] += crowd.size[row]
    queue.arrived[home] += crowd.size[row]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _nobody_left(world: SimulatedWorld) -> bool:
    """Whether nobody waits, plays, or will be back."""
    waits = world.queue.used.sum() > 0
    return bool(not waits and world.fleet.allocated.sum() == 0 and world.counters[_RETURNING] == 0)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _give_up(world: SimulatedWorld) -> None:
    """Whoever still waits abandons."""
    queue = world.queue
    for mode in range(queue.used.shape[0]):
        for place in range(queue.starts[mode], queue.starts[mode] + queue.used[mode]):
            world.records.state[queue.rows[place]] = _GAVE_UP
        queue.used[mode] = 0
    world.counters[_ABANDONED] += queue.waiting.sum()
    queue.waiting[:] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _somebody_asks(world: SimulatedWorld, now_s: float) -> bool:
    """Whether any region has a server for a match that asks for it now."""
    asks = False
    for region in range(world.fleet.ready.shape[0]):
        asks = asks or can_allocate(world, region, now_s)
    return bool(asks)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _find_scarce(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Where a full match would ask in vain, it is known from now on that there is no server."""
    fleet = world.fleet
    for region in range(fleet.ready.shape[0]):
        nothing = fleet.ready[region] == 0 or fleet.closed[region]
        full = _full_matches(world, region)
        if nothing and full and now_s >= fleet.retry_at_s[region]:
            # All ask the first time, the oldest alone from then on.
            fleet.unmet[region] += full if fleet.retry_at_s[region] == -np.inf else 1
            fleet.retry_at_s[region] = now_s + parameters.retry_s


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _full_matches(world: SimulatedWorld, region: int) -> int:
    """Full matches that those who wait at home in a region would make."""
    matches = 0
    for mode in range(world.queue.used.shape[0]):
        matches += world.queue.waiting[mode, region] // world.modes.players[mode]
    return int(matches)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _next_cycle(world: SimulatedWorld, parameters: Parameters, now_s: float, until_s: float) -> int:
    """The number of the next cycle in which anything can happen."""
    fleet, crowd, now, queue = world.fleet, world.tickets, world.counters, world.queue
    following = now[_CYCLE] + 1
    waits, could_fill = False, False
    for mode in range(queue.used.shape[0]):
        waiting = queue.waiting[mode].sum()
        waits = waits or queue.used[mode] > 0
        could_fill = could_fill or waiting >= world.modes.min_players[mode]
    next_s = min(next_event_s(world.events), until_s + parameters.period_s)
    next_s = min(next_s, now[_SAMPLES] * now[_EVERY] * parameters.sample_s)
    if now[_ARRIVED] < crowd.independent_count[0]:
        next_s = min(next_s, crowd.arrives_s[now[_ARRIVED]])
    elif waits:
        return int(following)  # until the last is matched or gone
    if waits:
        next_s = min(next_s, parameters.give_up_at_s)
    if could_fill:
        for region in range(fleet.ready.shape[0]):
            has_server = fleet.ready[region] > 0 and not fleet.closed[region]
            if has_server or (parameters.retry_s > 0.0 and _full_matches(world, region) > 0):
                next_s = min(next_s, max(now_s, fleet.retry_at_s[region]))
    return int(max(following, math.ceil(next_s / parameters.period_s - _ROUNDING)))

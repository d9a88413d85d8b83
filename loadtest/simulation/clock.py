"""Time passes: from one matching cycle to the next, leaping over those in which nothing can happen. The whole loop is compiled."""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from loadtest.simulation.calendar import next_entry_s, take_entry
from loadtest.simulation.cycle import match_and_allocate, may_ask, tidy_queue
from loadtest.simulation.warm_pool import count_server_seconds, happen
from loadtest.simulation.world import SAMPLES, At, Fate, Terms, World

_CYCLE, _ARRIVED, _QUEUED = int(At.CYCLE), int(At.ARRIVED), int(At.QUEUED)
_SAMPLES, _ABANDONED, _EVERY = int(At.SAMPLES), int(At.ABANDONED), int(At.EVERY)
_WAITING, _GAVE_UP, _REFUSED = int(Fate.WAITING), int(Fate.ABANDONED), int(Fate.REFUSED)
_ROUNDING = 1e-9  # of a period: an instant that falls on a cycle belongs to it


@njit(cache=True, nogil=True)
def advance(world: World, terms: Terms, until_s: float) -> bool:
    """Let time pass up to ``until_s``; returns whether everybody is home, in which case it may have stopped before."""
    players = world.crowd.arrives_s.shape[0]
    now = world.now
    while True:
        now_s = now[_CYCLE] * terms.period_s
        if now_s > until_s:
            let_happen(world, terms, until_s)
            return False
        let_happen(world, terms, now_s)
        let_arrive(world, now_s)
        everybody_came = now[_ARRIVED] == players
        due = now_s >= now[_SAMPLES] * now[_EVERY] * terms.sample_s
        asks = _somebody_asks(world, now_s)
        if due or asks or everybody_came:
            tidy_queue(world, now_s)
        if now_s >= terms.last_s:
            _give_up(world)
        if due:
            count_server_seconds(world, now_s)
            take_sample(world, terms, now_s)
        if everybody_came and now[_QUEUED] == 0 and world.fleet.allocated.sum() == 0:
            count_server_seconds(world, now_s)
            if not due:
                take_sample(world, terms, now_s)
            return True
        if asks and now[_QUEUED] >= terms.min_players:
            match_and_allocate(world, terms, now_s)
        else:
            _find_scarce(world, terms, now_s)
        now[_CYCLE] = _next_cycle(world, terms, now_s, until_s)


@njit(cache=True, nogil=True)
def let_happen(world: World, terms: Terms, now_s: float) -> None:
    """Everything in the calendar up to ``now_s``, in order."""
    while next_entry_s(world.calendar) <= now_s:
        at_s = next_entry_s(world.calendar)
        count_server_seconds(world, at_s)
        happen(world, terms, take_entry(world.calendar), at_s)


@njit(cache=True, nogil=True)
def let_arrive(world: World, now_s: float) -> None:
    """Queue everybody who arrives up to ``now_s``."""
    crowd, fates, queue, now = world.crowd, world.fates, world.queue, world.now
    while now[_ARRIVED] < crowd.arrives_s.shape[0] and crowd.arrives_s[now[_ARRIVED]] <= now_s:
        row = now[_ARRIVED]
        now[_ARRIVED] += 1
        home = crowd.home[crowd.location[row]]
        if home < 0:
            fates.state[row] = _REFUSED
            continue
        fates.state[row] = _WAITING
        queue.rows[now[_QUEUED]] = row
        queue.waiting[home] += 1
        now[_QUEUED] += 1


@njit(cache=True, nogil=True)
def take_sample(world: World, terms: Terms, now_s: float) -> None:
    """Write down how things are. Without room, every second sample goes, and they are taken half as often."""
    samples, fleet, now = world.samples, world.fleet, world.now
    if now[_SAMPLES] == SAMPLES:
        for kept in range(SAMPLES // 2):
            old = 2 * kept
            samples.at_s[kept] = samples.at_s[old]
            samples.arrived[kept] = samples.arrived[old]
            samples.abandoned[kept] = samples.abandoned[old]
            samples.server_s[kept] = samples.server_s[old]
            for region in range(fleet.ready.shape[0]):
                samples.waiting[kept, region] = samples.waiting[old, region]
                samples.starting[kept, region] = samples.starting[old, region]
                samples.ready[kept, region] = samples.ready[old, region]
                samples.allocated[kept, region] = samples.allocated[old, region]
        now[_SAMPLES] = SAMPLES // 2
        now[_EVERY] *= 2
    at = now[_SAMPLES]
    now[_SAMPLES] += 1
    samples.at_s[at] = now_s
    samples.arrived[at] = now[_ARRIVED]
    samples.abandoned[at] = now[_ABANDONED]
    samples.server_s[at] = fleet.server_s.sum()
    for region in range(fleet.ready.shape[0]):
        samples.waiting[at, region] = world.queue.waiting[region]
        samples.starting[at, region] = fleet.starting[region]
        samples.ready[at, region] = fleet.ready[region]
        samples.allocated[at, region] = fleet.allocated[region]


@njit(cache=True, nogil=True)
def _give_up(world: World) -> None:
    """Whoever still waits abandons."""
    for place in range(world.now[_QUEUED]):
        world.fates.state[world.queue.rows[place]] = _GAVE_UP
    world.now[_ABANDONED] += world.now[_QUEUED]
    world.now[_QUEUED] = 0
    world.queue.waiting[:] = 0


@njit(cache=True, nogil=True)
def _somebody_asks(world: World, now_s: float) -> bool:
    """Whether any region has a server for a match that asks for it now."""
    for region in range(world.fleet.ready.shape[0]):
        if may_ask(world, region, now_s):
            return True
    return False


@njit(cache=True, nogil=True)
def _find_scarce(world: World, terms: Terms, now_s: float) -> None:
    """Where a full match would ask in vain, it is known from now on that there is no server."""
    fleet = world.fleet
    for region in range(fleet.ready.shape[0]):
        nothing = fleet.ready[region] == 0 or fleet.closed[region]
        if (
            nothing
            and world.queue.waiting[region] >= terms.players
            and now_s >= fleet.scarce_until_s[region]
        ):
            fleet.scarce_until_s[region] = now_s + terms.scarce_s


@njit(cache=True, nogil=True)
def _next_cycle(world: World, terms: Terms, now_s: float, until_s: float) -> int:
    """The number of the next cycle in which anything can happen."""
    fleet, crowd, now = world.fleet, world.crowd, world.now
    following = now[_CYCLE] + 1
    queued = now[_QUEUED]
    if now[_ARRIVED] == crowd.arrives_s.shape[0]:
        if queued:
            return int(following)
        next_s = np.inf
    else:
        next_s = crowd.arrives_s[now[_ARRIVED]]
    next_s = min(next_s, next_entry_s(world.calendar), until_s + terms.period_s)
    if queued:
        next_s = min(next_s, terms.last_s)
    next_s = min(next_s, now[_SAMPLES] * now[_EVERY] * terms.sample_s)
    if queued >= terms.min_players:
        for region in range(fleet.ready.shape[0]):
            expects_s = fleet.scarce_until_s[region]
            if fleet.ready[region] > 0 and not fleet.closed[region]:
                next_s = min(next_s, max(now_s, expects_s))
            elif terms.scarce_s > 0.0 and world.queue.waiting[region] >= terms.players:
                next_s = min(next_s, max(now_s, expects_s))
    return int(max(following, math.ceil(next_s / terms.period_s - _ROUNDING)))

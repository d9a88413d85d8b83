"""Virtual time passes: from one matching cycle to the next, skipping those in which nothing can happen.

The whole loop is compiled. ``take_sample`` records the state now and then; the curves are drawn from the
samples.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from loadtest.simulate.event_queue import next_event, next_event_s, pop_event
from loadtest.simulate.failures.requeue import SERVER_DIED
from loadtest.simulate.matching_cycle import (
    RuleTable,
    can_allocate,
    hear_answers,
    match_and_allocate,
    prune_queue,
)
from loadtest.simulate.warm_pool import apply_event, count_server_seconds
from loadtest.simulate.world import (
    MAX_SAMPLES,
    Counter,
    MatchState,
    Parameters,
    SimulatedWorld,
    TicketState,
)

_CYCLE, _ARRIVED, _ARRIVED_PLAYERS = int(Counter.CYCLE), int(Counter.ARRIVED), int(Counter.ARRIVED_PLAYERS)
_SAMPLES, _ABANDONED, _EVERY, _RETURNING = (
    int(Counter.SAMPLES),
    int(Counter.ABANDONED),
    int(Counter.SAMPLE_EVERY),
    int(Counter.RETURNING),
)
_WAITING, _GAVE_UP, _REFUSED = int(TicketState.WAITING), int(TicketState.ABANDONED), int(TicketState.REFUSED)
_ROUNDING = 1e-9  # of a period: an instant on a cycle belongs to that cycle
_PLANNED = int(Counter.PLANNED)
_PLAYING, _REQUEUED = int(Counter.PLAYING), int(Counter.REQUEUED)
_IS_PLAYED = int(MatchState.PLAYING)

# Why ``advance`` stops.
REACHED, OVER, FULL, PLANNED = 0, 1, 2, 3


@njit(cache=True, nogil=True)
def advance(world: SimulatedWorld, parameters: Parameters, rules: RuleTable, until_s: float) -> int:
    """Let time pass up to ``until_s``.

    Args:
        world: changed in place.
        parameters: of the run.
        rules: of its modes.
        until_s: seconds of virtual time.

    Returns:
        REACHED: it is ``until_s``. OVER: nobody waits, plays or will return; time may have stopped before.
        FULL: time has stopped before, because more players may queue again than there are spare tickets;
        make room for ``spare_wanted`` and call it again. PLANNED: it is the turn of a mode with a plan, the
        one before ``Counter.PLANNED``: run its cycle and call it again.
    """
    counters, queue = world.counters, world.queue
    modes = queue.used.shape[0]
    while True:
        now_s = counters[_CYCLE] * parameters.period_s
        first = counters[_PLANNED]
        counters[_PLANNED] = 0
        if first > 0:  # a cycle of a mode with a plan has been run outside
            if _form(world, parameters, rules, first, now_s):
                return PLANNED
            counters[_CYCLE] = _next_cycle(world, parameters, now_s, until_s)
            continue
        if not process_events(world, parameters, min(now_s, until_s)):
            return FULL
        if now_s > until_s:
            return REACHED
        process_arrivals(world, parameters, now_s)
        if _is_cut(world, now_s) and spare_tickets(world) < queue.waiting.sum():
            return FULL
        hear_answers(world, now_s)
        everybody_came = counters[_ARRIVED] == world.tickets.independent_count[0]
        due = now_s >= counters[_SAMPLES] * counters[_EVERY] * parameters.sample_s
        can_place = _any_region_can_allocate(world, parameters, now_s)
        if due or can_place or everybody_came:
            for mode in range(modes):
                prune_queue(world, parameters, mode, now_s)
        if now_s >= parameters.give_up_at_s:
            _give_up(world)
        if due:
            count_server_seconds(world, now_s)
            take_sample(world, parameters, now_s)
        if everybody_came and _nobody_left(world):
            count_server_seconds(world, now_s)
            if not due:
                take_sample(world, parameters, now_s)
            return OVER
        if not can_place:
            _note_missing_servers(world, parameters, now_s)
        if can_place and _form(world, parameters, rules, 0, now_s):
            return PLANNED
        counters[_CYCLE] = _next_cycle(world, parameters, now_s, until_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _form(world: SimulatedWorld, parameters: Parameters, rules: RuleTable, first: int, now_s: float) -> bool:
    """Run the cycles of the modes from ``first`` on; return whether one of them has a plan, and its turn."""
    for mode in range(first, world.queue.used.shape[0]):
        if world.queue.waiting[mode].sum() >= world.modes.min_players[mode]:
            if world.modes.planned[mode]:
                world.counters[_PLANNED] = mode + 1
                return True
            match_and_allocate(world, parameters, rules, mode, now_s)
    return False


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def process_events(world: SimulatedWorld, parameters: Parameters, now_s: float) -> bool:
    """Apply all events up to ``now_s``, in order; return False before one for which there is no room."""
    while next_event_s(world.events) <= now_s:
        at_s = next_event_s(world.events)
        if spare_tickets(world) < _losers(world):
            return False
        count_server_seconds(world, at_s)
        returning = apply_event(world, parameters, pop_event(world.events), at_s)
        if returning >= 0:
            if returning < world.tickets.drawn_count[0]:
                world.tickets.arrives_s[returning] = at_s - parameters.login_s
            _enqueue(world, returning)
    return True


@njit(cache=True, nogil=True)
def spare_tickets(world: SimulatedWorld) -> int:
    """Return how many more tickets there may be of players who queue again."""
    return int(world.requeues.origin.shape[0] - world.counters[_REQUEUED])


@njit(cache=True, nogil=True)
def spare_wanted(world: SimulatedWorld) -> int:
    """Return how many spare tickets are wanted by a world that is full."""
    return int(max(_losers(world), world.queue.waiting.sum()))


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _losers(world: SimulatedWorld) -> int:
    """Return how many players the next event leaves without a match."""
    if world.events.size[0] == 0:
        return 0
    number, kind = divmod(next_event(world.events), 4)
    if kind != SERVER_DIED or world.matches.state[number] != _IS_PLAYED:
        return 0
    return int(world.matches.players[number])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _is_cut(world: SimulatedWorld, now_s: float) -> bool:
    """Return whether any region is cut off."""
    return bool((world.fleet.cut_until_s > now_s).any())


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def process_arrivals(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Queue the tickets that arrive by themselves up to ``now_s``."""
    tickets, counters = world.tickets, world.counters
    while (
        counters[_ARRIVED] < tickets.independent_count[0]
        and tickets.arrives_s[counters[_ARRIVED]] + parameters.login_s <= now_s
    ):
        _enqueue(world, counters[_ARRIVED])
        counters[_ARRIVED] += 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _enqueue(world: SimulatedWorld, row: int) -> None:
    tickets, queue = world.tickets, world.queue
    home, mode = tickets.home[tickets.location[row]], tickets.mode[row]
    world.counters[_ARRIVED_PLAYERS] += tickets.size[row]
    if (
        home < 0
        or tickets.rtt_ms[tickets.location[row], home] + tickets.access_ms[row]
        > world.modes.max_latency_ms[mode]
    ):
        world.records.state[row] = _REFUSED
        return
    world.records.state[row] = _WAITING
    queue.rows[queue.starts[mode] + queue.used[mode]] = row
    queue.used[mode] += 1
    queue.waiting[mode, home] += tickets.size[row]
    queue.arrived[home] += tickets.size[row]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _nobody_left(world: SimulatedWorld) -> bool:
    """Return whether nobody waits, plays or will return."""
    waits = world.queue.used.sum() > 0
    return bool(not waits and world.fleet.allocated.sum() == 0 and world.counters[_RETURNING] == 0)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _give_up(world: SimulatedWorld) -> None:
    """Abandon all tickets that still wait."""
    queue = world.queue
    for mode in range(queue.used.shape[0]):
        for place in range(queue.starts[mode], queue.starts[mode] + queue.used[mode]):
            world.records.state[queue.rows[place]] = _GAVE_UP
        queue.used[mode] = 0
    world.counters[_ABANDONED] += queue.waiting.sum()
    queue.waiting[:] = 0


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _any_region_can_allocate(world: SimulatedWorld, parameters: Parameters, now_s: float) -> bool:
    """Return whether any region has a server for a match that asks now."""
    found = False
    for region in range(world.fleet.ready.shape[0]):
        found = found or can_allocate(world, parameters, region, now_s)
    return bool(found)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _note_missing_servers(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Note each region in which a full match would ask for a server and get none."""
    fleet = world.fleet
    for region in range(fleet.ready.shape[0]):
        nothing = fleet.ready[region] == 0 or fleet.closed[region]
        full = _full_matches(world, region)
        if nothing and full and now_s >= fleet.retry_at_s[region]:
            # All matches ask the first time; later only the oldest does.
            fleet.unmet[region] += full if fleet.retry_at_s[region] == -np.inf else 1
            fleet.retry_at_s[region] = now_s + parameters.retry_s


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _full_matches(world: SimulatedWorld, region: int) -> int:
    """Return how many full matches the players waiting in their home region would make."""
    matches = 0
    for mode in range(world.queue.used.shape[0]):
        matches += world.queue.waiting[mode, region] // world.modes.players[mode]
    return int(matches)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _next_cycle(world: SimulatedWorld, parameters: Parameters, now_s: float, until_s: float) -> int:
    """Return the number of the next cycle in which anything can happen."""
    fleet, tickets, counters, queue = world.fleet, world.tickets, world.counters, world.queue
    following = counters[_CYCLE] + 1
    waits, could_fill = False, False
    for mode in range(queue.used.shape[0]):
        waiting = queue.waiting[mode].sum()
        waits = waits or queue.used[mode] > 0
        could_fill = could_fill or waiting >= world.modes.min_players[mode]
    next_s = min(next_event_s(world.events), until_s + parameters.period_s)
    next_s = min(next_s, counters[_SAMPLES] * counters[_EVERY] * parameters.sample_s)
    if counters[_ARRIVED] < tickets.independent_count[0]:
        next_s = min(next_s, tickets.arrives_s[counters[_ARRIVED]] + parameters.login_s)
    elif waits:
        return int(following)  # until the last ticket is matched or abandoned
    if waits:
        next_s = min(next_s, parameters.give_up_at_s)
    if could_fill:
        for region in range(fleet.ready.shape[0]):
            has_server = fleet.ready[region] > 0 and not fleet.closed[region]
            if has_server and parameters.openings:
                return int(following)
            if has_server or (parameters.retry_s > 0.0 and _full_matches(world, region) > 0):
                next_s = min(next_s, max(now_s, min(fleet.retry_at_s[region], fleet.answer_s[region])))
    return int(max(following, math.ceil(next_s / parameters.period_s - _ROUNDING)))


@njit(cache=True, nogil=True)
def take_sample(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Record the state at ``now_s``.

    When the table is full, every second sample is dropped and samples are taken half as often from then on.
    """
    samples, fleet, counters = world.samples, world.fleet, world.counters
    if counters[_SAMPLES] == MAX_SAMPLES:
        for kept in range(MAX_SAMPLES // 2):
            _copy(world, 2 * kept, kept)
        counters[_SAMPLES] = MAX_SAMPLES // 2
        counters[_EVERY] *= 2
    at = counters[_SAMPLES]
    counters[_SAMPLES] += 1
    samples.at_s[at] = now_s
    samples.arrived[at] = counters[_ARRIVED_PLAYERS]
    samples.playing[at] = counters[_PLAYING]
    samples.abandoned[at] = counters[_ABANDONED]
    samples.server_s[at] = fleet.server_s.sum()
    for region in range(fleet.ready.shape[0]):
        samples.waiting[at, region] = world.queue.waiting[:, region].sum()
        samples.starting[at, region] = fleet.starting[region]
        samples.ready[at, region] = fleet.ready[region]
        samples.allocated[at, region] = fleet.allocated[region]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _copy(world: SimulatedWorld, old: int, kept: int) -> None:
    samples = world.samples
    samples.at_s[kept] = samples.at_s[old]
    samples.arrived[kept] = samples.arrived[old]
    samples.playing[kept] = samples.playing[old]
    samples.abandoned[kept] = samples.abandoned[old]
    samples.server_s[kept] = samples.server_s[old]
    for region in range(samples.waiting.shape[1]):
        samples.waiting[kept, region] = samples.waiting[old, region]
        samples.starting[kept, region] = samples.starting[old, region]
        samples.ready[kept, region] = samples.ready[old, region]
        samples.allocated[kept, region] = samples.allocated[old, region]

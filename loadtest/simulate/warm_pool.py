"""The warm pool in virtual time: servers start, play a match and end; ``fill`` starts their successors.

The rules are those of the fleet's own pool. A region is filled up to its target, the region that lacks the
most servers first, within three limits: its own, that of all regions together, and the number of servers that
may be starting at once. Setting a lower target removes the ready servers beyond it.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from loadtest.bots.rng import next_exponential, next_normal, next_uniform
from loadtest.simulate.event_queue import push_event
from loadtest.simulate.failures.requeue import (
    DEATHS,
    MATCH_LENGTHS,
    MATCH_OVER,
    PLAYERS_RETURN,
    READY,
    SERVER_DIED,
    STARTUPS,
    queue_again,
    rest,
)
from loadtest.simulate.world import Counter, MatchState, Parameters, SimulatedWorld

# Shapes of random durations. A shape is a number, so that compiled code can choose by it.
CONSTANT = 0  # always the same
EXPONENTIAL = 1  # memoryless, with that mean: queueing theory is exact for it
UNIFORM = 2  # evenly from (1 − spread) times the duration to the duration
LOG_NORMAL = 3  # with that median; spread is the standard deviation of the logarithm

# A region that takes matches and starts servers, does neither, or starts servers only.
OPEN, CLOSED, PAUSED = 0, 1, 2

_MATCHES, _PEAK, _PLAYING_NOW, _RETURNING = (
    int(Counter.MATCHES),
    int(Counter.PEAK),
    int(Counter.PLAYING),
    int(Counter.RETURNING),
)
_PLAYING, _OVER, _CRASHED, _DESERTED = (
    int(MatchState.PLAYING),
    int(MatchState.OVER),
    int(MatchState.CRASHED),
    int(MatchState.DESERTED),
)


@njit(cache=True, nogil=True)
def draw_duration(
    streams: NDArray[np.uint64], stream: int, shape: int, duration_s: float, spread: float
) -> float:
    """Draw a random duration.

    Args:
        streams: uint64[N], states of random streams; ``stream`` is a place in it.
        shape: CONSTANT, EXPONENTIAL, UNIFORM or LOG_NORMAL.
        duration_s: the mean, longest or median, by shape.
        spread: see the shapes.

    Returns:
        Seconds.
    """
    if shape == EXPONENTIAL:
        return float(duration_s * next_exponential(streams, stream))
    if spread <= 0.0:
        return duration_s
    if shape == UNIFORM:
        return float(duration_s * (1.0 - spread * next_uniform(streams, stream)))
    if shape == LOG_NORMAL:
        return duration_s * math.exp(spread * next_normal(streams, stream))
    return duration_s


@njit(cache=True, nogil=True)
def count_server_seconds(world: SimulatedWorld, now_s: float) -> None:
    """Add the server-seconds of every region up to ``now_s``."""
    fleet = world.fleet
    for region in range(fleet.ready.shape[0]):
        passed_s = now_s - fleet.counted_s[region]
        live = fleet.starting[region] + fleet.ready[region] + fleet.allocated[region]
        fleet.server_s[region] += passed_s * live
        fleet.idle_s[region] += passed_s * fleet.ready[region]
        fleet.counted_s[region] = now_s


@njit(cache=True, nogil=True)
def fill(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Start servers until each region has its target or a limit is reached.

    The region that lacks the most is served first. Server-seconds must have been counted up to ``now_s``.
    """
    fleet = world.fleet
    regions = fleet.ready.shape[0]
    live, under_way = 0, 0
    for region in range(regions):
        under_way += fleet.starting[region]
        live += fleet.starting[region] + fleet.ready[region] + fleet.allocated[region]
    while live < parameters.max_servers and under_way < parameters.max_starting:
        neediest, most_missing = -1, 0
        for region in range(regions):
            missing = _missing(world, region)
            if missing > most_missing and fleet.closed[region] != CLOSED:
                here = fleet.starting[region] + fleet.ready[region] + fleet.allocated[region]
                if here < fleet.max_servers[region]:
                    neediest, most_missing = region, missing
        if neediest < 0:
            break
        _start(world, parameters, neediest, now_s)
        live += 1
        under_way += 1
    world.counters[_PEAK] = max(world.counters[_PEAK], live)


@njit(cache=True, nogil=True)
def retarget(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Bring every region to its target: remove ready servers beyond it, then fill."""
    count_server_seconds(world, now_s)
    for region in range(world.fleet.ready.shape[0]):
        world.fleet.ready[region] = min(world.fleet.ready[region], world.fleet.target[region])
    fill(world, parameters, now_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def apply_event(world: SimulatedWorld, parameters: Parameters, event: int, now_s: float) -> int:
    """Apply one event and fill; return the ticket whose players return, or -1.

    Server-seconds must have been counted up to ``now_s``, and there must be spare tickets for the players of
    a match whose server dies.
    """
    fleet, matches = world.fleet, world.matches
    number, kind = event // 4, event % 4
    if kind == PLAYERS_RETURN:
        world.counters[_RETURNING] -= 1
        return int(number)
    if kind == READY:
        fleet.starting[number] -= 1
        fleet.ready[number] += 1
    elif now_s == matches.ends_s[number] and matches.state[number] == _PLAYING:
        fleet.allocated[matches.region[number]] -= 1
        world.counters[_PLAYING_NOW] -= matches.players[number]
        if kind == SERVER_DIED:
            matches.state[number] = _CRASHED
            fleet.died[matches.region[number]] += 1
            queue_again(world, parameters, number, now_s, 0, matches.players[number])
        else:
            matches.state[number] = _OVER
            rest(world, parameters, number, now_s)
    elif now_s == matches.ends_s[number] and matches.state[number] == _DESERTED:
        fleet.allocated[matches.region[number]] -= 1
        fleet.died[matches.region[number]] += kind == SERVER_DIED
    # Otherwise its server was killed before, or its match ends at another time than it was thought to.
    fill(world, parameters, now_s)
    return -1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def allocate(
    world: SimulatedWorld, parameters: Parameters, region: int, mode: int, players: int, now_s: float
) -> int:
    """Give a ready server of the region to a match, start its successor, and return the match's number.

    The region must have a ready server.
    """
    fleet, matches, modes = world.fleet, world.matches, world.modes
    match = world.counters[_MATCHES]
    world.counters[_MATCHES] += 1
    world.counters[_PLAYING_NOW] += players
    fleet.ready[region] -= 1
    fleet.allocated[region] += 1
    fleet.matches[region] += 1
    matches.state[match] = _PLAYING
    matches.region[match] = region
    matches.mode[match] = mode
    matches.players[match] = players
    matches.formed_s[match] = now_s
    length_s = draw_duration(
        world.streams, MATCH_LENGTHS, modes.shape[mode], modes.match_s[mode], modes.spread[mode]
    )
    ends_s = now_s + parameters.place_s + parameters.join_s + length_s + parameters.linger_s
    kind = MATCH_OVER
    if parameters.crash_per_s > 0.0:
        dies_s = now_s + next_exponential(world.streams, DEATHS) / parameters.crash_per_s
        if dies_s < ends_s:
            ends_s, kind = dies_s, SERVER_DIED
    matches.ends_s[match] = ends_s
    push_event(world.events, ends_s, match * 4 + kind)
    fill(world, parameters, now_s)
    return int(match)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _missing(world: SimulatedWorld, region: int) -> int:
    """Return how many servers a region lacks to its target."""
    return int(world.fleet.target[region] - world.fleet.ready[region] - world.fleet.starting[region])


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _start(world: SimulatedWorld, parameters: Parameters, region: int, now_s: float) -> None:
    fleet = world.fleet
    fleet.starting[region] += 1
    fleet.started[region] += 1
    takes_s = draw_duration(
        world.streams, STARTUPS, parameters.startup_shape, fleet.startup_s[region], parameters.startup_spread
    )
    push_event(world.events, now_s + takes_s, region * 4 + READY)
    live = fleet.starting[region] + fleet.ready[region] + fleet.allocated[region]
    fleet.peak[region] = max(fleet.peak[region], live)

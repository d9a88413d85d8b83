"""The warm pool in virtual time: servers start, take a match, and are gone when it is over; the fill starts their successors.

The same rules as the fleet's own pool: a region is filled up to its target, the neediest region first, within its own limit, the
limit of all together, and the starts that may be under way at once. What is ready beyond the target is shed when the target is set.
"""

from __future__ import annotations

from numba import njit

from loadtest.bots.rng import next_exponential
from loadtest.simulate.durations import draw_duration
from loadtest.simulate.event_queue import push_event
from loadtest.simulate.world import Counter, MatchState, Parameters, SimulatedWorld

# The entries of the calendar: a region, match or ticket times four, plus what happens to it.
READY, MATCH_OVER, SERVER_DIED, PLAYERS_RETURN = 0, 1, 2, 3

OPEN, CLOSED, PAUSED = (
    0,
    1,
    2,
)  # a region: takes matches and starts servers, does neither, starts servers only

STARTUPS, MATCH_LENGTHS, DEATHS, RESTS = 0, 1, 2, 3  # random streams

_MATCHES, _PEAK, _PLAYING_NOW, _RETURNING = (
    int(Counter.MATCHES),
    int(Counter.PEAK),
    int(Counter.PLAYING),
    int(Counter.RETURNING),
)
_PLAYING, _OVER, _CRASHED = int(MatchState.PLAYING), int(MatchState.OVER), int(MatchState.CRASHED)


@njit(cache=True, nogil=True)
def count_server_seconds(world: SimulatedWorld, now_s: float) -> None:
    """Count what every region's servers have cost until ``now_s``."""
    fleet = world.fleet
    for region in range(fleet.ready.shape[0]):
        passed_s = now_s - fleet.counted_s[region]
        live = fleet.starting[region] + fleet.ready[region] + fleet.allocated[region]
        fleet.server_s[region] += passed_s * live
        fleet.idle_s[region] += passed_s * fleet.ready[region]
        fleet.counted_s[region] = now_s


@njit(cache=True, nogil=True)
def fill(world: SimulatedWorld, parameters: Parameters, now_s: float) -> None:
    """Start servers until each region has its target or a limit is reached, the neediest first.

    Server-seconds are counted up to ``now_s``.
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
    """Bring every region to the targets that have been set: shed what is ready beyond them, and fill."""
    count_server_seconds(world, now_s)
    for region in range(world.fleet.ready.shape[0]):
        world.fleet.ready[region] = min(world.fleet.ready[region], world.fleet.target[region])
    fill(world, parameters, now_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def apply_event(world: SimulatedWorld, parameters: Parameters, what: int, now_s: float) -> int:
    """Let one entry of the calendar take effect, and fill up; returns the ticket that comes back, or -1.

    Server-seconds are counted up to ``now_s``.
    """
    fleet, matches = world.fleet, world.matches
    number, kind = what // 4, what % 4
    if kind == PLAYERS_RETURN:
        world.counters[_RETURNING] -= 1
        return int(number)
    if kind == READY:
        fleet.starting[number] -= 1
        fleet.ready[number] += 1
    elif matches.state[number] == _PLAYING:  # else its server was killed before
        fleet.allocated[matches.region[number]] -= 1
        world.counters[_PLAYING_NOW] -= matches.players[number]
        if kind == SERVER_DIED:
            matches.state[number] = _CRASHED
            fleet.died[matches.region[number]] += 1
        else:
            matches.state[number] = _OVER
            _rest(world, parameters, number, now_s)
    fill(world, parameters, now_s)
    return -1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def allocate(
    world: SimulatedWorld, parameters: Parameters, region: int, mode: int, players: int, now_s: float
) -> int:
    """Give a ready server to a match, and start its successor; returns the match's number. There must be one ready."""
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
    ends_s = now_s + parameters.join_s + length_s + parameters.linger_s
    kind = MATCH_OVER
    if parameters.crash_per_s > 0.0:
        dies_s = now_s + next_exponential(world.streams, DEATHS) / parameters.crash_per_s
        if dies_s < ends_s:
            ends_s, kind = dies_s, SERVER_DIED
    matches.ends_s[match] = ends_s
    push_event(world.events, ends_s, match * 4 + kind)
    fill(world, parameters, now_s)
    return int(match)


@njit(cache=True, nogil=True)
def kill_servers(world: SimulatedWorld, parameters: Parameters, region: int, count: int, now_s: float) -> int:
    """Kill up to ``count`` servers that play, the oldest match first, in one region or (-1) in any; returns how many."""
    count_server_seconds(world, now_s)
    killed = 0
    for match in range(world.counters[_MATCHES]):
        if killed == count:
            break
        where = world.matches.region[match]
        if world.matches.state[match] == _PLAYING and (region < 0 or where == region):
            world.matches.state[match] = _CRASHED
            world.matches.ends_s[match] = now_s
            world.fleet.allocated[where] -= 1
            world.fleet.died[where] += 1
            world.counters[_PLAYING_NOW] -= world.matches.players[match]
            killed += 1
    fill(world, parameters, now_s)
    return killed


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _missing(world: SimulatedWorld, region: int) -> int:
    """Servers that a region lacks to its target."""
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


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _rest(world: SimulatedWorld, parameters: Parameters, match: int, now_s: float) -> None:
    """Those of a match who play on will come back after a while."""
    ticket = world.matches.first_ticket[match]
    while ticket >= 0:
        if world.tickets.next_ticket[ticket] >= 0:
            rest_s = parameters.think_s * next_exponential(world.streams, RESTS)
            push_event(world.events, now_s + rest_s, world.tickets.next_ticket[ticket] * 4 + PLAYERS_RETURN)
            world.counters[_RETURNING] += 1
        ticket = world.records.next_in_match[ticket]

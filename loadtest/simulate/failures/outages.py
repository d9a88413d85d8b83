"""Faults of the fleet: servers that are killed in their match, and regions that are cut off from players."""

from __future__ import annotations

import numpy as np
from numba import njit

from loadtest.bots.rng import next_uniform
from loadtest.simulate.failures.requeue import KILLS, assigned_s, meet_cut, over_s, queue_again
from loadtest.simulate.warm_pool import count_server_seconds, fill
from loadtest.simulate.world import Counter, MatchState, Parameters, SimulatedWorld

RETRY_S = 0.25  # between two looks for a server to kill, while too few have a match
SEEN_S = 1.0  # from the assignment until a server's report says that its match is played: one a second

_MATCHES, _PLAYING_NOW = int(Counter.MATCHES), int(Counter.PLAYING)
_PLAYING, _CRASHED, _DESERTED = (
    int(MatchState.PLAYING),
    int(MatchState.CRASHED),
    int(MatchState.DESERTED),
)


@njit(cache=True, nogil=True)
def kill_servers(world: SimulatedWorld, parameters: Parameters, region: int, count: int, now_s: float) -> int:
    """Kill up to ``count`` servers whose matches are played, chosen at random, and return how many.

    Their players queue again, for whom there must be spare tickets. ``region`` -1 means any region.
    """
    count_server_seconds(world, now_s)
    matches = world.matches
    played = np.empty(world.counters[_MATCHES], np.int64)
    left = 0
    for match in range(world.counters[_MATCHES]):
        alive = matches.state[match] == _PLAYING or matches.state[match] == _DESERTED
        if (
            alive
            and (region < 0 or matches.region[match] == region)
            and assigned_s(world, parameters, match) + SEEN_S <= now_s < over_s(world, parameters, match)
        ):
            played[left] = match
            left += 1
    victims = np.empty(min(count, left), np.int64)
    herd = 0
    for place in range(victims.shape[0]):
        chosen = int(next_uniform(world.streams, KILLS) * left)
        victims[place] = played[chosen]
        herd += matches.players[played[chosen]]
        played[chosen : left - 1] = played[chosen + 1 : left].copy()
        left -= 1
    before = 0
    for victim in victims:
        _kill(world, parameters, victim, now_s, before, herd)
        before += matches.players[victim]
    fill(world, parameters, now_s)
    return int(victims.shape[0])


@njit(cache=True, nogil=True)
def cut_region(
    world: SimulatedWorld, parameters: Parameters, region: int, for_s: float, now_s: float
) -> None:
    """Let no datagram pass between players and the servers of a region for ``for_s`` seconds.

    Players who lose their match queue again, for whom there must be spare tickets. The matchmaker knows
    nothing of it, and forms matches there as before.
    """
    fleet = world.fleet
    if fleet.cut_until_s[region] <= now_s:
        fleet.cut_from_s[region] = now_s
    fleet.cut_until_s[region] = max(fleet.cut_until_s[region], now_s + for_s)
    for match in range(world.counters[_MATCHES]):
        if world.matches.state[match] == _PLAYING and world.matches.region[match] == region:
            meet_cut(world, parameters, match)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _kill(
    world: SimulatedWorld, parameters: Parameters, match: int, now_s: float, before: int, herd: int
) -> None:
    matches, region = world.matches, world.matches.region[match]
    if matches.state[match] == _PLAYING:
        world.counters[_PLAYING_NOW] -= matches.players[match]
        queue_again(world, parameters, match, now_s, before, herd)
    matches.state[match] = _CRASHED
    matches.ends_s[match] = now_s
    world.fleet.allocated[region] -= 1
    world.fleet.died[region] += 1

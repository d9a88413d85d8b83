"""Connections: the connects and disconnects of a tick, and what they mean in the match."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import INNER, STAGE
from dedicated_server.protocol.datagrams import CONNECTED, LEFT, TIMED_OUT
from dedicated_server.protocol.server.state import (
    ARRIVES,
    EMPTIED,
    EXPECTED,
    GONE,
    NEWCOMER,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    VACATED,
    ServerState,
)
from dedicated_server.simulation.damage import come_back, forget_player, spawn, vacate
from dedicated_server.simulation.event_buffer import PLAYER_CONNECTED, PLAYER_LEFT, PLAYER_TIMED_OUT, emit
from dedicated_server.simulation.world import APPLIED_INPUT, NO_INPUT, NOBODY, PRESENT, World


@njit(cache=True, nogil=True, **INNER)
def emit_connection(world: World, wire: ServerState, player: int) -> None:
    """Emit that a player came or went with this tick's datagrams."""
    kind = 0
    if wire.per_slot[NEWLY_CONNECTED, player]:
        kind = PLAYER_CONNECTED
    elif wire.per_slot[NEWLY_LOST, player] and wire.status[player] == TIMED_OUT:
        kind = PLAYER_TIMED_OUT
    elif wire.per_slot[NEWLY_LOST, player] and wire.status[player] == LEFT:
        kind = PLAYER_LEFT
    if kind:
        emit(world, kind, player, NOBODY, NOBODY, NOBODY, 0)


@njit(cache=True, nogil=True, **STAGE)
def apply_connection_changes(
    world: World,
    wire: ServerState,
    joined: npt.NDArray[np.bool_],
    lost: npt.NDArray[np.bool_],
    playing: bool,
    silent_since_s: float,
) -> int:
    """Apply the connects and disconnects of this tick's datagrams.

    Return how many players have ever connected.

    ``joined`` (bool[N]): has been connected. ``lost`` (bool[N]): timed out and not back.

    A slot without a player has no body: that of who leaves dies, and so does that of a released slot, and of
    a player who timed out and has not been heard since ``silent_since_s`` (the time of ticks). Until then who
    timed out stays standing, as a reconnect gets the same slot back. A newcomer of a running match spawns
    when they connect; who comes back to a slot without a body waits as the dead do, where the dead return.
    """
    ever_joined = 0
    for player in range(len(joined)):
        emit_connection(world, wire, player)
        if wire.per_slot[NEWCOMER, player] == ARRIVES:
            wire.per_slot[NEWCOMER, player] = 0
        _vacate_when_due(world, wire, player, playing, silent_since_s)
        if wire.per_slot[NEWLY_CONNECTED, player]:
            joined[player] = True
            lost[player] = False
            world.status[APPLIED_INPUT, player] = NO_INPUT  # a new session counts its inputs anew
            if wire.per_slot[NEWCOMER, player] == EXPECTED:
                wire.per_slot[NEWCOMER, player] = ARRIVES
                if playing:
                    forget_player(world, player)
                    spawn(world, player)
            elif playing and not world.status[PRESENT, player]:
                come_back(world, player)
        if wire.per_slot[NEWLY_LOST, player] and wire.status[player] != CONNECTED:
            if wire.status[player] == TIMED_OUT:
                lost[player] = True
            elif wire.status[player] == LEFT and playing:
                vacate(world, player)
        ever_joined += joined[player]
    return ever_joined


@njit(cache=True, nogil=True, **INNER)
def _vacate_when_due(
    world: World, wire: ServerState, player: int, playing: bool, silent_since_s: float
) -> None:
    vacated = wire.per_slot[VACATED]
    if vacated[player] == GONE:
        vacated[player] = 0
    silent = wire.status[player] == TIMED_OUT and wire.slots[player].received_at_s < silent_since_s
    if vacated[player] == EMPTIED or (silent and playing and world.status[PRESENT, player]):
        vacated[player] = GONE
        if playing:
            vacate(world, player)

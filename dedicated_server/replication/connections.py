"""Connections: the connects and disconnects of a tick, and what they mean in the match."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.native.compilation import STAGE
from dedicated_server.protocol.datagrams import CONNECTED, LEFT, TIMED_OUT
from dedicated_server.protocol.server.state import (
    ARRIVES,
    EXPECTED,
    NEWCOMER,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    ServerState,
)
from dedicated_server.simulation.damage import die, spawn
from dedicated_server.simulation.world import ALIVE, APPLIED_INPUT, NO_INPUT, NOBODY, World


@njit(cache=True, nogil=True, **STAGE)
def apply_connection_changes(
    world: World,
    wire: ServerState,
    joined: npt.NDArray[np.bool_],
    lost: npt.NDArray[np.bool_],
    playing: bool,
) -> int:
    """Apply the connects and disconnects of this tick's datagrams.

    Return how many players have ever connected.

    ``joined`` (bool[N]): has been connected. ``lost`` (bool[N]): timed out and not back. A player who leaves
    while alive dies. A player who times out stays standing, as a reconnect gets the same slot back. A
    newcomer of a running match spawns when they connect.
    """
    ever_joined = 0
    for player in range(len(joined)):
        if wire.per_slot[NEWCOMER, player] == ARRIVES:
            wire.per_slot[NEWCOMER, player] = 0
        if wire.per_slot[NEWLY_CONNECTED, player]:
            joined[player] = True
            lost[player] = False
            world.status[APPLIED_INPUT, player] = NO_INPUT  # a new session counts its inputs anew
            if wire.per_slot[NEWCOMER, player] == EXPECTED:
                wire.per_slot[NEWCOMER, player] = ARRIVES
                if playing:
                    spawn(world, player)
        if wire.per_slot[NEWLY_LOST, player] and wire.status[player] != CONNECTED:
            if wire.status[player] == TIMED_OUT:
                lost[player] = True
            elif wire.status[player] == LEFT and playing and world.status[ALIVE, player]:
                die(world, player, NOBODY)
        ever_joined += joined[player]
    return ever_joined

"""The stages of a tick around the match itself, each one compiled call over all players.

`engine.Engine.tick` calls them in their order; what they do is in the packages that they call. All arrays travel as one address, see
`pinned`.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt
from numba import njit, typeof

from dedicated_server.compilation import STAGE
from dedicated_server.native.memory import load_state
from dedicated_server.netcode.meter import meter
from dedicated_server.pages import Zeros
from dedicated_server.protocol.fields import MATCH_FIELDS
from dedicated_server.protocol.server.state import (
    DEFAULT_BUDGET_BYTES,
)
from dedicated_server.protocol.server.wire import (
    ServerState,
    ServerWire,
    encode_batch,
    open_batch,
    seal_batch,
)
from dedicated_server.replication.combat_hints import CombatHints, new_combat_hints, update_combat_hints
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.replication.interest import Interest, new_interest, select_entities
from dedicated_server.replication.replicate import replicate_world
from dedicated_server.simulation.grid import Grid, new_grid
from dedicated_server.simulation.world import RULES, World, new_world
from dedicated_server.transport.base import Inbox, new_inbox


class TickArrays(NamedTuple):
    """All arrays of one match and its clients; N players."""

    inbox: Inbox
    wire: ServerState
    world: World
    grid: Grid
    interest: Interest
    hints: CombatHints
    records: npt.NDArray[np.int64]  # [N] the wire's form of each entity
    match_state: npt.NDArray[np.int32]  # [6] and of the match
    sent_bytes: npt.NDArray[np.int64]  # [N] to each client so far, headers included
    joined: npt.NDArray[np.bool_]  # [N] has been connected
    lost: npt.NDArray[np.bool_]  # [N] timed out and not back, or never came


def gather_arrays(
    inbox: Inbox, wire: ServerState, world: World, grid: Grid, teams: npt.ArrayLike, zeros: Zeros = np.zeros
) -> TickArrays:
    """Put together what is there, and allocate the rest."""
    players = len(wire.status)
    return TickArrays(
        inbox=inbox,
        wire=wire,
        world=world,
        grid=grid,
        interest=new_interest(teams, zeros),
        hints=new_combat_hints(players, zeros),
        records=zeros(players, dtype=np.int64),
        match_state=zeros(len(MATCH_FIELDS), dtype=np.int32),
        sent_bytes=zeros(players, dtype=np.int64),
        joined=zeros(players, dtype=np.bool_),
        lost=zeros(players, dtype=np.bool_),
    )


def _example() -> TickArrays:
    wire = ServerWire(fleet_key=bytes(32), match_id=UUID(int=0), player_ids=[1], host="127.0.0.1", port=1)
    world = new_world([0], np.zeros((2, 1)), np.zeros(RULES))
    return gather_arrays(new_inbox(1), wire.state, world, new_grid(1, 1.0, 1.0), [0])


TICK_TYPE: Final = typeof(_example())


@njit(cache=True, nogil=True, **STAGE)
def open_datagrams(state: int, count: int, now_s: float, tick: int, playing: bool) -> int:
    """Decode what arrived, answer handshakes, note who came and went; return how many players have ever come."""
    arrays = load_state(state, TICK_TYPE)
    inbox = arrays.inbox
    open_batch(arrays.wire, inbox.data, inbox.length, inbox.address, count, now_s, tick)
    come = apply_connection_changes(arrays.world, arrays.wire, arrays.joined, arrays.lost, playing)
    return int(come)


@njit(cache=True, nogil=True, **STAGE)
def update_interest(state: int, tick: int, phase: int, countdown_ticks: int, every: int) -> None:
    """Put the tick's result into the wire's units, and choose for each client what to tell it of that."""
    arrays = load_state(state, TICK_TYPE)
    update_combat_hints(arrays.world, arrays.hints)
    replicate_world(arrays.world, arrays.wire, arrays.records, arrays.match_state, phase, countdown_ticks)
    select_entities(
        arrays.world, arrays.grid, arrays.interest, arrays.wire, DEFAULT_BUDGET_BYTES, tick, every
    )


@njit(cache=True, nogil=True, **STAGE)
def encode_snapshots(state: int, tick: int) -> None:
    """Write every client's snapshot, and count its bytes."""
    arrays = load_state(state, TICK_TYPE)
    interest = arrays.interest
    encode_batch(
        arrays.wire,
        tick,
        arrays.records,
        interest.selected,
        interest.selected_count,
        interest.left,
        interest.left_count,
        arrays.match_state,
        arrays.hints.told,
    )
    meter(arrays.sent_bytes, arrays.wire)


@njit(cache=True, nogil=True, **STAGE)
def seal_datagrams(state: int, now_s: float) -> None:
    """Seal the snapshots, behind the replies to handshakes, ready to be sent."""
    seal_batch(load_state(state, TICK_TYPE).wire, now_s)

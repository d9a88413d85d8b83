"""A recorded match as it is played again, a tick at a time; its state can be kept, and put back.

It runs the same compiled stages as the server: what the wire would have decoded is put where the wire puts
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.modes import open_match
from dedicated_server.native.compilation import STAGE
from dedicated_server.protocol.datagrams import CONNECTED, LEFT, TIMED_OUT, VACANT
from dedicated_server.protocol.fields import VIEW_FRACTIONS
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_OLDEST_VIEW,
    INPUT_RING,
    INPUT_TICK,
    INPUT_VIEW_FRACTION,
    INPUT_VIEW_TICK,
    INPUT_YAW,
)
from dedicated_server.protocol.server.state import (
    EMPTIED,
    EXPECTED,
    NEWCOMER,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    VACATED,
)
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.recording.file import (
    CONNECTED_KIND,
    DISCONNECTED_KIND,
    NEWCOMER_KIND,
    VACATED_KIND,
    Chunk,
    DamagedRecordingError,
)
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.simulation.match import BadRosterError, MatchConfig
from dedicated_server.simulation.world import Inputs

MAX_TICK: Final = 2**31 - 1
NEVER_S: Final = -math.inf  # nobody has been silent since then: whose body goes is in the recording
SCRATCH: Final = frozenset({"events", "shots", "hits"})  # of a world: written anew in each tick


class Moment(NamedTuple):
    """The state of a match between two ticks."""

    arrays: tuple[npt.NDArray[Any], ...]
    started: bool
    over: bool
    tick: int
    ticks: int

    @property
    def size_bytes(self) -> int:
        """How much memory it takes."""
        return sum(array.nbytes for array in self.arrays)


class Playback:
    """A match whose wire nobody is connected to.

    Args:
        config: the match that was recorded.

    Attributes:
        match: as it is after the tick played last.
        tick: the server tick of that, 0 before the first.
        ticks: how many were played.

    Raises DamagedRecordingError where such a match cannot be.
    """

    def __init__(self, config: MatchConfig) -> None:
        players = len(config.players)
        self._wire = ServerWire(
            fleet_key=bytes(32),
            match_id=config.match_id,
            player_ids=[0] * players,
            host="0.0.0.0",
            port=0,
            secret=bytes(SECRET_BYTES),  # nobody connects
        )
        try:
            self.match = open_match(config, Inputs(newest=self._wire.input_newest, rows=self._wire.inputs))
        except BadRosterError as error:
            raise DamagedRecordingError(f"the match cannot be played: {error}") from None
        self._joined = np.zeros(players, np.bool_)
        self._lost = np.zeros(players, np.bool_)
        self._cursor = np.zeros(3, np.int64)
        self.tick = 0
        self.ticks = 0

    @property
    def connected(self) -> npt.NDArray[np.bool_]:
        """Who is connected: bool[P]."""
        connected: npt.NDArray[np.bool_] = self._wire.status == CONNECTED
        return connected

    def play(self, chunk: Chunk) -> Iterator[npt.NDArray[Any]]:
        """Play the ticks of a chunk, one at each step; gives the events of each.

        Raises DamagedRecordingError.
        """
        change = 0
        self._cursor[:] = 0
        for at in range(len(chunk.tick_step)):
            self.tick += int(chunk.tick_step[at])
            if self.tick > MAX_TICK:
                raise DamagedRecordingError("a tick beyond the last")
            changes = slice(change, change + int(chunk.changes[at]))
            change = changes.stop
            self._change_connections(chunk, changes)
            self._put_inputs(chunk)
            if chunk.started[at]:
                if self.match.started:
                    raise DamagedRecordingError("a match that starts twice")
                self.match.start(self._joined & (self._wire.status != LEFT), self.tick)
            self.match.apply(self.tick)
            self.match.simulate()
            self.ticks += 1
            yield self.match.drain_events()

    def keep(self) -> Moment:
        """Copy the state as it is now, between two chunks."""
        arrays = tuple(array.copy() for array in self._arrays())
        return Moment(arrays, self.match.started, self.match.over, self.tick, self.ticks)

    def put_back(self, moment: Moment) -> None:
        """Go on from a state that was kept of this match, by this playback or another."""
        for array, kept in zip(self._arrays(), moment.arrays, strict=True):
            array[...] = kept
        self.match.drain_events()
        self.match.started, self.match.over = moment.started, moment.over
        self.tick, self.ticks = moment.tick, moment.ticks

    def _arrays(self) -> Iterator[npt.NDArray[Any]]:
        wire, world = self._wire, self.match.world
        for name, array in world._asdict().items():
            if name not in SCRATCH:
                yield array
        yield from (wire.inputs, wire.input_newest, wire.status, wire.state.per_slot)
        yield from (self._joined, self._lost)

    def _change_connections(self, chunk: Chunk, changes: slice) -> None:
        """Apply connects and disconnects before any inputs: those of a new session come after its connect."""
        slots, kinds, status = (
            column[changes] for column in (chunk.change_slot, chunk.change_kind, chunk.change_status)
        )
        if not len(slots):
            return
        vacated = kinds & VACATED_KIND != 0
        known = np.isin(status, (CONNECTED, TIMED_OUT, LEFT)) | (vacated & (status == VACANT))
        if slots.max() >= len(self._joined) or not known.all():
            raise DamagedRecordingError("a player connects or disconnects who is not in the match")
        wire = self._wire
        wire.state.per_slot[NEWLY_CONNECTED, slots] = (kinds & CONNECTED_KIND) != 0
        wire.state.per_slot[NEWLY_LOST, slots] = (kinds & DISCONNECTED_KIND) != 0
        wire.state.per_slot[NEWCOMER, slots] = EXPECTED * ((kinds & NEWCOMER_KIND) != 0)
        wire.state.per_slot[VACATED, slots] = EMPTIED * vacated
        wire.status[slots] = status
        self._joined[slots[vacated & (status == VACANT)]] = False
        came = slots[(kinds & CONNECTED_KIND) != 0]
        wire.inputs[came, :, INPUT_TICK] = 0
        wire.input_newest[came] = 0
        playing = self.match.started and not self.match.over
        apply_connection_changes(self.match.world, wire.state, self._joined, self._lost, playing, NEVER_S)
        wire.newly_connected[:] = 0
        wire.newly_lost[:] = 0

    def _put_inputs(self, chunk: Chunk) -> None:
        """Put the inputs that are new in this tick where the wire would put them."""
        if not put_inputs(chunk, self._cursor, self._wire.inputs, self._wire.input_newest, self.tick):
            raise DamagedRecordingError("an input of no player of the match, or of an impossible tick")


@njit(cache=True, nogil=True, **STAGE)
def put_inputs(
    chunk: Chunk,
    cursor: npt.NDArray[np.int64],
    inputs: npt.NDArray[np.int32],
    newest: npt.NDArray[np.int32],
    tick: int,
) -> bool:
    """Put the inputs of one tick of a chunk into the wire's rings; False where one of them is impossible.

    ``cursor`` (int64[3]): the tick's place in the chunk, and how many updates and rows have been read. It is
    moved on. ``inputs`` (int32[N, INPUT_RING, INPUT_COLUMNS]) and ``newest`` (int32[N]): the wire's.
    ``tick``: the server tick.
    """
    at, updates, row = cursor[0], cursor[1], cursor[2]
    for _ in range(chunk.updates[at]):
        slot = np.int64(chunk.update_slot[updates])
        if slot >= len(newest):
            return False
        client_tick = np.int64(newest[slot]) + chunk.update_step[updates]
        if client_tick < 0 or client_tick > MAX_TICK:
            return False
        for _ in range(chunk.update_rows[updates]):
            input_tick, view_tick = client_tick - chunk.row_lag[row], tick - chunk.row_view_lag[row]
            if input_tick < 1 or input_tick > MAX_TICK or view_tick < 0 or view_tick > MAX_TICK:
                return False
            oldest, fraction = tick - chunk.row_oldest_lag[row], chunk.row_view_fraction[row]
            if oldest < 0 or oldest > MAX_TICK or fraction >= VIEW_FRACTIONS:
                return False
            place = inputs[slot, input_tick % INPUT_RING]
            place[INPUT_TICK] = input_tick
            place[INPUT_MOVE_X] = chunk.row_move_x[row]
            place[INPUT_MOVE_Y] = chunk.row_move_y[row]
            place[INPUT_YAW] = chunk.row_yaw[row]
            place[INPUT_BUTTONS] = chunk.row_buttons[row]
            place[INPUT_VIEW_TICK] = view_tick
            place[INPUT_VIEW_FRACTION] = fraction
            place[INPUT_OLDEST_VIEW] = oldest
            row += 1
        newest[slot] = client_tick
        updates += 1
    cursor[0], cursor[1], cursor[2] = at + 1, updates, row
    return True

"""The recorder: follows a match's ticks, and writes what decided them to a file.

In the tick it costs one compiled call that collects what is new, and once a second a hash of the state. A
thread packs and writes. Memory is bounded: when the disk does not keep up, or the file has become too large,
the recording ends and says so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import structlog
from numba import njit

from dedicated_server.native.compilation import STAGE
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
    ARRIVES,
    GONE,
    INPUT_NEWEST,
    NEWCOMER,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    VACATED,
    ServerState,
)
from dedicated_server.recording.description import describe, describe_roster
from dedicated_server.recording.file import (
    CHANGES,
    CHECK_BYTES,
    CHUNK,
    CHUNK_TICKS,
    CONNECTED_KIND,
    DISCONNECTED_KIND,
    END,
    MATCH,
    NEWCOMER_KIND,
    ROSTER,
    ROWS,
    TICKS,
    UPDATES,
    VACATED_KIND,
    Chunk,
    SectionWriter,
    new_chunk,
    pack_chunk,
    used_part,
)
from dedicated_server.simulation.match import roster_of
from dedicated_server.simulation.world import EVENT_COUNT, World

if TYPE_CHECKING:
    from dedicated_server.simulation.match import MatchConfig, RosterPlayer
    from launchday.clock import Clock

MAX_FILE_BYTES: Final = 512 << 20  # of a file: a hundred players for four hours
WAITING_CHUNKS: Final = 8  # seconds that the disk may lag behind
CLOSE_S: Final = 5.0  # how long the end of a match waits for the disk
CHANGES_PER_PLAYER: Final = 4
ROWS_PER_PLAYER: Final = 3 * CHUNK_TICKS  # room in a chunk; a full one ends early

ENDED, TOO_LARGE, TOO_SLOW, FAILED = "ended", "too large", "the disk is too slow", "the disk refused"

log = structlog.get_logger()


class RecordedInputs(NamedTuple):
    """The inputs that have been recorded so far, of N players."""

    input_tick: npt.NDArray[np.int32]  # [N, INPUT_RING]
    newest: npt.NDArray[np.int32]  # [N]


class Recorder:
    """Records one match.

    Args:
        path: the file. Its folder is created.
        config: the match.
        clock: starts the thread that writes.
        max_bytes: of the file; beyond it the recording ends.

    Attributes:
        ended: why the recording ended; None while it goes on.

    Raises OSError where the file cannot be created. Later faults of the disk only end the recording.
    """

    def __init__(
        self, path: Path, config: MatchConfig, clock: Clock, *, max_bytes: int = MAX_FILE_BYTES
    ) -> None:
        players = len(config.players)
        self.path = path
        self.ended: str | None = None
        self._max_bytes = max_bytes
        self._recorded = RecordedInputs(
            np.zeros((players, INPUT_RING), np.int32), np.zeros(players, np.int32)
        )
        self._chunk = _room(players)
        self._counts: npt.NDArray[np.int64] = np.zeros(
            4, np.int64
        )  # ticks, changes, updates, rows in the chunk
        self._last_tick = 0
        self._started = False
        self._roster = roster_of(config)
        self._roster_changes: list[bytes] = []
        self._waiting: queue.Queue[tuple[int, bytes] | None] = queue.Queue(WAITING_CHUNKS)
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("wb")
        self._writer = SectionWriter(self._file)
        self._waiting.put((MATCH, json.dumps(describe(config)).encode()))
        self._thread = clock.start_thread(self._write, "recorder")

    def record_tick(
        self,
        tick: int,
        started: bool,
        wire: ServerState,
        world: World,
        roster: tuple[RosterPlayer, ...] | None = None,
    ) -> None:
        """Record a tick that has been simulated.

        ``started``: whether the match is being played. ``roster``: who has the slots; None: nobody else.
        """
        if self.ended is not None:
            return
        if roster is not None and roster is not self._roster:
            self._note_roster(tick, roster)
        begins, self._started = started and not self._started, started
        append_tick(self._chunk, self._counts, self._recorded, wire, tick, tick - self._last_tick, begins)
        self._last_tick = tick
        if self._counts[TICKS] == CHUNK_TICKS or self._is_full():
            self._hand_over(world)

    def finish(
        self, world: World, placements: Sequence[int] | npt.NDArray[np.int32], reason: str = ENDED
    ) -> None:
        """Write what is left and close the file, at the end of the match.

        Waits for the disk, at most ``CLOSE_S``.
        """
        if self.ended is None:
            if self._counts[TICKS]:
                self._hand_over(world)
            end = {
                "reason": reason,
                "ticks": self._last_tick,
                "placements": [int(place) for place in placements],
            }
            self._put(END, json.dumps(end).encode())
            self.ended = self.ended or reason
        if self._thread.is_alive():
            with contextlib.suppress(queue.Full):
                self._waiting.put(None, timeout=CLOSE_S)
        self._thread.join(CLOSE_S)

    def _is_full(self) -> bool:
        players = len(self._recorded.newest)
        return bool(
            self._counts[ROWS] + players * INPUT_RING > len(self._chunk.row_lag)
            or self._counts[CHANGES] + players > len(self._chunk.change_slot)
        )

    def _hand_over(self, world: World) -> None:
        used = used_part(self._chunk, self._counts.tolist())
        self._put(CHUNK, pack_chunk(used, state_hash(world)))
        self._counts[:] = 0
        while self._roster_changes:
            self._put(ROSTER, self._roster_changes.pop(0))

    def _note_roster(self, tick: int, roster: tuple[RosterPlayer, ...]) -> None:
        """Note who has a slot from a tick on: it is written behind the chunk of that tick."""
        change = describe_roster(tick, self._roster, roster)
        if change["players"]:
            self._roster_changes.append(json.dumps(change).encode())
        self._roster = roster

    def _put(self, kind: int, body: bytes) -> None:
        if self.ended is not None:
            return
        if self._writer.written_bytes > self._max_bytes:
            self.ended = TOO_LARGE
        else:
            try:
                self._waiting.put_nowait((kind, body))
            except queue.Full:
                self.ended = TOO_SLOW
        if self.ended is not None:
            log.warning("the recording ends early", path=str(self.path), reason=self.ended)

    def _write(self) -> None:
        """The thread."""
        try:
            with self._file:
                while (section := self._waiting.get()) is not None:
                    self._writer.write(*section)
        except OSError as error:
            self.ended = FAILED
            log.warning("the recording ends early", path=str(self.path), reason=str(error))
            self._cut_to_whole_sections()

    def _cut_to_whole_sections(self) -> None:
        """Leave a recording up to the last section that the disk took whole; no file where it took none."""
        if not self.path.is_file():  # a device or a pipe that somebody gave
            return
        with contextlib.suppress(OSError):
            if self._writer.sections:
                os.truncate(self.path, self._writer.written_bytes)
            else:
                self.path.unlink()


def load_kernels(wire: ServerState) -> None:
    """Compile or load what a recorder calls in a tick."""
    players = len(wire.status)
    known = RecordedInputs(np.zeros((players, INPUT_RING), np.int32), np.zeros(players, np.int32))
    append_tick(_room(players), np.zeros(4, np.int64), known, wire, 1, 1, False)


def state_hash(world: World) -> bytes:
    """Hash all state of a match to CHECK_BYTES bytes.

    Events are left out: when they are drained depends on the caller, and what they report is in the state.
    """
    digest = hashlib.blake2b(digest_size=CHECK_BYTES)
    for array in (
        world.body,
        world.status,
        world.position_history,
        world.counters[:EVENT_COUNT],
        world.spawns,
        world.boxes,
        world.objects,
        world.object_status,
        world.scores,
        world.own_players,
        world.own_teams,
        world.own_match,
    ):
        digest.update(np.ascontiguousarray(array).data)
    return digest.digest()


@njit(cache=True, nogil=True, **STAGE)
def append_tick(
    chunk: Chunk,
    counts: npt.NDArray[np.int64],
    known: RecordedInputs,
    wire: ServerState,
    tick: int,
    tick_step: int,
    begins: bool,
) -> None:
    """Append one tick to ``chunk``.

    Connects and disconnects, and the inputs that ``known`` does not hold yet.
    """
    changes, updates, rows = counts[CHANGES], counts[UPDATES], counts[ROWS]
    first_change, first_update = changes, updates
    for slot in range(len(known.newest)):
        came, went = wire.per_slot[NEWLY_CONNECTED, slot] != 0, wire.per_slot[NEWLY_LOST, slot] != 0
        vacated = wire.per_slot[VACATED, slot] == GONE
        if came or went or vacated:
            chunk.change_slot[changes] = slot
            new = wire.per_slot[NEWCOMER, slot] == ARRIVES
            chunk.change_kind[changes] = (
                CONNECTED_KIND * came
                + DISCONNECTED_KIND * went
                + NEWCOMER_KIND * new
                + VACATED_KIND * vacated
            )
            chunk.change_status[changes] = wire.status[slot]
            changes += 1
        if came:  # a new session counts its inputs anew
            known.newest[slot] = 0
            known.input_tick[slot, :] = 0
        newest, first_row = wire.per_slot[INPUT_NEWEST, slot], rows
        for place in range(INPUT_RING):
            row = wire.inputs[slot, place]
            if row[INPUT_TICK] != known.input_tick[slot, place]:
                known.input_tick[slot, place] = row[INPUT_TICK]
                chunk.row_lag[rows] = newest - row[INPUT_TICK]
                chunk.row_move_x[rows] = row[INPUT_MOVE_X]
                chunk.row_move_y[rows] = row[INPUT_MOVE_Y]
                chunk.row_yaw[rows] = row[INPUT_YAW]
                chunk.row_buttons[rows] = row[INPUT_BUTTONS]
                chunk.row_view_lag[rows] = tick - row[INPUT_VIEW_TICK]
                chunk.row_view_fraction[rows] = row[INPUT_VIEW_FRACTION]
                chunk.row_oldest_lag[rows] = tick - row[INPUT_OLDEST_VIEW]
                rows += 1
        if newest != known.newest[slot] or rows > first_row:
            chunk.update_slot[updates] = slot
            chunk.update_step[updates] = newest - known.newest[slot]
            chunk.update_rows[updates] = rows - first_row
            known.newest[slot] = newest
            updates += 1
    at = counts[TICKS]
    chunk.tick_step[at] = tick_step
    chunk.started[at] = begins
    chunk.changes[at] = changes - first_change
    chunk.updates[at] = updates - first_update
    counts[TICKS], counts[CHANGES], counts[UPDATES], counts[ROWS] = at + 1, changes, updates, rows


def _room(players: int) -> Chunk:
    rows = players * (ROWS_PER_PLAYER + INPUT_RING)
    return new_chunk((CHUNK_TICKS, CHANGES_PER_PLAYER * players, players * CHUNK_TICKS, rows))

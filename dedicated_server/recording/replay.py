"""Replay: play a recorded match again, and compare its state with the recording every second, bit for bit.

It runs the same compiled stages as the server: what the wire would have decoded is put where the wire puts
it.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import numpy as np
import numpy.typing as npt
from numba import njit

from dedicated_server.cards import ModeCard, cards_in_force, unknown_mode
from dedicated_server.modes import UnknownModeError, open_match
from dedicated_server.native.compilation import STAGE
from dedicated_server.protocol.datagrams import CONNECTED, LEFT, TIMED_OUT
from dedicated_server.protocol.fields import MAX_ENTITIES
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_RING,
    INPUT_TICK,
    INPUT_VIEW_TICK,
    INPUT_YAW,
)
from dedicated_server.protocol.server.state import EXPECTED, NEWCOMER, NEWLY_CONNECTED, NEWLY_LOST
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.recording.file import (
    CHUNK,
    CONNECTED_KIND,
    DISCONNECTED_KIND,
    END,
    MATCH,
    NEWCOMER_KIND,
    Chunk,
    DamagedRecordingError,
    Section,
    read_sections,
    unpack_chunk,
)
from dedicated_server.recording.recorder import state_hash
from dedicated_server.replication.connections import apply_connection_changes
from dedicated_server.simulation.match import BadRosterError, MatchConfig, RosterPlayer
from dedicated_server.simulation.world import KILLS, Inputs

MAX_TICK: Final = 2**31 - 1
MAX_MATCH_S: Final = 24 * 3_600.0


@dataclass(frozen=True)
class ReplayDifference:
    """Where a replay differs from the recording."""

    tick: int
    what: str


@dataclass(frozen=True)
class ReplayResult:
    """How a replay went.

    Attributes:
        config: the match.
        ticks: how many were played again.
        compared: states compared with the recording's, one a second.
        difference: the first that was not equal to the last bit; None: there was none.
        ended: why the recording ends; None: the server did not live to say.
        placements: by entity, as they stand at the end of the replay.
        kills: of all players together.
    """

    config: MatchConfig
    ticks: int
    compared: int
    difference: ReplayDifference | None
    ended: str | None
    placements: tuple[int, ...]
    kills: int

    @property
    def identical(self) -> bool:
        """Whether the replay is the match that was recorded, bit for bit, as far as the recording goes."""
        return self.difference is None


def replay(path: Path) -> ReplayResult:
    """Play the recording at ``path`` again, up to the first difference.

    Raises RecordingError where the file is no recording or is damaged, and OSError where it cannot be read.
    """
    sections = read_sections(path)
    first = next(sections, None)
    if first is None or first.kind != MATCH:
        raise DamagedRecordingError(f"{path} does not say which match it is of")
    return _Playback(read_config(first.json())).play(sections)


def read_config(described: dict[str, Any]) -> MatchConfig:
    """The configuration of a match section. Raises DamagedRecordingError."""
    try:
        radius_m = described["spawn_radius_m"]
        come_s = described.get("come_timeout_s")  # not in earlier recordings
        config = MatchConfig(
            match_id=UUID(described["match_id"]),
            card=_card_named(str(described["mode"])),
            seed=_integer(described["seed"], 0, 2**128),
            match_s=_number(described["match_s"], MAX_MATCH_S),
            join_timeout_s=_number(described["join_timeout_s"], MAX_MATCH_S),
            come_timeout_s=None if come_s is None else _number(come_s, MAX_MATCH_S),
            tick_hz=_integer(described["tick_hz"], 1, 1_000),
            spawn_radius_m=None if radius_m is None else _number(radius_m, 1e6),
            players=[
                RosterPlayer(
                    _integer(player_id, 0, 2**63 - 1),
                    _integer(team, 0, 2**31 - 1),
                    _integer(entity, 0, 2**16),
                )
                for player_id, team, entity in described["players"]
            ],
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedRecordingError(f"the match is not described: {error!r}") from None
    if not 1 <= len(config.players) <= MAX_ENTITIES:
        raise DamagedRecordingError(f"a match of {len(config.players)} players")
    return config


def _card_named(name: str) -> ModeCard:
    cards = cards_in_force()
    if name not in cards:
        raise DamagedRecordingError(f"the match cannot be played: {name!r:.40} {unknown_mode(name, cards)}")
    return cards[name]


def _integer(value: Any, least: int, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise ValueError(f"{value!r} is not a number from {least} to {most}")
    return value


def _number(value: Any, most: float) -> float:
    number = float(value)
    if not math.isfinite(number) or not 0.0 <= number <= most:
        raise ValueError(f"{value!r} is not a number from 0 to {most}")
    return number


class _Playback:
    """A match whose wire nobody is connected to."""

    def __init__(self, config: MatchConfig) -> None:
        self._config = config
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
            self._match = open_match(config, Inputs(newest=self._wire.input_newest, rows=self._wire.inputs))
        except (BadRosterError, UnknownModeError) as error:
            raise DamagedRecordingError(f"the match cannot be played: {error}") from None
        self._joined = np.zeros(players, np.bool_)
        self._lost = np.zeros(players, np.bool_)
        self._cursor = np.zeros(3, np.int64)
        self._tick = 0
        self._ticks = 0

    def play(self, sections: Iterator[Section]) -> ReplayResult:
        compared, difference, ended = 0, None, None
        for section in sections:
            if ended is not None:
                raise DamagedRecordingError("something follows the end")
            if section.kind == CHUNK:
                chunk, recorded = unpack_chunk(section.body)
                self._play_chunk(chunk)
                compared += 1
                if state_hash(self._match.world) != recorded:
                    difference = ReplayDifference(self._tick, "the state")
                    break
            elif section.kind == END:
                end = section.json()
                ended = str(end.get("reason"))
                placements = end.get("placements")
                if placements and placements != self._placements():
                    difference = ReplayDifference(self._tick, "the placements")
            else:
                raise DamagedRecordingError(f"a section of unknown kind {section.kind}")
        kills = self._match.world.status[KILLS].sum()
        return ReplayResult(
            self._config, self._ticks, compared, difference, ended, tuple(self._placements()), int(kills)
        )

    def _placements(self) -> list[int]:
        return [int(placement) for placement in self._match.placements()]

    def _play_chunk(self, chunk: Chunk) -> None:
        change = 0
        self._cursor[:] = 0
        for at in range(len(chunk.tick_step)):
            self._tick += int(chunk.tick_step[at])
            if self._tick > MAX_TICK:
                raise DamagedRecordingError("a tick beyond the last")
            changes = slice(change, change + int(chunk.changes[at]))
            change = changes.stop
            self._change_connections(chunk, changes)
            self._put_inputs(chunk)
            if chunk.started[at]:
                if self._match.started:
                    raise DamagedRecordingError("a match that starts twice")
                self._match.start(self._joined, self._tick)
            self._match.apply(self._tick)
            self._match.simulate()
            self._match.drain_events()
            self._ticks += 1

    def _change_connections(self, chunk: Chunk, changes: slice) -> None:
        """Apply connects and disconnects before any inputs: those of a new session come after its connect."""
        slots, kinds, status = (
            column[changes] for column in (chunk.change_slot, chunk.change_kind, chunk.change_status)
        )
        if not len(slots):
            return
        if slots.max() >= len(self._joined) or not np.isin(status, (CONNECTED, TIMED_OUT, LEFT)).all():
            raise DamagedRecordingError("a player connects or disconnects who is not in the match")
        wire = self._wire
        wire.state.per_slot[NEWLY_CONNECTED, slots] = (kinds & CONNECTED_KIND) != 0
        wire.state.per_slot[NEWLY_LOST, slots] = (kinds & DISCONNECTED_KIND) != 0
        wire.state.per_slot[NEWCOMER, slots] = EXPECTED * ((kinds & NEWCOMER_KIND) != 0)
        wire.status[slots] = status
        came = slots[(kinds & CONNECTED_KIND) != 0]
        wire.inputs[came, :, INPUT_TICK] = 0
        wire.input_newest[came] = 0
        playing = self._match.started and not self._match.over
        apply_connection_changes(self._match.world, wire.state, self._joined, self._lost, playing)
        wire.newly_connected[:] = 0
        wire.newly_lost[:] = 0

    def _put_inputs(self, chunk: Chunk) -> None:
        """Put the inputs that are new in this tick where the wire would put them."""
        if not put_inputs(chunk, self._cursor, self._wire.inputs, self._wire.input_newest, self._tick):
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
            place = inputs[slot, input_tick % INPUT_RING]
            place[INPUT_TICK] = input_tick
            place[INPUT_MOVE_X] = chunk.row_move_x[row]
            place[INPUT_MOVE_Y] = chunk.row_move_y[row]
            place[INPUT_YAW] = chunk.row_yaw[row]
            place[INPUT_BUTTONS] = chunk.row_buttons[row]
            place[INPUT_VIEW_TICK] = view_tick
            row += 1
        newest[slot] = client_tick
        updates += 1
    cursor[0], cursor[1], cursor[2] = at + 1, updates, row
    return True

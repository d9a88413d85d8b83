"""The engine: one match over one socket, a tick at a time.

``Engine.tick`` is the timetable of the server: each of its lines is one compiled and timed stage over all
players. The rest of this file decides when a match begins and ends, and says how it went.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import structlog

from dedicated_server.modes import load_mode
from dedicated_server.native.memory import Arena, StateHandle
from dedicated_server.protocol.datagrams import (
    CONNECTED,
    FAREWELL_REPEAT_S,
    FAREWELL_REPEATS,
    LEFT,
    TIME_OUT_S,
)
from dedicated_server.protocol.fields import PHASE_OVER, PHASE_PLAYING, PHASE_WAITING, SHOWN_TO
from dedicated_server.protocol.reasons import MATCH_OVER
from dedicated_server.protocol.server.farewells import close_sessions
from dedicated_server.protocol.server.wire import ServerWire
from dedicated_server.recording.recorder import Recorder
from dedicated_server.replication.replicate import queue_match_over
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer, roster_of
from dedicated_server.simulation.mode import Mode
from dedicated_server.simulation.world import Inputs
from dedicated_server.tick.load import Overload, StageTimer
from dedicated_server.tick.pacing import measured_ns
from dedicated_server.tick.slots import DamageTotals, PlayerSlots
from dedicated_server.tick.stages import (
    TICK_TYPE,
    encode_snapshots,
    gather_arrays,
    kernels_are_near,
    open_datagrams,
    prefetch_tick,
    seal_datagrams,
    update_interest,
)
from dedicated_server.transport import Transport

STAGES: Final = ("drain", "open", "apply", "simulate", "interest", "encode", "seal", "send")
DRAIN, OPEN, APPLY, SIMULATE, INTEREST, ENCODE, SEAL, SEND = range(len(STAGES))

RESULT_S: Final = 1.0  # for how long the result is sent,
MAX_RESULT_S: Final = 3.0  # and for how long at most to clients that have not acknowledged it
FAREWELL_S: Final = FAREWELL_REPEATS * FAREWELL_REPEAT_S  # and then for how long at most that it is over
SLACK_PLAYERS: Final = 64  # a smaller match stays in the caches: nothing is gained by prefetching
SLACK_LOAD: Final = 0.05  # of a period: beside so short a tick, beginning 0.1 ms late is nothing
REMEDY: Final = "call dedicated_server.match.warm_up.warm_up() before the first match of a process"
PAUSE_S: Final = 1.0  # a server that missed so much at once was stopped: no overload skips sixty ticks


log = structlog.get_logger()


class Phase(IntEnum):
    """Where a match is; the values are the wire's."""

    WAITING = PHASE_WAITING
    PLAYING = PHASE_PLAYING
    OVER = PHASE_OVER


@dataclass(frozen=True)
class PlayerStanding:
    """The placement and totals of one player of the roster."""

    player: RosterPlayer
    placement: int  # 1 is best; members of a team share theirs
    kills: int
    deaths: int
    joined: bool  # was connected at least once
    damage: DamageTotals


class Engine:
    """One match. Call ``tick`` 60 times a second (`pacing.run_paced` does) until ``finished``.

    Drain events between ticks. Call `match.warm_up.warm_up` before, once in a process, or in the parent that
    its processes are forked from: else the first tick loads its kernels, for a second, or compiles them, for
    minutes. An engine that is made where that will happen says so in the log.

    Args:
        config: the match.
        fleet_key: the 32 bytes that connect tokens are sealed with.
        transport: the socket.
        secret: SECRET_BYTES bytes of this server alone, as of `ServerWire`.
        host, port: how connect tokens name this server, where that is not what the transport is bound to.
        other_host: its address of the other family; "": it has none.
        mode: how the match is played; None: as the mode's folder says.
        return_s: seconds that a player who timed out may take to come back to their body.
        recorder: writes the match to a file.
        clock_ns: measures the stages. Overload is judged by it; nothing else depends on it.

    Raises BadRosterError and HooksError.
    """

    def __init__(
        self,
        config: MatchConfig,
        fleet_key: bytes,
        transport: Transport,
        *,
        secret: bytes,
        host: str | None = None,
        port: int | None = None,
        other_host: str = "",
        mode: Mode | None = None,
        return_s: float = math.inf,
        recorder: Recorder | None = None,
        clock_ns: Callable[[], int] = measured_ns,
    ) -> None:
        if not kernels_are_near():
            log.warning("the first tick will compile for minutes", remedy=REMEDY)
        self.config = config
        self.transport = transport
        self._recorder = recorder
        self._return_s = return_s
        roster = roster_of(config)
        zeros = Arena().zeros
        self.wire = ServerWire(
            fleet_key=fleet_key,
            match_id=config.match_id,
            player_ids=[player.player_id for player in roster],
            teams=[player.team for player in roster],
            names=[player.name for player in roster],
            shows_health=SHOWN_TO[config.card.shows.health],
            shows_connection=SHOWN_TO[config.card.shows.connection],
            host=host or transport.host,
            port=port or transport.port,
            other_host=other_host,
            secret=secret,
            zeros=zeros,
            objects=config.card.objects_count,
            own_rows=config.card.rows.players,
        )
        self.match = Match(
            config,
            load_mode(config.card) if mode is None else mode,
            Inputs(newest=self.wire.input_newest, rows=self.wire.inputs),
            zeros,
        )
        self.arrays = gather_arrays(
            transport.inbox,
            self.wire.state,
            self.match.world,
            self.match.grid,
            [player.team for player in roster],
            zeros,
        )
        self._state_handle = StateHandle(self.arrays, TICK_TYPE)
        self.slots = PlayerSlots(self.match, self.wire, self.arrays.joined, self.arrays.lost)
        self.phase = Phase.WAITING
        self.finished = False
        self.tick_number = 0
        self.missed_ticks = 0
        self.overload = Overload(period_s=1.0 / config.tick_hz)
        self.stage_timer = StageTimer(STAGES, clock_ns)
        self._countdown_ticks = 0
        self._closed_tick = 0
        self.events_emitted = 0
        self._just_missed = 0
        self._opened_at_s: float | None = None
        self._first_joined_at_s: float | None = None
        self._over_at_s = 0.0
        self._closed_at_s = 0.0
        self._placements: npt.NDArray[np.int32] | None = None
        self._lost_at_end: npt.NDArray[np.bool_] | None = None

    def prefetch(self) -> None:
        """Prefetch the next tick's memory; a hint only."""
        prefetch_tick(self._state_handle.address, self.tick_number + 1)

    def tick(self, now_s: float, late_s: float = 0.0) -> None:
        """Read what arrived, simulate one tick, send every client what it can see of it.

        ``now_s``: Unix time in seconds, never going backwards. ``late_s``: seconds since this tick was due,
        for the report.
        """
        match, wire, transport, lap = self.match, self.wire, self.transport, self.stage_timer.lap
        state = self._state_handle.address
        tick = self.tick_number = self.tick_number + 1

        self.stage_timer.start(late_s)
        count = transport.drain()
        lap(DRAIN)
        playing, silent_since_s = self.phase == Phase.PLAYING, now_s - TIME_OUT_S - self._return_s
        joined = open_datagrams(state, count, now_s, tick, playing, silent_since_s)
        self._start_when_due(joined, now_s)
        lap(OPEN)
        match.apply(tick)
        lap(APPLY)
        match.simulate()
        if self._recorder is not None:
            self._recorder.record_tick(tick, match.started, wire.state, match.world, match.roster)
        lap(SIMULATE)
        update_interest(state, tick, int(self.phase), self._countdown_ticks, self.overload.snapshot_every)
        self._end_when_over(now_s)
        lap(INTEREST)
        encode_snapshots(state, tick)
        lap(ENCODE)
        seal_datagrams(state, now_s)
        lap(SEAL)
        transport.send(wire.out_buf, wire.out_len, wire.out_addr, int(wire.out_count[0]))
        lap(SEND)
        self.overload.note(self.stage_timer.stop(), self._just_missed)
        self._just_missed = 0

    def skip(self, missed_ticks: int) -> None:
        """Skip ticks that can no longer be played in time. The match's clock counts them.

        A server that was stopped for longer has heard nobody meanwhile. What players sent waits in the socket
        and is read by the next tick, so to their time-outs the time does not count.
        """
        missed_s = missed_ticks / self.config.tick_hz
        if missed_s > PAUSE_S:
            self.wire.state.slots["received_at_s"] += missed_s
            self._over_at_s += missed_s
            self._closed_at_s += missed_s
            if self._opened_at_s is not None:
                self._opened_at_s += missed_s
            if self._first_joined_at_s is not None:
                self._first_joined_at_s += missed_s
        self.tick_number += missed_ticks
        self.missed_ticks += missed_ticks
        self._just_missed += missed_ticks

    def drain_events(self) -> npt.NDArray[Any]:
        """Take the events since the last call: records of `simulation.world.EVENT_DTYPE`, in order."""
        events = self.match.drain_events()
        self.events_emitted += len(events)
        return events

    @property
    def period_ns(self) -> int:
        """Nanoseconds from one tick to the next."""
        return round(1e9 / self.config.tick_hz)

    @property
    def has_slack(self) -> bool:
        """Whether the next tick may begin as late as the machine wakes a thread: a small match's may."""
        return len(self.match.roster) < SLACK_PLAYERS and self.overload.load < SLACK_LOAD

    @property
    def over(self) -> bool:
        """Whether the match has been decided; its result is still being sent until ``finished``."""
        return self.phase == Phase.OVER

    def result(self) -> list[PlayerStanding]:
        """How every player of the roster did, by entity; provisional until the match is over.

        Departed players are in ``slots``.
        """
        placements = self.match.placements() if self._placements is None else self._placements
        kills, deaths = self.slots.kills, self.slots.deaths
        return [
            PlayerStanding(
                player=player,
                placement=int(placements[player.entity]),
                kills=int(kills[player.entity]),
                deaths=int(deaths[player.entity]),
                joined=bool(self.joined[player.entity]),
                damage=self.slots.damage(player.entity),
            )
            for player in self.match.roster
        ]

    @property
    def joined(self) -> npt.NDArray[np.bool_]:
        """Players who have ever been connected: bool[N]."""
        return self.arrays.joined

    @property
    def lost(self) -> npt.NDArray[np.bool_]:
        """Players who had not connected by the start, or timed out before the end and are not back.

        Bool[N].
        """
        return self.slots.lost if self._lost_at_end is None else self._lost_at_end

    @property
    def sent_bytes(self) -> npt.NDArray[np.int64]:
        """Bytes sent to each client, headers included: int64[N]."""
        return self.arrays.sent_bytes

    def _start_when_due(self, joined: int, now_s: float) -> None:
        """Start once all players are connected, or some time after the first, or when nobody comes."""
        config = self.config
        if self._opened_at_s is None:
            self._opened_at_s = now_s
        if self._first_joined_at_s is None and joined:
            self._first_joined_at_s = now_s
        if self.phase == Phase.WAITING:
            if self._first_joined_at_s is not None:
                remaining_s = self._first_joined_at_s + config.join_timeout_s - now_s
            else:
                come_s = config.join_timeout_s if config.come_timeout_s is None else config.come_timeout_s
                remaining_s = self._opened_at_s + come_s - now_s
            self._countdown_ticks = round(remaining_s * self.config.tick_hz)
            if joined == len(self.match.roster) or remaining_s <= 0.0:
                self.match.start(self.joined & (self.wire.status != LEFT), self.tick_number)
                self.arrays.lost[:] |= ~self.joined
                self.phase = Phase.PLAYING
                self._closed_tick = self.tick_number + round(self.config.match_s * self.config.tick_hz)

    def _end_when_over(self, now_s: float) -> None:
        """End the match when its mode says so.

        When the result is acknowledged, or was sent for long enough, everybody is told that it is over.
        Finish when they have answered, or could have.
        """
        if self.phase == Phase.PLAYING:
            self._countdown_ticks = self._closed_tick - self.tick_number
            if self.match.over:
                self.phase = Phase.OVER
                self._over_at_s = now_s
                self._countdown_ticks = 0
                self._placements = self.match.placements()
                winner = int(np.argmin(self._placements))
                queue_match_over(self.wire.state, self._placements, self.slots.kills, winner)
                self._lost_at_end = self.slots.lost  # before everybody leaves
        elif self.phase == Phase.OVER and not self.closed:
            sent_s = now_s - self._over_at_s
            if sent_s >= MAX_RESULT_S or (sent_s >= RESULT_S and self._result_is_known()):
                self.close(MATCH_OVER)
                self._closed_at_s = now_s
        elif self.phase == Phase.OVER:
            self.finished = not self.parting or now_s - self._closed_at_s >= FAREWELL_S
            if self.finished and self._recorder is not None:
                self._recorder.finish(self.match.world, self.match.placements())

    def close(self, reason: int) -> None:
        """Tell everybody who is connected why the server parts, of `protocol.reasons`, from the next send on.

        Who asks to be let in from then on is refused for the same reason. Closing it again changes nothing.
        """
        if not self.closed:
            close_sessions(self.wire.state, reason)

    @property
    def closed(self) -> bool:
        """Whether nobody is let in any more."""
        return bool(self.wire.state.identity["closed"][0])

    @property
    def parting(self) -> bool:
        """Whether somebody is still to be told that the server has closed, and has not answered."""
        slots = self.wire.state.slots
        waiting = (self.wire.status == CONNECTED) & (slots["farewell_left"] > 0)
        return bool(waiting.any())

    def answer(self, now_s: float) -> None:
        """Read what arrived and answer it, without a tick: for a server that has closed and still runs."""
        state, transport, wire = self._state_handle.address, self.transport, self.wire
        open_datagrams(state, transport.drain(), now_s, self.tick_number, False, -math.inf)
        seal_datagrams(state, now_s)
        transport.send(wire.out_buf, wire.out_len, wire.out_addr, int(wire.out_count[0]))

    def _result_is_known(self) -> bool:
        """Whether every connected client has acknowledged all reliable messages."""
        waiting = self.wire.state.slots["reliable_count"][self.wire.status == CONNECTED]
        return not waiting.any()

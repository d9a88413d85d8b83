"""The engine that is measured: its ticks, timed from outside, and the floor's turns half a tick after each of
them.
"""

from __future__ import annotations

import resource
import time
from typing import Any, Final

import numpy as np

from dedicated_server.match.report import build_report
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.simulation.world import (
    CLAMPED_REWINDS,
    HIT_COUNT,
    HITS,
    KILLS,
    REFUSED_INPUTS,
    SHOTS,
    START_TICK,
    X_M,
    Y_M,
)
from dedicated_server.tick.engine import STAGES, Engine, Phase
from dedicated_server.tick.load import StageTimer
from loadtest.bench.harness import statistics
from loadtest.bench.harness.event_burst import EventBurst
from loadtest.bench.harness.floor import Floor
from loadtest.bench.harness.run_config import (
    HOST,
    WARM_UP_S,
    Hit,
    RunConfig,
    ServerFigures,
)
from loadtest.bench.harness.shared_state import POSITION_TICKS, TICK_TIMES, SharedState, Window
from loadtest.errors import BenchError

US_NS: Final = 1_000.0
BASELINE, DISTURBED, TRANSITION = 0, 1, -1


class InstrumentedEngine:
    """An engine for the pacing loop whose ticks are timed, with a turn of the floor half a tick after each of
    them.

    A turn is half a tick: even turns are the engine's, odd ones the floor's. Without a floor all turns are
    the engine's.
    """

    def __init__(
        self,
        engine: Engine,
        floor: Floor | None,
        shared: SharedState,
        config: RunConfig,
        burst: EventBurst | None,
    ) -> None:
        self._engine = engine
        self._floor = floor
        self._shared = shared
        self._burst = burst
        self._in_blocks = config.in_blocks
        self._block_ticks, self._settle_ticks = config.block
        self._sent_hits: list[list[tuple[int, Hit]]] = (
            [[] for _ in range(config.players)] if config.link else []
        )
        self._players = len(engine.match.roster)
        self._turns_a_tick = 1 if floor is None else 2
        self._turn = 0
        self._ticks_wanted = max(1, round(config.seconds * engine.config.tick_hz))
        self._warm_up_ticks = round(WARM_UP_S * engine.config.tick_hz)
        self._lengths = np.zeros(0, np.int32)
        self._has_targets = False
        room = self._ticks_wanted + 1
        self._tick_ns = np.zeros(room, np.int64)
        self._late_ns = np.zeros(room, np.int64)
        self._block_kind = np.zeros(room, np.int8)
        self._floor_ns = np.zeros((2, room), np.int64)
        self._floor_datagrams = np.zeros(2, np.int64)
        self._snapshot_bytes: list[Any] = []
        self._ticks = self._floors = 0
        self._before: dict[str, Any] = {}  # totals when the window opened
        self._after: dict[str, Any] = {}  # totals when it was over

    @property
    def finished(self) -> bool:
        """Whether the window is over."""
        return self._shared.window == Window.OVER

    @property
    def period_ns(self) -> int:
        """Nanoseconds of a turn."""
        return self._engine.period_ns // self._turns_a_tick

    @property
    def has_slack(self) -> bool:
        """Whether the engine's next tick may begin late; the floor's turns begin as the engine's do."""
        return self._engine.has_slack

    def prefetch(self) -> None:
        """Let the engine prefetch if the next turn is its own."""
        if self._turn % self._turns_a_tick == 0:
            self._engine.prefetch()

    def tick(self, now_s: float, late_s: float) -> None:
        """Take a turn."""
        turn, self._turn = self._turn, self._turn + 1
        if turn % self._turns_a_tick:
            self._take_floor_turn()
        else:
            self._take_engine_turn(now_s, late_s)

    def skip(self, missed_ticks: int) -> None:
        """Skip turns, the engine's and the floor's."""
        last = self._turn + missed_ticks
        engine_turns = len([turn for turn in range(self._turn, last) if turn % self._turns_a_tick == 0])
        self._turn = last
        if engine_turns:
            self._engine.skip(engine_turns)

    def _take_engine_turn(self, now_s: float, late_s: float) -> None:
        engine, shared = self._engine, self._shared
        shared.tick_at_s[(engine.tick_number + 1) % TICK_TIMES] = time.perf_counter()
        begun_ns = time.perf_counter_ns()
        if self._burst is not None:
            self._burst.record(shared.disturbed)
        engine.tick(now_s, late_s)
        took_ns = time.perf_counter_ns() - begun_ns
        shared.ground_truth[0, : self._players] = engine.match.world.body[X_M]
        shared.ground_truth[1, : self._players] = engine.match.world.body[Y_M]
        if self._sent_hits:
            self._record_truth()
        if shared.window == Window.OPEN:
            self._tick_ns[self._ticks] = took_ns
            self._late_ns[self._ticks] = late_s * 1e9
            self._block_kind[self._ticks] = self._kind_of_tick()
            self._ticks += 1
        lengths = engine.wire.out_len[: int(engine.wire.out_count[0])]
        self._lengths = lengths[lengths > 0]
        if shared.window == Window.OPEN:
            self._snapshot_bytes.append(self._lengths.copy())
        if self._floor is None:
            self._drain_events()
        self._watch_window()

    def _record_truth(self) -> None:
        """Record the positions of this tick, and the hits that it sent."""
        engine, shared = self._engine, self._shared
        tick, world = engine.tick_number, engine.match.world
        row = tick % POSITION_TICKS
        shared.position_history_tick[row] = 0
        shared.position_history[row, :, : self._players] = shared.ground_truth[:, : self._players]
        shared.position_history_tick[row] = tick
        for actor, victim, points, _, shot in world.hits[:, : world.counters[HIT_COUNT]].T.tolist():
            self._sent_hits[actor].append((tick, (victim, points, shot)))

    def _take_floor_turn(self) -> None:
        engine, shared, floor = self._engine, self._shared, self._floor
        assert floor is not None
        if engine.phase == Phase.PLAYING:
            if not self._has_targets:
                floor.set_targets(HOST, shared.floor_port[: self._players])
                self._has_targets = True
            received, sent, receive_ns, send_ns = floor.turn(self._lengths[: self._players])
            # Where the engine's turns were skipped, the floor has more of its own than the window has ticks.
            if shared.window == Window.OPEN and self._floors < self._floor_ns.shape[1]:
                self._floor_ns[:, self._floors] = receive_ns, send_ns
                self._floors += 1
                self._floor_datagrams += received, sent
        self._drain_events()

    def _drain_events(self) -> None:
        if self._burst is None:  # it drains and sends the events itself
            self._engine.drain_events()

    def _kind_of_tick(self) -> int:
        """Return the kind of the tick just measured, and announce the kind of the next tick's block."""
        if not self._in_blocks:
            return BASELINE
        block, place = divmod(self._ticks, self._block_ticks)
        self._shared.disturbed = (self._ticks + 1) // self._block_ticks % 2 == 1
        return TRANSITION if place < self._settle_ticks else block % 2

    def _watch_window(self) -> None:
        """Open the window once all clients play and caches are warm; close it after enough ticks."""
        engine, shared = self._engine, self._shared
        if shared.window == Window.OPEN:
            if self._ticks >= self._ticks_wanted:
                self._after = self._totals()
                shared.window = Window.OVER
        elif engine.phase == Phase.PLAYING and self._played_ticks() >= self._warm_up_ticks:
            engine.stage_timer = StageTimer(STAGES, time.perf_counter_ns)
            self._before = self._totals()
            shared.window = Window.OPEN
        elif engine.phase == Phase.OVER:
            came = int(np.count_nonzero(engine.joined))
            raise BenchError(
                f"only {came} of {self._players} clients connected; dropped: "
                f"{build_report(engine)['dropped']}"
            )

    def _played_ticks(self) -> int:
        return self._engine.tick_number - int(self._engine.match.world.counters[START_TICK])

    def _totals(self) -> dict[str, Any]:
        engine = self._engine
        status = engine.match.world.status
        traffic = engine.transport.traffic
        return {
            "missed": engine.missed_ticks,
            "counters": engine.wire.counters_by_name(),
            "dropped": build_report(engine)["dropped"],
            "kills": int(status[KILLS].sum()),
            "shots": int(status[SHOTS].sum()),
            "hits": int(status[HITS].sum()),
            "inputs_refused": int(status[REFUSED_INPUTS].sum()),
            "rewinds_clamped": int(status[CLAMPED_REWINDS].sum()),
            "rx": traffic.rx_datagrams,
            "tx": traffic.tx_datagrams,
            "memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0,
        }

    def figures(self) -> ServerFigures:
        """Return what was measured."""
        before, after, engine = self._before, self._after, self._engine
        counters = {name: count - before["counters"][name] for name, count in after["counters"].items()}
        dropped = {name: count - before["dropped"].get(name, 0) for name, count in after["dropped"].items()}
        floor_ns = self._floor_ns[:, : self._floors]
        return ServerFigures(
            tick_us=(self._tick_ns[: self._ticks] / US_NS).tolist(),
            block_kind=self._block_kind[: self._ticks].tolist(),
            late_us=(self._late_ns[: self._ticks] / US_NS).tolist(),
            floor_us=(floor_ns.sum(axis=0) / US_NS).tolist(),
            floor_receive_us=(floor_ns[0] / US_NS).tolist(),
            floor_datagrams=(int(self._floor_datagrams[0]), int(self._floor_datagrams[1])),
            datagrams=(after["rx"] - before["rx"], after["tx"] - before["tx"]),
            stages_us=engine.stage_timer.times().stages_us(),
            missed_ticks=after["missed"] - before["missed"],
            counters=counters,
            snapshot_bytes=statistics.percentiles(np.concatenate(self._snapshot_bytes), 50, 99, 100),
            dropped={name: count for name, count in dropped.items() if count},
            kills=after["kills"] - before["kills"],
            shots=after["shots"] - before["shots"],
            hits=after["hits"] - before["hits"],
            connected=int(np.count_nonzero(engine.wire.status == CONNECTED)),
            inputs_refused=after["inputs_refused"] - before["inputs_refused"],
            rewinds_clamped=after["rewinds_clamped"] - before["rewinds_clamped"],
            grown_mb=round(after["memory_mb"] - before["memory_mb"], 2),
            last_tick=engine.tick_number,
            sent_hits=self._sent_hits,
            events={} if self._burst is None else self._burst.counters(),
        )

"""The server process: the real engine, paced as it is in a match, on a core of its own."""

from __future__ import annotations

import asyncio
import gc
import time
from typing import Any, Final
from uuid import UUID

import numpy as np
import uvloop

from dedicated_server.engine import STAGES, Engine, Phase
from dedicated_server.pacing import SystemClock, run_paced
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.datagrams import CONNECTED
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.simulation.world import HITS, KILLS, SHOTS, START_TICK, X_M, Y_M
from dedicated_server.stopwatch import Stopwatch
from dedicated_server.transport import Transport, open_transport
from dedicated_server.warm_up import warm_up
from loadtest.bench import figures, layout
from loadtest.bench.errors import BenchError
from loadtest.bench.floor import Floor
from loadtest.bench.noticeboard import TICKS, Noticeboard, Window
from loadtest.bench.plan import HOST, JOIN_S, WARM_UP_S, Opened, Plan, ServerFigures
from loadtest.bench.worker import Tell

FLEET_KEY: Final = bytes(range(32))
MATCH_ID: Final = UUID(int=1)
TOKEN_S: Final = 600.0
MORE_THAN_A_RUN_S: Final = 3_600.0
US_NS: Final = 1_000.0


class Measured:
    """An engine that can be paced, its ticks timed, with the floor half a tick after each of them.

    A turn is half a tick: even turns are the engine's, odd ones the floor's. Without a floor all turns are the engine's.
    """

    def __init__(self, engine: Engine, floor: Floor | None, board: Noticeboard, seconds: float) -> None:
        self._engine = engine
        self._floor = floor
        self._board = board
        self._players = len(engine.match.roster)
        self._turns_a_tick = 1 if floor is None else 2
        self._turn = 0
        self._ticks_wanted = max(1, round(seconds * engine.config.tick_hz))
        self._warm_up_ticks = round(WARM_UP_S * engine.config.tick_hz)
        self._lengths = np.zeros(0, np.int32)
        self._aimed = False
        room = self._ticks_wanted + 1
        self._tick_ns = np.zeros(room, np.int64)
        self._late_ns = np.zeros(room, np.int64)
        self._floor_ns = np.zeros((2, room), np.int64)
        self._floor_datagrams = np.zeros(2, np.int64)
        self._snapshot_bytes: list[Any] = []
        self._ticks = self._floors = 0
        self._before: dict[str, Any] = {}  # totals when the window opened,
        self._after: dict[str, Any] = {}  # and when it was over

    @property
    def finished(self) -> bool:
        """Whether the window is over."""
        return self._board.window == Window.OVER

    @property
    def period_ns(self) -> int:
        """Of a turn."""
        return self._engine.period_ns // self._turns_a_tick

    def tick(self, now_s: float, late_s: float) -> None:
        """Take a turn."""
        turn, self._turn = self._turn, self._turn + 1
        if turn % self._turns_a_tick:
            self._take_floor_turn()
        else:
            self._take_engine_turn(now_s, late_s)

    def skip(self, missed_ticks: int) -> None:
        """Leave turns out, the engine's and the floor's."""
        last = self._turn + missed_ticks
        engine_turns = len([turn for turn in range(self._turn, last) if turn % self._turns_a_tick == 0])
        self._turn = last
        if engine_turns:
            self._engine.skip(engine_turns)

    def _take_engine_turn(self, now_s: float, late_s: float) -> None:
        engine, board = self._engine, self._board
        board.tick_at_s[(engine.tick_number + 1) % TICKS] = time.perf_counter()
        begun_ns = time.perf_counter_ns()
        engine.tick(now_s, late_s)
        took_ns = time.perf_counter_ns() - begun_ns
        board.truth[0, : self._players] = engine.match.world.body[X_M]
        board.truth[1, : self._players] = engine.match.world.body[Y_M]
        if board.window == Window.OPEN:
            self._tick_ns[self._ticks] = took_ns
            self._late_ns[self._ticks] = late_s * 1e9
            self._ticks += 1
        lengths = engine.wire.out_len[: int(engine.wire.out_count[0])]
        self._lengths = lengths[lengths > 0]
        if board.window == Window.OPEN:
            self._snapshot_bytes.append(self._lengths.copy())
        if self._floor is None:
            engine.drain_events()
        self._watch_window()

    def _take_floor_turn(self) -> None:
        engine, board, floor = self._engine, self._board, self._floor
        assert floor is not None
        if engine.phase == Phase.PLAYING:
            if not self._aimed:
                floor.aim(HOST, board.floor_port[: self._players])
                self._aimed = True
            received, sent, receive_ns, send_ns = floor.turn(self._lengths[: self._players])
            if board.window == Window.OPEN:
                self._floor_ns[:, self._floors] = receive_ns, send_ns
                self._floors += 1
                self._floor_datagrams += received, sent
        engine.drain_events()

    def _watch_window(self) -> None:
        """Open the window once all play and all is warm, close it when it has seen enough ticks."""
        engine, board = self._engine, self._board
        if board.window == Window.OPEN:
            if self._ticks >= self._ticks_wanted:
                self._after = self._totals()
                board.window = Window.OVER
        elif engine.phase == Phase.PLAYING and self._played_ticks() >= self._warm_up_ticks:
            engine.stopwatch = Stopwatch(STAGES, time.perf_counter_ns)
            self._before = self._totals()
            board.window = Window.OPEN
        elif engine.phase == Phase.OVER:
            came = int(np.count_nonzero(engine.joined))
            raise BenchError(
                f"only {came} of {self._players} clients came: dropped {engine.report()['dropped']}"
            )

    def _played_ticks(self) -> int:
        return self._engine.tick_number - int(self._engine.match.world.tally[START_TICK])

    def _totals(self) -> dict[str, Any]:
        engine = self._engine
        status = engine.match.world.status
        traffic = engine.transport.traffic
        return {
            "missed": engine.missed_ticks,
            "counters": engine.wire.counters_by_name(),
            "dropped": engine.report()["dropped"],
            "kills": int(status[KILLS].sum()),
            "shots": int(status[SHOTS].sum()),
            "hits": int(status[HITS].sum()),
            "rx": traffic.rx_datagrams,
            "tx": traffic.tx_datagrams,
        }

    def figures(self) -> ServerFigures:
        """What was measured."""
        before, after, engine = self._before, self._after, self._engine
        counters = {name: count - before["counters"][name] for name, count in after["counters"].items()}
        dropped = {name: count - before["dropped"].get(name, 0) for name, count in after["dropped"].items()}
        floor_ns = self._floor_ns[:, : self._floors]
        return ServerFigures(
            tick_us=(self._tick_ns[: self._ticks] / US_NS).tolist(),
            late_us=(self._late_ns[: self._ticks] / US_NS).tolist(),
            floor_us=(floor_ns.sum(axis=0) / US_NS).tolist(),
            floor_receive_us=(floor_ns[0] / US_NS).tolist(),
            floor_datagrams=(int(self._floor_datagrams[0]), int(self._floor_datagrams[1])),
            datagrams=(after["rx"] - before["rx"], after["tx"] - before["tx"]),
            stages_us=engine.stopwatch.stages_us(),
            missed_ticks=after["missed"] - before["missed"],
            counters=counters,
            snapshot_bytes=figures.percentiles(np.concatenate(self._snapshot_bytes), 50, 99, 100),
            dropped={name: count for name, count in dropped.items() if count},
            kills=after["kills"] - before["kills"],
            shots=after["shots"] - before["shots"],
            hits=after["hits"] - before["hits"],
            connected=int(np.count_nonzero(engine.wire.status == CONNECTED)),
        )


def prepare(_board: Noticeboard, _tell: Tell) -> bool:
    """Compile or load all kernels, and let the collector alone from then on, as a match does."""
    layout.add_mode()
    warm_up()
    gc.collect()
    gc.freeze()
    gc.disable()
    return True


def serve(board: Noticeboard, tell: Tell, plan: Plan) -> ServerFigures:
    """Play one match; ``tell`` is called with Opened once clients may come."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(plan, board, tell))


async def _serve(plan: Plan, board: Noticeboard, tell: Tell) -> ServerFigures:
    transport = await open_transport(HOST, 0, plan.transport, capacity=_room(plan.players))
    floor = Floor(HOST, _room(plan.players)) if plan.floor else None
    try:
        engine = Engine(_match(plan), FLEET_KEY, transport)
        clock = SystemClock()
        tell(Opened(_tokens(engine, transport), floor.port if floor else 0))
        measured = Measured(engine, floor, board, plan.seconds)
        await run_paced(measured, clock)
        return measured.figures()
    finally:
        await transport.close()
        if floor is not None:
            floor.close()


def _room(players: int) -> int:
    """Datagrams a turn: everybody's, and as many again that a late tick left."""
    return max(1_024, 2 * players)


def _match(plan: Plan) -> MatchConfig:
    return MatchConfig(
        match_id=MATCH_ID,
        mode=layout.MODE_NAME,
        seed=plan.seed,
        match_s=MORE_THAN_A_RUN_S,
        players=[
            RosterPlayer(player_id=entity + 1, team=entity, entity=entity) for entity in range(plan.players)
        ],
        join_timeout_s=JOIN_S,
        spawn_radius_m=plan.layout.half_m,
    )


def _tokens(engine: Engine, transport: Transport) -> tuple[bytes, ...]:
    now_s = time.time()
    return tuple(
        connect_token.seal(
            FLEET_KEY,
            match_id=MATCH_ID,
            player_id=player.player_id,
            entity=player.entity,
            team=player.team,
            address=transport.host,
            port=transport.port,
            issued_at=now_s,
            expires_at=now_s + TOKEN_S,
        )
        for player in engine.match.roster
    )

"""The server process: the real engine, paced as it is in a match, on a core of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import time
from typing import Final

import uvloop

from dedicated_server.match.warm_up import warm_up
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock, run_paced
from dedicated_server.transport import Transport, open_transport
from loadtest.bench.harness import event_burst, layout
from loadtest.bench.harness.event_burst import EventBurst
from loadtest.bench.harness.floor import Floor
from loadtest.bench.harness.instrumented_engine import InstrumentedEngine
from loadtest.bench.harness.run_config import HOST, JOIN_S, MATCH_ID, RunConfig, ServerFigures, ServerReady
from loadtest.bench.harness.shared_state import SharedState
from loadtest.bench.harness.worker import Send

FLEET_KEY: Final = bytes(range(32))
TOKEN_S: Final = 600.0
MATCH_S: Final = 3_600.0


def prepare(_board: SharedState, _tell: Send) -> bool:
    """Compile or load all kernels, and let the collector alone from then on, as a match does."""
    layout.add_mode()
    warm_up()
    event_burst.load_kernel()
    gc.collect()
    gc.freeze()
    gc.disable()
    return True


def serve(board: SharedState, tell: Send, plan: RunConfig) -> ServerFigures:
    """Play one match; ``tell`` is called with Opened once clients may come."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(plan, board, tell))


async def _serve(plan: RunConfig, board: SharedState, tell: Send) -> ServerFigures:
    transport = await open_transport(HOST, plan.port, plan.transport, capacity=_room(plan.players))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        floor = None
        if plan.floor:
            floor = Floor(HOST, _room(plan.players))
            stack.callback(floor.close)
        engine = Engine(_match(plan), FLEET_KEY, transport, secret=bytes(SECRET_BYTES))
        clock = SystemTickClock()
        strikes = None
        if plan.events_per_s:
            strikes = await stack.enter_async_context(
                EventBurst(engine, plan.events_per_s, plan.bootstrap, clock)
            )
        tell(ServerReady(_tokens(engine, transport), floor.port if floor else 0))
        measured = InstrumentedEngine(engine, floor, board, plan, strikes)
        await run_paced(measured, clock)
        if strikes is not None:
            await strikes.flush()
        return measured.figures()


def _room(players: int) -> int:
    """Datagrams a turn: everybody's, and as many again that a late tick left."""
    return max(1_024, 2 * players)


def _match(plan: RunConfig) -> MatchConfig:
    return MatchConfig(
        match_id=MATCH_ID,
        mode=layout.MODE_NAME,
        seed=plan.seed,
        match_s=MATCH_S,
        players=[
            RosterPlayer(player_id=player_id, team=entity, entity=entity)
            for entity, player_id in enumerate(plan.player_ids)
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
            random=secrets.token_bytes(connect_token.RANDOM_BYTES),
        )
        for player in engine.match.roster
    )

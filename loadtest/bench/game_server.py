"""The server process: the real engine, paced as it is in a match, on a core of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from typing import Final

import uvloop

from dedicated_server.engine import Engine
from dedicated_server.pacing import SystemClock, run_paced
from dedicated_server.protocol import connect_token
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.transport import Transport, open_transport
from dedicated_server.warm_up import warm_up
from loadtest.bench import layout, storm
from loadtest.bench.floor import Floor
from loadtest.bench.measured import Measured
from loadtest.bench.noticeboard import Noticeboard
from loadtest.bench.plan import HOST, JOIN_S, MATCH_ID, Opened, Plan, ServerFigures
from loadtest.bench.storm import Storm
from loadtest.bench.worker import Tell

FLEET_KEY: Final = bytes(range(32))
TOKEN_S: Final = 600.0
MORE_THAN_A_RUN_S: Final = 3_600.0


def prepare(_board: Noticeboard, _tell: Tell) -> bool:
    """Compile or load all kernels, and let the collector alone from then on, as a match does."""
    layout.add_mode()
    warm_up()
    storm.load_kernel()
    gc.collect()
    gc.freeze()
    gc.disable()
    return True


def serve(board: Noticeboard, tell: Tell, plan: Plan) -> ServerFigures:
    """Play one match; ``tell`` is called with Opened once clients may come."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(plan, board, tell))


async def _serve(plan: Plan, board: Noticeboard, tell: Tell) -> ServerFigures:
    transport = await open_transport(HOST, plan.port, plan.transport, capacity=_room(plan.players))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        floor = None
        if plan.floor:
            floor = Floor(HOST, _room(plan.players))
            stack.callback(floor.close)
        engine = Engine(_match(plan), FLEET_KEY, transport)
        clock = SystemClock()
        strikes = None
        if plan.events_per_s:
            strikes = await stack.enter_async_context(Storm(engine, plan.events_per_s, plan.bootstrap, clock))
        tell(Opened(_tokens(engine, transport), floor.port if floor else 0))
        measured = Measured(engine, floor, board, plan, strikes)
        await run_paced(measured, clock)
        if strikes is not None:
            await strikes.settle()
        return measured.figures()


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
        )
        for player in engine.match.roster
    )

"""The server process of a run: the real engine at its real pace, on a core of its own."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import secrets
import time
from collections.abc import Callable
from typing import Final

import uvloop

from dedicated_server.cards import ModeCard
from dedicated_server.match.warm_up import warm_up
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.load import Overload
from dedicated_server.tick.pacing import SystemTickClock, run_paced
from dedicated_server.transport import Transport, open_transport
from loadtest.bench.harness import event_burst, run_config
from loadtest.bench.harness.event_burst import EventBurst
from loadtest.bench.harness.floor import Floor
from loadtest.bench.harness.instrumented_engine import InstrumentedEngine
from loadtest.bench.harness.run_config import HOST, JOIN_S, MATCH_ID, RunConfig, ServerFigures, ServerReady
from loadtest.bench.harness.shared_state import SharedState
from loadtest.bench.harness.worker import Send

FLEET_KEY: Final = bytes(range(32))
TOKEN_S: Final = 600.0
MATCH_S: Final = 3_600.0


def prepare(_shared: SharedState, _send: Send) -> bool:
    """Compile or load all kernels, and disable the garbage collector from then on, as a match does."""
    warm_up()
    event_burst.load_kernel()
    gc.collect()
    gc.freeze()
    gc.disable()
    return True


def serve(shared: SharedState, send: Send, config: RunConfig) -> ServerFigures:
    """Play one match; ``send`` is called with ServerReady once clients may connect."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(config, shared, send))


async def _serve(config: RunConfig, shared: SharedState, send: Send) -> ServerFigures:
    transport = await open_transport(HOST, config.port, config.transport, capacity=_room(config.players))
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(transport.close)
        floor = None
        if config.floor:
            floor = Floor(HOST, _room(config.players))
            stack.callback(floor.close)
        mode = run_config.bench_mode()
        engine = Engine(
            match_of(config, mode.card), FLEET_KEY, transport, secret=bytes(SECRET_BYTES), mode=mode
        )
        engine.overload = Overload(1.0 / engine.config.tick_hz, fastest_every=config.snapshot_every)
        clock = SystemTickClock()
        burst = None
        if config.events_per_s:
            burst = await stack.enter_async_context(
                EventBurst(engine, config.events_per_s, config.bootstrap, clock)
            )
        send(ServerReady(tokens_of(engine, transport), floor.port if floor else 0))
        measured = InstrumentedEngine(engine, floor, shared, config, burst)
        await run_paced(measured, clock)
        if burst is not None:
            await burst.flush()
        return measured.figures()


def _room(players: int) -> int:
    """Return the capacity of a turn: a datagram of every client, and as many again that a late tick left."""
    return max(1_024, 2 * players)


def match_of(config: RunConfig, card: ModeCard) -> MatchConfig:
    """Return the match of a run: everybody alone."""
    return MatchConfig(
        match_id=MATCH_ID,
        card=card,
        seed=config.seed,
        match_s=MATCH_S,
        players=[
            RosterPlayer(player_id=player_id, team=entity, entity=entity)
            for entity, player_id in enumerate(config.player_ids)
        ],
        join_timeout_s=JOIN_S,
        spawn_radius_m=config.layout.half_m,
    )


def tokens_of(
    engine: Engine,
    transport: Transport,
    *,
    now_s: float | None = None,
    random: Callable[[int], bytes] = secrets.token_bytes,
) -> tuple[bytes, ...]:
    """Return a connect token for each player of the engine's roster, issued at ``now_s`` (Unix time; None:
    this moment) and made from what ``random`` returns of a number of bytes.
    """
    now_s = time.time() if now_s is None else now_s
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
            random=random(connect_token.RANDOM_BYTES),
        )
        for player in engine.match.roster
    )

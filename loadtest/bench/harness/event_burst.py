"""A storm of kills, told as a match tells them: records in the tick, events built between ticks, a real producer, a real broker."""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

import numpy as np
from numba import njit

from dedicated_server.match.events import MatchEvents
from dedicated_server.match.session import EVENTS_PERIOD_S
from dedicated_server.match.spec import MatchSpec, RosterEntry
from dedicated_server.native.compilation import STAGE
from dedicated_server.native.memory import StateHandle, load_state
from dedicated_server.simulation.event_buffer import KILL, emit
from dedicated_server.simulation.weapons import RIFLE
from dedicated_server.simulation.world import RULES, WORLD_TYPE, new_world
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import TickClock
from launchday.clock import SystemClock
from loadtest.bench.errors import BenchError
from rewards.events import EventIds, EventProducer, Source, ensure_topics

REGION: Final = "bench"
PREFIX: Final = "bench"
EVENTS_PER_KILL: Final = 2  # the kill, and the death of whom it befell
CONNECT_S: Final = 20.0
POLL_S: Final = 0.02
FLUSH_S: Final = 20.0


@njit(cache=True, nogil=True, **STAGE)
def record_kills(pinned_world: int, kills: int, turn: int) -> None:
    """Note so many kills in the world's journal, as `damage.die` does; nobody is hurt."""
    world = load_state(pinned_world, WORLD_TYPE)
    players = world.body.shape[1]
    for kill in range(kills):
        killer = (turn + 7 * kill) % players
        emit(world, KILL, killer, (killer + 1) % players, RIFLE)


def load_kernel() -> None:
    """Compile or load it."""
    record_kills(StateHandle(new_world([0, 1], np.zeros((2, 2)), np.zeros(RULES)), WORLD_TYPE).address, 1, 0)


class EventBurst:
    """Kills and deaths of an engine's match, ``events_per_s`` of them while it is rough. An async context manager.

    Raises BenchError where the broker cannot be reached.
    """

    def __init__(self, engine: Engine, events_per_s: int, bootstrap: str, clock: TickClock) -> None:
        self._engine = engine
        self._kills_a_tick = events_per_s / EVENTS_PER_KILL / engine.config.tick_hz
        self._bootstrap = bootstrap
        self._clock = clock
        self._world = StateHandle(engine.match.world, WORLD_TYPE)
        self._owed = 0.0
        self._turn = 0
        self.active_ticks = 0
        self._over = asyncio.Event()
        self._stack = contextlib.AsyncExitStack()
        config = engine.config
        order = MatchSpec(
            match_id=config.match_id,
            mode=config.mode,
            region=REGION,
            seed=config.seed,
            match_s=config.match_s,
            players=tuple(
                RosterEntry(player_id=player.player_id, team=player.team, entity=player.entity)
                for player in engine.match.roster
            ),
        )
        folder = self._stack.enter_context(tempfile.TemporaryDirectory(prefix="launchday-bench-"))
        system_clock = SystemClock()
        self._producer = EventProducer(bootstrap, PREFIX, "bench", Path(folder) / "spool", clock=system_clock)
        self._events = MatchEvents(
            order,
            Source("bench", REGION, config.match_id, ids=EventIds.from_clock(system_clock)),
            self._producer,
            tick_hz=config.tick_hz,
            has_left=lambda _entity: False,
        )

    async def __aenter__(self) -> Self:
        """Connect, and begin to tell what happens."""
        await ensure_topics(self._bootstrap, PREFIX)
        await self._producer.start()
        self._stack.push_async_callback(self._producer.stop, 1.0)
        for _ in range(round(CONNECT_S / POLL_S)):
            if self._producer.connected:
                break
            await asyncio.sleep(POLL_S)
        else:
            raise BenchError(f"no Kafka at {self._bootstrap} within {CONNECT_S:g} s")
        self._telling = asyncio.create_task(self._send(), name="events")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)
        await self._stack.aclose()

    def record(self, rough: bool) -> None:
        """Part of a tick: note its kills, or, while it is calm, none."""
        kills = 0
        if rough:
            self._owed += self._kills_a_tick
            kills = int(self._owed)
            self._owed -= kills
            self.active_ticks += 1
        self._turn += 1
        record_kills(self._world.address, kills, self._turn)

    async def flush(self) -> None:
        """Tell what came last, and wait until the broker has it all. Raises BenchError when it does not take it."""
        self._over.set()
        await self._telling
        if not await self._producer.flush(FLUSH_S):
            raise BenchError(f"the broker did not take all events within {FLUSH_S:g} s")

    def counters(self) -> dict[str, Any]:
        """What became of the events, and how many a second they were while it was rough."""
        books = asdict(self._producer.counters())
        rough_s = self.active_ticks / self._engine.config.tick_hz
        per_s = round(self._events.emitted / rough_s) if rough_s else 0
        return {"per_s": per_s, "idempotent": self._producer.idempotent, **books}

    async def _send(self) -> None:
        """As a match does: a few at a time, between ticks."""
        while True:
            last = self._over.is_set()
            clock, engine = self._clock, self._engine
            now_s = clock.unix_s(clock.now_ns())
            await self._events.emit_records(engine.drain_events(), now_s=now_s, tick=engine.tick_number)
            if last:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVENTS_PERIOD_S)

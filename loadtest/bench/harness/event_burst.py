"""A burst of kills, sent as a match sends them: records in the tick, events built between ticks, a real
producer and broker.
"""

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
from dedicated_server.simulation.world import NOBODY, RULES, WORLD_TYPE, new_world
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import TickClock
from launchday.clock import SystemClock
from loadtest.errors import BenchError
from rewards.events import EventIds, EventProducer, Source, ensure_topics

REGION: Final = "bench"
PREFIX: Final = "bench"
EVENTS_PER_KILL: Final = 2  # the kill, and the death of the victim
CONNECT_S: Final = 20.0
POLL_S: Final = 0.02
FLUSH_S: Final = 20.0


@njit(cache=True, nogil=True, **STAGE)
def record_kills(pinned_world: int, kills: int, turn: int) -> None:
    """Write ``kills`` kills to the world's event buffer, as `damage.die` does; nobody is hurt.

    ``turn`` decides who kills whom.
    """
    world = load_state(pinned_world, WORLD_TYPE)
    players = world.body.shape[1]
    for kill in range(kills):
        killer = (turn + 7 * kill) % players
        emit(world, KILL, killer, (killer + 1) % players, 0, NOBODY, 0)


def load_kernel() -> None:
    """Compile or load the kernel."""
    world = StateHandle(new_world([0, 1], np.zeros((2, 2)), np.zeros(RULES)), WORLD_TYPE)
    record_kills(world.address, 1, 0)  # the handle lives until the kernel has run


class EventBurst:
    """Kills and deaths of an engine's match, ``events_per_s`` of them in disturbed blocks. An async context
    manager.

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
            card=config.card,
            tick_hz=config.tick_hz,
            has_left=lambda _entity: False,
        )

    async def __aenter__(self) -> Self:
        """Connect, and begin to send events."""
        await ensure_topics(self._bootstrap, PREFIX)
        await self._producer.start()
        self._stack.push_async_callback(self._producer.stop, 1.0)
        for _ in range(round(CONNECT_S / POLL_S)):
            if self._producer.connected:
                break
            await asyncio.sleep(POLL_S)
        else:
            raise BenchError(f"no Kafka at {self._bootstrap} within {CONNECT_S:g} s")
        self._sending = asyncio.create_task(self._send_events(), name="events")
        return self

    async def __aexit__(self, *exception: object) -> None:
        self._sending.cancel()
        await asyncio.gather(self._sending, return_exceptions=True)
        await self._stack.aclose()

    def record(self, disturbed: bool) -> None:
        """Write the kills of one tick; none where the block is not disturbed."""
        kills = 0
        if disturbed:
            self._owed += self._kills_a_tick
            kills = int(self._owed)
            self._owed -= kills
            self.active_ticks += 1
        self._turn += 1
        record_kills(self._world.address, kills, self._turn)

    async def flush(self) -> None:
        """Send the last events, and wait until the broker has all.

        Raises BenchError where it does not take them.
        """
        self._over.set()
        await self._sending
        if not await self._producer.flush(FLUSH_S):
            raise BenchError(f"the broker did not take all events within {FLUSH_S:g} s")

    def counters(self) -> dict[str, Any]:
        """Return the producer's counters, and the events a second in disturbed blocks."""
        counters = asdict(self._producer.counters())
        disturbed_s = self.active_ticks / self._engine.config.tick_hz
        per_s = round(self._events.emitted / disturbed_s) if disturbed_s else 0
        return {"per_s": per_s, "idempotent": self._producer.idempotent, **counters}

    async def _send_events(self) -> None:
        """Send events between ticks, as a match does."""
        while True:
            last = self._over.is_set()
            clock, engine = self._clock, self._engine
            now_s = clock.unix_s(clock.now_ns())
            await self._events.emit_records(engine.drain_events(), now_s=now_s, tick=engine.tick_number)
            if last:
                return
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._over.wait(), EVENTS_PERIOD_S)

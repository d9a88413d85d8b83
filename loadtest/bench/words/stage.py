"""What the scenes of the server's word play on: servers, bots, and what was said and heard so far."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Final

from dedicated_server.protocol import reasons
from dedicated_server.tick.engine import Engine
from loadtest.bench.harness.game_server import MATCH_S
from loadtest.bench.words.bots import Bots
from loadtest.bench.words.server import Server, serving
from loadtest.bots.session import SessionStatus
from loadtest.errors import BenchError

WAIT_S: Final = 12.0  # for what a scene waits for: longer than any time-out of the wire
ANSWER_S: Final = 0.5  # for a client to answer a farewell
PERIOD_S: Final = 0.01


async def holds(condition: Callable[[], bool], within_s: float = WAIT_S) -> bool:
    """Wait until a condition holds; whether it did in time."""
    last_s = time.monotonic() + within_s
    while not condition():
        if time.monotonic() > last_s:
            return False
        await asyncio.sleep(PERIOD_S)
    return True


class Stage:
    """Where scenes are played.

    Args:
        engine: what serves.
        bots: the players.

    Attributes:
        said: what the servers' reports say that clients were told, by kind and by reason.
        heard: how many sessions of bots ended so: by (way, reason).
    """

    def __init__(self, engine: type[Engine], bots: Bots) -> None:
        self.bots = bots
        self.said: dict[str, Counter[str]] = {
            kind: Counter() for kind in ("refusals", "farewells", "answered", "unsealed")
        }
        self.heard: Counter[tuple[str, str]] = Counter()
        self._engine = engine

    @contextlib.asynccontextmanager
    async def serving(self, players: int = 2, match_s: float = MATCH_S) -> AsyncIterator[Server]:
        """A server of its own for a scene; what it said is added to ``said``.

        With a player who does not come it waits for them as long as the scene lasts; who is alone has won.
        """
        async with serving(self._engine, players=players, match_s=match_s) as server:
            try:
                yield server
                if server.ticks:
                    await holds(lambda: server.words()["answered"] == server.words()["farewells"], ANSWER_S)
            finally:
                for kind, counts in server.words().items():
                    self.said[kind].update(counts)

    async def hear(self, bot: int, status: SessionStatus, way: str) -> None:
        """Let a bot wait for the end of its session, and note in which words it came."""
        if reason := await self.bots.hear(bot, status):
            self.heard[way, reasons.name_of(reason)] += 1

    async def wait(self, condition: Callable[[], bool], what: str) -> None:
        """Wait for ``what``. Raises BenchError where it does not come."""
        if not await holds(condition):
            raise BenchError(f"{what}: not within {WAIT_S:g} s")

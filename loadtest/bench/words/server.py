"""A match on a loopback socket, ticked in a task of the event loop that everything else runs on."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, Final
from uuid import UUID

from dedicated_server.match.parting import answering, part
from dedicated_server.match.report import build_report
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock, run_paced
from dedicated_server.transport import Transport, open_transport
from loadtest.bench.harness.game_server import FLEET_KEY, TOKEN_S
from loadtest.bench.harness.run_config import HOST, JOIN_S, MATCH_ID, bench_mode

FIRST_PLAYER: Final = 1_000  # the id of the player of entity 0
CAPACITY: Final = 64  # datagrams of a tick
SPAWN_M: Final = 35.0


class Server:
    """A server with a match of ``players``, everybody alone.

    Args:
        engine: what serves.
        transport: its socket.
        players: of the match.
        match_s: how long it is played.
    """

    def __init__(self, engine: type[Engine], transport: Transport, players: int, match_s: float) -> None:
        self.transport = transport
        self._class, self._players, self._match_s = engine, players, match_s
        self._clock = SystemTickClock()
        self._engines: list[Engine] = []
        self._ticks: asyncio.Task[None] | None = None

    @property
    def engine(self) -> Engine:
        """The engine that serves now."""
        return self._engines[-1]

    @property
    def ticks(self) -> bool:
        """Whether it ticks: it has neither been stopped nor come to its end."""
        return self._ticks is not None and not self._ticks.done()

    def start(self) -> None:
        """Begin to tick, with an engine that knows nothing of those before it at this socket."""
        mode = bench_mode()
        roster = [RosterPlayer(FIRST_PLAYER + entity, entity, entity) for entity in range(self._players)]
        match = MatchConfig(
            match_id=MATCH_ID,
            card=mode.card,
            seed=1,
            match_s=self._match_s,
            players=roster,
            join_timeout_s=JOIN_S,
            spawn_radius_m=SPAWN_M,
        )
        secret = secrets.token_bytes(SECRET_BYTES)
        self._engines.append(self._class(match, FLEET_KEY, self.transport, secret=secret, mode=mode))
        self._ticks = asyncio.create_task(run_paced(self.engine, self._clock), name="ticks")

    async def stop(self) -> None:
        """Tick no more, as a process that is killed. Raises what a tick has raised."""
        if self._ticks is not None:
            ticks, self._ticks = self._ticks, None
            ticks.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await ticks

    async def part(self) -> None:
        """End before the match is over, as on SIGTERM."""
        await self.stop()
        await part(self.engine, self._clock)

    @contextlib.asynccontextmanager
    async def closed(self) -> AsyncIterator[None]:
        """Refuse who comes while the block runs, as while results are committed."""
        await self.stop()
        async with answering(self.engine, self._clock):
            yield

    def token(
        self,
        entity: int = 0,
        *,
        fleet_key: bytes = FLEET_KEY,
        match_id: UUID = MATCH_ID,
        player_id: int | None = None,
        issued_in_s: float = 0.0,
        expires_in_s: float = TOKEN_S,
        of_port: int | None = None,
    ) -> bytes:
        """A token of a player that leads to this server, whatever it says to the server of its match, player
        and times; ``of_port``: which server it is for, by its port.
        """
        now_s, random = time.time(), secrets.token_bytes(connect_token.RANDOM_BYTES)
        sealed, led = (
            connect_token.seal(
                fleet_key,
                match_id=match_id,
                player_id=FIRST_PLAYER + entity if player_id is None else player_id,
                entity=entity,
                team=entity,
                address=self.transport.host,
                port=port,
                issued_at=now_s + issued_in_s,
                expires_at=now_s + expires_in_s,
                random=random,
            )
            for port in (of_port or self.transport.port, self.transport.port)
        )
        return sealed[: connect_token.REQUEST_PART_BYTES] + led[connect_token.REQUEST_PART_BYTES :]

    def words(self) -> dict[str, Counter[str]]:
        """What the reports of its engines say that clients were told, by kind and by reason."""
        total: dict[str, Counter[str]] = {}
        for engine in self._engines:
            said: dict[str, Any] = build_report(engine)["words"]
            for kind, counts in said.items():
                total.setdefault(kind, Counter()).update(counts)
        return total


@contextlib.asynccontextmanager
async def serving(engine: type[Engine], *, players: int, match_s: float) -> AsyncIterator[Server]:
    """A server that has started, and is stopped and closed behind the block."""
    transport = await open_transport(HOST, 0, capacity=CAPACITY)
    server = Server(engine, transport, players, match_s)
    try:
        server.start()
        yield server
    finally:
        await server.stop()
        await transport.close()

"""A target in memory that puts its players into matches of two, and does to them what a test says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from loadtest.target import Match, PlayEnd, Player, QueueRequest

Doing = Callable[[], Awaitable[Any]]


async def hang() -> None:
    """Never come back."""
    await asyncio.Event().wait()


class FakeTarget:
    """A target whose calls a test can replace: ``does["queue"] = [coroutine function, …]``, one a call.

    Attributes:
        asked: what was called, in order.
        plays: how each call of ``play`` ends, the last one of all later ones.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.does: dict[str, list[Doing]] = {}
        self.requests: list[QueueRequest] = []
        self.players: list[Player] = []
        self.silently: list[bool] = []
        self.plays: list[PlayEnd | Doing | None] = [None]
        self.ended: set[str] = set()
        self.counts = dict.fromkeys(("queued", "matched", "cancelled", "matches_formed", "matches_ended"), 0)

    async def _do(self, what: str) -> Any:
        self.asked.append(what)
        if self.does.get(what):
            return await self.does[what].pop(0)()
        return None

    async def log_in(self, player: Player) -> str:
        self.players.append(player)
        return str(await self._do("log_in") or f"session of {player.number}")

    async def queue(self, session: str, request: QueueRequest) -> int:
        await self._do("queue")
        self.requests.append(request)
        self.counts["queued"] += 1
        return len(self.requests)

    async def wait(self, session: str, ticket: int) -> Match:
        if (found := await self._do("wait")) is not None:
            assert isinstance(found, Match)
            return found
        self.counts["matched"] += 1
        self.counts["matches_formed"] += ticket % 2
        return Match(f"match-{(ticket + 1) // 2}")

    async def connect(self, session: str, match: Match) -> Any:
        await self._do("connect")

    async def play(self, session: str, connection: Match) -> PlayEnd | None:
        await self._do("play")
        end = self.plays.pop(0) if len(self.plays) > 1 else self.plays[0]
        if callable(end) and not isinstance(end, str):
            await end()
            return None
        return end

    async def leave(
        self, session: str, ticket: int, connection: Match | None = None, *, silently: bool = False
    ) -> Match | None:
        self.silently.append(silently)
        found = await self._do("leave" if connection is not None else "cancel")
        if connection is None:
            self.counts["cancelled"] += found is None
        elif connection.id not in self.ended:
            self.ended.add(connection.id)
            self.counts["matches_ended"] += 1
        return found if isinstance(found, Match) else None


class CountingTarget(FakeTarget):
    """One that counts by itself."""

    async def counters(self) -> Mapping[str, int]:
        await self._do("counters")
        return dict(self.counts)

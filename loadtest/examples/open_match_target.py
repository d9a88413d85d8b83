"""The target that floods the HTTP frontend of Open Match.

    launchday flood loadtest/examples/plain.yaml \
        --target loadtest.examples.open_match_target:OpenMatchTarget

OPEN_MATCH_URL says where the frontend is; Open Match's own HTTP port is 51504. Open Match knows no players,
so logging in costs nothing, and a match is told by the address of its game server alone.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, cast

from loadtest.errors import BackendUnavailableError, NoMatchError
from loadtest.http_target import HttpTarget
from loadtest.target import Match, Player, QueueRequest

DEFAULT_URL = "http://127.0.0.1:51504"
TICKETS = "/v1/frontendservice/tickets"
MATCH_S_VARIABLE = "EXAMPLE_MATCH_S"  # seconds, instead of the scenario's
NOT_FOUND = 5  # of gRPC


@dataclass
class OpenMatchSession:
    """A player, and how long their matches last."""

    player: Player
    match_s: float = 0.0


class OpenMatchTarget(HttpTarget):
    """Open Match's frontend."""

    def __init__(self) -> None:
        super().__init__(os.environ.get("OPEN_MATCH_URL", DEFAULT_URL))

    async def log_in(self, player: Player) -> OpenMatchSession:
        """Nobody logs in to Open Match."""
        return OpenMatchSession(player)

    async def queue(self, session: OpenMatchSession, request: QueueRequest) -> str:
        """Create a ticket: the mode is a tag, skill and latencies are arguments of the match function."""
        session.match_s = request.match_s
        numbers = {"skill": session.player.skill}
        numbers |= {f"latency.{region}": ms for region, ms in session.player.latencies_ms.items()}
        words = {}
        if request.party is not None:
            words["party"], numbers["party_size"] = request.party.id, request.party.size
        fields = {"tags": [f"mode.{session.player.mode}"], "double_args": numbers, "string_args": words}
        created = await self.post(TICKETS, {"ticket": {"search_fields": fields}})
        return str(created["id"])

    async def wait(self, session: OpenMatchSession, ticket: str) -> Match:
        """Watch the ticket's assignments until there is one."""
        lines = cast(AsyncGenerator[Any, None], self.lines(f"{TICKETS}/{ticket}/assignments"))
        async with aclosing(lines) as updates:
            async for update in updates:
                if error := update.get("error"):
                    if error.get("code") == NOT_FOUND:
                        raise NoMatchError("deleted", str(error.get("message", "")))
                    raise BackendUnavailableError(f"assignments: {error.get('message')}")
                if connection := update["result"].get("assignment", {}).get("connection"):
                    return Match(connection)
        raise BackendUnavailableError("assignments: the stream ended before there was one")

    async def connect(self, session: OpenMatchSession, match: Match) -> str:
        """Where your game server is; connect to it here."""
        return match.id

    async def play(self, session: OpenMatchSession, connection: str) -> None:
        """Play for as long as the scenario says."""
        await asyncio.sleep(float(os.environ.get(MATCH_S_VARIABLE, session.match_s)))

    async def leave(
        self,
        session: OpenMatchSession,
        ticket: str,
        connection: str | None = None,
        *,
        silently: bool = False,
    ) -> Match | None:
        """Delete the ticket, as a client does that is done with it; tell the match that it has meanwhile."""
        found = None
        if connection is None:
            shown = await self.request("GET", f"{TICKETS}/{ticket}", missing_ok=True) or {}
            address = shown.get("assignment", {}).get("connection")
            found = Match(address) if address else None
        if found is None and not silently:
            await self.delete(f"{TICKETS}/{ticket}", missing_ok=True)
        return found

"""The target that floods the plain matchmaker; see :mod:`loadtest.examples.plain_matchmaker`.

    launchday flood loadtest/examples/plain.yaml --target loadtest.examples.plain_target:PlainTarget

PLAIN_MATCHMAKER_URL says where the matchmaker is. EXAMPLE_MATCH_S shortens the matches: without it they last
as long as the scenario says.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass

from loadtest.errors import NoMatchError
from loadtest.http_target import HttpTarget
from loadtest.target import Match, Player, QueueRequest

DEFAULT_URL = "http://127.0.0.1:8200"
MATCH_S_VARIABLE = "EXAMPLE_MATCH_S"
WAIT_S = 20.0  # of one long poll


@dataclass
class PlainSession:
    """A logged-in player, and how long their matches last."""

    token: str
    match_s: float = 0.0


@dataclass
class PlainConnection:
    """A player in a match. The matchmaker has no game servers, so there is nothing to connect to."""

    match_id: str


class PlainTarget(HttpTarget):
    """The plain matchmaker.

    Args:
        url: where it is; None: where PLAIN_MATCHMAKER_URL says.
    """

    def __init__(self, url: str | None = None) -> None:
        super().__init__(url or os.environ.get("PLAIN_MATCHMAKER_URL", DEFAULT_URL))

    async def log_in(self, player: Player) -> PlainSession:
        """Log in by the device's id."""
        answer = await self.post("/login", {"device_id": player.device_id})
        return PlainSession(answer["token"])

    async def queue(self, session: PlainSession, request: QueueRequest) -> str:
        """Open a ticket. The same key gives the same ticket, so it may be tried again."""
        session.match_s = request.match_s
        party = None if request.party is None else {"id": request.party.id, "size": request.party.size}
        body = {
            "token": session.token,
            "mode": request.player.mode,
            "party": party,
            "key": request.key,
        }
        return str((await self.post("/tickets", body))["ticket"])

    async def wait(self, session: PlainSession, ticket: str) -> Match:
        """Ask by long polls until the ticket is not searching any more."""
        while True:
            found = await self.get(f"/tickets/{ticket}?wait_s={WAIT_S:g}", wait_s=WAIT_S)
            if found["match"]:
                return Match(found["match"])
            if found["state"] != "searching":
                raise NoMatchError(found["state"])

    async def connect(self, session: PlainSession, match: Match) -> PlainConnection:
        """Nothing to connect to."""
        return PlainConnection(match.id)

    async def play(self, session: PlainSession, connection: PlainConnection) -> None:
        """Play for as long as the scenario says."""
        await asyncio.sleep(float(os.environ.get(MATCH_S_VARIABLE, session.match_s)))

    async def leave(
        self,
        session: PlainSession,
        ticket: str,
        connection: PlainConnection | None = None,
        *,
        silently: bool = False,
    ) -> Match | None:
        """Leave the match, or take the ticket back: where that is too late, there is a match."""
        if connection is None:
            found = await self.delete(f"/tickets/{ticket}")
            return Match(found["match"]) if found["match"] else None
        if not silently:
            await self.delete(f"/matches/{connection.match_id}/players/{ticket}", missing_ok=True)
        return None

    async def counters(self) -> Mapping[str, int]:
        """What the matchmaker has counted, for the ledger."""
        counts: Mapping[str, int] = await self.get("/counters")
        return counts

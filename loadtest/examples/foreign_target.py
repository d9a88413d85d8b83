"""The players of :mod:`loadtest.examples.foreign_server`: our services for everything but the match itself.

    launchday flood loadtest/examples/foreign.yaml --target loadtest.examples.foreign_target:ForeignTarget

The addresses of the services are those of the settings.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from dataclasses import dataclass, field
from typing import Any

from dedicated_server.protocol.connect_token import read_public
from launchday.settings import settings
from loadtest.errors import NoMatchError, SessionBrokenError
from loadtest.players.backend_client import HttpBackendClient, PlayerLogin, match_of
from loadtest.target import Match, Player, QueueRequest
from matchmaker.client import TicketView

PLAYERS = 200  # that wait at the same time
REPEAT_S, ANSWER_S, SILENCE_S = 0.1, 5.0, 5.0
REQUEST, WELCOME, SAID, OVER, LEAVE = range(5)  # of the foreign server's lane


@dataclass
class Talk(asyncio.DatagramProtocol):
    """A player's socket: who they are to the game server, and what it has sent back."""

    arrived: asyncio.Queue[bytes] = field(default_factory=asyncio.Queue)
    transport: Any = None
    echoes: int = 0

    def datagram_received(self, data: bytes, addr: object) -> None:
        """Keep it until somebody listens."""
        self.arrived.put_nowait(data)


class ForeignTarget:
    """Our backend, with game servers of somebody else's."""

    def __init__(self) -> None:
        self._client = HttpBackendClient(settings(), PLAYERS)

    async def __aenter__(self) -> ForeignTarget:
        await self._client.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._client.__aexit__(*raised)

    async def log_in(self, player: Player) -> PlayerLogin:
        """Log a device's player in."""
        return await self._client.log_in(player.device_id)

    async def queue(self, session: PlayerLogin, request: QueueRequest) -> str:
        """Open a ticket."""
        return await self._client.open_ticket(
            session.token,
            mode=request.player.mode,
            latencies_ms=request.player.latencies_ms,
            client_key=request.key,
        )

    async def wait(self, session: PlayerLogin, ticket: str) -> Match:
        """Follow the ticket until it is assigned."""
        return _matched(await self._client.wait(session.token, ticket))

    async def connect(self, session: PlayerLogin, match: Match) -> Talk:
        """Show the connect token to the game server until it lets the player in."""
        token = read_public(base64.b64decode(match.details.connect_token))
        talk = Talk()
        talk.transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: talk, remote_addr=(token.address, token.port)
        )
        for _ in range(round(ANSWER_S / REPEAT_S)):
            talk.transport.sendto(bytes([REQUEST]) + token.request_part)
            with contextlib.suppress(TimeoutError):
                if (await asyncio.wait_for(talk.arrived.get(), REPEAT_S))[0] == WELCOME:
                    return talk
        talk.transport.close()
        raise SessionBrokenError("the game server does not answer")

    async def play(self, session: PlayerLogin, connection: Talk) -> None:
        """Say something ten times a second, until the server says that the match is over."""
        silent_s = 0.0
        try:
            while silent_s < SILENCE_S:
                connection.transport.sendto(bytes([SAID]) + b"hello")
                try:
                    heard = await asyncio.wait_for(connection.arrived.get(), REPEAT_S)
                except TimeoutError:
                    silent_s += REPEAT_S
                    continue
                silent_s = 0.0
                if heard[0] == OVER:
                    return
                connection.echoes += heard[0] == SAID
                await asyncio.sleep(REPEAT_S)
        finally:
            connection.transport.close()
        raise SessionBrokenError("the game server is not heard any more")

    async def leave(
        self, session: PlayerLogin, ticket: str, connection: Talk | None = None, *, silently: bool = False
    ) -> Match | None:
        """Leave the match, or take the ticket back."""
        if connection is not None:
            if not silently:
                connection.transport.sendto(bytes([LEAVE]))
            connection.transport.close()
            return None
        view = await self._client.cancel(session.token, ticket)
        return None if view.state == "cancelled" else _matched(view)


def _matched(view: TicketView) -> Match:
    if view.assignment is None:
        raise NoMatchError(view.state, view.reason or "")
    return match_of(view.assignment)

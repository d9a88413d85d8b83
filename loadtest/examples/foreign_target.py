"""The players of :mod:`loadtest.examples.foreign_server`: our services for everything but the match itself.

    launchday flood loadtest/examples/foreign.yaml --target loadtest.examples.foreign_target:ForeignTarget

The addresses of the services are those of the settings.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from dedicated_server.protocol.connect_token import read_public
from launchday.settings import settings
from loadtest.errors import BackendUnavailableError, NoMatchError, SessionBrokenError
from loadtest.target import Match, Player, QueueRequest
from matchmaker.client import MatchmakerClient, MatchmakerClientError, TicketView
from meta_service.client import MetaClient, MetaClientError

CONNECTIONS = 100
WAIT_S = 20.0  # of one question after a ticket
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
        configured = settings()
        self._meta = MetaClient(configured.meta_url, connections=CONNECTIONS)
        self._matchmaker = MatchmakerClient(configured.matchmaker_url)

    async def __aenter__(self) -> ForeignTarget:
        await self._matchmaker.__aenter__()
        return self

    async def __aexit__(self, *raised: Any) -> None:
        await self._matchmaker.__aexit__(*raised)
        await self._meta.close()

    async def log_in(self, player: Player) -> MatchmakerClient:
        """Log a device's player in; what they call the matchmaker with."""
        with _again():
            login = await self._meta.login_device(player.device_id)
        return self._matchmaker.with_token(login.session_token)

    async def queue(self, session: MatchmakerClient, request: QueueRequest) -> str:
        """Open a ticket. The same key gives the same one."""
        player = request.player
        with _again():
            made = await session.create_ticket(player.mode, player.latencies_ms, client_key=request.key)
        return made.ticket_id

    async def wait(self, session: MatchmakerClient, ticket: str) -> Match:
        """Ask after the ticket until it is assigned."""
        while True:
            with _again():
                view = await session.wait_for_end(ticket, WAIT_S)
            if view.final:
                return _matched(view)

    async def connect(self, session: MatchmakerClient, match: Match) -> Talk:
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

    async def play(self, session: MatchmakerClient, connection: Talk) -> None:
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
        self,
        session: MatchmakerClient,
        ticket: str,
        connection: Talk | None = None,
        *,
        silently: bool = False,
    ) -> Match | None:
        """Leave the match, or take the ticket back."""
        if connection is not None:
            if not silently:
                connection.transport.sendto(bytes([LEAVE]))
            connection.transport.close()
            return None
        with _again():
            view = await session.cancel_ticket(ticket)
            view = view if view.final else await session.wait_for_end(ticket, WAIT_S)
        return None if view.state == "cancelled" else _matched(view)


@contextlib.contextmanager
def _again() -> Iterator[None]:
    """What a service has not done may be tried again."""
    try:
        yield
    except (MetaClientError, MatchmakerClientError) as error:
        raise BackendUnavailableError(str(error)) from error


def _matched(view: TicketView) -> Match:
    if (found := view.assignment) is None:
        raise NoMatchError(view.state, view.reason or "")
    return Match(found.match_id, found.region, found.entity, found)

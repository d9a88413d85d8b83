"""Our own backend as a target: its HTTP services, and its game servers over UDP."""

from __future__ import annotations

import asyncio
import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from dedicated_server.protocol.connect_token import ConnectTokenError
from launchday.resilience.exhaustion import own_shortage
from loadtest.bots.session import PlayerLink
from loadtest.errors import NoMatchError, PlayerLostError
from loadtest.players.backend_client import FREE_ITEM, BackendClient, match_of
from loadtest.players.game_session import FastLane, GameSession
from loadtest.players.own_parties import Member, OwnParties
from loadtest.players.player_records import PlayerRecords
from loadtest.players.requests import RequestLog
from loadtest.scenario.platforms import BACKEND_PLATFORMS
from loadtest.target import Ask, Match, Party, PlayEnd, Player, QueueRequest
from matchmaker.client import TicketView

MATCH_END_POLL_S = 0.25  # how often a player who left early checks whether the match is over
COMMIT_GRACE_S = 1.0  # from the end of a match until its server has committed the players' progress


@dataclass(frozen=True, slots=True)
class OwnSession:
    """A logged-in player of our own backend."""

    player: Player
    token: str
    player_id: int = 0


class OwnBackend:
    """Our own backend, as the players' journeys see it. It is a Target, and has everything that one may have
    but counters: those its surroundings read, of each service.

    Args:
        client: of its HTTP services.
        swarm: the UDP side of the bots.
        records: get the players' ids, and what their clients have measured.
        requests: gets the shortages of this process.
        link_to: a bot's number and a region → the link between them.
        clock: seconds of the run.
        ended_matches: ids of the matches that are over.
        platforms: a scenario's platform → the matchmaker's, where it has another name.
    """

    def __init__(
        self,
        client: BackendClient,
        swarm: FastLane,
        records: PlayerRecords,
        requests: RequestLog,
        link_to: Callable[[int, str], PlayerLink],
        clock: Callable[[], float],
        ended_matches: set[str],
        platforms: Mapping[str, str] | None = None,
    ) -> None:
        self._client, self._swarm, self._records, self._requests = client, swarm, records, requests
        self._link_to, self._clock, self.ended_matches = link_to, clock, ended_matches
        self._parties = OwnParties(client)
        self._platforms = platforms or dict(zip(BACKEND_PLATFORMS, BACKEND_PLATFORMS, strict=True))

    async def log_in(self, player: Player) -> OwnSession:
        """Log a device's player in."""
        login = await self._client.log_in(player.device_id)
        self._records.player_id[player.number] = login.player_id
        return OwnSession(player, login.token, login.player_id)

    async def gather(self, session: OwnSession, party: Party, mode: str, ask: Ask[Any]) -> str | None:
        """Bring a member into the party in the meta service, and the party into the queue; its claim."""
        member = Member(session.player.number, session.token, session.player_id)
        return await self._parties.gather(member, party, mode, ask)

    async def shop(self, session: OwnSession, key: str, ask: Ask[Any]) -> None:
        """Read the catalogue, purchase what is free, once, and change the skin."""
        client, token = self._client, session.token
        await ask("read the catalogue", lambda: client.catalogue(token))
        if FREE_ITEM not in await ask("read the inventory", lambda: client.inventory(token)):
            await ask("purchase", lambda: client.purchase(token, key))
        await ask("change the skin", lambda: client.change_skin(token, key))

    async def queue(self, session: OwnSession, request: QueueRequest) -> str:
        """Open a ticket; the same key gives the same one, and so does a live ticket."""
        party = request.party
        return await self._client.open_ticket(
            session.token,
            mode=request.player.mode,
            latencies_ms=request.player.latencies_ms,
            client_key=request.key,
            party=None if party is None else party.claim,
            platform=self._platforms.get(request.player.platform, BACKEND_PLATFORMS[0]),
            cross_play=request.player.cross_play,
        )

    async def wait(self, session: OwnSession, ticket: str) -> Match:
        """Follow the ticket until it is assigned. Raises NoMatchError where it ends without a match."""
        return _matched(await self._client.wait(session.token, ticket))

    async def requeued(self, session: OwnSession, ticket: str) -> str | None:
        """The ticket that the matchmaker has made in place of that of a lost match, if it has."""
        return await self._client.requeued(session.token, ticket)

    async def renew(self, session: OwnSession, ticket: str) -> Match | None:
        """The match of a ticket with a new connect token; None where that match is over."""
        assignment = await self._client.renew_token(session.token, ticket)
        return None if assignment is None else match_of(assignment)

    async def connect(self, session: OwnSession, match: Match) -> GameSession:
        """Shake hands with the game server. Raises SessionBrokenError, PlayerLostError, SwarmError."""
        bot = session.player.number
        try:
            connect_token = base64.b64decode(match.details.connect_token, validate=True)
            game = GameSession(self._swarm, bot, self._records, self._clock)
            # A backend of an earlier release does not say the mode: there it has the queue's name.
            mode = match.details.mode or session.player.mode
            await game.connect(connect_token, self._link_to(bot, match.region), mode)
        except (ConnectTokenError, binascii.Error) as error:
            raise PlayerLostError(f"connect token: {error}") from error
        except OSError as error:
            self._requests.note_shortage(error)
            raise PlayerLostError(f"no socket: {own_shortage(error) or error.strerror or error}") from error
        return game

    async def play(self, session: OwnSession, connection: GameSession) -> PlayEnd:
        """Play until the match is over or the player dies. Raises SessionBrokenError."""
        return await connection.play()

    async def roam(self, session: OwnSession, connection: GameSession) -> float | None:
        """Go on from another port; the seconds until the game server was heard there."""
        return await connection.roam()

    async def leave(
        self,
        session: OwnSession,
        ticket: str,
        connection: GameSession | None = None,
        *,
        silently: bool = False,
    ) -> Match | None:
        """Leave the match, or take the ticket back and return the match that it has got meanwhile."""
        if connection is not None:
            await connection.leave(silently=silently)
            return None
        view = await self._client.cancel(session.token, ticket)
        return None if view.state == "cancelled" else _matched(view)

    async def saved(self, session: OwnSession, match: Match, longest_s: float) -> None:
        """Wait for the end of a match that the player left early.

        Until then its game server holds the lease on the player's progress, and no other server may let the
        player in.
        """
        ended = self.ended_matches
        if match.id in ended:
            return
        latest_s = self._clock() + longest_s
        while match.id not in ended and self._clock() < latest_s:  # noqa: ASYNC110 - a plain set signals nothing
            await asyncio.sleep(MATCH_END_POLL_S)
        await asyncio.sleep(COMMIT_GRACE_S)


def _matched(view: TicketView) -> Match:
    if view.assignment is None:
        raise NoMatchError(view.state, view.reason or "")
    return match_of(view.assignment)

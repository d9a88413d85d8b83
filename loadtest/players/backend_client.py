"""The HTTP side of a player: log in, shop, open a ticket, wait for a match, cancel.

A waiting player holds a connection with an event stream on it. One pool of connections serves only
POOL_PLAYERS players: httpx2 looks at all connections of a pool for each request, so a thousand players in one
pool cost the generator a hundred times as much.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import AsyncGenerator, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, Self
from uuid import UUID

from dedicated_server.protocol.connect_token import CIPHER_NAMES
from launchday.resilience.http_client import ServiceClient
from launchday.settings import Settings
from loadtest.errors import BackendRefusedError, BackendUnavailableError, PlayerInMatchError
from loadtest.players.own_parties import GatheredParty, PartyClient
from loadtest.target import Match
from matchmaker.client import (
    Assignment,
    InMatchError,
    MatchmakerClient,
    MatchmakerClientError,
    MatchmakerUnavailableError,
    NoSuchTicketError,
    TicketEndedError,
    TicketExistsError,
    TicketView,
)
from meta_service.client import (
    MetaClient,
    MetaClientError,
    MetaRefusedError,
    MetaUnavailableError,
    Party,
)

PATIENCE_S = 10.0  # for an answer in all; a player repeats what the scenario's retries say, and nothing else
# The fleet notices a killed server within a second, and one that hangs later than its players do.
REQUEUE_TIMEOUT_S = 5.0
# For the end of a ticket that was being placed when it was cancelled: a director asks a silent server for
# 30 s before it gives the match up.
CANCEL_RACE_TIMEOUT_S = 45.0
CANCEL_REPEAT_S = 5.0  # between two cancellations of such a ticket
POOL_PLAYERS = 16  # that share one pool of connections

FREE_ITEM = "wave"
SKINS = ("recruit", "scout")  # free, so everybody may wear them


class PlayerLogin(NamedTuple):
    """A logged-in player: the session token, which every later call needs, and the player's id."""

    token: str
    player_id: int


class BackendClient(PartyClient, Protocol):
    """What the journeys on our own backend need of its HTTP services.

    Every method raises BackendUnavailableError (try again) and BackendRefusedError (do not).
    """

    async def log_in(self, device_id: str) -> PlayerLogin:
        """Log a device's player in."""
        ...

    async def catalogue(self, token: str) -> None:
        """Read the shop's catalogue."""
        ...

    async def inventory(self, token: str) -> set[str]:
        """The ids of what the player owns."""
        ...

    async def purchase(self, token: str, key: str) -> None:
        """Purchase what is free, once per idempotency ``key``."""
        ...

    async def change_skin(self, token: str, key: str) -> None:
        """Put on the skin that ``key`` chooses."""
        ...

    async def open_ticket(
        self,
        token: str,
        *,
        mode: str,
        latencies_ms: Mapping[str, float],
        client_key: str,
        party: str | None = None,
        platform: str = "pc",
        cross_play: bool = True,
    ) -> str:
        """Queue for a match and return the ticket's id.

        Args:
            mode: the mode's name.
            latencies_ms: region → measured round trip in ms.
            client_key: makes it idempotent: the same key gives the same ticket, and so does a live ticket.
            party: the party's claim; None for a player alone.
            platform, cross_play: the player's platform, and whether they meet others.

        Raises:
            PlayerInMatchError: they are in a match already.
        """
        ...

    async def wait(self, token: str, ticket_id: str) -> TicketView:
        """Wait until the ticket is assigned or has ended, however long it takes."""
        ...

    async def requeued(self, token: str, ticket_id: str) -> str | None:
        """The ticket that replaces this one because its match was lost; None where none is known in
        REQUEUE_TIMEOUT_S.
        """
        ...

    async def renew_token(self, token: str, ticket_id: str) -> Assignment | None:
        """The match of an assigned ticket, with a new connect token; None where that match is over."""
        ...

    async def cancel(self, token: str, ticket_id: str) -> TicketView:
        """Cancel the ticket and return its final state, which is an assignment where the cancellation came
        too late.
        """
        ...


class HttpBackendClient:
    """The HTTP services of a running backend.

    Args:
        settings: addresses of the services.
        players: the most that wait at the same time.
    """

    def __init__(self, settings: Settings, players: int) -> None:
        self._meta = MetaClient(
            settings.meta_url, connections=min(players, 100), patience_s=PATIENCE_S, retry=False
        )
        self._pools = [
            ServiceClient(settings.matchmaker_url, patience_s=PATIENCE_S, connections=None, retry=False)
            for _ in range(1 + players // POOL_PLAYERS)
        ]
        self._matchmakers = [MatchmakerClient(settings.matchmaker_url, http=pool) for pool in self._pools]

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for pool in self._pools:
            await pool.aclose()
        await self._meta.close()

    def _matchmaker(self, token: str) -> MatchmakerClient:
        """The matchmaker for one player, always over the same pool."""
        return self._matchmakers[hash(token) % len(self._matchmakers)].with_token(token)

    async def log_in(self, device_id: str) -> PlayerLogin:
        """Log a device's player in."""
        with _meta_translated("login"):
            login = await self._meta.login_device(device_id)
        return PlayerLogin(token=login.session_token, player_id=login.player_id)

    async def catalogue(self, token: str) -> None:
        """Read the shop's catalogue."""
        with _meta_translated("shop"):
            await self._meta.catalogue(token)

    async def inventory(self, token: str) -> set[str]:
        """The ids of what the player owns."""
        with _meta_translated("shop"):
            return {owned.item_id for owned in await self._meta.inventory(token)}

    async def purchase(self, token: str, key: str) -> None:
        """Purchase what is free, once per idempotency ``key``."""
        with _meta_translated("shop"):
            await self._meta.purchase(token, key, FREE_ITEM)

    async def change_skin(self, token: str, key: str) -> None:
        """Put on the skin that ``key`` chooses."""
        with _meta_translated("shop"):
            await self._meta.set_loadout(token, SKINS[ord(key[-1]) % len(SKINS)])

    async def open_party(self, token: str, size: int) -> GatheredParty:
        """The party that the player leads, a new one where they lead none; leaves another's."""
        with _meta_translated("party"):
            try:
                party = await self._meta.create_party(token, size)
            except MetaRefusedError as error:
                if error.kind != "in-a-party":
                    raise
                await self._meta.leave_party(token)
                party = await self._meta.create_party(token, size)
        return _gathered(party)

    async def invite(self, token: str, player_id: int) -> None:
        """Invite a player."""
        with _meta_translated("party"):
            await self._meta.invite_to_party(token, player_id)

    async def dismiss(self, token: str, player_id: int) -> None:
        """Remove a member."""
        with _meta_translated("party"):
            await self._meta.kick_from_party(token, player_id)

    async def join_party(self, token: str, party_id: str) -> None:
        """Accept an invitation; leaves another party for it."""
        with _meta_translated("party"):
            try:
                await self._meta.accept_party(token, UUID(party_id))
            except MetaRefusedError as error:
                if error.kind != "in-a-party":
                    raise
                await self._meta.leave_party(token)
                await self._meta.accept_party(token, UUID(party_id))

    async def be_ready(self, token: str) -> None:
        """Say that the player is ready to play."""
        with _meta_translated("party"):
            await self._meta.set_ready(token)

    async def queue_party(self, token: str, mode: str) -> GatheredParty:
        """Queue the party that the player leads."""
        with _meta_translated("party"):
            return _gathered(await self._meta.queue_party(token, mode))

    async def read_party(self, token: str) -> GatheredParty:
        """The player's party."""
        with _meta_translated("party"):
            return _gathered(await self._meta.my_party(token))

    async def open_ticket(
        self,
        token: str,
        *,
        mode: str,
        latencies_ms: Mapping[str, float],
        client_key: str,
        party: str | None = None,
        platform: str = "pc",
        cross_play: bool = True,
    ) -> str:
        """Queue for a match and return the ticket's id.

        Args:
            mode: the mode's name.
            latencies_ms: region → measured round trip in ms.
            client_key: makes it idempotent: the same key gives the same ticket, and so does a live ticket.
            party: the party's claim; None for a player alone.
            platform, cross_play: the player's platform, and whether they meet others.
        """
        with _translated("ticket"):
            try:
                created = await self._matchmaker(token).create_ticket(
                    mode,
                    latencies_ms,
                    client_key=client_key,
                    party=party,
                    platform=platform,
                    cross_play=cross_play,
                    ciphers=list(CIPHER_NAMES),
                )
            except TicketExistsError as error:  # a requeued ticket of a lost match that the player had left
                return error.ticket_id
            return created.ticket_id

    async def requeued(self, token: str, ticket_id: str) -> str | None:
        """The ticket that replaces this one because its match was lost; None where none is known in
        REQUEUE_TIMEOUT_S.
        """
        player = self._matchmaker(token)
        with _translated("ticket"):
            new = (await player.read_ticket(ticket_id, REQUEUE_TIMEOUT_S, lost=True)).requeued_as
            if new is not None:
                await player.read_ticket(new)  # the first read makes the matchmaker search for it
            return new

    async def wait(self, token: str, ticket_id: str) -> TicketView:
        """Wait until the ticket is assigned or has ended, however long it takes."""
        updates = self._matchmaker(token).follow_ticket(ticket_id)
        with _translated("ticket"):
            try:
                async for status in updates:
                    if status.final:
                        return status
            finally:
                if isinstance(
                    updates, AsyncGenerator
                ):  # returns its connection now, not when it is collected
                    await updates.aclose()
        raise BackendUnavailableError("ticket: the event stream ended before the ticket did")

    async def renew_token(self, token: str, ticket_id: str) -> Assignment | None:
        """The match of an assigned ticket, with a new connect token; None where that match is over."""
        with _translated("token"):
            try:
                return await self._matchmaker(token).renew_token(ticket_id)
            except (TicketEndedError, NoSuchTicketError):
                return None

    async def cancel(self, token: str, ticket_id: str) -> TicketView:
        """Cancel the ticket and return its final state, which is an assignment where the cancellation came
        too late.
        """
        player = self._matchmaker(token)
        give_up_s = time.monotonic() + CANCEL_RACE_TIMEOUT_S
        with _translated("ticket"):
            while True:
                with contextlib.suppress(TicketEndedError):
                    ticket = await player.cancel_ticket(ticket_id)
                    if ticket.final:
                        return ticket
                # A proposed ticket is marked: it ends cancelled unless its match finds a server first.
                ticket = await player.wait_for_end(ticket_id, CANCEL_REPEAT_S)
                if ticket.final or time.monotonic() > give_up_s:
                    return ticket


def _gathered(party: Party) -> GatheredParty:
    claim = party.queue.claim if party.queue is not None else ""
    return GatheredParty(
        str(party.party_id), {member.player_id: member.ready for member in party.members}, claim
    )


def match_of(assignment: Assignment) -> Match:
    """An assignment as the match that the journeys know."""
    return Match(assignment.match_id, assignment.region, assignment.entity, assignment)


@contextlib.contextmanager
def _meta_translated(what: str) -> Iterator[None]:
    try:
        yield
    except MetaUnavailableError as error:
        raise BackendUnavailableError(f"{what}: {error}", error.retry_after_s) from error
    except MetaClientError as error:
        raise BackendRefusedError(f"{what}: {error}") from error


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except MatchmakerUnavailableError as error:
        raise BackendUnavailableError(f"{what}: {error}", error.retry_after_s) from error
    except InMatchError as error:
        match = None if error.assignment is None else match_of(error.assignment)
        raise PlayerInMatchError(f"{what}: {error}", match) from error
    except MatchmakerClientError as error:
        raise BackendRefusedError(f"{what}: {error}") from error

"""The reliable lane as a player sees it: log in, open a ticket, wait for its end, take it back.

A waiting player holds a connection, with an event stream on it. A pool of connections serves a handful of players: httpx looks at all
connections of a pool for each request, so that in one pool a thousand players cost the generator a hundred times as much.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import AsyncGenerator, Iterator, Mapping
from types import TracebackType
from typing import NamedTuple, Protocol, Self

import httpx

from launchday.settings import Settings
from loadtest.errors import BackendError
from matchmaker.client import (
    MatchmakerClient,
    MatchmakerClientError,
    MatchmakerUnavailableError,
    TicketEndedError,
    TicketExistsError,
    TicketStatus,
)
from meta_service.client import MetaClient, MetaClientError, MetaUnavailableError

ANSWER_TIMEOUT_S = 10.0
STREAM_TIMEOUT_S = 40.0  # on an event stream; the matchmaker gives a sign of life every 15 s
REQUEUE_TIMEOUT_S = (
    5.0  # a killed server is known within a second, one that hangs later than its players notice
)
CANCEL_RACE_TIMEOUT_S = (
    30.0  # for a ticket that could not be taken back because its match is getting a server
)

POOL_PLAYERS = 16  # who share a pool of connections

FREE_ITEM = "wave"
SKINS = ("nightfall", "daybreak")


class BackendUnavailableError(BackendError):
    """Raised when a service gave no usable answer. The player tries again."""


class BackendRefusedError(BackendError):
    """Raised when a service refused the player. Trying again is no use."""


class PlayerLogin(NamedTuple):
    """A player who is logged in."""

    token: str
    player_id: int


class BackendClient(Protocol):
    """What a journey needs of the reliable lane. Every method raises Unavailable and Refused."""

    async def log_in(self, device_id: str) -> PlayerLogin:
        """Log a device's player in."""
        ...

    async def shop(self, token: str, key: str) -> None:
        """Look at what is for sale, take what is free (once for each ``key``), and change the skin."""
        ...

    async def open_ticket(
        self,
        token: str,
        *,
        mode: str,
        latencies_ms: Mapping[str, float],
        client_key: str,
        party: tuple[str, int] | None = None,
    ) -> str:
        """Queue, alone or with a party (its id and size); the ticket's id. The same ``client_key`` gives the same ticket, and so does a
        player who has a live one."""
        ...

    async def wait(self, token: str, ticket_id: str) -> TicketStatus:
        """Wait for the ticket's end, however long it takes."""
        ...

    async def requeued(self, token: str, ticket_id: str) -> str | None:
        """The ticket that the player was given because the match of this one was lost; None where nobody says so within LOST_S."""
        ...

    async def cancel(self, token: str, ticket_id: str) -> TicketStatus:
        """Take the ticket back; what came of it, which is an assignment where it was too late."""
        ...


class HttpBackendClient:
    """The reliable lane of a running backend.

    Args:
        settings: where the services are.
        players: how many wait at once at most.
    """

    def __init__(self, settings: Settings, players: int) -> None:
        self._meta = MetaClient(settings.meta_url, connections=min(players, 100))
        trust = ssl.create_default_context()  # once: it reads every root certificate there is
        self._pools = [
            httpx.AsyncClient(
                timeout=httpx.Timeout(ANSWER_TIMEOUT_S, read=STREAM_TIMEOUT_S, pool=None),
                limits=httpx.Limits(max_connections=None, max_keepalive_connections=POOL_PLAYERS),
                trust_env=False,  # a proxy from the environment is not for calls to our own services
                verify=trust,
            )
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

    async def shop(self, token: str, key: str) -> None:
        """Look at what is for sale, take what is free (once for each ``key``), and change the skin."""
        with _meta_translated("shop"):
            await self._meta.catalogue(token)
            if all(owned.item_id != FREE_ITEM for owned in await self._meta.inventory(token)):
                await self._meta.purchase(token, key, FREE_ITEM)
            await self._meta.set_loadout(token, SKINS[ord(key[-1]) % len(SKINS)])

    async def open_ticket(
        self,
        token: str,
        *,
        mode: str,
        latencies_ms: Mapping[str, float],
        client_key: str,
        party: tuple[str, int] | None = None,
    ) -> str:
        """Queue, alone or with a party (its id and size); the ticket's id. The same ``client_key`` gives the same ticket, and so does a
        player who has a live one."""
        with _translated("ticket"):
            try:
                created = await self._matchmaker(token).create_ticket(
                    mode, latencies_ms, client_key=client_key, party=party
                )
            except TicketExistsError as error:  # given because a match was lost which the player had left
                return error.ticket_id
            return created.ticket_id

    async def requeued(self, token: str, ticket_id: str) -> str | None:
        """The ticket that the player was given because the match of this one was lost; None where nobody says so within LOST_S."""
        player = self._matchmaker(token)
        with _translated("ticket"):
            new = (await player.read_ticket(ticket_id, REQUEUE_TIMEOUT_S, lost=True)).requeued_as
            if new is not None:
                await player.read_ticket(new)  # it is searched for from now on
            return new

    async def wait(self, token: str, ticket_id: str) -> TicketStatus:
        """Wait for the ticket's end, however long it takes."""
        looks = self._matchmaker(token).follow_ticket(ticket_id)
        with _translated("ticket"):
            try:
                async for status in looks:
                    if status.final:
                        return status
            finally:
                if isinstance(
                    looks, AsyncGenerator
                ):  # its connection goes back now, not when it is collected
                    await looks.aclose()
        raise BackendUnavailableError("ticket: the event stream ended before the ticket did")

    async def cancel(self, token: str, ticket_id: str) -> TicketStatus:
        """Take the ticket back; what came of it, which is an assignment where it was too late."""
        player = self._matchmaker(token)
        with _translated("ticket"):
            try:
                return await player.cancel_ticket(ticket_id)
            except TicketEndedError:
                return await player.wait_for_end(ticket_id, CANCEL_RACE_TIMEOUT_S)


@contextlib.contextmanager
def _meta_translated(what: str) -> Iterator[None]:
    try:
        yield
    except MetaUnavailableError as error:
        raise BackendUnavailableError(f"{what}: {error}") from error
    except MetaClientError as error:
        raise BackendRefusedError(f"{what}: {error}") from error


@contextlib.contextmanager
def _translated(what: str) -> Iterator[None]:
    try:
        yield
    except MatchmakerUnavailableError as error:
        raise BackendUnavailableError(f"{what}: {error}") from error
    except MatchmakerClientError as error:
        raise BackendRefusedError(f"{what}: {error}") from error

"""How others reach the matchmaker: tickets for players, the books for operators and load tests.

Errors::

    MatchmakerClientError
    ├── TicketRefused          the wish can never match, or the token is wrong: repeating it is no use
    ├── TicketExists           the player is searching already; ``ticket_id`` says with which ticket
    ├── TicketEnded            too late to cancel: a match has been found, or the ticket has another end
    ├── NoSuchTicket           the player has no such ticket (any more)
    └── MatchmakerUnavailable  no usable answer: repeat, a creation with the same client key
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx

TIMEOUT_S = 10.0
MAX_WAIT_S = 30.0
SEARCHING = "searching"
LIVE = (SEARCHING, "proposed", "accepted")


class MatchmakerClientError(Exception):
    """Base of what the client raises."""


class TicketRefusedError(MatchmakerClientError):
    """Raised when the matchmaker refuses a request (4xx): unknown mode, no region near enough, a wrong token."""


class TicketExistsError(MatchmakerClientError):
    """Raised when the player has another live ticket. Cancel it, or wait for it."""

    def __init__(self, detail: str, ticket_id: str) -> None:
        super().__init__(detail)
        self.ticket_id = ticket_id


class TicketEndedError(MatchmakerClientError):
    """Raised when it is too late to cancel. Read the ticket for its end."""


class NoSuchTicketError(MatchmakerClientError):
    """Raised for a ticket that is not the player's, or was forgotten after its end."""


class MatchmakerUnavailableError(MatchmakerClientError):
    """Raised when no usable answer came (no connection, time-out, 5xx, 429). The caller may repeat."""


@dataclass(frozen=True, slots=True)
class CreatedTicket:
    """A ticket as created. ``created_at`` is Unix seconds; ``repeated``: the same client key had made it before."""

    ticket_id: str
    state: str
    created_at: float
    repeated: bool


@dataclass(frozen=True, slots=True)
class Assignment:
    """Where a player's match is; ``connect_token`` is base64 and opens the game server for this player alone."""

    match_id: str
    region: str
    address: str
    port: int
    connect_token: str
    team: int
    entity: int


@dataclass(frozen=True, slots=True)
class TicketStatus:
    """A ticket as read: state, the reason of an end without a match, the assignment where there is one.

    ``requeued_as``: where the match was lost with its server, the player's new ticket, with the age of this one.
    """

    ticket_id: str
    state: str
    reason: str | None
    assignment: Assignment | None
    requeued_as: str | None = None

    @property
    def final(self) -> bool:
        """Whether the ticket has its end."""
        return self.state not in LIVE


@dataclass(frozen=True, slots=True)
class BackfillPlayer:
    """A player who is to come into a running match, and the seat that is reserved for him."""

    player_id: int
    entity: int
    team: int
    waited_s: float
    skill: float


@dataclass(frozen=True, slots=True)
class BackfillProposal:
    """Players who come into a running match together, whole or not at all.

    ``state``: told (they are reserved, the match is to let them in), seated (it has), assigned (they know, and come).
    """

    proposal_id: str
    state: str
    players: tuple[BackfillPlayer, ...]


class MatchmakerClient:
    """Calls the matchmaker for one player, or for one service.

    Args:
        base_url: for example ``http://127.0.0.1:8102``.
        token: the player's session token; a service token for the books.
        http: connections to share; closed by who made them.
    """

    def __init__(
        self, base_url: str, token: str | None = None, *, http: httpx.AsyncClient | None = None
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}
        self._owned = http is None
        self._http = http or httpx.AsyncClient(
            timeout=TIMEOUT_S,
            limits=httpx.Limits(max_connections=None),  # a long poll holds its connection; thousands may wait
            trust_env=False,  # a proxy from the environment is not for calls to our own services
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections, unless they were given."""
        if self._owned:
            await self._http.aclose()

    def with_token(self, token: str) -> MatchmakerClient:
        """The same matchmaker over the same connections, for another player."""
        return MatchmakerClient(self._base_url, token, http=self._http)

    async def create_ticket(
        self,
        mode: str,
        latencies_ms: Mapping[str, float],
        *,
        platform: str = "pc",
        cross_play: bool = True,
        client_key: str | None = None,
        party: tuple[str, int] | None = None,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> CreatedTicket:
        """Queue for a match. Give ``client_key`` to be able to repeat the call after a lost answer.

        ``party`` is the id and size of the party that the player queues with: it is searched for when all have made their tickets.
        ``attributes``: what the mode's rule set asks of a player, such as ``{"map": {"S": "harbour"}, "level": {"N": 12}}``.

        Raises TicketRefused, TicketExists, MatchmakerUnavailable.
        """
        wish: dict[str, Any] = {
            "mode": mode,
            "latencies_ms": dict(latencies_ms),
            "platform": platform,
            "cross_play": cross_play,
            "client_key": client_key or uuid.uuid4().hex,
        }
        if party is not None:
            wish["party"] = {"party_id": party[0], "size": party[1]}
        if attributes is not None:
            wish["attributes"] = {name: dict(value) for name, value in attributes.items()}
        response = await self._call("POST", "/v1/tickets", json=wish)
        return CreatedTicket(**response.json(), repeated=response.status_code == httpx.codes.OK)

    async def read_ticket(self, ticket_id: str, wait_s: float = 0.0, *, lost: bool = False) -> TicketStatus:
        """Read a ticket; with ``wait_s`` (at most 30), wait so long for its end; ``lost``: or, of an assigned one, for word that its match
        is lost.

        Raises NoSuchTicket, TicketRefused, MatchmakerUnavailable.
        """
        response = await self._call(
            "GET",
            f"/v1/tickets/{ticket_id}",
            params={"wait_s": wait_s, "lost": lost},
            timeout=TIMEOUT_S + wait_s,
        )
        return _status(response.json())

    async def create_tickets(self, wishes: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Queue many players, each wish with his ``player_id``; needs a service token. What became of each, in order.

        Raises TicketRefused, MatchmakerUnavailable.
        """
        response = await self._call("POST", "/v1/internal/tickets", json={"tickets": list(wishes)})
        made: list[dict[str, Any]] = response.json()["tickets"]
        return made

    async def accept_match(self, ticket_id: str) -> TicketStatus:
        """Say yes to the match that was found. Raises TicketEnded where none waits for it, NoSuchTicket, TicketRefused."""
        return _status((await self._call("POST", f"/v1/tickets/{ticket_id}/accept")).json())

    async def queue_depths(self) -> dict[str, Any]:
        """What waits in each queue; needs a service token."""
        queues: dict[str, Any] = (await self._call("GET", "/v1/internal/queues")).json()
        return queues

    async def cancel_ticket(self, ticket_id: str) -> TicketStatus:
        """Cancel a ticket. Raises TicketEnded when it is too late, NoSuchTicket, TicketRefused, MatchmakerUnavailable."""
        return _status((await self._call("DELETE", f"/v1/tickets/{ticket_id}")).json())

    async def follow_ticket(self, ticket_id: str) -> AsyncIterator[TicketStatus]:
        """Yield the ticket now, and at its end (server-sent events).

        Raises NoSuchTicket, TicketRefused, MatchmakerUnavailable; the latter also when the stream breaks off.
        """
        url = f"{self._base_url}/v1/tickets/{ticket_id}/events"
        try:
            async with self._http.stream("GET", url, headers=self._headers) as response:
                if not response.is_success:
                    await response.aread()
                    raise _error(response)
                async for line in response.aiter_lines():
                    if line.startswith("data: "):
                        status = _status(json.loads(line.removeprefix("data: ")))
                        yield status
                        if status.final:
                            return
        except httpx.HTTPError as error:
            raise MatchmakerUnavailableError(_no_answer(self._base_url, error)) from error
        raise MatchmakerUnavailableError(f"the matchmaker at {self._base_url} ended the event stream early")

    async def wait_for_end(
        self, ticket_id: str, timeout_s: float, clock: Callable[[], float] = time.monotonic
    ) -> TicketStatus:
        """Long-poll until the ticket has its end or ``timeout_s`` is over; returns it as last read."""
        deadline = clock() + timeout_s
        while True:
            wait_s = min(max(deadline - clock(), 0.0), MAX_WAIT_S)
            status = await self.read_ticket(ticket_id, wait_s)
            if status.final or clock() >= deadline:
                return status

    async def request_backfill(
        self, match_id: str, openings: Mapping[str, Any], timeout_s: float = TIMEOUT_S
    ) -> list[BackfillProposal]:
        """Offer free seats of a running match, again and again while there are any; needs a service token. Who is to come.

        Raises TicketRefused, MatchmakerUnavailable.
        """
        response = await self._call(
            "PUT", f"/v1/internal/matches/{match_id}/openings", json=dict(openings), timeout=timeout_s
        )
        return [
            BackfillProposal(
                joining["joining_id"],
                joining["state"],
                tuple(BackfillPlayer(**player) for player in joining["players"]),
            )
            for joining in response.json()["joiners"]
        ]

    async def close_backfill(self, match_id: str, mode: str, timeout_s: float = TIMEOUT_S) -> None:
        """Offer no seats of a match any more. Raises TicketRefused, MatchmakerUnavailable."""
        await self._call(
            "DELETE",
            f"/v1/internal/matches/{match_id}/openings",
            params={"mode": mode},
            timeout=timeout_s,
        )

    async def counters(self) -> dict[str, Any]:
        """What became of all tickets; needs a service token."""
        books: dict[str, Any] = (await self._call("GET", "/v1/internal/books")).json()
        return books

    async def _call(self, method: str, path: str, **request: Any) -> httpx.Response:
        try:
            response = await self._http.request(
                method, self._base_url + path, headers=self._headers, **request
            )
        except httpx.HTTPError as error:
            raise MatchmakerUnavailableError(_no_answer(self._base_url, error)) from error
        if not response.is_success:
            raise _error(response)
        return response


def _status(body: dict[str, Any]) -> TicketStatus:
    assignment = body["assignment"]
    return TicketStatus(
        body["ticket_id"],
        body["state"],
        body["reason"],
        Assignment(**assignment) if assignment else None,
        body.get("requeued_as"),
    )


def _error(response: httpx.Response) -> MatchmakerClientError:
    try:
        problem: dict[str, Any] = response.json()
    except ValueError:
        problem = {}
    detail = f"HTTP {response.status_code}: {problem.get('detail') or response.text[:200]}"
    if response.is_server_error or response.status_code == httpx.codes.TOO_MANY_REQUESTS:
        return MatchmakerUnavailableError(detail)
    if response.status_code == httpx.codes.CONFLICT:
        if problem.get("type") == "urn:launchday:ticket-exists":
            return TicketExistsError(detail, problem["ticket_id"])
        return TicketEndedError(detail)
    if problem.get("type") == "urn:launchday:no-such-ticket":
        return NoSuchTicketError(detail)
    return TicketRefusedError(detail)


def _no_answer(base_url: str, error: Exception) -> str:
    return f"no answer from the matchmaker at {base_url}: {error or type(error).__name__}"

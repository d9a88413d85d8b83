"""How others reach the matchmaker: tickets for players, counters for operators and load tests.

Errors::

    MatchmakerClientError
    ├── TicketRefusedError          the request can never match, or the token is wrong: repeating it is no use
    ├── TicketExistsError           the player is searching already; ``ticket_id`` says with which ticket
    ├── InMatchError                the player is in a match; ``assignment`` leads back into it
    ├── TicketEndedError            too late to cancel: a match has been found, or the ticket has another end
    ├── NoSuchTicketError           the player has no such ticket (any more)
    └── MatchmakerUnavailableError  no usable answer: repeat, a creation with the same client key
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import httpx2
import msgspec

from launchday.clock import Clock, SystemClock
from launchday.resilience.http_client import NoAnswerError, Response, ServiceClient
from launchday.resilience.retry import retry_after_s
from matchmaker.messages import Assignment, TicketView

__all__ = [
    "Assignment",
    "CreatedTicket",
    "InMatchError",
    "MatchmakerClient",
    "MatchmakerClientError",
    "MatchmakerUnavailableError",
    "NoSuchTicketError",
    "TicketEndedError",
    "TicketExistsError",
    "TicketRefusedError",
    "TicketView",
]

PATIENCE_S = 10.0  # for an answer; a long poll may wait for longer by what it asks for
MAX_WAIT_S = 30.0  # of a long poll; the matchmaker allows no more

_TICKET_LIVES = ("urn:launchday:ticket-exists", "urn:launchday:client-key-in-use")

_view = msgspec.json.Decoder(TicketView).decode
_assignment = msgspec.json.Decoder(Assignment).decode


class MatchmakerClientError(Exception):
    """Base of what the client raises."""


class TicketRefusedError(MatchmakerClientError):
    """Raised when the matchmaker refuses a request (4xx): unknown mode, no near region, a wrong token."""


class TicketExistsError(MatchmakerClientError):
    """Raised when the player has another live ticket, or one of the same client key for something else.
    Cancel it, or wait for it.
    """

    def __init__(self, detail: str, ticket_id: str) -> None:
        super().__init__(detail)
        self.ticket_id = ticket_id


class InMatchError(MatchmakerClientError):
    """Raised when the player is checked out for a match: they come back to it, or wait until it has ended.

    Attributes:
        match_id: the match.
        assignment: where it is, with a newer token for their seat; None where the matchmaker does not know.
    """

    def __init__(self, detail: str, match_id: str, assignment: Assignment | None) -> None:
        super().__init__(detail)
        self.match_id = match_id
        self.assignment = assignment


class TicketEndedError(MatchmakerClientError):
    """Raised when it is too late to cancel, accept, reject, or come back. Read the ticket for its end."""


class NoSuchTicketError(MatchmakerClientError):
    """Raised for a ticket that is not the player's, or was forgotten after its end."""


class MatchmakerUnavailableError(MatchmakerClientError):
    """Raised when no usable answer came (no connection, time-out, 5xx, 429). The caller may repeat.

    Attributes:
        retry_after_s: seconds after which the matchmaker asks to be called again; None where it did not say.
    """

    def __init__(self, detail: str, retry_after_s: float | None = None) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class CreatedTicket:
    """A ticket as created. ``created_at`` is Unix seconds; ``repeated``: the same client key had made it
    before.
    """

    ticket_id: str
    state: str
    created_at: float
    repeated: bool


class MatchmakerClient:
    """Calls the matchmaker for one player, or for one service.

    Args:
        base_url: for example ``http://127.0.0.1:8102``.
        token: the player's session token; a service token for everything internal.
        http: a client of ``base_url`` to share; whoever made it closes it.
        clock: the time of waits, and random client keys; None: the system's.

    Every method raises MatchmakerUnavailableError where no usable answer comes, and TicketRefusedError for
    what is refused.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        http: ServiceClient | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._base_url = base_url.rstrip("/")
        self._token = token
        self._clock = clock or SystemClock()
        self._owned = http is None
        self._http = http or ServiceClient(
            base_url,
            patience_s=PATIENCE_S,
            connections=None,  # a long poll holds its connection; thousands may wait
            clock=self._clock,
            retry=False,  # the journey that a call belongs to says what is repeated
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
        """Return a client of the same matchmaker over the same connections, for another player."""
        return MatchmakerClient(self._base_url, token, http=self._http, clock=self._clock)

    async def create_ticket(
        self,
        mode: str,
        latencies_ms: Mapping[str, float],
        *,
        platform: str = "pc",
        cross_play: bool = True,
        client_key: str | None = None,
        party: str | None = None,
        attributes: Mapping[str, Mapping[str, Any]] | None = None,
        ciphers: Sequence[str] = (),
    ) -> CreatedTicket:
        """Queue for a match.

        Args:
            mode: what to play.
            latencies_ms: round trips that the player measured, by region.
            platform, cross_play: the player's platform, and whether they meet others.
            client_key: the client's name for this request, to be able to repeat it after a lost answer; None:
                a random one.
            party: the claim of the party that the player queues with, of the meta service; it is searched for
                when all have made their tickets.
            attributes: what the mode's rule set asks of a player, such as ``{"map": {"S": "harbour"},
                "level": {"N": 12}}``.
            ciphers: what the client can seal datagrams with beside ChaCha20-Poly1305: ``aegis-128l``.

        Raises:
            TicketExistsError: the player has another live ticket.
            InMatchError: the player is in a match.
        """
        request: dict[str, Any] = {
            "mode": mode,
            "latencies_ms": dict(latencies_ms),
            "platform": platform,
            "cross_play": cross_play,
            "client_key": client_key or self._clock.uuid().hex,
        }
        if party is not None:
            request["party"] = {"claim": party}
        if attributes is not None:
            request["attributes"] = {name: dict(value) for name, value in attributes.items()}
        if ciphers:
            request["ciphers"] = list(ciphers)
        response = await self._call("POST", "/v1/tickets", json=request)
        return CreatedTicket(**response.json(), repeated=response.status_code == httpx2.codes.OK)

    async def read_ticket(self, ticket_id: str, wait_s: float = 0.0, *, lost: bool = False) -> TicketView:
        """Read a ticket.

        Args:
            ticket_id: the ticket.
            wait_s: seconds (at most 30) to wait for its end.
            lost: of an assigned ticket: wait until its match is known to be lost.

        Raises:
            NoSuchTicketError: the player has no such ticket.
        """
        response = await self._call(
            "GET",
            f"/v1/tickets/{ticket_id}",
            params={"wait_s": wait_s, "lost": lost},
            wait_s=wait_s,
        )
        return _view(response.content)

    async def create_tickets(self, requests: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """Queue many players, each request with a ``player_id``; needs a service token. Return what became of
        each, in order.
        """
        response = await self._call("POST", "/v1/internal/tickets", json={"tickets": list(requests)})
        made: list[dict[str, Any]] = response.json()["tickets"]
        return made

    async def accept_match(self, ticket_id: str) -> TicketView:
        """Accept the match that was found.

        Raises TicketEndedError where none waits for it, NoSuchTicketError.
        """
        return _view((await self._call("POST", f"/v1/tickets/{ticket_id}/accept")).content)

    async def reject_match(self, ticket_id: str) -> TicketView:
        """Decline the match that was found, and return the ticket, which is cancelled then.

        Raises TicketEndedError where no match waits for an answer (any more), NoSuchTicketError.
        """
        return _view((await self._call("POST", f"/v1/tickets/{ticket_id}/reject")).content)

    async def queue_depths(self) -> dict[str, Any]:
        """Return what waits in each queue (``QueueDepth`` by mode); needs a service token."""
        queues: dict[str, Any] = (await self._call("GET", "/v1/internal/queues")).json()
        return queues

    async def cancel_ticket(self, ticket_id: str) -> TicketView:
        """Cancel a ticket, and return it.

        Where its match is getting a server it has no end yet, and ``cancel_requested`` is set: it ends where
        that comes to nothing, and is assigned otherwise. Raises TicketEndedError when it is too late,
        NoSuchTicketError.
        """
        return _view((await self._call("DELETE", f"/v1/tickets/{ticket_id}")).content)

    async def renew_token(self, ticket_id: str) -> Assignment:
        """Return where the match of an assigned ticket is, with a newer token for the same seat.

        Raises TicketEndedError where the ticket has no match, or its match was lost; NoSuchTicketError.
        """
        response = await self._call("POST", f"/v1/tickets/{ticket_id}/token")
        return _assignment(response.content)

    async def follow_ticket(self, ticket_id: str) -> AsyncIterator[TicketView]:
        """Yield the ticket now, and at its end (server-sent events).

        Raises:
            NoSuchTicketError: the player has no such ticket.
            MatchmakerUnavailableError: no usable answer, or the stream broke off.
        """
        path = f"/v1/tickets/{ticket_id}/events"
        try:
            async with self._http.events(path, token=self._token) as events:
                if not events.response.is_success:
                    raise self._error(events.response)
                async for event in events:
                    view = _view(event.data)
                    yield view
                    if view.final:
                        return
        except NoAnswerError as error:
            raise MatchmakerUnavailableError(_no_answer(self._base_url, error)) from error
        raise MatchmakerUnavailableError(f"the matchmaker at {self._base_url} ended the event stream early")

    async def wait_for_end(self, ticket_id: str, timeout_s: float) -> TicketView:
        """Long-poll until the ticket has its end or ``timeout_s`` is over; return it as last read."""
        deadline = self._clock.monotonic() + timeout_s
        while True:
            wait_s = min(max(deadline - self._clock.monotonic(), 0.0), MAX_WAIT_S)
            view = await self.read_ticket(ticket_id, wait_s)
            if view.final or self._clock.monotonic() >= deadline:
                return view

    async def counters(self) -> dict[str, Any]:
        """Return what became of all tickets (``MatchmakerCounters``); needs a service token."""
        counters: dict[str, Any] = (await self._call("GET", "/v1/internal/counters")).json()
        return counters

    async def why(self, ticket_id: str) -> dict[str, Any]:
        """Return why a ticket has no match (``TicketWhy``); needs a service's or an operator's token.

        Raises NoSuchTicketError; MatchmakerUnavailableError also where no director answers.
        """
        told: dict[str, Any] = (await self._call("GET", f"/v1/tickets/{ticket_id}/why")).json()
        return told

    async def _call(self, method: str, path: str, **request: Any) -> Response:
        try:
            response = await self._http.request(method, path, token=self._token, **request)
        except NoAnswerError as error:
            raise MatchmakerUnavailableError(_no_answer(self._base_url, error)) from error
        if not response.is_success:
            raise self._error(response)
        return response

    def _error(self, response: Response) -> MatchmakerClientError:
        try:
            problem: dict[str, Any] = response.json()
        except ValueError:
            problem = {}
        detail = f"HTTP {response.status_code}: {problem.get('detail') or response.text[:200]}"
        if response.is_server_error or response.status_code == httpx2.codes.TOO_MANY_REQUESTS:
            after_s = retry_after_s(response.headers.get("Retry-After"), self._clock.wall())
            return MatchmakerUnavailableError(detail, after_s or None)
        if response.status_code == httpx2.codes.CONFLICT:
            if problem.get("type") in _TICKET_LIVES:
                return TicketExistsError(detail, problem["ticket_id"])
            if problem.get("type") == "urn:launchday:in-match":
                given = problem.get("assignment")
                assignment = None if given is None else msgspec.convert(given, Assignment)
                return InMatchError(detail, str(problem["match_id"]), assignment)
            return TicketEndedError(detail)
        if problem.get("type") == "urn:launchday:no-such-ticket":
            return NoSuchTicketError(detail)
        return TicketRefusedError(detail)


def _no_answer(base_url: str, error: NoAnswerError) -> str:
    return f"no answer from the matchmaker at {base_url}: {error}"

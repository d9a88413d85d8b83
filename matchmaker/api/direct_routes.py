"""The two hot routes, answered from a request's bytes: making a ticket, and following it.

They do the same as the framework's routes, through the same `TicketService`, for a fraction of the cost: of
all that the API does for a ticket, two passages through parser, tasks and framework were two thirds. Whatever
is unusual about a request, a wrong token or a malformed body, is left to the framework, untouched: so
refusals are worded in one place.
"""

from __future__ import annotations

import asyncio
import itertools
import re
from collections.abc import Coroutine
from typing import Any

import msgspec
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.identity import PLAYER, InvalidTokenError, Signer
from launchday.problems import ProblemError
from launchday.resilience.admission.direct import Exchange
from launchday.resilience.deadline import DeadlineExceededError
from matchmaker.api import metrics
from matchmaker.api.notifier import Notification
from matchmaker.api.revocations import RevokedTokens
from matchmaker.api.schema import encode
from matchmaker.api.service import (
    HEARTBEAT_S,
    STILL_SEARCHING,
    TicketService,
    server_sent_event,
    unavailable_problem,
)
from matchmaker.api.ticket_writer import WriteResult
from matchmaker.errors import SkillsUnavailableError
from matchmaker.messages import SEARCHING, TicketCreated, TicketRequest
from matchmaker.tickets.ticket import Ticket

MAX_BODY_BYTES = 64 * 1024  # a request with every region of every cloud has 10 KB
TIME_S = 0.05  # for so long one reading of the clocks does for tokens, which are good for minutes

CREATE_PATH = "/v1/tickets"
EVENTS_ROUTE = "/v1/tickets/{ticket_id}/events"

_CREATE_LINE = b"POST /v1/tickets HTTP/1.1"
_EVENTS_LINE = re.compile(rb"GET /v1/tickets/([0-9a-f-]{36})/events HTTP/1\.1")
_UNAVAILABLE = (RedisError, SkillsUnavailableError, DeadlineExceededError)

JSON_TYPE = (b"content-type", b"application/json")
EVENT_STREAM_HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),
)


class DirectRoutes:
    """What `launchday.resilience.admission.gate.Gate.direct` is for tickets.

    Args:
        signer: verifies tokens.
        revoked: which of them open nothing any more.
        clock: when they expire.

    Attributes:
        service: what the framework's routes stand on, too; set before the first request.
    """

    service: TicketService

    def __init__(self, signer: Signer, revoked: RevokedTokens, clock: Clock) -> None:
        self._clock = clock
        self._signer = signer
        self._revoked = revoked
        # From a random number on: to draw one for each request is a call of the operating system.
        self._request_ids = itertools.count(clock.random("request-id").getrandbits(63))
        self._decode = msgspec.json.Decoder(TicketRequest).decode
        self._time, self._time_ends = 0.0, float("-inf")
        self._created = metrics.tickets.labels("created")
        self._tasks: set[asyncio.Task[None]] = set()
        self.heartbeats = Heartbeats()

    def __call__(self, exchange: Exchange) -> bool:
        """Answer, now or later; False: it is nothing for these routes."""
        line = exchange.line
        if line == _CREATE_LINE:
            return self._create(exchange)
        if line[:16] == b"GET /v1/tickets/" and (found := _EVENTS_LINE.fullmatch(line)) is not None:
            return self._follow(exchange, found[1].decode())
        return False

    def run(self, exchange: Exchange, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Do what takes its time in a task; a fault in it ends the exchange."""
        task = asyncio.get_running_loop().create_task(_guarded(exchange, work))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _create(self, exchange: Exchange) -> bool:
        player_id, _, given_id = self._caller(exchange)
        request = self._read(exchange.body)
        if player_id is None or request is None:
            return False
        exchange.take("POST", CREATE_PATH)
        id_header = (b"x-request-id", given_id or b"%016x" % next(self._request_ids))
        try:
            ticket, writing = self.service.begin(player_id, request)
        except (ProblemError, SkillsUnavailableError) as refused:
            _refuse(exchange, refused)
            return True

        def written(future: asyncio.Future[WriteResult]) -> None:
            error = future.exception()
            if error is not None:
                _refuse(exchange, error)
            elif (result := future.result()).outcome == "created":
                self._created.inc()
                created = TicketCreated(ticket.ticket_id, SEARCHING, ticket.enqueued_at)
                exchange.answer(201, (JSON_TYPE, id_header), encode(created))
            else:
                self.run(exchange, self._finish(exchange, id_header, player_id, request, ticket, result))

        writing.add_done_callback(written)
        return True

    async def _finish(
        self,
        exchange: Exchange,
        id_header: tuple[bytes, bytes],
        player_id: int,
        request: TicketRequest,
        ticket: Ticket,
        written: WriteResult,
    ) -> None:
        """Answer a player who has no new ticket, or none yet."""
        try:
            status, created = await self.service.finish(player_id, request, ticket, written)
        except (ProblemError, *_UNAVAILABLE) as refused:
            _refuse(exchange, refused)
        else:
            exchange.answer(status, (JSON_TYPE, id_header), encode(created))

    def _follow(self, exchange: Exchange, ticket_id: str) -> bool:
        player_id, session_id, _ = self._caller(exchange)
        if player_id is None:
            return False
        seen = self.service.known(ticket_id, player_id)
        if seen is None:
            return False
        exchange.take("GET", EVENTS_ROUTE)
        FollowedTicket(self, self.service, exchange, ticket_id, player_id, session_id).begin(seen)
        return True

    def may_play(self, session_id: str, player_id: int) -> bool:
        """Whether a token that was good is so still."""
        return self._revoked.refusal(session_id, player_id) is None

    def _caller(self, exchange: Exchange) -> tuple[int | None, str, bytes]:
        """Return the player who calls, None where the framework must look; the session; and the request's id,
        empty where it has none that may be used.
        """
        token = request_id = b""
        for line in exchange.header_lines.split(b"\r\n"):
            name, _, value = line.partition(b":")
            name = name.lower()
            if name == b"x-request-id":
                request_id = value.strip()
            elif name == b"authorization":
                if token:
                    return None, "", b""
                token = value.strip()
        if not 0 < len(request_id) <= 64 or not request_id.isascii():
            request_id = b""
        monotonic = self._clock.monotonic()
        if monotonic >= self._time_ends:
            self._time, self._time_ends = self._signer.time(self._clock), monotonic + TIME_S
        if token[:7] != b"Bearer ":
            return None, "", request_id
        try:
            caller = self._signer.verify(token[7:].decode("latin-1"), self._time)
        except InvalidTokenError:
            return None, "", request_id
        if PLAYER not in caller.roles:
            return None, "", request_id
        player_id = int(caller.subject)
        if self._revoked.refuses(caller.session_id, player_id):
            return None, "", request_id  # the framework says how
        return player_id, caller.session_id, request_id

    def _read(self, body: bytes) -> TicketRequest | None:
        if len(body) > MAX_BODY_BYTES:
            return None
        try:
            return self._decode(body)
        except (msgspec.DecodeError, ValueError):
            return None


class FollowedTicket:
    """One event stream: a player's ticket, from what is known of it now to its end.

    Args:
        routes: runs what takes its time.
        service: knows what is said of the ticket.
        exchange: the request.
        ticket_id, player_id: the ticket, and whose it is.
        session_id: the player's, by which the stream was asked for.
    """

    __slots__ = (
        "_changed",
        "_exchange",
        "_player_id",
        "_routes",
        "_seen",
        "_service",
        "_session_id",
        "_slow",
        "_ticket_id",
    )

    def __init__(
        self,
        routes: DirectRoutes,
        service: TicketService,
        exchange: Exchange,
        ticket_id: str,
        player_id: int,
        session_id: str,
    ) -> None:
        self._session_id = session_id
        self._routes = routes
        self._service = service
        self._exchange = exchange
        self._ticket_id = ticket_id
        self._player_id = player_id
        self._seen: Notification
        self._changed: asyncio.Future[None] | None = None
        self._slow: asyncio.Task[None] | None = None

    def begin(self, seen: Notification) -> None:
        """Begin the stream with what is known."""
        event = server_sent_event(seen)
        self._exchange.begin(200, EVENT_STREAM_HEADERS, event, last=seen.final)
        self._seen = seen
        if not seen.final:
            self._exchange.on_gone = self._gone
            self._wait()

    def look(self) -> None:
        """Tell what has changed, or that nothing has."""
        self._look()

    def _wait(self) -> None:
        self._changed = self._service.notifier.subscribe(self._ticket_id)
        self._changed.add_done_callback(self._look)
        self._routes.heartbeats.add(self)

    def _look(self, changed: asyncio.Future[None] | None = None) -> None:
        if self._exchange.ended or (changed is not None and changed is not self._changed):
            return
        self._rest()
        found = self._service.known(self._ticket_id, self._player_id)
        if found is None:  # notifications may have been missed
            self._slow = self._routes.run(self._exchange, self._go_on())
            return
        if found.names_match and not self._may_play():
            self._exchange.finish()
            return
        event = STILL_SEARCHING if found.view == self._seen.view else server_sent_event(found)
        self._seen = found
        if found.final:
            self._exchange.finish(event)
        else:
            self._exchange.send(event)
            self._wait()

    async def _go_on(self) -> None:
        """Follow the ticket by looking at it."""
        following = self._service.follow(self._ticket_id, self._player_id, self._seen, self._may_play)
        async for event in following:
            self._exchange.send(event)
        self._exchange.finish()

    def _may_play(self) -> bool:
        return self._routes.may_play(self._session_id, self._player_id)

    def _rest(self) -> None:
        changed, self._changed = self._changed, None
        if changed is not None:
            self._service.notifier.unsubscribe(self._ticket_id, changed)
        self._routes.heartbeats.discard(self)

    def _gone(self) -> None:
        self._rest()
        if self._slow is not None:
            self._slow.cancel()


class Heartbeats:
    """When streams are to give a sign of life. One timer serves all: their period is the same."""

    def __init__(self) -> None:
        self._due: dict[FollowedTicket, float] = {}  # the loop's seconds, ascending
        self._timer: asyncio.TimerHandle | None = None

    def add(self, follower: FollowedTicket) -> None:
        """Have a stream looked after in `HEARTBEAT_S`, once."""
        loop = asyncio.get_running_loop()
        self._due[follower] = loop.time() + HEARTBEAT_S
        if self._timer is None:
            self._timer = loop.call_later(HEARTBEAT_S, self._beat)

    def discard(self, follower: FollowedTicket) -> None:
        """Do not."""
        self._due.pop(follower, None)

    def _beat(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        while self._due:
            follower, due = next(iter(self._due.items()))
            if due > now:
                break
            del self._due[follower]
            follower.look()
        self._timer = None
        if self._due:
            self._timer = loop.call_later(next(iter(self._due.values())) - now, self._beat)


async def _guarded(exchange: Exchange, work: Coroutine[Any, Any, None]) -> None:
    try:
        await work
    except Exception as error:
        exchange.fail(error)


def _refuse(exchange: Exchange, error: BaseException) -> None:
    if isinstance(error, _UNAVAILABLE):
        error = unavailable_problem(error)
    if not isinstance(error, ProblemError):
        exchange.fail(error)
        return
    exchange.answer_with(error.response())

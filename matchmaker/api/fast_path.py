"""The two hot routes as one plain ASGI function before the rest: making a ticket, and following it.

A request that it can answer well costs a fifth of what the framework's way costs (15,700 requests a second and core against 2,300–3,000, measured). Whatever
is unusual about a request, a wrong token or a malformed body, it leaves to the framework, untouched; so all error answers are worded in
one place, and the description of the API is the framework's.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import Annotated, Any, Literal

import msgspec
from fastapi import FastAPI
from redis.exceptions import RedisError
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from launchday.identity import PLAYER, InvalidTokenError, Signer
from launchday.problems import ProblemError
from matchmaker.api.ticket_writer import WriteResult
from matchmaker.errors import SkillsUnavailableError
from matchmaker.tickets.ticket import (
    MAX_ATTRIBUTES,
    MAX_CHARS,
    MAX_ITEMS,
    MAX_PARTY,
    MAX_REGIONS,
    live_view,
)

HEARTBEAT_S = 15.0  # between two signs of life on an event stream; the ticket is looked at each time
MAX_BODY_BYTES = 64 * 1024  # a wish with every region of every cloud has 10 KB

PARTY_MISMATCH = "the party is complete without you, or its players wish for something else: size, cross-play and platform must agree"

CREATE_PATH = "/v1/tickets"
TICKET_PATH = "/v1/tickets/"
EVENTS_SUFFIX = "/events"
UUID_CHARS = 36

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
ItemText = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_CHARS)]


class PartyWish(msgspec.Struct, forbid_unknown_fields=True):
    """See tickets.PartyWish."""

    party_id: Name
    size: Annotated[int, msgspec.Meta(ge=2, le=MAX_PARTY)]


class AttributeValue(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    """See tickets.AttributeValue."""

    N: float | None = None
    S: ItemText | None = None
    SL: Annotated[list[ItemText], msgspec.Meta(max_length=MAX_ITEMS)] | None = None
    SDM: Annotated[dict[ItemText, float], msgspec.Meta(max_length=MAX_ITEMS)] | None = None


class TicketWish(msgspec.Struct, forbid_unknown_fields=True):
    """See tickets.TicketRequest; what does not fit here, the framework looks at."""

    mode: Annotated[str, msgspec.Meta(max_length=64)]
    latencies_ms: Annotated[
        dict[Name, Annotated[float, msgspec.Meta(ge=0, le=60_000)]], msgspec.Meta(max_length=MAX_REGIONS)
    ]
    platform: Literal["pc", "playstation", "xbox", "switch", "mobile"] = "pc"
    cross_play: bool = True
    client_key: Name | None = None
    party: PartyWish | None = None
    attributes: Annotated[dict[ItemText, AttributeValue], msgspec.Meta(max_length=MAX_ATTRIBUTES)] | None = (
        None
    )


class FastPath:
    """The ASGI function.

    Args:
        app: who gets everything else.
        owner: the application whose ``state.matchmaker`` this serves.
    """

    def __init__(self, app: ASGIApp, owner: FastAPI) -> None:
        self._app = app
        self._owner = owner
        self._signer: Signer = owner.state.signer
        self._wish = msgspec.json.Decoder(TicketWish)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer, or pass on."""
        if scope["type"] == "http":
            path: str = scope["path"]
            if path == CREATE_PATH and scope["method"] == "POST":
                await self._create(scope, receive, send)
                return
            if path.endswith(EVENTS_SUFFIX) and path.startswith(TICKET_PATH) and scope["method"] == "GET":
                ticket_id = path[len(TICKET_PATH) : -len(EVENTS_SUFFIX)]
                player_id, _ = self._caller(scope)
                if player_id is not None and self._owner.state.matchmaker.waiters.made_here(
                    ticket_id, player_id
                ):
                    await self._follow(scope, receive, send, ticket_id)
                    return
        await self._app(scope, receive, send)

    async def _create(self, scope: Scope, receive: Receive, send: Send) -> None:
        first = await receive()
        player_id, request_id = self._caller(scope)
        wish = self._read(first)
        if player_id is None or wish is None:
            await self._app(scope, _replay(first, receive), send)
            return
        matchmaker = self._owner.state.matchmaker
        now = time.time()
        try:
            matchmaker.admit(player_id, now)
            ticket = matchmaker.ticket(player_id, wish, now)
            matchmaker.waiters.remember(ticket_id := str(ticket.ticket_id), player_id)
            accepted = await matchmaker.intake.submit(wish.mode, ticket)
            raise_unless_created(accepted)
        except ProblemError as problem:
            await problem.response()(scope, receive, send)
            return
        except RedisError:
            await unavailable_problem("cache-unavailable", "tickets cannot be reached right now").response()(
                scope, receive, send
            )
            return
        except SkillsUnavailableError as error:
            await unavailable_problem("skills-unavailable", str(error)).response()(scope, receive, send)
            return
        if accepted.outcome != "created":
            # The ticket that the same wish made before: the framework reads what became of it.
            await self._app(scope, _replay(first, receive), send)
            return
        body = b'{"ticket_id":"%b","state":"searching","created_at":%b}' % (
            ticket_id.encode(),
            repr(ticket.enqueued_at).encode(),
        )
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", b"%d" % len(body)),
            (b"x-request-id", request_id),
        ]
        await send({"type": "http.response.start", "status": 201, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _follow(self, scope: Scope, receive: Receive, send: Send, ticket_id: str) -> None:
        """Server-sent events of a ticket that was made in this process, whose news therefore pass through it."""
        waiters = self._owner.state.matchmaker.waiters
        headers = [
            (b"content-type", b"text/event-stream; charset=utf-8"),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),
        ]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        last = waiters.news(ticket_id)
        await send(_part(server_sent_event(*(last or (live_view(ticket_id), b"")))))
        gone = asyncio.ensure_future(_until_gone(receive))
        try:
            while last is None or not is_final(last[0]):
                with waiters.waiting_for(ticket_id) as told:
                    if (news := waiters.news(ticket_id)) == last:
                        await asyncio.wait(
                            (told, gone), timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
                        )
                        news = waiters.news(ticket_id)
                if gone.done():
                    return
                if not waiters.remembers(ticket_id):
                    break  # an outage of the cache: what was told meanwhile is unknown here, and the client asks again
                if news is None or news == last:
                    await send(_part(b": still searching\n\n"))
                    continue
                last = news
                if is_final(news[0]):
                    await send({"type": "http.response.body", "body": server_sent_event(*news)})
                    return
                await send(_part(server_sent_event(*news)))
        finally:
            gone.cancel()
        await send({"type": "http.response.body", "body": b""})

    def _caller(self, scope: Scope) -> tuple[int | None, bytes]:
        """The player who calls, or None; and the request's id."""
        token, request_id = b"", b""
        for name, value in scope["headers"]:
            if name == b"authorization":
                token = value
            elif name == b"x-request-id":
                request_id = value
        if not 0 < len(request_id) <= 64 or not request_id.isascii():
            request_id = secrets.token_hex(8).encode()
        if token[:7] != b"Bearer ":
            return None, request_id
        try:
            caller = self._signer.verify(token[7:].decode("latin-1"), time.time())
        except InvalidTokenError:
            return None, request_id
        return (int(caller.subject) if PLAYER in caller.roles else None), request_id

    def _read(self, message: Message) -> TicketWish | None:
        body: bytes = message.get("body", b"")
        if message["type"] != "http.request" or message.get("more_body") or len(body) > MAX_BODY_BYTES:
            return None
        try:
            return self._wish.decode(body)
        except (msgspec.DecodeError, ValueError):
            return None


def server_sent_event(view: bytes, entry_id: bytes = b"") -> bytes:
    """A ticket's view as a server-sent event; the id is that of the entry of the cache's stream that told it."""
    named = b"id: " + entry_id + b"\n" if entry_id else b""
    return named + b"event: ticket\ndata: " + view + b"\n\n"


def is_final(view: bytes) -> bool:
    """Whether a view, in the form in which the matchmaker writes them, is that of a ticket that has its end."""
    return b'"state":"searching"' not in view and b'"state":"proposed"' not in view


def raise_unless_created(accepted: WriteResult) -> None:
    """Raise the Problem of a creation that made no ticket."""
    if accepted.outcome == "mismatch":
        raise ProblemError(409, "party-mismatch", PARTY_MISMATCH)
    if accepted.outcome == "busy":
        raise ProblemError(
            409,
            "ticket-exists",
            "you are already searching: cancel that ticket first, or wait for it",
            ticket_id=accepted.ticket_id,
        )


def unavailable_problem(slug: str, detail: str) -> ProblemError:
    """A problem that passes."""
    return ProblemError(503, slug, f"{detail}; try again", headers={"Retry-After": "1"})


def _part(body: bytes) -> dict[str, Any]:
    return {"type": "http.response.body", "body": body, "more_body": True}


def _replay(first: Message, receive: Receive) -> Receive:
    """The request's messages again, the first one included."""
    pending = [first]

    async def again() -> Message:
        return pending.pop() if pending else await receive()

    return again


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass

"""Agones' ``POST /gameserverallocation`` as one plain ASGI function in front of the rest of the application.

A framework's route takes 0.3 ms for this call, three times as long as the allocation, and when many matches
begin at once they wait for it. FastAPI knows the route for the API description alone.
"""

from __future__ import annotations

import re
from typing import Annotated, Any

import msgspec
from fastapi import APIRouter, FastAPI, Header, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from dedicated_server.fleet.agones.allocator import (
    AllocationNotRecordedError,
    MatchAlreadyPlayedError,
    NoReadyServerError,
    TooManyStartsError,
)
from dedicated_server.fleet.agones.requests import (
    REQUEST_COMPONENTS,
    REQUEST_SCHEMA,
    AllocationRequest,
    decode,
    encode,
)
from dedicated_server.fleet.client import IDEMPOTENCY_HEADER
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.counters_and_lists import CounterListError
from dedicated_server.fleet.pool.states import IllegalTransitionError
from launchday import identity
from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.resilience.admission.direct import Exchange
from launchday.resilience.request_metrics import ROUTE_NAME
from launchday.service import identify
from launchday.whole_numbers import REFUSED, with_whole_numbers

PATH = "/gameserverallocation"
MAX_KEY_CHARACTERS = 200
MAX_KNOWN_TOKENS = 1000  # verified before: to check a signature takes 56 µs
RETRY_AFTER = {"Retry-After": "1"}
DIRECT_LINE = b"POST /gameserverallocation HTTP/1.1"
JSON_TYPE = (b"content-type", b"application/json")
KEY_HEADER = IDEMPOTENCY_HEADER.lower().encode()


class AllocatorFastPath:
    """Answers the allocation call itself, and passes on every other request.

    Args:
        app: the rest of the application.
        api: whose state has an ``allocator``, a ``clock``, the ``settings`` and the ``signer``.
    """

    def __init__(self, app: ASGIApp, api: FastAPI) -> None:
        self._app = app
        self._api = api
        self._known: dict[bytes, identity.Identity] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] != PATH or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        scope[ROUTE_NAME] = PATH
        clock: Clock = self._api.state.clock
        began, status = clock.monotonic(), "Error"
        try:
            key = self._key(dict(scope["headers"]))
            answer = encode(self._allocate(_decoded(await self._read(receive)), key))
            status = "Allocated"
        except ProblemError as problem:
            status = "UnAllocated" if problem.status == 429 else status
            await problem.response()(scope, receive, send)
            return
        finally:
            metrics.observe_allocation(status, clock.monotonic() - began)
        await send(
            {
                "type": "http.response.start",
                "status": 200,
                "headers": [JSON_TYPE, (b"content-length", str(len(answer)).encode())],
            }
        )
        await send({"type": "http.response.body", "body": answer})

    def direct(self, exchange: Exchange) -> bool:
        """Answer a request before any parser, see `launchday.resilience.admission.direct`."""
        if exchange.line != DIRECT_LINE or not (lines := exchange.header_lines):
            return False
        exchange.take("POST", PATH)
        clock: Clock = self._api.state.clock
        began, status = clock.monotonic(), "Error"
        pairs = (line.partition(b":") for line in lines.split(b"\r\n"))
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        try:
            answer = encode(self._allocate(_decoded(exchange.body), self._key(headers)))
            status = "Allocated"
        except ProblemError as problem:
            status = "UnAllocated" if problem.status == 429 else status
            exchange.answer_with(problem.response())
        else:
            exchange.answer(200, (JSON_TYPE,), answer)
        finally:
            metrics.observe_allocation(status, clock.monotonic() - began)
        return True

    def _key(self, headers: dict[bytes, bytes]) -> str:
        """Return the caller's idempotency key with the caller's name before it; empty: there is none.

        Raises ProblemError where nobody may call like that.
        """
        caller = self._caller(headers.get(b"authorization", b""))
        key = headers.get(KEY_HEADER, b"").decode("latin-1")
        if len(key) > MAX_KEY_CHARACTERS:
            raise ProblemError(
                422, "invalid-request", f"{IDEMPOTENCY_HEADER} has at most {MAX_KEY_CHARACTERS} characters"
            )
        return key and f"{caller}/{key}"

    def _allocate(self, body: AllocationRequest, key: str) -> Any:
        try:
            return self._api.state.allocator.allocate(body, key or None, self._api.state.clock.monotonic())
        except NoReadyServerError as error:
            raise ProblemError(429, "no-server-ready", str(error)) from error  # a fork takes 0.1 s
        except TooManyStartsError as error:
            raise ProblemError(429, "too-many-starts", str(error), headers=RETRY_AFTER) from error
        except AllocationNotRecordedError as error:
            raise ProblemError(503, "disk-full", str(error), headers=RETRY_AFTER) from error
        except MatchAlreadyPlayedError as error:
            raise ProblemError(410, "already-played", str(error)) from error
        except (CounterListError, IllegalTransitionError) as error:
            raise ProblemError(422, "invalid-request", str(error)) from error

    def _caller(self, authorization: bytes) -> str:
        """Return who calls.

        A fleet that demands client certificates has checked one by now, and needs no token.
        """
        state = self._api.state
        if state.settings.fleet_client_ca:
            return "certificate"
        now = state.signer.time(state.clock)
        known = self._known.get(authorization)
        if known is None or known.expires_at <= now:
            known = identify(state.signer, authorization.decode("latin-1"), now, identity.SERVICE)
            if len(self._known) >= MAX_KNOWN_TOKENS:
                self._known.clear()
            self._known[authorization] = known
        return known.subject

    async def _read(self, receive: Receive) -> bytes:
        body, most = b"", self._api.state.settings.max_request_bytes
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ProblemError(400, "cut-short", "the request was cut short")
            chunk: bytes = message.get("body", b"")
            body += chunk
            if len(body) > most:
                raise ProblemError(413, "request-too-large", f"a request has at most {most} bytes")
            if not message.get("more_body", False):
                return body


def _decoded(body: bytes) -> AllocationRequest:
    try:
        return _with_whole_numbers(body)
    except (msgspec.DecodeError, RecursionError) as error:
        text, _, path = str(error).partition(" - at `$")
        pointer = "/body" + re.sub(
            r"\[(\.\.\.|\d+)\]|\.", lambda found: f"/{found[1] or ''}", path.rstrip("`")
        )
        problem = ProblemError(
            422, "invalid-request", f"{pointer}: {text}", errors=[{"pointer": pointer, "detail": text}]
        )
        raise problem from error


def _with_whole_numbers(body: bytes) -> AllocationRequest:
    try:
        return decode(body)
    except msgspec.ValidationError as error:
        if REFUSED not in str(error):
            raise
    return msgspec.convert(with_whole_numbers(msgspec.json.decode(body)), AllocationRequest)


router = APIRouter(tags=["allocator"])


@router.post(
    PATH,
    openapi_extra={
        "requestBody": {"required": True, "content": {"application/json": {"schema": REQUEST_SCHEMA[0]}}},
        "security": [{"HTTPBearer": []}],
    },
    responses={200: {"content": {"application/json": {"schema": REQUEST_SCHEMA[1]}}}},
    response_class=Response,
)
async def allocate(
    key: Annotated[str | None, Header(alias=IDEMPOTENCY_HEADER, max_length=MAX_KEY_CHARACTERS)] = None,
) -> Response:
    """Take a Ready game server that the first selector with a match selects, and put the metadata on it."""
    raise AssertionError("AllocatorFastPath answers before this application")


def install(app: FastAPI) -> None:
    """Put the fast path in front of an application whose state has an ``allocator`` and a ``clock``."""
    app.include_router(router)
    app.add_middleware(AllocatorFastPath, api=app)
    app.state.direct = AllocatorFastPath(app, app).direct
    describe = app.openapi

    def with_agones_schemas() -> dict[str, Any]:
        document = describe()
        document.setdefault("components", {}).setdefault("schemas", {}).update(REQUEST_COMPONENTS)
        return document

    app.openapi = with_agones_schemas  # type: ignore[method-assign]

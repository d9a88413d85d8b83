"""The Agones SDK sidecar of every game server: one ASGI application with a loopback port for each server.

The port says which server calls. Errors have the shape of Agones' gateway, ``{"code", "message", "details"}``
with gRPC's numbers. It is a plain function without a framework, because a hundred idle servers send fifty
heartbeats a second. The SDK's v1beta1, Counters and Lists, is at ``/v1beta1/counters/NAME`` and
``/v1beta1/lists/NAME``.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import parse_qs, unquote

import uvicorn
from starlette.types import Receive, Scope, Send

from dedicated_server.agones_sdk import SDK_PREFIX, SKEW_HEADER
from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.pool.counters_and_lists import (
    CounterListError,
    DuplicateValueError,
    UnknownCounterListError,
    parse_int64,
    parse_strings,
)
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import IllegalTransitionError
from launchday.resilience.clocks.skew import RAW_HEADER as TIME_HEADER

RAW_SKEW_HEADER = SKEW_HEADER.lower().encode()
MAX_BODY_BYTES = 256 * 1024  # Kubernetes' own limit on all annotations of an object
COUNTERS_PATH = "/v1beta1/counters/"
LISTS_PATH = "/v1beta1/lists/"

# gRPC's codes
INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS = 3, 5, 6
FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED = 9, 11, 12


class CallRefusedError(DedicatedServerError):
    """Raised when a call is malformed or unknown. It is answered with ``status`` and gRPC's ``code``."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Sidecar:
    """The ASGI application of all sidecars.

    Args:
        pool: whose servers call. Its clock says when they do.
    """

    def __init__(self, pool: WarmPool) -> None:
        self._pool = pool
        self._clock = pool.clock.monotonic
        self._calls: dict[tuple[str, str], Callable[[GameServer, dict[str, Any]], dict[str, Any]]] = {
            ("POST", "/ready"): self._ready,
            ("POST", "/health"): self._health,
            ("POST", "/allocate"): self._allocate,
            ("POST", "/reserve"): self._reserve,
            ("POST", "/shutdown"): self._shutdown,
            ("GET", "/gameserver"): self._gameserver,
            ("PUT", "/metadata/label"): self._label,
            ("PUT", "/metadata/annotation"): self._annotation,
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        assert scope["type"] == "http"
        method, path = scope["method"], scope["path"]
        try:
            server = self._pool.at_sdk_port(scope["server"][1])
            if server is None:
                raise CallRefusedError(404, NOT_FOUND, "no game server belongs to this port")
            self._pool.sidecar_called(server, self._clock())
            if (method, path) == ("GET", "/watch/gameserver"):
                await _watch(server, receive, send)
                return
            if path == "/health":
                self._hear_clock(server, scope)
            await _answer(send, 200, await self._called(server, scope, receive), self._pool.clock.wall())
        except CallRefusedError as refused:
            await _refuse(send, refused.status, refused.code, refused)
        except IllegalTransitionError as error:
            await _refuse(send, 400, FAILED_PRECONDITION, error)
        except UnknownCounterListError as error:
            await _refuse(send, 404, NOT_FOUND, error)
        except DuplicateValueError as error:
            await _refuse(send, 409, ALREADY_EXISTS, error)
        except CounterListError as error:
            await _refuse(send, 400, OUT_OF_RANGE, error)

    def _hear_clock(self, server: GameServer, scope: Scope) -> None:
        """Take what a heartbeat says of the server's clock. Who says nothing of it is no server of ours."""
        for name, value in scope["headers"]:
            if name == RAW_SKEW_HEADER:
                with contextlib.suppress(ValueError):
                    server.clock_ahead_s = -float(value)

    async def _called(self, server: GameServer, scope: Scope, receive: Receive) -> dict[str, Any]:
        method, path = scope["method"], scope["path"]
        if path.startswith((COUNTERS_PATH, LISTS_PATH)):
            body = _json_object(await _read(receive)) if method in ("PATCH", "POST") else {}
            query = scope["query_string"].decode("ascii", "replace")
            change = _counter_call if path.startswith(COUNTERS_PATH) else _list_call
            answer = change(server, method, path, body, query)
            if answer is None:
                raise CallRefusedError(404, UNIMPLEMENTED, f"there is no {method} {path}")
            return answer
        call = self._calls.get((method, path))
        if call is None:
            raise CallRefusedError(404, UNIMPLEMENTED, f"there is no {method} {path}")
        return call(server, {} if method == "GET" else _json_object(await _read(receive)))

    def _ready(self, server: GameServer, _: dict[str, Any]) -> dict[str, Any]:
        self._pool.ready(server, self._clock())
        return {}

    def _health(self, server: GameServer, _: dict[str, Any]) -> dict[str, Any]:
        self._pool.heartbeat(server, self._clock())
        return {}

    def _allocate(self, server: GameServer, _: dict[str, Any]) -> dict[str, Any]:
        self._pool.allocate(server, self._clock(), {}, {})
        self._pool.fill(self._clock())
        return {}

    def _reserve(self, server: GameServer, body: dict[str, Any]) -> dict[str, Any]:
        try:
            seconds = int(body.get("seconds", 0))  # gRPC's gateway writes 64-bit integers as strings
        except (TypeError, ValueError):
            seconds = -1
        if seconds < 0:
            raise CallRefusedError(400, INVALID_ARGUMENT, "seconds must be a whole number, 0 or more")
        self._pool.reserve(server, seconds, self._clock())
        return {}

    def _shutdown(self, server: GameServer, _: dict[str, Any]) -> dict[str, Any]:
        self._pool.shut_down(server, self._clock())
        return {}

    def _gameserver(self, server: GameServer, _: dict[str, Any]) -> dict[str, Any]:
        return server.record()

    def _label(self, server: GameServer, body: dict[str, Any]) -> dict[str, Any]:
        key, value = _key_and_value(body)
        server.annotate({}, {key: value})
        return {}

    def _annotation(self, server: GameServer, body: dict[str, Any]) -> dict[str, Any]:
        key, value = _key_and_value(body)
        self._pool.annotated(server, {key: value}, self._clock())
        return {}


class SidecarServer(uvicorn.Server):
    """An HTTP server inside another server's process, which handles the signals."""

    def __init__(self, sidecar: Sidecar) -> None:
        config = uvicorn.Config(
            sidecar,
            lifespan="off",
            http="httptools",
            ws="none",
            access_log=False,
            log_config=None,
            timeout_keep_alive=75,  # heartbeats come every 2 s: no idle connection is cut between two
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGINT and SIGTERM alone."""
        yield


async def _watch(server: GameServer, receive: Receive, send: Send) -> None:
    """Stream the record, now and after each change, until the caller leaves or the server is gone.

    Changes that come faster than they are sent are merged, because only the newest record matters.
    """
    await send(
        {
            "type": "http.response.start",
            "status": 200,
            "headers": [(b"content-type", b"application/json")],
        }
    )
    left = asyncio.ensure_future(_disconnected(receive))
    change: asyncio.Future[None] | None = None
    try:
        while not left.done():
            version = server.version
            line = json.dumps({"result": server.record()}, separators=(",", ":")) + "\n"
            await send({"type": "http.response.body", "body": line.encode(), "more_body": True})
            if server.gone:
                break
            change = asyncio.ensure_future(server.changed_since(version))
            await asyncio.wait((left, change), return_when=asyncio.FIRST_COMPLETED)
    finally:
        left.cancel()
        if change is not None:
            change.cancel()
    await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _read(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise CallRefusedError(400, INVALID_ARGUMENT, "the request was cut short")
        chunk: bytes = message.get("body", b"")
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise CallRefusedError(413, INVALID_ARGUMENT, f"a body has at most {MAX_BODY_BYTES} bytes")
        if not message.get("more_body", False):
            return body


def _json_object(body: bytes) -> dict[str, Any]:
    """Parse a body.

    An empty one is refused, as Agones' gateway does, so that a server tested here works there.
    """
    try:
        value = json.loads(body)
    except ValueError as error:
        raise CallRefusedError(400, INVALID_ARGUMENT, f"the body must be a JSON object: {error}") from error
    if not isinstance(value, dict):
        raise CallRefusedError(400, INVALID_ARGUMENT, "the body must be a JSON object")
    return value


def _key_and_value(body: dict[str, Any]) -> tuple[str, str]:
    key, value = body.get("key"), body.get("value")
    if not isinstance(key, str) or not isinstance(value, str) or not key:
        raise CallRefusedError(400, INVALID_ARGUMENT, "key and value must be strings")
    return SDK_PREFIX + key, value


async def _refuse(send: Send, status: int, code: int, error: Exception) -> None:
    await _answer(send, status, {"code": code, "message": str(error), "details": []})


async def _answer(send: Send, status: int, body: dict[str, Any], at: float | None = None) -> None:
    """Answer, with our Unix time ``at``, so that a server knows how far its machine's clock is from ours."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
    if at is not None:
        headers.append((TIME_HEADER, b"%.3f" % at))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})


def _counter_call(
    server: GameServer, method: str, path: str, body: dict[str, Any], _query: str
) -> dict[str, Any] | None:
    """Read or change a counter, and return its record; None where there is no such call.

    A change carries any of ``count``, ``capacity`` and ``countDiff``; what is left out stays as it is.
    Raises CounterListError.
    """
    name = unquote(path.removeprefix(COUNTERS_PATH))
    counter = server.counters.get(name)
    if counter is None:
        raise UnknownCounterListError(f"this game server has no counter {name!r:.60}")
    if method == "PATCH":
        given = {
            field: parse_int64(body[field], field)
            for field in ("count", "capacity")
            if body.get(field) is not None
        }
        counter.change(
            count=given.get("count"),
            capacity=given.get("capacity"),
            diff=parse_int64(body.get("countDiff") or 0, "countDiff"),
        )
        server.notify()
    elif method != "GET":
        return None
    return {"name": name, **counter.as_json()}


def _list_call(
    server: GameServer, method: str, path: str, body: dict[str, Any], query: str
) -> dict[str, Any] | None:
    """Read or change a list, and return its record; None where there is no such call.

    ``updateMask`` names which of ``capacity`` and ``values`` to take from the body; without it all that are
    given. Raises CounterListError.
    """
    name, _, verb = unquote(path.removeprefix(LISTS_PATH)).partition(":")
    values = server.lists.get(name)
    if values is None:
        raise UnknownCounterListError(f"this game server has no list {name!r:.60}")
    match method, verb:
        case "GET", "":
            pass
        case "PATCH", "":
            mask = {field for part in parse_qs(query).get("updateMask", []) for field in part.split(",")}
            given = {field: body[field] for field in mask or ("capacity", "values") if field in body}
            values.change(
                values=parse_strings(given["values"], "values") if "values" in given else None,
                capacity=parse_int64(given["capacity"], "capacity") if "capacity" in given else None,
            )
            server.notify()
        case "POST", "addValue":
            values.add(_list_value(body))
            server.notify()
        case "POST", "removeValue":
            values.remove(_list_value(body))
            server.notify()
        case _:
            return None
    return {"name": name, **values.as_json()}


def _list_value(body: dict[str, Any]) -> str:
    value = body.get("value")
    if not isinstance(value, str) or not value:
        raise CounterListError("value must be a string")
    return value

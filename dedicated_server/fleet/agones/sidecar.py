"""The Agones SDK sidecar of every game server: one plain ASGI application, one loopback port a server.

Which server calls is told by the port it calls on. Errors have the shape of Agones' gateway: ``{"code", "message", "details"}``
with gRPC's numbers. A plain function and no framework: a hundred idle servers beat fifty times a second.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from dedicated_server.fleet.agones.sidecar_counters import COUNTERS, LISTS, counter_call, list_call
from dedicated_server.fleet.pool.counters_and_lists import (
    CounterListError,
    DuplicateValueError,
    UnknownCounterListError,
)
from dedicated_server.fleet.pool.gameserver import SDK_PREFIX, GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import IllegalTransitionError

MAX_BODY_BYTES = 256 * 1024  # Kubernetes' own limit on all annotations of an object
INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, FAILED_PRECONDITION, OUT_OF_RANGE, UNIMPLEMENTED = (
    3,
    5,
    6,
    9,
    11,
    12,
)

Clock = Callable[[], float]


class CallRefusedError(Exception):
    """Raised when a call cannot be done; answered with ``status`` and gRPC's ``code``."""

    def __init__(self, status: int, code: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class Sidecar:
    """The ASGI application."""

    def __init__(self, pool: WarmPool, clock: Clock) -> None:
        self._pool = pool
        self._clock = clock
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
            await _answer(send, 200, await self._called(server, scope, receive))
        except CallRefusedError as refused:
            await _refuse(send, refused.status, refused.code, refused)
        except IllegalTransitionError as error:
            await _refuse(send, 400, FAILED_PRECONDITION, error)
        except CounterListError as error:
            await _refuse(send, 400, OUT_OF_RANGE, error)
        except UnknownCounterListError as error:
            await _refuse(send, 404, NOT_FOUND, error)
        except DuplicateValueError as error:
            await _refuse(send, 409, ALREADY_EXISTS, error)

    async def _called(self, server: GameServer, scope: Scope, receive: Receive) -> dict[str, Any]:
        method, path = scope["method"], scope["path"]
        if path.startswith((COUNTERS, LISTS)):
            body = _json_object(await _read(receive)) if method in ("PATCH", "POST") else {}
            query = scope["query_string"].decode("ascii", "replace")
            change = counter_call if path.startswith(COUNTERS) else list_call
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
            seconds = int(body.get("seconds", 0))  # a string, as gRPC's gateway writes 64-bit integers
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
        server.annotate({key: value})
        return {}


class SidecarServer(uvicorn.Server):
    """An HTTP server inside another's process: it leaves the signals to that one."""

    def __init__(self, sidecar: Sidecar) -> None:
        config = uvicorn.Config(
            sidecar,
            lifespan="off",
            http="httptools",
            ws="none",
            access_log=False,
            log_config=None,
            timeout_keep_alive=75,  # servers beat every 2 s: an idle connection is never cut between two beats
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave SIGINT and SIGTERM alone."""
        yield


async def _watch(server: GameServer, receive: Receive, send: Send) -> None:
    """Stream the record: now, and after each change, until the caller leaves or the server is gone.

    Changes that come faster than they are sent are merged: only the newest record matters.
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
    """Parse a body. Agones' gateway answers an empty one with 400, so do we: a server tested here works there."""
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


async def _answer(send: Send, status: int, body: dict[str, Any]) -> None:
    payload = json.dumps(body, separators=(",", ":")).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})

"""A sidecar as strict as Agones' own, that records every call. Its answers are those recorded from Agones'
SDK server.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import uvicorn
from starlette.types import Message, Receive, Scope, Send

from tests.waiting import until

MATCH = "launchday.dev/match"
RECORD: dict[str, Any] = {
    "object_meta": {
        "name": "west-europe-7x9k2",
        "namespace": "default",
        "uid": "1234",
        "resource_version": "v1",
        "generation": "1",
        "creation_timestamp": "1795424342",
        "deletion_timestamp": "0",
        "annotations": {"annotation": "true"},
        "labels": {"islocal": "true"},
    },
    "spec": {
        "health": {
            "disabled": False,
            "period_seconds": 3,
            "failure_threshold": 5,
            "initial_delay_seconds": 10,
        }
    },
    "status": {
        "state": "Scheduled",
        "address": "127.0.0.1",
        "addresses": [],
        "ports": [{"name": "default", "port": 0}],
        "players": None,
        "counters": {"rooms": {"count": "1", "capacity": "10"}},
        "lists": {"players": {"capacity": "100", "values": ["test0", "test1"]}},
    },
}
EMPTY_CALLS = {"/ready": "Ready", "/health": None, "/shutdown": "Shutdown"}


class StrictSidecar:
    """The ASGI application and its record.

    Attributes:
        calls: path and body of each accepted call, in order; of GETs the path and None.
        rejected: what was answered 4xx.
        answer_next_with: statuses to answer the next calls with instead.
        answer_headers: further headers of heartbeats' answers: ours has some, Agones' has none.
        heard_headers: of the heartbeats.
    """

    def __init__(self, port: int) -> None:
        self.port = port
        self.record: dict[str, Any] = json.loads(json.dumps(RECORD))
        self.calls: list[tuple[str, Any]] = []
        self.rejected: list[str] = []
        self.answer_next_with: list[int] = []
        self.answer_headers: dict[str, str] = {}
        self.heard_headers: list[dict[str, str]] = []
        self.watches = 0
        self._changed = asyncio.Event()
        self._cut = asyncio.Event()

    def allocate(self, match: str | None) -> None:
        """Allocate the server, as an allocator would."""
        self.record["status"]["state"] = "Allocated"
        if match is not None:
            self.record["object_meta"]["annotations"][MATCH] = match
        self._change()

    def cut_watches(self) -> None:
        """Cut every watch stream, in the middle of a chunk."""
        self._cut.set()
        self._cut = asyncio.Event()

    def paths(self) -> list[str]:
        """The calls without repetitions of health and of reports."""
        frequent = ("/health", "/metadata/annotation")
        return [path for path, _ in self.calls if path not in frequent]

    def reports(self) -> list[dict[str, Any]]:
        """The reports so far."""
        return [
            json.loads(body["value"])
            for path, body in self.calls
            if path == "/metadata/annotation" and body["key"] == "launchday-report"
        ]

    async def until(self, path: str, times: int = 1) -> None:
        """Wait until a call has come so often."""
        await until(
            lambda: sum(called == path for called, _ in self.calls) >= times,
            f"{path} ×{times}",
            within_s=60.0,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        body = await _body(receive)
        if self.answer_next_with:
            await _answer(
                send, self.answer_next_with.pop(0), {"code": 14, "message": "told to", "details": []}
            )
        elif method == "GET" and not body and path == "/gameserver":
            self.calls.append((path, None))
            await _answer(send, 200, self.record)
        elif method == "GET" and not body and path == "/watch/gameserver":
            self.calls.append((path, None))
            await self._watch(send)
        elif method == "POST" and path in EMPTY_CALLS and body == b"{}" and _is_json(scope):
            self.calls.append((path, {}))
            if (state := EMPTY_CALLS[path]) is not None:
                self.record["status"]["state"] = state
                self._change()
            if path == "/health":
                self.heard_headers.append({name.decode(): value.decode() for name, value in scope["headers"]})
            await _answer(send, 200, {}, self.answer_headers)
        elif method == "PUT" and path == "/metadata/annotation" and _is_json(scope):
            fields = json.loads(body)
            assert set(fields) == {"key", "value"}
            assert isinstance(fields["value"], str)
            self.calls.append((path, fields))
            await _answer(send, 200, {})
        else:
            self.rejected.append(f"{method} {path} {body!r}")
            await _answer(send, 400, {"code": 3, "message": "invalid", "details": []})

    async def _watch(self, send: Send) -> None:
        self.watches += 1
        cut = self._cut
        await send({"type": "http.response.start", "status": 200, "headers": []})
        while not cut.is_set():
            changed = self._changed
            line = json.dumps({"result": self.record}) + "\n"
            for part in (line[:100], line[100:]):  # a record may come in pieces
                await send({"type": "http.response.body", "body": part.encode(), "more_body": True})
            waits = [asyncio.ensure_future(event.wait()) for event in (changed, cut)]
            try:
                await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for wait in waits:
                    wait.cancel()
        raise ConnectionAbortedError("cut")  # the server closes the connection without an end of the stream

    def _change(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


@asynccontextmanager
async def serving(sidecar: StrictSidecar) -> AsyncIterator[None]:
    """Serve on the sidecar's port until the block ends."""
    server = _InProcess(
        uvicorn.Config(
            sidecar,
            host="127.0.0.1",
            port=sidecar.port,
            lifespan="off",
            log_config=None,
            log_level="critical",
            access_log=False,
            ws="none",
            timeout_graceful_shutdown=0,
        )
    )
    task = asyncio.create_task(server.serve())
    await until(lambda: server.started, "the sidecar serves")
    try:
        yield
    finally:
        server.should_exit = True
        sidecar.cut_watches()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def free_tcp_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_udp_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class _InProcess(uvicorn.Server):
    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def _is_json(scope: Scope) -> bool:
    return dict(scope["headers"]).get(b"content-type") == b"application/json"


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message: Message = await receive()
        chunk: bytes = message.get("body", b"")
        body += chunk
        if not message.get("more_body", False):
            return body


async def _answer(
    send: Send, status: int, body: dict[str, Any], further: Mapping[str, str] | None = None
) -> None:
    payload = json.dumps(body).encode()
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(payload)).encode())]
    headers += [(name.encode(), value.encode()) for name, value in (further or {}).items()]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": payload})

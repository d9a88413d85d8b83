"""A small application behind a gate, and clients that write bytes."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import uvicorn
from starlette.types import Receive, Scope, Send

from launchday.clock import ManualClock
from launchday.resilience import deadline
from launchday.resilience.admission.classes import AdmissionClass, AdmissionClasses
from launchday.resilience.admission.gate import Gate, Lane
from launchday.resilience.admission.protocol import GateProtocol, guarded_by
from launchday.resilience.admission.waiting_line import LineLimits
from tests.waiting import until

LINE = LineLimits(places=4, age_s=1.0, standing_after_s=1.0, standing_age_s=0.1)
CLASSES = AdmissionClasses(
    AdmissionClass("streams", None, "nothing", ("GET /streams/*",), bounded=False),
    AdmissionClass("logins", 2, "a test", ("POST /login",), per_source_s=1.0),
    AdmissionClass("reads", 2, "a test", line=LINE),
)


@dataclass
class Answer:
    """One answer as it came."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass
class Application:
    """An ASGI application that answers what it got; paths that end in ``/held`` only when they are let go."""

    started: list[str] = field(default_factory=list)
    deadlines: list[float | None] = field(default_factory=list)
    clients: list[tuple[str, str]] = field(default_factory=list)
    let_go: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        body, more = b"", True
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.started.append(scope["path"])
        self.deadlines.append(deadline.current())
        self.clients.append((scope["client"][0], scope["scheme"]))
        if scope["path"].endswith("/held"):
            await self.let_go.wait()
        text = f"{scope['method']} {scope['path']} {len(body)}".encode()
        headers = [(b"content-length", b"%d" % len(text))]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else text})


class Wire:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def send(self, data: bytes) -> None:
        self._writer.write(data)

    def get(self, path: str, *headers: str, method: str = "GET") -> None:
        lines = [f"{method} {path} HTTP/1.1", "host: test", *headers]
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n")

    async def answer(self, *, head: bool = False) -> Answer:
        raw = (await self._reader.readuntil(b"\r\n\r\n")).decode()
        line, *lines = raw.strip().split("\r\n")
        headers = dict(each.lower().split(": ", 1) for each in lines)
        body = b"" if head else await self._reader.readexactly(int(headers.get("content-length", "0")))
        return Answer(int(line.split()[1]), headers, body)

    async def status(self) -> int:
        return (await self.answer()).status

    async def rest(self) -> bytes:
        return await self._reader.read()

    def close(self) -> None:
        self._writer.close()


@dataclass
class Served:
    """What a test has in its hands."""

    app: Application
    gate: Gate
    clock: ManualClock
    port: int
    server: uvicorn.Server
    wires: list[Wire] = field(default_factory=list)

    def connections(self) -> list[GateProtocol]:
        return [each for each in self.server.server_state.connections if isinstance(each, GateProtocol)]

    def lane(self, name: str) -> Lane:
        return next(lane for lane in self.gate.lanes if lane.kind.name == name)

    async def wire(self, source: str = "127.0.0.1") -> Wire:
        opened = await asyncio.open_connection("127.0.0.1", self.port, local_addr=(source, 0))
        self.wires.append(Wire(*opened))
        return self.wires[-1]

    async def fill(self, count: int, path: str = "/held", source: str = "127.0.0.1") -> list[Wire]:
        """Let so many requests get under way, or wait, one after the other."""
        reads = self.lane("reads")
        made = []
        for _ in range(count):
            before = reads.running + reads.queued + reads.refused
            wire = await self.wire(source)
            wire.get(path)
            await until(
                lambda before=before: reads.running + reads.queued + reads.refused > before, "the gate has it"
            )
            made.append(wire)
        return made


@contextlib.asynccontextmanager
async def served(classes: AdmissionClasses = CLASSES, **options: Any) -> AsyncIterator[Served]:
    """Serve the application on a free port of the loopback; ``options`` are the gate's."""
    clock = ManualClock()
    gate = Gate(classes, clock, **options)
    app = Application()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = uvicorn.Config(
            app,
            http=guarded_by(gate),
            ws="none",
            proxy_headers=False,
            lifespan="off",
            log_config=None,
            timeout_graceful_shutdown=1,
        )
        server = uvicorn.Server(config)
        serving = asyncio.create_task(server._serve(sockets=[listener]))
        await until(lambda: server.started, "the application starts")
        here = Served(app, gate, clock, listener.getsockname()[1], server)
        try:
            yield here
        finally:
            app.let_go.set()
            for wire in here.wires:
                wire.close()
            server.should_exit = True
            await serving

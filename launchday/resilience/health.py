"""Readiness: whether a process can be of use now, and which of the parts that it needs is not well.

``/healthz`` says that the process runs; whoever restarts processes asks that. ``/readyz`` says whether
asking it is worth while; load balancers and launchers ask that. It lists every part. It answers 503 only
where nothing useful could be answered: a needed part is away, or the process is stopping. What goes on
without a part is "degraded", with 200, because taking a service out of the balance when its store is away
would end for players what still works.

`serve_operations` gives a process without an API a port with ``/healthz``, ``/readyz`` and ``/metrics``.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import json
import os
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import structlog
import uvicorn
from prometheus_client import CONTENT_TYPE_LATEST, Gauge, generate_latest
from starlette.types import Receive, Scope, Send

from launchday.clock import Clock
from launchday.resilience import deadline
from launchday.resilience.clocks.skew import watch_clock
from launchday.resilience.loop_lag import watch_loop
from launchday.settings import Settings

CHECK_S = 1.0  # a check that takes longer says "slow"; probes of orchestrators wait 1 s by default
FRESH_S = 1.0  # an answer is given again for so long, so that many who ask cost the parts one check a second
AWAY_AFTER_S = 5.0  # a part that was slow for so long counts as away: one late answer may be our own delay
STOP_TIMEOUT_S = 7.0  # from SIGTERM to the end; launchers kill after 8 s, and a traceback is worth more
BIND_RETRY_S = 1.0
KEEP_ALIVE_S = 75
RESTARTS_VARIABLE = "LAUNCHDAY_RESTARTS"  # the launcher tells a process how often it has died before

OK = "ok"
STOPPING = "stopping"
NOT_FOUND = b"not found: ask /healthz, /readyz or /metrics\n"

PART_UP = Gauge(
    "launchday_part_up", "1 while a part that this process needs was well when last asked.", ["part"]
)
RESTARTS = Gauge("launchday_process_restarts", "Times that the launcher has started this process again.")
RESTARTS.set(int(os.environ.get(RESTARTS_VARIABLE, "0")))

log = structlog.get_logger()

Details = Callable[[], Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Part:
    """Something that a process needs.

    Attributes:
        name: in one or two words: cache, store, warm parents.
        check: returns None where the part is well, else what is wrong, in a few words. What it raises counts
            as that too, but for a TimeoutError: a part that is slow is not away.
        needed: without it nothing useful can be answered.
    """

    name: str
    check: Callable[[], Awaitable[str | None]]
    needed: bool = False


@dataclass(frozen=True, slots=True)
class Readiness:
    """What ``/readyz`` says.

    Attributes:
        status: ready, degraded, not-ready or stopping.
        parts: "ok", or what is wrong, by name.
        details: what else the process tells of itself.
    """

    status: str
    parts: Mapping[str, str]
    details: Mapping[str, Any] = field(default_factory=dict)

    @property
    def http_status(self) -> int:
        """200, or 503 where nothing useful could be answered."""
        return 200 if self.status in ("ready", "degraded") else 503

    def body(self) -> dict[str, Any]:
        """The answer as plain data."""
        return {"status": self.status, "parts": dict(self.parts), **self.details}


class Health:
    """The parts of one process, asked when somebody asks, at most once in `FRESH_S`.

    Args:
        parts: more can be added while it starts.
        clock: decides how old an answer is.
        details: what else to tell; asked at each answer, so it must be cheap.
    """

    def __init__(self, parts: Sequence[Part], clock: Clock, details: Details | None = None) -> None:
        self._parts = list(parts)
        self._clock = clock
        self._details = details
        self._under_way: dict[str, asyncio.Task[str | None]] = {}
        self._slow_since: dict[str, float] = {}
        self._asking: asyncio.Task[Readiness] | None = None
        self._asked_at = 0.0

    def add(self, *parts: Part) -> None:
        """Add parts: those whose checks need what the process opens as it starts."""
        self._parts += parts

    async def readiness(self) -> Readiness:
        """Return how the parts are, asked within the last second. Takes at most `CHECK_S`."""
        now = self._clock.monotonic()
        if self._asking is None or (self._asking.done() and now - self._asked_at >= FRESH_S):
            self._asked_at = now
            with deadline.serving(None):  # others wait for the answer too
                self._asking = asyncio.create_task(self._ask_all(), name="readiness")
        found = await asyncio.shield(self._asking)
        details = self._details() if self._details is not None else {}
        status = STOPPING if is_stopping() else found.status
        return Readiness(status, found.parts, details)

    async def _ask_all(self) -> Readiness:
        """Ask every part at the same time; one that has not answered the last question is not asked again."""
        for part in self._parts:
            under_way = self._under_way.get(part.name)
            if under_way is None or under_way.done():
                self._under_way[part.name] = asyncio.ensure_future(part.check())
        if self._under_way:
            await asyncio.wait(self._under_way.values(), timeout=CHECK_S)
        said: dict[str, str] = {}
        status = "ready"
        for part in self._parts:
            trouble, away = self._judge(part, self._under_way[part.name])
            PART_UP.labels(part.name).set(not trouble)
            said[part.name] = trouble or OK
            if away and part.needed:
                status = "not-ready"
            elif trouble and status == "ready":
                status = "degraded"
        return Readiness(status, said)

    def _judge(self, part: Part, task: asyncio.Task[str | None]) -> tuple[str, bool]:
        """What is wrong with a part, empty where nothing is; and whether it counts as away."""
        if task.done() and not task.cancelled() and not isinstance(error := task.exception(), TimeoutError):
            self._slow_since.pop(part.name, None)
            trouble = task.result() if error is None else f"{type(error).__name__}: {error}"
            return trouble or "", trouble is not None
        task.cancel()
        now = self._clock.monotonic()
        slow_s = now - self._slow_since.setdefault(part.name, now)
        return f"no answer within {CHECK_S:g} s", slow_s >= AWAY_AFTER_S


_stopping = False


def begin_stop(timeout_s: float = STOP_TIMEOUT_S) -> None:
    """Note that this process is asked to stop: ``/readyz`` says so from now on, and the end is bounded.

    Call it in the handler of SIGTERM. Where the process has not ended after ``timeout_s`` seconds, it writes
    the stack of every thread to its log and ends with code 1: whoever waits for it would kill it without a
    word.
    """
    global _stopping
    if not _stopping:
        _stopping = True
        faulthandler.dump_traceback_later(timeout_s, exit=True)


def is_stopping() -> bool:
    """Whether `begin_stop` was called."""
    return _stopping


class OperationsApp:
    """``/healthz``, ``/readyz`` and ``/metrics`` as one plain ASGI function."""

    def __init__(self, health: Health) -> None:
        self._health = health

    async def __call__(self, scope: Scope, _receive: Receive, send: Send) -> None:
        """Answer one request."""
        status, kind = 200, b"application/json"
        match scope["path"]:
            case "/healthz":
                body = b'{"status":"ok"}'
            case "/readyz":
                found = await self._health.readiness()
                status, body = found.http_status, json.dumps(found.body()).encode()
            case "/metrics":
                body, kind = generate_latest(), CONTENT_TYPE_LATEST.encode()
            case _:
                status, body, kind = 404, NOT_FOUND, b"text/plain; charset=utf-8"
        headers = [(b"content-type", kind), (b"content-length", b"%d" % len(body))]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body if scope["method"] != "HEAD" else b""})


class _OperationsServer(uvicorn.Server):
    """Leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve_operations(
    settings: Settings,
    port: int,
    parts: Sequence[Part],
    clock: Clock,
    *,
    details: Details | None = None,
) -> None:
    """Serve ``/healthz``, ``/readyz`` and ``/metrics`` of a process without an API, until cancelled.

    Run it as a task. It never ends the process: while the port is busy, as where two workers run on one
    machine, it warns once and tries again.

    Args:
        settings: ``bind_host``.
        port: TCP port; 0: nothing is served.
        parts: what ``/readyz`` lists.
        clock: time.
        details: what ``/readyz`` tells besides.
    """
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(watch_loop(clock))
        tasks.create_task(watch_clock(clock))
        if port:
            listener = await _listen(settings.bind_host, port, clock)
            config = uvicorn.Config(
                OperationsApp(Health(parts, clock, details)),
                http="httptools",
                lifespan="off",
                access_log=False,
                log_config=None,
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=1,
            )
            server = _OperationsServer(config)
            serving = tasks.create_task(server.serve(sockets=[listener]))
            try:
                await asyncio.shield(serving)
            finally:
                server.should_exit = True  # it closes what it has open, within a tenth of a second
                await asyncio.wait([serving])
                listener.close()


@contextlib.asynccontextmanager
async def operations(
    settings: Settings,
    port: int,
    parts: Sequence[Part],
    clock: Clock,
    *,
    details: Details | None = None,
) -> AsyncIterator[None]:
    """Run `serve_operations`, with these arguments, as a task until the block ends."""
    serving = asyncio.create_task(
        serve_operations(settings, port, parts, clock, details=details), name="operations"
    )
    try:
        yield
    finally:
        serving.cancel()
        for failure in await asyncio.gather(serving, return_exceptions=True):
            if isinstance(failure, Exception):
                log.error("health and metrics were not served", exc_info=failure)


async def _listen(host: str, port: int, clock: Clock) -> socket.socket:
    warned = False
    while True:
        listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            return listener
        except OSError as error:
            listener.close()
            if not warned:
                log.warning("no port for health and metrics: it is tried again", port=port, reason=str(error))
                warned = True
            await clock.sleep(BIND_RETRY_S)

"""The Agones SDK over REST, for a game server: small enough to run between two ticks.

It needs nothing but the sidecar's port, and waits for a sidecar that starts late. A call takes about 0.1 ms
of this process's time; a general HTTP client takes five to ten times that, which would show at sixty ticks a
second.

The names of the labels and annotations through which a fleet, its allocator and a game server talk are here,
too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncGenerator, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httptools
import structlog

from dedicated_server.errors import DedicatedServerError
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday.clock import Clock
from launchday.resilience import deadline, pauses, sockets
from launchday.resilience.clocks.skew import PEERS, RAW_HEADER
from launchday.resilience.retry import Backoff

FLEET_LABEL = "agones.dev/fleet"  # names the region that a server belongs to
MATCH_ANNOTATION = "launchday.dev/match"  # carries the match that a server was allocated for
SDK_PREFIX = "agones.dev/sdk-"  # Agones puts it before each key that a server sets through its SDK
SKEW_HEADER = "Launchday-Clock-Skew"
"""Of a heartbeat: the seconds by which the fleet's clock is ahead of the server's, as that last found."""
REPORT_KEY = "launchday-report"  # under which a server sets the report on its match

DEFAULT_PORT = 9358
CALL_TIMEOUT_S = 2.0
PATIENCE_S = 60.0  # for a sidecar that does not answer; Agones restarts its own within seconds
FIRST_BACKOFF_S, MAX_BACKOFF_S = 0.02, 1.0  # between two attempts
MAX_READ_BYTES = 64 * 1024

log = structlog.get_logger()


class SidecarError(DedicatedServerError):
    """Base of what the SDK raises."""


class SidecarUnavailableError(SidecarError):
    """Raised when no usable answer came: no connection, a time-out, or a 5xx. Every call may be repeated."""


class SidecarRefusedError(SidecarError):
    """Raised when the sidecar answered with an error (4xx). Repeating the same call is no use."""


@dataclass(frozen=True, slots=True)
class GameServerRecord:
    """What a game server needs of its own record.

    Attributes:
        name: its name in the fleet.
        state: Agones' name of its state.
        addresses: where it is reached.
        port: UDP port that players connect to; 0 where there is none.
        labels, annotations: its metadata.
    """

    name: str
    state: str
    addresses: ServerAddresses
    port: int
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    @classmethod
    def parse(cls, record: Any) -> GameServerRecord:
        """Read Agones' JSON; raises SidecarRefusedError where it is malformed."""
        try:
            meta, status = record["object_meta"], record["status"]
            ports = status["ports"] or [{"port": 0}]
            return cls(
                name=str(meta["name"]),
                state=str(status["state"]),
                addresses=ServerAddresses.parse(str(status["address"]), status.get("addresses")),
                port=int(ports[0]["port"]),
                labels=dict(meta["labels"] or {}),
                annotations=dict(meta["annotations"] or {}),
            )
        except (LookupError, TypeError, ValueError) as error:
            raise SidecarRefusedError(f"the sidecar's record is not Agones': {error!r}") from error


class AgonesSdk:
    """Calls the sidecar on this host's loopback, from one event loop; one call runs at a time.

    Every call raises SidecarRefusedError and SidecarUnavailableError; those that are repeated until they are
    answered raise the latter once the patience is over.

    Args:
        port: TCP port of the sidecar.
        clock: waits between two attempts.
        timeout_s: seconds for one call, with the wait for the one before it.
        patience_s: seconds for which a call is repeated, or a stream that was cut is opened again.
    """

    def __init__(
        self,
        port: int = DEFAULT_PORT,
        *,
        clock: Clock,
        timeout_s: float = CALL_TIMEOUT_S,
        patience_s: float = PATIENCE_S,
    ) -> None:
        self._port = port
        self._patience_s = patience_s
        self._clock = clock
        self._timeout_s = timeout_s
        self._connection = _Connection(port)
        self._fleet_ahead_s: float | None = None
        self._lock = asyncio.Lock()

    async def aclose(self) -> None:
        """Close the connection."""
        self._connection.close()

    async def ready(self) -> None:
        """Say that this server can take players. Repeated until it is answered."""
        await self._call_until_answered("POST", "/ready")

    async def health(self) -> None:
        """Send a heartbeat, and hear which time it is at our fleet; Agones' sidecar does not say."""
        skew = "" if self._fleet_ahead_s is None else f"{SKEW_HEADER}: {self._fleet_ahead_s:.3f}\r\n"
        sent = self._clock.wall()
        await self._call("POST", "/health", headers=skew)
        if theirs := self._connection.their_time:
            self._fleet_ahead_s = PEERS.heard("fleet", theirs, sent, self._clock.wall())

    async def shutdown(self) -> None:
        """Ask to be ended; SIGTERM follows. Repeated until it is answered."""
        await self._call_until_answered("POST", "/shutdown")

    async def gameserver(self) -> GameServerRecord:
        """Return this server's record. Repeated until it is answered."""
        return GameServerRecord.parse(json.loads(await self._call_until_answered("GET", "/gameserver")))

    async def annotate(self, key: str, value: str) -> None:
        """Set this server's annotation ``agones.dev/sdk-<key>``."""
        await self._call("PUT", "/metadata/annotation", {"key": key, "value": value})

    async def watch(self) -> AsyncGenerator[GameServerRecord, None]:
        """Yield the record at each change, from now on. A stream that is cut is opened again.

        Raises SidecarUnavailableError where it cannot be for as long as the patience lasts; it never ends by
        itself.
        """
        backoff = Backoff(self._clock, FIRST_BACKOFF_S, MAX_BACKOFF_S)
        cut_at: float | None = None
        while True:
            connection = _Connection(self._port)
            try:
                async with contextlib.aclosing(connection.lines("/watch/gameserver")) as lines:
                    async for line in lines:
                        message = json.loads(line)
                        if "result" in message:
                            backoff.reset()
                            cut_at = None
                            yield GameServerRecord.parse(message["result"])
            except (SidecarError, ValueError) as error:
                log.debug("the watch was cut", reason=str(error))
                now = self._clock.monotonic()
                cut_at = now if cut_at is None else cut_at
                if now - cut_at > self._patience_s:
                    raise SidecarUnavailableError(f"no watch for {self._patience_s:g} s: {error}") from error
            finally:
                connection.close()
            await self._clock.sleep(backoff.next_s())

    async def _call(
        self, method: str, path: str, body: Mapping[str, str] | None = None, headers: str = ""
    ) -> bytes:
        # A body is always sent with POST and PUT, if only {}: the sidecar answers an empty one with 400.
        payload = b"" if method == "GET" else json.dumps(body or {}).encode()
        try:
            async with deadline.within(self._clock, self._timeout_s), self._lock:
                try:
                    status, answer = await self._connection.exchange(method, path, payload, headers)
                except BaseException:  # in the middle of an answer: the rest of it is not for the next call
                    self._connection.close()
                    raise
        except TimeoutError as error:
            raise SidecarUnavailableError(f"{path}: no answer within {self._timeout_s:g} s") from error
        if status == 200:
            return answer
        what = f"{path}: HTTP {status} {answer[:200].decode(errors='replace')}"
        raise SidecarUnavailableError(what) if status >= 500 else SidecarRefusedError(what)

    async def _call_until_answered(self, method: str, path: str) -> bytes:
        backoff = Backoff(self._clock, FIRST_BACKOFF_S, MAX_BACKOFF_S)
        last: str | None = None
        try:
            async with pauses.timeout(self._patience_s):
                while True:
                    try:
                        return await self._call(method, path)
                    except SidecarUnavailableError as error:
                        log.log(
                            logging.WARNING if last is None else logging.DEBUG,
                            "the sidecar does not answer: trying again",
                            reason=str(error),
                        )
                        last = str(error)
                    await self._clock.sleep(backoff.next_s())
        except TimeoutError as error:
            raise SidecarUnavailableError(
                f"{path}: no answer from the sidecar in {self._patience_s:g} s: {last}"
            ) from error


class _Response:
    """One answer, as httptools' parser reads it."""

    def __init__(self) -> None:
        self.parser = httptools.HttpResponseParser(self)
        self.body = b""
        self.their_time = b""
        self.complete = False

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep which time it is where the answer comes from."""
        if name.lower() == RAW_HEADER:
            self.their_time = value

    def on_body(self, chunk: bytes) -> None:
        """Append a piece of the body."""
        self.body += chunk

    def on_message_complete(self) -> None:
        """Note the end of the answer."""
        self.complete = True


class _Connection:
    """One HTTP/1.1 connection to the sidecar, opened when it is needed and kept while the sidecar keeps it
    open.

    Attributes:
        their_time: Unix seconds of the sidecar at its last answer, as it wrote them; empty where it did not.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self.their_time = b""
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    def close(self) -> None:
        """Close it; the next exchange opens another."""
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    async def exchange(self, method: str, path: str, payload: bytes, headers: str) -> tuple[int, bytes]:
        """Send a request and read its whole answer: status and body. Raises SidecarUnavailableError."""
        kept = self._streams is not None
        try:
            return await self._exchange(method, path, payload, headers)
        except SidecarUnavailableError:
            if not kept:
                raise
            # The sidecar had closed an idle connection.
            return await self._exchange(method, path, payload, headers)

    async def lines(self, path: str) -> AsyncGenerator[bytes, None]:
        """Yield the lines of the endless answer to a GET; raises SidecarUnavailableError when it ends."""
        with self._errors():
            reader = await self._send("GET", path, b"")
            answer, pending = _Response(), b""
            while not answer.complete:
                answer.parser.feed_data(await _read_some(reader))
                if answer.parser.get_status_code() != 200:
                    raise SidecarRefusedError(f"{path}: HTTP {answer.parser.get_status_code()}")
                *lines, pending = (pending + answer.body).split(b"\n")
                answer.body = b""
                for line in lines:
                    if line:
                        yield line
        raise SidecarUnavailableError("the stream has ended")

    async def _exchange(self, method: str, path: str, payload: bytes, headers: str) -> tuple[int, bytes]:
        with self._errors():
            reader = await self._send(method, path, payload, headers)
            answer = _Response()
            while not answer.complete:
                answer.parser.feed_data(await _read_some(reader))
        if not answer.parser.should_keep_alive():
            self.close()
        self.their_time = answer.their_time
        return answer.parser.get_status_code(), answer.body

    async def _send(self, method: str, path: str, payload: bytes, headers: str = "") -> asyncio.StreamReader:
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
            sockets.harden(self._streams[1])
        reader, writer = self._streams
        head = (
            f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self._port}\r\nContent-Type: application/json\r\n"
        )
        length = "" if method == "GET" else f"Content-Length: {len(payload)}\r\n"
        writer.write(f"{head}{headers}{length}\r\n".encode() + payload)
        await writer.drain()
        return reader

    @contextlib.contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (OSError, httptools.HttpParserError) as error:
            self.close()
            raise SidecarUnavailableError(f"the sidecar on port {self._port}: {error}") from error


async def _read_some(reader: asyncio.StreamReader) -> bytes:
    data = await reader.read(MAX_READ_BYTES)
    if not data:
        raise ConnectionResetError("closed by the sidecar")
    return data

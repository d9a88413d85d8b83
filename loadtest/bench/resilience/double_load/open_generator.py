"""An open load over raw sockets: requests leave when they are due, whether or not earlier ones were answered.

Latency is counted from the time at which a request was due, so a generator that falls behind makes figures
worse and not better; how late it was is among them. Connections are kept, as clients keep them. It costs
about 15 µs a request and spins while it waits: where the two ends share a virtual machine, waking a
sleeping process costs more than a refusal, and would be most of what is measured.
"""

from __future__ import annotations

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

PATIENCE_S = 5.0  # after which a client gives up and closes
RECEIVE_BYTES = 65536
LAST_S = 6.0  # after the last request, for the last answers
PATIENCE_PERIOD_S = 0.05
MAX_OPEN = 10_000  # connections: a launch's clients have more, but one process has not the descriptors
GONE = 0  # status of a request that was given up
RESET = -1  # status of a request whose connection was lost, or who found `MAX_OPEN` of them


@dataclass
class Answers:
    """What became of the requests of one load.

    Attributes:
        due_s: float64[N], seconds since the start.
        sent_s, answered_s: float64[N]; NaN where it was not.
        status: int64[N]: HTTP's, `GONE` or `RESET`.
        opened: connections that were opened meanwhile.
        background: answers to the background's requests, by status.
    """

    due_s: NDArray[np.float64]
    sent_s: NDArray[np.float64]
    answered_s: NDArray[np.float64]
    status: NDArray[np.int64]
    opened: int
    background: dict[int, int]

    @property
    def latency_s(self) -> NDArray[np.float64]:
        """From due to answered; NaN where there was no answer."""
        return self.answered_s - self.due_s

    @property
    def late_s(self) -> float:
        """How late the generator was in sending: the 99th percentile."""
        return float(np.nanpercentile(self.sent_s - self.due_s, 99)) if len(self.due_s) else 0.0

    def good(self, within_s: float, status: int = 200) -> NDArray[np.bool_]:
        """Which requests were answered well and in time."""
        with np.errstate(invalid="ignore"):
            good: NDArray[np.bool_] = (self.status // 100 == status // 100) & (self.latency_s <= within_s)
        return good


class _Connection:
    __slots__ = ("background", "buffer", "number", "sent_at", "socket")

    def __init__(self, opened: socket.socket) -> None:
        self.socket = opened
        self.buffer = b""
        self.number = -1  # of the request that it carries; -1: none
        self.sent_at = 0.0
        self.background: Callable[[], bytes] | None = None


class Generator:
    """Sends loads to one address; keeps its connections from one load to the next.

    Args:
        host, port: where the service listens.
        source: gives the address from which the n-th connection comes; None: the system chooses.
        spin: poll without sleeping. False where the engines on the same core would starve.
    """

    def __init__(
        self, host: str, port: int, *, source: Callable[[int], str] | None = None, spin: bool = True
    ) -> None:
        self._address = (host, port)
        self._source = source
        self._spin = spin
        self._poll = select.epoll()
        self._by_descriptor: dict[int, _Connection] = {}
        self._idle: deque[_Connection] = deque()
        self._opened = 0
        self._numbered = 0
        self._background: list[_Connection] = []
        self._counts: dict[int, int] = {}

    def close(self) -> None:
        """Close all connections."""
        for connection in list(self._by_descriptor.values()):
            self._drop(connection)
        self._poll.close()

    def add_background(self, source: str, request: Callable[[], bytes]) -> None:
        """Keep one more connection busy while loads run: each answer is followed by the next request at once.

        Args:
            source: the address from which it comes.
            request: makes each request.
        """
        connection = self._open(source)
        connection.background = request
        self._background.append(connection)

    def run(self, due_s: NDArray[np.float64], requests: Sequence[bytes], *, fresh: bool = False) -> Answers:
        """Send a load and wait for its answers.

        Args:
            due_s: float64[N], seconds from now, ascending.
            requests: bytes of each; taken again from the start where there are fewer than N.
            fresh: each request comes over a connection of its own, which is then closed.
        """
        count, of = len(due_s), len(requests)
        nan = np.full(count, np.nan)
        due = due_s.tolist()
        sent_s, answered_s, status = nan.tolist(), nan.tolist(), [GONE] * count
        flying: deque[tuple[int, _Connection]] = deque()
        self._opened, self._counts = 0, {}
        began = time.perf_counter()
        for connection in self._background:
            if connection.number < 0 and connection.background is not None:
                self._send(connection, connection.background(), 0, began)
        following, left, next_patience = 0, count, PATIENCE_PERIOD_S
        end = (due[-1] if count else 0.0) + LAST_S
        while left:
            now = time.perf_counter() - began
            while following < count and due[following] <= now:
                if (fresh or not self._idle) and len(self._by_descriptor) >= MAX_OPEN:
                    status[following] = RESET
                    following, left = following + 1, left - 1
                    continue
                connection = self._open() if fresh or not self._idle else self._idle.pop()
                self._send(connection, requests[following % of], following, now)
                sent_s[following] = now
                flying.append((following, connection))
                following += 1
                now = time.perf_counter() - began
            wait_s = (
                0.0 if self._spin else max((due[following] if following < count else now + 0.01) - now, 0.0)
            )
            for descriptor, _ in self._poll.poll(min(wait_s, 0.01)):
                connection = self._by_descriptor[descriptor]
                number = connection.number
                code = self._receive(connection)
                if code is None:
                    continue
                answered = time.perf_counter() - began
                if connection.background is not None:
                    self._counts[code] = self._counts.get(code, 0) + 1
                    if code != RESET:
                        self._send(connection, connection.background(), 0, answered)
                    else:
                        self._reopen(connection, answered)
                    continue
                if number >= 0:
                    status[number], answered_s[number] = code, answered
                    left -= 1
                if code == RESET or fresh:
                    self._drop(connection)
                elif number >= 0:
                    connection.number = -1
                    self._idle.append(connection)
            if now >= next_patience:
                next_patience = now + PATIENCE_PERIOD_S
                while flying and (
                    flying[0][1].number != flying[0][0] or now - due[flying[0][0]] > PATIENCE_S
                ):
                    number, connection = flying.popleft()
                    if connection.number == number:  # it still waits: the client gives up
                        left -= 1
                        self._drop(connection)
                if now > end:
                    break
        return Answers(
            np.asarray(due_s),
            np.array(sent_s),
            np.array(answered_s),
            np.array(status),
            self._opened,
            dict(self._counts),
        )

    def _open(self, source: str | None = None) -> _Connection:
        opened = socket.socket()
        if source is None and self._source is not None:
            source = self._source(self._numbered)
        if source is not None:
            opened.bind((source, 0))
        opened.connect(self._address)  # the kernel answers at once as long as its backlog has room
        opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        opened.setblocking(False)
        self._opened += 1
        self._numbered += 1
        connection = _Connection(opened)
        self._by_descriptor[opened.fileno()] = connection
        self._poll.register(opened.fileno(), select.EPOLLIN)
        return connection

    def _reopen(self, connection: _Connection, now: float) -> None:
        source = connection.socket.getsockname()[0]
        self._drop(connection)
        again = self._open(source)
        again.background = connection.background
        self._background[self._background.index(connection)] = again
        if again.background is not None:
            self._send(again, again.background(), 0, now)

    def _send(self, connection: _Connection, request: bytes, number: int, now: float) -> None:
        connection.number, connection.sent_at = number, now
        try:
            connection.socket.send(request)
        except OSError:
            return  # the answer is a reset, which the poll tells

    def _receive(self, connection: _Connection) -> int | None:
        """Read what came; return the status of a whole answer, None: it is not whole."""
        try:
            data = connection.socket.recv(RECEIVE_BYTES)
        except BlockingIOError:
            return None
        except OSError:
            data = b""
        if not data:
            return RESET
        if connection.buffer:
            data = connection.buffer + data
        end = data.find(b"\r\n\r\n")
        if end >= 0:
            at = data.find(b"ontent-", 0, end)  # "content-length" or "Content-Length", or type before it
            while at >= 0 and data[at + 7 : at + 14].lower() != b"length:":
                at = data.find(b"ontent-", at + 7, end)
            length = int(data[at + 14 : data.find(b"\r\n", at)]) if at >= 0 else 0
            if len(data) >= end + 4 + length:
                connection.buffer = b""
                return int(data[9:12])
        connection.buffer = data
        return None

    def _drop(self, connection: _Connection) -> None:
        descriptor = connection.socket.fileno()
        if self._by_descriptor.pop(descriptor, None) is not None:
            self._poll.unregister(descriptor)
        connection.socket.close()
        connection.number = -1
        if connection in self._idle:
            self._idle.remove(connection)


def poisson(rate: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return the times of a Poisson process: float64[N], ascending, given its number of arrivals."""
    return np.sort(rng.uniform(0.0, seconds, round(rate * seconds)))


def quantile_s(values: NDArray[np.float64], point: float) -> float:
    """Return a percentile of seconds, rounded to milliseconds; 0 of nothing."""
    known: Any = values[~np.isnan(values)]
    return round(float(np.percentile(known, point)), 3) if len(known) else 0.0

"""Requests that a service answers from their bytes, without a parser, a task and a framework: the few kinds
of which it gets thousands a second.

A service sets `Gate.direct` to a function that is given each request that is let in, as an `Exchange`. It
answers, now or later, or says that the request is nothing for it; then the parser gets the bytes, untouched.
So it takes what is plain and well-formed alone, and every unusual request is read, and refused, in one place.
What the gate does for others it does for these too: places, deadlines, connections, metrics.

A route that only reads a body and answers costs 131 µs through the parser and a task, measured; each write is
a call of the operating system of some 15 µs, so an answer's head goes with the first part of its body.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Protocol

import structlog
from starlette.responses import Response

from launchday.resilience.admission.request_bytes import Head, goes_on
from launchday.resilience.request_metrics import GONE, NO_ROUTE, OTHER, Stamp, count_request

# A head that the parser takes for what it says, too: names are tokens, values have no control characters.
_PLAIN_LINES = re.compile(rb"(?:[!#$%&'*+.^_`|~0-9A-Za-z-]+:[^\x00-\x08\x0a-\x1f\x7f]*\r\n)*")
_LINE_END = b"\r\n"
_LAST_CHUNK = b"0\r\n\r\n"
_CHUNKED = (b"transfer-encoding", b"chunked")

Headers = Iterable[tuple[bytes, bytes]]

log = structlog.get_logger()


class Connection(Protocol):
    """What an exchange needs of its connection."""

    def server_headers(self) -> bytes:
        """The lines of the headers that every answer has."""

    def write_exchange(self, data: bytes) -> None:
        """Send bytes, unless the connection is closing."""

    def end_exchange(self) -> None:
        """Go on with the next request."""

    def abort_exchange(self) -> None:
        """Close the connection: the answer cannot be completed."""


class Exchange:
    """One request, and its answer. Used from one event loop.

    Attributes:
        request: the bytes: one whole request, with nothing behind it.
        line: the request's first line, without its end.
        ended: the answer is complete, or the client has hung up.
        on_gone: is called when the client hangs up before the answer is complete.
    """

    __slots__ = (
        "_began",
        "_connection",
        "_head",
        "_now",
        "_route",
        "_stamp",
        "_started",
        "ended",
        "line",
        "on_gone",
        "request",
    )

    def __init__(
        self, connection: Connection, request: bytes, head: Head, now: Callable[[], float], stamp: Stamp
    ) -> None:
        self.request = request
        self.line = request[: request.find(_LINE_END)]
        self.ended = False
        self.on_gone: Callable[[], None] | None = None
        self._connection = connection
        self._head = head
        self._now = now
        self._stamp = stamp
        self._began = now()
        self._route = (OTHER, NO_ROUTE)
        self._started = False

    @property
    def body(self) -> bytes:
        """The request's body."""
        return self.request[self._head.end :]

    @property
    def header_lines(self) -> bytes:
        """The request's headers, each line with its end; empty where one is not well-formed."""
        lines = self.request[len(self.line) + 2 : self._head.end - 2]
        return lines if _PLAIN_LINES.fullmatch(lines) else b""

    def take(self, method: str, route: str) -> None:
        """Name the route by which the request is counted, before it is answered."""
        self._route = (method, route)

    def answer(self, status: int, headers: Headers, body: bytes) -> None:
        """Answer in one piece; ``headers`` without the length."""
        if not self.ended:
            length = (b"content-length", b"%d" % len(body))
            self._connection.write_exchange(self._start(status, (*headers, length)) + body)
            self._end()

    def answer_with(self, response: Response) -> None:
        """Answer with a framework's response that is whole."""
        headers = [each for each in response.raw_headers if each[0] != b"content-length"]
        self.answer(response.status_code, headers, bytes(response.body))

    def begin(self, status: int, headers: Headers, part: bytes, *, last: bool = False) -> None:
        """Begin an answer whose length is not known yet, with its first part, which may be its last."""
        if not self.ended:
            head = self._start(status, (*headers, _CHUNKED))
            self._connection.write_exchange(head + _chunk(part) + (_LAST_CHUNK if last else b""))
            if last:
                self._end()

    def send(self, part: bytes) -> None:
        """Send another part of an answer that has begun."""
        if not self.ended:
            self._connection.write_exchange(_chunk(part))

    def finish(self, part: bytes = b"") -> None:
        """End an answer that has begun, with its last part."""
        if not self.ended:
            self._connection.write_exchange((_chunk(part) if part else b"") + _LAST_CHUNK)
            self._end()

    def fail(self, error: BaseException) -> None:
        """Give up: the service failed. An answer that has begun is cut off."""
        log.error("a request failed", line=self.line.decode("latin-1"), exc_info=error)
        if self.ended:
            return
        if self._started:
            self.ended = True
            self._connection.abort_exchange()
        else:
            self.answer(500, ((b"content-type", b"text/plain; charset=utf-8"),), b"Internal Server Error")

    def gone(self) -> None:
        """The client has hung up."""
        if self.ended:
            return
        self.ended = True
        if not self._started:
            count_request(*self._route, GONE, self._now() - self._began)
        if self.on_gone is not None:
            self.on_gone()

    def _start(self, status: int, headers: Headers) -> bytes:
        now = self._now()
        self._started = True
        count_request(*self._route, status, now - self._began)
        lines = [_STATUS_LINES[status], self._connection.server_headers()]
        for name, value in headers:
            lines += (name, b": ", value, _LINE_END)
        name, value = self._stamp.header(now)
        lines += (name, b": ", value, _LINE_END, _LINE_END)
        return b"".join(lines)

    def _end(self) -> None:
        self.ended = True
        self.on_gone = None
        self._connection.end_exchange()


def takes(request: bytes | bytearray, head: Head) -> bool:
    """Whether a request may be answered directly, as far as its framing goes."""
    return not head.expects and goes_on(request, head)


def _chunk(part: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(part), part)


_STATUS_LINES = {
    each.value: b"HTTP/1.1 %d %b\r\n" % (each.value, each.phrase.encode()) for each in HTTPStatus
}

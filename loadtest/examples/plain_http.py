"""HTTP/1.1 for the example servers, with the standard library alone: JSON in, JSON out, connections kept."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qsl, urlsplit

MAX_HEAD, MAX_BODY = 16_384, 65_536  # bytes of one request


@dataclass(frozen=True, slots=True)
class Request:
    """A request.

    Attributes:
        path: without the query, split at its slashes.
        query: of each name the last value.
        body: of JSON; an empty mapping where there is none.
    """

    method: str
    path: tuple[str, ...]
    query: dict[str, str] = field(default_factory=dict)
    body: Any = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer.

    Attributes:
        body: sent as JSON; a str is sent as plain text, an iterator as one JSON line after the other.
        headers: besides those of the body.
    """

    status: HTTPStatus = HTTPStatus.OK
    body: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Awaitable[Answer]]


async def serve(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Listen; port 0 takes a free one."""

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            while (request := await _read(reader)) is not None:
                answer = request if isinstance(request, Answer) else await handler(request)
                if isinstance(answer.body, AsyncIterator):
                    await _write_lines(reader, writer, answer.status, answer.body)
                else:
                    await _write(writer, answer)
        writer.close()

    return await asyncio.start_server(on_connection, host, port, limit=MAX_HEAD, backlog=4_096)


async def _read(reader: asyncio.StreamReader) -> Request | Answer | None:
    """The next request of a connection, or the answer to one that cannot be read; None at its end."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.IncompleteReadError:
        return None
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)
    }
    try:
        method, target, _ = first.split(" ")
        length = int(headers.get("content-length", "0"))
        if not 0 <= length <= MAX_BODY:
            return Answer(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, {"error": "the body is too long"})
        content = await reader.readexactly(length)
        body = json.loads(content) if content else {}
        parts = urlsplit(target)
    except ValueError as error:
        return Answer(HTTPStatus.BAD_REQUEST, {"error": str(error)})
    return Request(method, tuple(parts.path.strip("/").split("/")), dict(parse_qsl(parts.query)), body)


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    kind, content = "text/plain; version=0.0.4", answer.body
    if not isinstance(answer.body, str):
        kind, content = "application/json", json.dumps(answer.body)
    headers = {"Content-Type": kind, "Content-Length": str(len(content.encode())), **answer.headers}
    writer.write(_head(answer.status, headers) + content.encode())
    await writer.drain()


async def _write_lines(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, status: HTTPStatus, lines: AsyncIterator[Any]
) -> None:
    """Send JSON lines, each in a chunk of its own, as they come and until the client hangs up."""
    writer.write(_head(status, {"Content-Type": "application/json", "Transfer-Encoding": "chunked"}))
    hung_up = asyncio.ensure_future(reader.read(1))
    try:
        while True:
            line = asyncio.ensure_future(anext(lines, None))
            await asyncio.wait([line, hung_up], return_when=asyncio.FIRST_COMPLETED)
            if not line.done():
                line.cancel()
                raise ConnectionResetError("the client has hung up")
            if line.result() is None:
                break
            content = json.dumps(line.result()).encode() + b"\n"
            writer.write(b"%x\r\n%s\r\n" % (len(content), content))
            await writer.drain()
    finally:
        hung_up.cancel()
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _head(status: HTTPStatus, headers: dict[str, str]) -> bytes:
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")

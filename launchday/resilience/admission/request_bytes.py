"""What the gate reads of an HTTP/1 request before any parser does: where it ends, its deadline, whom it is
for.

These are searches in the bytes as they came, about 2 µs in all. They decide who waits and who is refused,
never what a request means: that is the parser's alone. Where the two could see a request differently,
`Head.plain` is false, and a connection with such a request is closed when it is refused: a body that one of
the two takes for a request would be answered to somebody else behind a shared load balancer.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

import httptools

from launchday.resilience.deadline import HEADER, read_header

MAX_HEAD_BYTES = 64 * 1024  # request line and headers; a session token has 300
MAX_CHUNK_DIGITS = 8  # of a chunk's length in hexadecimal: 4 GB

UNKNOWN_END = -1
NOT_YET = 0

_END = b"\r\n\r\n"
_TIMEOUT = HEADER.lower().encode()
# The headers that matter here, each with the blanks before its colon, which the parser refuses, and its
# value.
_HEADERS = re.compile(
    rb"\r\n(content-length|transfer-encoding|connection|expect|x-forwarded-for|x-forwarded-proto|"
    + _TIMEOUT
    + rb")([ \t]*):[ \t]*([^\r\n]*)",
    re.IGNORECASE,
)
_DIGITS = re.compile(rb"[0-9]{1,15}")
_HEX = re.compile(rb"[0-9a-f]+", re.IGNORECASE)


class Head:
    """A request's line and headers.

    Attributes:
        end: where the body begins.
        body_bytes: the length of the body; `UNKNOWN_END` where it comes in chunks or cannot be told.
        chunked: the body comes in chunks.
        plain: nobody can see another length in it.
        closes: the client asks for the connection's end.
        expects: the client sends the body only after ``100 Continue``.
        granted_s: seconds that the deadline header grants; None: there is no such header, or no number in it.
        forwarded_for: the values of ``X-Forwarded-For``, in order, with commas between; empty: none.
        forwarded_proto: the value of ``X-Forwarded-Proto``; empty: none.
    """

    # Most requests have none of these: what is not set is looked up here.
    body_bytes: int = 0
    chunked: bool = False
    plain: bool = True
    closes: bool = False
    expects: bool = False
    granted_s: float | None = None
    forwarded_for: bytes = b""
    forwarded_proto: bytes = b""

    def __init__(self, end: int) -> None:
        self.end = end


def read_head(data: bytes | bytearray) -> Head | None:
    """Find a request's head at the beginning of ``data``; None: more bytes are needed."""
    end = data.find(_END)
    if end < 0:
        return None
    head = Head(end + len(_END))
    lengths = 0
    for name, blanks, value in _HEADERS.findall(data, 0, end):
        name = name.lower()
        if name == _TIMEOUT:
            head.granted_s = read_header(value.rstrip())
        elif name == b"content-length":
            lengths += 1
            length = value.rstrip()
            if lengths == 1 and not blanks and _DIGITS.fullmatch(length):
                head.body_bytes = int(length)
            else:
                head.body_bytes, head.plain = UNKNOWN_END, False
        elif name == b"transfer-encoding":
            head.chunked = head.plain and not blanks and value.strip().lower() == b"chunked"
            head.plain = False
        elif name == b"x-forwarded-for":
            head.forwarded_for = head.forwarded_for + b"," + value if head.forwarded_for else value
        elif name == b"x-forwarded-proto":
            head.forwarded_proto = value.strip()
        elif name == b"connection":
            head.closes = b"close" in value.lower()
        else:
            head.expects = value.strip().lower() == b"100-continue"
    if not head.plain:
        head.chunked = head.chunked and not lengths
        head.body_bytes = UNKNOWN_END
    return head


def request_end(data: bytes | bytearray, head: Head, max_body_bytes: int) -> int:
    """Return where the request that begins ``data`` ends.

    Args:
        data: begins with the request.
        head: of the same request.
        max_body_bytes: a longer body is not waited for: the application refuses it.

    Returns:
        `NOT_YET` where bytes are missing; `UNKNOWN_END` where it cannot be told, or is not worth waiting for.
    """
    if head.chunked:
        end = chunks_end(data, head.end)
        return UNKNOWN_END if end == NOT_YET and len(data) - head.end > max_body_bytes else end
    if head.body_bytes == UNKNOWN_END or head.body_bytes > max_body_bytes:
        return UNKNOWN_END
    end = head.end + head.body_bytes
    return end if len(data) >= end else NOT_YET


def chunks_end(data: bytes | bytearray, start: int) -> int:
    """Return where a chunked body that begins at ``start`` ends.

    `NOT_YET` where bytes are missing; `UNKNOWN_END` where it is malformed: the parser words that refusal.
    """
    at = start
    while True:
        line_end = data.find(b"\r\n", at)
        if line_end < 0:
            return NOT_YET if len(data) - at < MAX_HEAD_BYTES else UNKNOWN_END
        size = _HEX.match(data, at, line_end)
        if size is None or size.end() - at > MAX_CHUNK_DIGITS:
            return UNKNOWN_END
        length = int(size[0], 16)
        if not length:
            break
        at = line_end + 2 + length
        if at + 2 > len(data):
            return NOT_YET
        if data[at : at + 2] != b"\r\n":
            return UNKNOWN_END
        at += 2
    end = data.find(_END, line_end)  # of the last chunk's line, or of the trailers behind it
    return end + len(_END) if end >= 0 else NOT_YET


def request_line(data: bytes | bytearray) -> bytes:
    """Return ``METHOD PATH?QUERY`` of the request that begins ``data``, in its plainest form.

    Escapes are decoded and the scheme and host of an absolute target cut off, so that no spelling of a path
    gets into another class than the path itself. Empty where there is no such line.
    """
    line, version, _ = bytes(data[: max(data.find(b"\r\n"), 0)]).rpartition(b" HTTP/")
    method, space, target = line.partition(b" ")
    if not version or not space:
        return b""
    if target[:1] != b"/":
        try:
            url = httptools.parse_url(target)
        except (httptools.HttpParserError, ValueError):
            return b""
        target = (url.path or b"/") + (b"?" + url.query if url.query else b"")
    if b"%" in target:
        target = unquote_to_bytes(target)
    return method + b" " + target


def goes_on(data: bytes | bytearray, head: Head) -> bool:
    """Whether the connection may go on after the request that is ``data`` was refused."""
    if not head.plain or head.closes or len(data) != head.end + head.body_bytes:
        return False
    if data.count(b"\n", 0, head.end) != data.count(b"\r\n", 0, head.end):
        return False  # a bare line feed: some take it for a line's end
    return data[: data.find(b"\r\n")].endswith(b" HTTP/1.1")

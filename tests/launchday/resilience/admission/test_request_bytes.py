from __future__ import annotations

import re

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.resilience.admission.request_bytes import (
    NOT_YET,
    UNKNOWN_END,
    chunks_end,
    goes_on,
    read_head,
    request_end,
    request_line,
)

MOST = 512 * 1024
TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-", min_size=1, max_size=12)
VALUE = st.text(
    st.characters(min_codepoint=33, max_codepoint=126, exclude_characters=":"), min_size=1, max_size=30
)
RESERVED = {"content-length", "transfer-encoding", "connection", "upgrade", "expect", "te", "trailer"}


class Messages:
    """Counts whole messages, and keeps what httptools took for the body."""

    def __init__(self) -> None:
        self.whole = 0
        self.body = b""

    def on_body(self, body: bytes) -> None:
        self.body += body

    def on_message_complete(self) -> None:
        self.whole += 1


def parsed(data: bytes) -> Messages:
    """What the real parser makes of the bytes; raises httptools' errors."""
    messages = Messages()
    httptools.HttpRequestParser(messages).feed_data(data)
    return messages


def end_of(data: bytes) -> int:
    head = read_head(data)
    return NOT_YET if head is None else request_end(data, head, MOST)


@st.composite
def requests(draw: st.DrawFn) -> bytes:
    """Well-formed requests: any method and headers, no body, a length or chunks."""
    method = draw(st.sampled_from(["GET", "POST", "PUT", "DELETE"]))
    path = "/" + "/".join(draw(st.lists(TOKEN, max_size=4)))
    headers = draw(st.lists(st.tuples(TOKEN, VALUE), max_size=6))
    lines = [f"{method} {path} HTTP/1.1", "host: test"]
    lines += [f"{name}: {value}" for name, value in headers if name.lower() not in RESERVED]
    body = draw(st.binary(max_size=300))
    kind = draw(st.sampled_from(["none", "length", "chunks"]))
    if kind == "length":
        lines.insert(draw(st.integers(1, len(lines))), f"{draw(st.sampled_from(LENGTHS))}{len(body)}")
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + body
    if kind == "chunks":
        lines.append("Transfer-Encoding: chunked")
        cuts = sorted(draw(st.lists(st.integers(0, len(body)), max_size=3)))
        parts = [body[a:b] for a, b in zip([0, *cuts], [*cuts, len(body)], strict=True) if b > a]
        chunked = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
        trailer = draw(st.sampled_from([b"", b"x-after: 1\r\n"]))
        return "\r\n".join(lines).encode() + b"\r\n\r\n" + chunked + b"0\r\n" + trailer + b"\r\n"
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


LENGTHS = ["Content-Length: ", "content-length:", "CONTENT-LENGTH:\t"]


@given(requests(), requests())
def test_a_request_ends_where_the_parser_says_and_no_byte_earlier(request: bytes, following: bytes) -> None:
    assert end_of(request) == len(request)
    assert end_of(request + following) == len(request)
    assert parsed(request).whole == 1
    assert all(end_of(request[:cut]) == NOT_YET for cut in range(len(request)))


@given(st.binary(max_size=400))
def test_arbitrary_bytes_have_an_end_or_none_and_raise_nothing(data: bytes) -> None:
    for begun in (
        data,
        b"GET / HTTP/1.1\r\n" + data,
        b"POST /a HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n" + data,
    ):
        head = read_head(begun)
        if head is not None:
            assert UNKNOWN_END <= request_end(begun, head, MOST) <= len(begun)
            goes_on(begun, head)
        request_line(begun)


@given(
    st.binary(max_size=200), st.sampled_from(["content-length", "Transfer-Encoding", "expect", "host"]), VALUE
)
def test_what_is_plain_to_the_gate_is_one_message_to_the_parser(body: bytes, name: str, value: str) -> None:
    data = f"POST /a HTTP/1.1\r\nhost: test\r\n{name}: {value}\r\n\r\n".encode() + body
    head = read_head(data)
    assert head is not None
    end = request_end(data, head, MOST)
    if head.plain and end > 0:
        try:
            assert parsed(data[:end]).whole == 1
        except httptools.HttpParserError:
            return  # the parser refuses it, and its connection with it
        except httptools.HttpParserUpgrade:
            return


@pytest.mark.parametrize(
    "headers",
    [
        "content-length: 3\r\ncontent-length: 5",
        "content-length: 3\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: 3",
        "content-length : 3",
        "content-length: +3",
        "content-length: 0x3",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: identity",
        "transfer-encoding : chunked",
    ],
)
def test_a_connection_ends_after_a_refusal_where_two_could_see_another_end(headers: str) -> None:
    data = f"POST /a HTTP/1.1\r\nhost: test\r\n{headers}\r\n\r\n0\r\n\r\n".encode()
    head = read_head(data)
    assert head is not None
    assert not goes_on(data, head)


@pytest.mark.parametrize(
    ("data", "stays"),
    [
        (b"GET /a HTTP/1.1\r\nhost: test\r\n\r\n", True),
        (b"GET /a HTTP/1.0\r\nhost: test\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nConnection: Close\r\n\r\n", False),
        (b"GET /a HTTP/1.1\r\nhost: test\nx: y\r\n\r\n", False),
        (b"POST /a HTTP/1.1\r\nhost: test\r\ncontent-length: 2\r\n\r\nhi", True),
    ],
)
def test_a_plain_connection_goes_on_after_a_refusal(data: bytes, stays: bool) -> None:
    head = read_head(data)
    assert head is not None
    assert goes_on(data, head) is stays


def test_the_deadline_is_read_whatever_its_case_and_nonsense_is_none() -> None:
    def granted(value: str, name: str = "Launchday-Timeout-Ms") -> float | None:
        head = read_head(f"GET / HTTP/1.1\r\n{name}: {value}\r\n\r\n".encode())
        assert head is not None
        return head.granted_s

    assert granted("1500") == 1.5
    assert granted("1500 ", "launchday-timeout-ms") == 1.5
    assert granted("0") == 0.0
    assert granted("99999999") == 10.0
    assert granted("-1") is None
    assert granted("soon") is None
    assert granted("5", "x-launchday-timeout-ms") is None


def test_forwarded_addresses_of_several_headers_are_one_list() -> None:
    head = read_head(
        b"GET / HTTP/1.1\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nx-forwarded-for: 9.9.9.9\r\n\r\n"
    )
    assert head is not None
    assert head.forwarded_for == b"1.2.3.4, 5.6.7.8,9.9.9.9"
    assert head.forwarded_proto == b""


@pytest.mark.parametrize(
    ("line", "plainest"),
    [
        ("GET /v1/profile HTTP/1.1", "GET /v1/profile"),
        ("GET /v1/%70rofile?a=%3D HTTP/1.1", "GET /v1/profile?a=="),
        ("GET http://host:1/v1/profile?a=1 HTTP/1.1", "GET /v1/profile?a=1"),
        ("GET http://host HTTP/1.1", "GET /"),
        ("nonsense", ""),
        ("GET  HTTP/1.1", ""),
    ],
)
def test_every_spelling_of_a_request_line_has_one_form(line: str, plainest: str) -> None:
    assert request_line(line.encode() + b"\r\nhost: a\r\n\r\n") == plainest.encode()


def test_chunks_that_are_none_are_left_to_the_parser() -> None:
    assert chunks_end(b"zz\r\nhi\r\n", 0) == UNKNOWN_END
    assert chunks_end(b"2\r\nhiXX0\r\n\r\n", 0) == UNKNOWN_END
    assert chunks_end(b"fffffffff\r\n", 0) == UNKNOWN_END
    assert chunks_end(b"2;ext=1\r\nhi\r\n0\r\n\r\n", 0) == 18
    assert not re.match(rb"[0-9a-f]", b"", re.IGNORECASE)


def test_a_body_beyond_the_limit_is_not_waited_for() -> None:
    data = b"POST /a HTTP/1.1\r\ncontent-length: 5000\r\n\r\n"
    head = read_head(data)
    assert head is not None
    assert request_end(data, head, 4999) == UNKNOWN_END
    assert request_end(data, head, 5000) == NOT_YET

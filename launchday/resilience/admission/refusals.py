"""Answers that are the same bytes each time: what the gate says to whom it does not let in.

They are RFC 9457 problem details like every other error, without a request id: they are written before the
request is read.
"""

from __future__ import annotations

import json
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from launchday.problems import MEDIA_TYPE

RETRY_AFTER_S = 1


class Refusal:
    """One constant answer.

    Args:
        status: HTTP status.
        slug: short name of the problem; becomes ``urn:launchday:<slug>``.
        detail: one sentence that says what to do.

    Attributes:
        going_on: the whole answer, after which the connection goes on.
        closing: the same, with the connection's end announced.
        headless: as ``going_on``, to a HEAD request, whose answer has no body.
    """

    def __init__(self, status: HTTPStatus, slug: str, detail: str) -> None:
        problem = {
            "type": f"urn:launchday:{slug}",
            "title": slug.replace("-", " ").capitalize(),
            "status": int(status),
            "detail": detail,
        }
        self.slug = slug
        self._status = int(status)
        self._body = json.dumps(problem, separators=(",", ":")).encode()
        line = b"HTTP/1.1 %d %s\r\n" % (status, status.phrase.encode())
        self._headers = [
            (b"content-type", MEDIA_TYPE.encode()),
            (b"content-length", b"%d" % len(self._body)),
            (b"retry-after", b"%d" % RETRY_AFTER_S),
        ]
        head = line + b"".join(b"%s: %s\r\n" % header for header in self._headers)
        self.going_on = head + b"\r\n" + self._body
        self.closing = head + b"connection: close\r\n\r\n" + self._body
        self.headless = head + b"\r\n"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer as an ASGI application, to a request that was parsed already."""
        await self.response()(scope, receive, send)

    def response(self) -> Response:
        """Return the answer for a framework's route."""
        headers = {name.decode(): value.decode() for name, value in self._headers}
        return Response(self._body, self._status, headers)


OVERLOADED = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "overloaded",
    "too many requests of this kind are under way: try again after Retry-After seconds",
)
LATE = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too-late",
    "the request's time was over before it was read: try again, with more time",
)
CROWDED = Refusal(
    HTTPStatus.SERVICE_UNAVAILABLE,
    "too-many-connections",
    "this process has as many connections as its descriptors allow: try again on another",
)
TOO_MANY = Refusal(
    HTTPStatus.TOO_MANY_REQUESTS,
    "too-many-requests",
    "too many requests of this kind come from your address: try again after Retry-After seconds",
)
SLOW = Refusal(
    HTTPStatus.REQUEST_TIMEOUT,
    "request-too-slow",
    "the request did not arrive whole within its time: try again",
)
LONG_HEAD = Refusal(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, "headers-too-large", "send fewer or shorter headers"
)

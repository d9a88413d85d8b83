"""An HTTP client for targets: JSON in and out, connections kept, and what goes wrong as the errors that the
journeys know.

    class MyTarget(HttpTarget):
        def __init__(self) -> None:
            super().__init__("http://127.0.0.1:8200")

        async def log_in(self, player: Player) -> str:
            return (await self.post("/login", {"device_id": player.device_id}))["token"]

It is aiohttp's, over the event loop of uvloop: ``launchday bench http-target`` says what a request costs.
"""

from __future__ import annotations

import json
import time
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self

import aiohttp

from launchday.resilience.retry import retry_after_s
from loadtest.errors import BackendRefusedError, BackendUnavailableError
from loadtest.target import ANSWER_S

# Try again: the server is busy, restarting, or has had enough.
PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
NOT_FOUND = 404
MAX_TOLD = 200  # characters of an answer that an error repeats


class HttpTarget:
    """Base of targets that speak HTTP. Use it as an async context manager, as a flood does.

    Every request raises:
        BackendUnavailableError: no answer, one of PASSING, or one that is no JSON; with ``retry_after_s``
            where the answer has a Retry-After.
        BackendRefusedError: any other answer that is no success.

    Args:
        base_url: of the backend, such as ``http://127.0.0.1:8200``.
        headers: of every request.
    """

    def __init__(self, base_url: str, headers: Mapping[str, str] | None = None) -> None:
        self.base_url = base_url.rstrip("/")
        self._headers = dict(headers or {})
        self._http: aiohttp.ClientSession | None = None

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # as many connections as players wait at the same time
            cookie_jar=aiohttp.DummyCookieJar(),  # who is who says the target's session
            timeout=aiohttp.ClientTimeout(total=None),  # each call has a limit of its own
            headers=self._headers,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._http is not None:
            await self._http.close()

    async def get(self, path: str, *, headers: Mapping[str, str] | None = None, wait_s: float = 0.0) -> Any:
        """GET a path; see :meth:`request`."""
        return await self.request("GET", path, headers=headers, wait_s=wait_s)

    async def post(self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """POST a body, as JSON; see :meth:`request`."""
        return await self.request("POST", path, body, headers=headers)

    async def put(self, path: str, body: Any = None, *, headers: Mapping[str, str] | None = None) -> Any:
        """PUT a body, as JSON; see :meth:`request`."""
        return await self.request("PUT", path, body, headers=headers)

    async def delete(
        self, path: str, *, headers: Mapping[str, str] | None = None, missing_ok: bool = False
    ) -> Any:
        """DELETE a path; see :meth:`request`."""
        return await self.request("DELETE", path, headers=headers, missing_ok=missing_ok)

    async def request(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
        wait_s: float = 0.0,
        missing_ok: bool = False,
    ) -> Any:
        """Send a request; returns what the answer's JSON says, None where it is empty.

        Args:
            method: of HTTP.
            path: after the base URL, with its query.
            body: sent as JSON; None for none.
            headers: besides those of every request.
            wait_s: seconds that the backend may hold the answer back, as for a long poll.
            missing_ok: whether 404 is an answer, too: None.
        """
        what = f"{method} {path.partition('?')[0]}"
        try:
            async with self._send(method, path, body, headers, ANSWER_S + wait_s) as answer:
                content = await answer.read()
        except TimeoutError as error:
            raise BackendUnavailableError(f"{what}: no answer within {ANSWER_S + wait_s:g} s") from error
        except (aiohttp.ClientError, OSError) as error:
            raise _unavailable(what, error) from error
        if answer.status == NOT_FOUND and missing_ok:
            return None
        if not answer.ok:
            raise _refused(what, answer, content)
        return _decoded(what, content) if content else None

    async def lines(self, path: str, *, headers: Mapping[str, str] | None = None) -> AsyncIterator[Any]:
        """GET a path whose answer is a stream of JSON values, a line each, which are yielded as they come.

        It lasts as long as the backend keeps it; close it, or leave the loop, to end it.
        """
        what = f"GET {path.partition('?')[0]}"
        try:
            async with self._send("GET", path, None, headers, None) as answer:
                if not answer.ok:
                    raise _refused(what, answer, await answer.read())
                async for line in answer.content:
                    if text := line.strip():
                        yield _decoded(what, text)
        except (aiohttp.ClientError, OSError) as error:  # a timeout of a read is an OSError
            raise _unavailable(what, error) from error

    def _send(
        self,
        method: str,
        path: str,
        body: Any,
        headers: Mapping[str, str] | None,
        longest_s: float | None,
    ) -> Any:
        assert self._http is not None, (
            "a target is entered before it is used: async with MyTarget() as target"
        )
        data = None
        if body is not None:
            data = json.dumps(body, separators=(",", ":")).encode()
            headers = {"Content-Type": "application/json", **(headers or {})}
        timeout = aiohttp.ClientTimeout(total=longest_s)
        return self._http.request(method, self.base_url + path, data=data, headers=headers, timeout=timeout)


def _decoded(what: str, content: bytes) -> Any:
    try:
        return json.loads(content)
    except ValueError as error:
        raise BackendUnavailableError(f"{what}: the answer is no JSON: {_told(content)}") from error


def _refused(
    what: str, answer: aiohttp.ClientResponse, content: bytes
) -> BackendUnavailableError | BackendRefusedError:
    text = f"{what}: HTTP {answer.status}: {_told(content)}"
    if answer.status not in PASSING:
        return BackendRefusedError(text)
    said = answer.headers.get("Retry-After")
    return BackendUnavailableError(text, None if said is None else retry_after_s(said, time.time()))


def _unavailable(what: str, error: Exception) -> BackendUnavailableError:
    return BackendUnavailableError(f"{what}: {type(error).__name__}: {' '.join(str(error).split())}")


def _told(content: bytes) -> str:
    return " ".join(content[:MAX_TOLD].decode(errors="replace").split()) or "nothing"

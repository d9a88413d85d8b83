"""The one HTTP client of ours: a total deadline, budgeted repeats, sockets that notice a peer that is gone.

httpx2 bounds each phase (pool, connect, write, read) by itself, so a call of "5 s" may take 20, and with
three tries 60. Here a call's patience bounds everything: waiting for a connection, every try, the pauses
between them, and reading the answer.

Errors::

    NoAnswerError            no answer came; the caller may repeat what is idempotent
    ├── OwnShortageError     this process has no descriptor or port left; nobody was asked
    ├── NotListeningError    connections are refused, or the circuit breaker is open because they were
    └── LateAnswerError      the patience, or the time of the request that is served, is over

A call goes to httpx2's transport without its client, which spends half of a call's processor time on
redirects, cookies and authentication that no service of ours has.
"""

from __future__ import annotations

import functools
import json as json_format
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import httpx2

from launchday import telemetry
from launchday.clock import Clock, SystemClock
from launchday.errors import LaunchdayError
from launchday.resilience import deadline, sockets
from launchday.resilience.clocks.skew import HEADER as TIME_HEADER
from launchday.resilience.clocks.skew import PEERS
from launchday.resilience.exhaustion import own_shortage
from launchday.resilience.retry import Backoff, CircuitBreaker, RetryBudget, retry_after_s

PATIENCE_S = 5.0
CONNECTIONS = 100
IDLE_S = 60.0  # services close what is idle for 75 s; a connection that both may close breaks calls
TRIES = 3  # of a call that may be repeated, as far as the budget and its patience go
SILENCE_S = 40.0  # without a byte on an event stream; services send a keep-alive every 15 s
REMEMBERED_URLS = 512  # to parse one costs 15 µs

Token = str | Callable[[], str]  # what gives it signs it anew, before it ends or when the keys change

Response = httpx2.Response
ServerSentEvent = httpx2.ServerSentEvent


class NoAnswerError(LaunchdayError):
    """Raised when no answer came: a connection was refused or broke off, or time ran out."""


class OwnShortageError(NoAnswerError):
    """Raised when this process cannot open a connection: it, or the machine, has no descriptor or port left.
    The service was not asked.
    """


class NotListeningError(NoAnswerError):
    """Raised when connections are refused, or the circuit breaker is open because they were."""


class LateAnswerError(NoAnswerError, TimeoutError):
    """Raised when no answer came in time. The part may be well, and may have done what it was asked."""


def current(token: Token | None) -> str | None:
    """Return the bearer token to send now."""
    return token() if callable(token) else token


class ServiceClient:
    """Calls one HTTP service, over connections of its own.

    Args:
        base_url: such as ``http://127.0.0.1:8101``; empty: calls give absolute URLs.
        token: is sent as the bearer token, or what gives one for each call; None: none is.
        patience_s: seconds for a call in all, where it gives none of its own.
        connections: open at most; None: as many as there are calls.
        budget: of its repeats; None: one of its own. Clients of the same service may share one.
        clock: time and chance; None: the machine's.
        tls: whom to trust, and the certificate to show; None: the system's authorities.
        transport: replaces the network, in tests.
        retry: whether calls are repeated, where they do not say themselves.
    """

    def __init__(
        self,
        base_url: str,
        *,
        token: Token | None = None,
        patience_s: float = PATIENCE_S,
        connections: int | None = CONNECTIONS,
        budget: RetryBudget | None = None,
        clock: Clock | None = None,
        tls: ssl.SSLContext | None = None,
        transport: httpx2.AsyncBaseTransport | None = None,
        retry: bool = True,
    ) -> None:
        self.base_url = base_url.rstrip("/")
        self._peer = self.base_url.partition("://")[2]
        self._token = token
        self._patience_s = patience_s
        self._budget = budget or RetryBudget()
        self._clock = clock or SystemClock()
        self._breaker = CircuitBreaker(self._clock) if base_url else None
        self._retry = retry
        self._url = functools.lru_cache(maxsize=REMEMBERED_URLS)(httpx2.URL)
        self._transport = transport or httpx2.AsyncHTTPTransport(
            verify=_trust(base_url, tls),
            trust_env=False,  # a proxy of the environment is not for calls among our own services
            limits=httpx2.Limits(
                max_connections=connections, max_keepalive_connections=connections, keepalive_expiry=IDLE_S
            ),
            socket_options=sockets.OPTIONS,
        )

    async def request(
        self,
        method: str,
        path: str,
        *,
        content: bytes | None = None,
        json: Any = None,
        params: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = None,
        retry: bool | None = None,
        patience_s: float | None = None,
        wait_s: float = 0.0,
    ) -> Response:
        """Make one call, and return its answer whatever its status.

        Args:
            method, path: what is asked; with an empty base URL the path is an absolute one.
            content: the body's bytes, which are JSON.
            json: the body in JSON's types, where there is no ``content``.
            params: of the query.
            headers: further ones.
            token: instead of the client's.
            retry: whether broken connections, 503, and 429 with a Retry-After are repeated: for what is
                idempotent or has a key. None: as the client was made.
            patience_s: seconds for the call in all; None: the client's.
            wait_s: seconds for which the service is asked to wait before it answers (a long poll). They are
                added to the patience, and the call carries no deadline: the service bounds it by ``wait_s``.

        Raises:
            NotListeningError, LateAnswerError, NoAnswerError: no answer came.
        """
        patience_s = self._patience_s if patience_s is None else patience_s
        if json is not None:
            content = json_format.dumps(json, separators=(",", ":")).encode()
        sent = self._headers(headers, token, content)
        url = self._url(self.base_url + path)
        if params:
            url = url.copy_merge_params(params)
        tries = TRIES if (self._retry if retry is None else retry) else 1
        try:
            async with deadline.within(self._clock, patience_s + wait_s):
                return await self._try(method, url, sent, content, tries, timed=not wait_s)
        except deadline.DeadlineExceededError as error:
            raise LateAnswerError(f"{method} {url}: {error}") from error

    @asynccontextmanager
    async def events(
        self, path: str, *, token: str | None = None, silence_s: float = SILENCE_S
    ) -> AsyncIterator[EventStream]:
        """Open a stream of server-sent events; leaving the block closes it.

        The patience bounds its beginning, ``silence_s`` the seconds without a byte after it.

        Raises:
            NotListeningError, LateAnswerError, NoAnswerError: no answer came; in the block: it broke off.
        """
        url = self._url(self.base_url + path)
        sent = self._headers({"Accept": "text/event-stream"}, token, None)
        request = httpx2.Request(
            "GET", url, headers=sent, extensions={"timeout": {"read": silence_s, "write": silence_s}}
        )
        try:
            async with deadline.within(self._clock, self._patience_s):
                response = await self._send(request)
        except deadline.DeadlineExceededError as error:
            raise LateAnswerError(f"GET {url}: {error}") from error
        try:
            if not response.is_success:
                async with deadline.within(self._clock, self._patience_s):
                    await response.aread()
            yield EventStream(response)
        except httpx2.TransportError as error:
            raise _no_answer(request, error) from error
        finally:
            await response.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._transport.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def _headers(
        self, further: Mapping[str, str] | None, token: str | None, content: bytes | None
    ) -> dict[str, str]:
        headers = {"User-Agent": "launchday", TIME_HEADER: f"{self._clock.wall():.3f}"}
        if token := token or current(self._token):
            headers["Authorization"] = f"Bearer {token}"
        if content is not None:
            headers["Content-Type"] = "application/json"
        if request_id := telemetry.request_id():
            headers["X-Request-Id"] = request_id  # of the request we serve: one id through all logs
        if further:
            headers.update(further)
        return headers

    async def _try(
        self,
        method: str,
        url: httpx2.URL,
        headers: dict[str, str],
        content: bytes | None,
        tries: int,
        *,
        timed: bool,
    ) -> Response:
        """Make up to ``tries`` tries, within the deadline that the caller has set."""
        pauses: Backoff | None = None
        while True:
            tries -= 1
            if timed:
                headers[deadline.HEADER] = deadline.header_value(self._clock, deadline.MAX_REQUEST_S)
            request = httpx2.Request(method, url, headers=headers, content=content)
            asked_for_s, response, failure = 0.0, None, None
            try:
                response = await self._read(await self._send(request))
            except NoAnswerError as error:
                failure = error
            else:
                if not _asks_to_come_again(response):
                    self._budget.succeeded()
                    return response
                asked_for_s = retry_after_s(response.headers.get("Retry-After"), self._clock.wall())
            pauses = pauses or Backoff(self._clock)
            pause_s = pauses.next_s(asked_for_s)
            if (
                tries > 0
                and pause_s < deadline.left_s(self._clock, deadline.MAX_REQUEST_S)
                and self._budget.take()
            ):
                await self._clock.sleep(pause_s)
            elif response is not None:
                return response
            else:
                assert failure is not None
                raise failure

    async def _send(self, request: httpx2.Request) -> Response:
        """Send a request and return its answer, the body unread. Raises NoAnswerError."""
        if self._breaker is not None and not self._breaker.allows():
            raise NotListeningError(f"{request.method} {request.url}: nobody listened a moment ago")
        sent = self._clock.wall()
        try:
            response = await self._transport.handle_async_request(request)
        except (httpx2.TransportError, OSError) as error:
            if (lacking := own_shortage(error)) is not None:
                raise OwnShortageError(f"{request.method} {request.url}: {lacking}") from error
            if not isinstance(error, httpx2.TransportError):
                raise
            if self._breaker is not None and isinstance(error, httpx2.ConnectError):
                self._breaker.refused()
            raise _no_answer(request, error) from error
        if self._breaker is not None:
            self._breaker.answered()
        if self._peer and (theirs := response.headers.get(TIME_HEADER)):
            PEERS.heard(self._peer, theirs, sent, self._clock.wall())
        response.request = request
        return response

    async def _read(self, response: Response) -> Response:
        try:
            await response.aread()
        except httpx2.TransportError as error:
            raise _no_answer(response.request, error) from error
        finally:
            await response.aclose()  # of a body that was cut off, too: it gives the connection back
        return response


class EventStream:
    """An open stream of server-sent events.

    Attributes:
        response: its status and headers; where it is no success, its body, too.
    """

    def __init__(self, response: Response) -> None:
        self.response = response
        self._events = httpx2.EventSource(response)

    async def __aiter__(self) -> AsyncIterator[ServerSentEvent]:
        """Yield the events that have data, with their ids, until the service ends the stream."""
        async for event in self._events:
            if event.data:
                yield event


def _trust(base_url: str, tls: ssl.SSLContext | None) -> ssl.SSLContext | bool:
    """Return whom to trust. Reading the system's authorities takes 30 ms; plain HTTP needs none."""
    if tls is not None:
        return tls
    return ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if base_url.startswith("http://") else True


def _asks_to_come_again(response: Response) -> bool:
    """Whether the service was too busy. A 429 that names no time is a refusal of this caller alone."""
    return response.status_code == 503 or (response.status_code == 429 and "Retry-After" in response.headers)


def _no_answer(request: httpx2.Request, error: httpx2.TransportError) -> NoAnswerError:
    kind: type[NoAnswerError] = NoAnswerError
    if isinstance(error, httpx2.ConnectError):
        kind = NotListeningError
    elif isinstance(error, httpx2.TimeoutException):
        kind = LateAnswerError
    return kind(f"{request.method} {request.url}: {error or type(error).__name__}")

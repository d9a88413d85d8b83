"""One call of the meta service's API: the token, the answer or the error."""

from __future__ import annotations

import ssl
from types import TracebackType
from typing import Self, TypeVar

import httpx2

from launchday.clock import Clock, SystemClock
from launchday.resilience.http_client import NoAnswerError, Response, ServiceClient, Token, current
from launchday.resilience.retry import RetryBudget, retry_after_s
from meta_service.errors import MetaRefusedError, MetaUnavailableError
from meta_service.messages.base import Message, decode, encode

PATIENCE_S = 5.0  # for a call with all its tries; the service itself gives up earlier

T = TypeVar("T", bound=Message)


class Calls:
    """A connection pool to the meta service, and how a call is made.

    Every call may be repeated: it is idempotent, has a key, or makes a newer version of the same. How often
    the client repeats one is `ServiceClient`'s budget.

    Args:
        base_url: such as ``http://127.0.0.1:8101``.
        token: a service token, or what gives one for each call, for the service routes.
        transport: replaces the network, in tests.
        patience_s: seconds for a call with all its tries.
        connections: kept open at most.
        clock: time and chance; None: the machine's.
        budget: of the repeats; None: one of its own.
        tls: whom to trust; None: the system's authorities.
        retry: whether calls are repeated at all.
    """

    def __init__(
        self,
        base_url: str,
        token: Token | None = None,
        *,
        transport: httpx2.AsyncBaseTransport | None = None,
        patience_s: float = PATIENCE_S,
        connections: int = 100,
        clock: Clock | None = None,
        budget: RetryBudget | None = None,
        tls: ssl.SSLContext | None = None,
        retry: bool = True,
    ) -> None:
        self._token = token
        self._clock = clock or SystemClock()
        self._http = ServiceClient(
            base_url,
            patience_s=patience_s,
            connections=connections,
            budget=budget,
            clock=self._clock,
            tls=tls,
            transport=transport,
            retry=retry,
        )

    @property
    def token(self) -> str | None:
        """The service token to send now."""
        return current(self._token)

    async def close(self) -> None:
        """Close every connection."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def call(
        self,
        method: str,
        path: str,
        answer: type[T],
        token: str | None,
        body: Message | None = None,
        *,
        idempotency_key: str | None = None,
    ) -> T:
        """Make one call and decode its answer; raises MetaUnavailableError or MetaRefusedError."""
        try:
            response = await self._http.request(
                method,
                path,
                content=None if body is None else encode(body),
                headers=None if idempotency_key is None else {"Idempotency-Key": idempotency_key},
                token=token,
            )
        except NoAnswerError as error:
            raise MetaUnavailableError(str(error)) from error
        if response.status_code == httpx2.codes.SERVICE_UNAVAILABLE:
            after_s = retry_after_s(response.headers.get("Retry-After"), self._clock.wall())
            raise MetaUnavailableError(f"{method} {path}: 503", after_s or None)
        return _decode(response, answer)


def _decode(response: Response, answer: type[T]) -> T:
    if response.is_success:
        return decode(response.content, answer)
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    kind = str(problem.get("type", "")).removeprefix("urn:launchday:")
    raise MetaRefusedError(response.status_code, kind, str(problem.get("detail", response.reason_phrase)))

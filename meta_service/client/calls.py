"""One call of the meta service's API: the token, the retries, the answer or the error."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeVar

import httpx
import structlog

from launchday.clock import Clock, SystemClock
from meta_service.errors import MetaRefusedError, MetaUnavailableError
from meta_service.messages.base import Message, decode, encode

ATTEMPT_TIMEOUT_S = 5.0
RETRY_DELAYS_S = (
    0.1,
    0.4,
)  # every call may be repeated: it is idempotent, has a key, or makes a newer version of the same

T = TypeVar("T", bound=Message)


class Calls:
    """A connection pool to the meta service, and how a call is made.

    Args:
        base_url: such as ``http://127.0.0.1:8101``.
        token: a service token, for the service routes.
        transport: replaces the network, in tests.
        timeout_s: for each attempt.
        connections: kept open at most.
        clock: paces the retries; None: the machine's.
    """

    def __init__(
        self,
        base_url: str,
        token: str | None = None,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        timeout_s: float = ATTEMPT_TIMEOUT_S,
        connections: int = 100,
        clock: Clock | None = None,
    ) -> None:
        self.token = token
        self._clock = clock or SystemClock()
        self._http = httpx.AsyncClient(
            base_url=base_url,
            transport=transport,
            timeout=timeout_s,
            limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
            trust_env=False,  # a proxy from the environment is not for calls among our own services
        )

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
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if idempotency_key is not None:
            headers["Idempotency-Key"] = idempotency_key
        if request_id := structlog.contextvars.get_contextvars().get("request_id"):
            headers["X-Request-Id"] = request_id  # the request we serve: one id through all services' logs
        content = None
        if body is not None:
            content = encode(body)
            headers["Content-Type"] = "application/json"
        for delay_s in (*RETRY_DELAYS_S, None):
            try:
                response = await self._http.request(method, path, content=content, headers=headers)
            except httpx.TransportError as error:
                failure = f"{method} {path}: {error!r}"
            else:
                if response.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    return _decode(response, answer)
                failure = f"{method} {path}: 503"
            if delay_s is not None:
                await self._clock.sleep(delay_s)
        raise MetaUnavailableError(failure)


def _decode(response: httpx.Response, answer: type[T]) -> T:
    if response.is_success:
        return decode(response.content, answer)
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    kind = str(problem.get("type", "")).removeprefix("urn:launchday:")
    raise MetaRefusedError(response.status_code, kind, str(problem.get("detail", response.reason_phrase)))

"""The limits of this API: requests a second of one player or address, and a burst of four seconds' worth."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.rate_limit import RateLimit
from launchday.resilience.admission.gate import network_of

BURST_S = 4.0


def admit(limit: RateLimit, caller: Hashable, monotonic: float) -> None:
    """Count a request of ``caller``; raise a ProblemError (429) when it is one too many."""
    if wait_s := limit.wait_s(caller, monotonic):
        raise _too_many(wait_s)


def source_of(request: HTTPConnection) -> str:
    """Return where a request comes from: an IPv4 address, or one customer's network of IPv6 addresses."""
    return network_of(request.client.host) if request.client is not None else ""


class AddressLimit:
    """Middleware that holds each address to a rate. Services are exempt: they call on behalf of many players.

    Args:
        per_s: requests a second from one address; 0: no limit.
        exempt: whether an Authorization header is a service's.
    """

    def __init__(self, app: ASGIApp, per_s: float, clock: Clock, exempt: Callable[[bytes], bool]) -> None:
        self._app = app
        self._limit = RateLimit(per_s, burst_s=BURST_S)
        self._limited = per_s > 0
        self._clock = clock
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if self._limited and scope["type"] == "http":
            header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not self._exempt(header):
                address = network_of(scope["client"][0]) if scope.get("client") else ""
                if wait_s := self._limit.wait_s(address, self._clock.monotonic()):
                    await _too_many(wait_s).response()(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _too_many(wait_s: float) -> ProblemError:
    headers = {"Retry-After": str(math.ceil(wait_s))}
    return ProblemError(429, "too-many-requests", f"wait {wait_s:.1f} s", headers=headers)

"""Rate limits: so many requests a second from one player or one address, and a burst of four seconds' worth.

The generic cell rate algorithm: one number a caller, the time at which its bucket would be full again. Each API process
counts for itself, so with n of them behind a load balancer a caller may reach n times the limit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable

from starlette.types import ASGIApp, Receive, Scope, Send

from launchday.problems import ProblemError

BURST_S = 4.0
MOST_CALLERS = 100_000  # remembered at once: about 10 MB


class RateLimit:
    """A limit for each of many callers. Times are seconds of any one clock, given by the caller.

    Args:
        per_s: requests a second; 0: no limit.
    """

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1 / per_s if per_s else 0.0
        self._burst_s = max(BURST_S, self._interval_s)
        self._full_at: dict[Hashable, float] = {}

    def wait_s(self, caller: Hashable, now: float) -> float:
        """Count a request; return 0 when it may pass, else the seconds after which one may."""
        if not self._interval_s:
            return 0.0
        full_at = max(self._full_at.get(caller, now), now) + self._interval_s
        if full_at - now > self._burst_s:
            return full_at - now - self._burst_s
        if len(self._full_at) >= MOST_CALLERS and caller not in self._full_at:
            self._forget(now)
        self._full_at[caller] = full_at
        return 0.0

    def admit(self, caller: Hashable, now: float) -> None:
        """Count a request; raise a Problem (429) when it is one too many."""
        if wait_s := self.wait_s(caller, now):
            raise _too_many(wait_s)

    def _forget(self, now: float) -> None:
        """Forget who has been quiet; if nobody was, forget all: a moment of leniency, not a growing table."""
        self._full_at = {caller: full_at for caller, full_at in self._full_at.items() if full_at > now}
        if len(self._full_at) >= MOST_CALLERS:
            self._full_at.clear()


class AddressLimit:
    """Middleware that holds each address to a rate. Services, who are many players' mouth, show a token ``exempt`` knows.

    Args:
        clock: monotonic seconds.
        exempt: whether an Authorization header is a service's.
    """

    def __init__(
        self, app: ASGIApp, per_s: float, clock: Callable[[], float], exempt: Callable[[bytes], bool]
    ) -> None:
        self._app = app
        self._limit = RateLimit(per_s)
        self._limited = per_s > 0
        self._clock = clock
        self._exempt = exempt

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer 429."""
        if self._limited and scope["type"] == "http":
            header = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
            if not self._exempt(header):
                address = scope["client"][0] if scope.get("client") else ""
                if wait_s := self._limit.wait_s(address, self._clock()):
                    await _too_many(wait_s).response()(scope, receive, send)
                    return
        await self._app(scope, receive, send)


def _too_many(wait_s: float) -> ProblemError:
    headers = {"Retry-After": str(math.ceil(wait_s))}
    return ProblemError(429, "too-many-requests", f"wait {wait_s:.1f} s", headers=headers)

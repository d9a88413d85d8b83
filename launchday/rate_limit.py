"""A rate limit for each of many callers: so many requests a second, and a burst.

The generic cell rate algorithm (ITU-T I.371): one number a caller, the time at which its allowance would be
whole again. Each process counts for itself, so with n processes behind a load balancer a caller may reach n
times the limit.
"""

from __future__ import annotations

from collections.abc import Hashable

MAX_CALLERS = 100_000  # remembered at once: about 10 MB
ROUNDING_S = 1e-6  # a time plus an interval, less the time, may be more than the interval


class RateLimit:
    """A limit for each of many callers.

    Args:
        per_s: requests a second; 0: no limit.
        burst_s: how many seconds' worth of requests may come at once; at least one request may.
        max_callers: callers remembered at once. Those whose allowance is whole are forgotten first; where
            nobody's is, all are: a moment of leniency instead of a table that grows without bound.
    """

    def __init__(self, per_s: float, *, burst_s: float, max_callers: int = MAX_CALLERS) -> None:
        self._interval_s = 1.0 / per_s if per_s else 0.0
        self._burst_s = max(burst_s, self._interval_s)
        self._max_callers = max_callers
        self._whole_at: dict[Hashable, float] = {}

    def wait_s(self, caller: Hashable, now: float) -> float:
        """Count a request, and return how long its caller has to wait before it.

        Args:
            caller: whoever is limited, such as a player id or an address.
            now: seconds of any one clock; a monotonic one is not upset by a step of the wall clock.

        Returns:
            0 where the request may pass; else the seconds after which one may. A request that may not pass is
            not counted.
        """
        if not self._interval_s:
            return 0.0
        used_s = max(self._whole_at.get(caller, now) - now, 0.0) + self._interval_s
        if used_s > self._burst_s + ROUNDING_S:
            return used_s - self._burst_s
        if len(self._whole_at) >= self._max_callers and caller not in self._whole_at:
            self._forget(now)
        self._whole_at[caller] = now + used_s
        return 0.0

    def _forget(self, now: float) -> None:
        self._whole_at = {caller: whole_at for caller, whole_at in self._whole_at.items() if whole_at > now}
        if len(self._whole_at) >= self._max_callers:
            self._whole_at.clear()

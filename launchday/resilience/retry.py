"""Repeating a call without adding to what made it fail: a budget, jitter, Retry-After, a circuit breaker.

A part that is overloaded answers 503; three tries of every call then make three times the load, and keep it
down. So a client may repeat only a share of what it does: `RetryBudget`. Pauses have full jitter, so that
callers who failed together do not come back together. `CircuitBreaker` stops the calls to a part that refuses
connections, but for one trial at a time.
"""

from __future__ import annotations

import email.utils
from datetime import UTC

from launchday.clock import Clock

BUDGET_SHARE = 0.1  # repeats per success: a part that fails every call gets 1.1 times the load, not three
BUDGET_RESERVE = 10.0  # repeats of a client that has done nothing yet, and at most in one burst
FIRST_PAUSE_S, MAX_PAUSE_S = 0.1, 2.0
REFUSALS_TO_OPEN = 5
MAX_OPEN_S = 1.0  # a part that is back is asked within a second
MAX_RETRY_AFTER_S = 3600.0


class RetryBudget:
    """How often a client may repeat: a token bucket that successes fill.

    Args:
        share: tokens that a success adds; a repeat takes one.
        reserve: tokens at the start, and the most there are.
    """

    __slots__ = ("_reserve", "_share", "_tokens")

    def __init__(self, share: float = BUDGET_SHARE, reserve: float = BUDGET_RESERVE) -> None:
        self._share = share
        self._reserve = reserve
        self._tokens = reserve

    def succeeded(self) -> None:
        """Count a call that was answered."""
        self._tokens = min(self._reserve, self._tokens + self._share)

    def take(self) -> bool:
        """Take a token for one repeat; False: there is none, so the call is not repeated."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class Backoff:
    """The pauses between the tries of one thing: full jitter below a limit that doubles.

    Args:
        clock: gives chance.
        first_s, max_s: the first limit in seconds, and the last.
    """

    __slots__ = ("_first_s", "_limit_s", "_max_s", "_random")

    def __init__(self, clock: Clock, first_s: float = FIRST_PAUSE_S, max_s: float = MAX_PAUSE_S) -> None:
        self._random = clock.random("retry")
        self._first_s = self._limit_s = first_s
        self._max_s = max_s

    def next_s(self, at_least_s: float = 0.0) -> float:
        """Return the seconds to wait before the next try: those that the other side asked for, and jitter."""
        pause_s = at_least_s + self._random.uniform(0.0, self._limit_s)
        self._limit_s = min(2.0 * self._limit_s, self._max_s)
        return pause_s

    def reset(self) -> None:
        """Begin anew, after a success."""
        self._limit_s = self._first_s


class CircuitBreaker:
    """Lets nothing through to a part that refused several connections in a row, but for one trial at a time.

    Refused means that nobody listens: a time-out does not count, for it says nothing about the part.

    Args:
        clock: gives time and chance.
        refusals: in a row that open it.
        max_open_s: the longest pause between two trials, in seconds.
    """

    __slots__ = ("_clock", "_open_until", "_pauses", "_refusals", "_refused")

    def __init__(
        self, clock: Clock, refusals: int = REFUSALS_TO_OPEN, max_open_s: float = MAX_OPEN_S
    ) -> None:
        self._clock = clock
        self._refusals = refusals
        self._refused = 0
        self._open_until = 0.0
        self._pauses = Backoff(clock, first_s=max_open_s / 4, max_s=max_open_s)

    def allows(self) -> bool:
        """Return whether a call may be tried now. Of an open breaker's callers, one after each pause may."""
        if self._refused < self._refusals:
            return True
        now = self._clock.monotonic()
        if now < self._open_until:
            return False
        self._open_until = now + self._pauses.next_s()  # this caller is the trial; the next one waits
        return True

    def refused(self) -> None:
        """Count a connection that was refused."""
        self._refused += 1
        if self._refused == self._refusals:
            self._open_until = self._clock.monotonic() + self._pauses.next_s()

    def answered(self) -> None:
        """Close it: somebody listens."""
        if self._refused:
            self._refused = 0
            self._pauses.reset()


def retry_after_s(value: str | None, now: float) -> float:
    """Return the seconds that a Retry-After header asks for; 0 where there is none that can be read.

    Args:
        value: whole seconds, or an HTTP date.
        now: Unix seconds.
    """
    if not value:
        return 0.0
    if value.strip().isdigit():
        return min(float(value), MAX_RETRY_AFTER_S)
    try:
        at = email.utils.parsedate_to_datetime(value)
    except ValueError:
        return 0.0
    return min(max(0.0, at.replace(tzinfo=at.tzinfo or UTC).timestamp() - now), MAX_RETRY_AFTER_S)

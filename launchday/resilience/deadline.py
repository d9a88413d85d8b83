"""Deadlines: how long whoever asked will still wait, carried from request to request.

Every client of ours sets the header `HEADER` with the milliseconds that it will wait: the lesser of its own
patience and what is left of the request that it serves itself. The time is relative, because clocks of
machines differ; the server makes a moment of its own monotonic clock of it. That moment lives in a context
variable while the request is served, so whatever waits on the request's behalf can ask for it: before each
wait, `left_s` or `within`.

A task that a request starts inherits its deadline. One that outlives the request, or works for others too, is
started inside ``serving(None)``.

That a time ran out says nothing about the part that was asked: it may be well and we late. Whoever concludes
"away" needs another reason.
"""

from __future__ import annotations

import asyncio
from contextvars import ContextVar, Token
from types import TracebackType
from typing import Self

from launchday.clock import Clock
from launchday.errors import LaunchdayError

HEADER = "Launchday-Timeout-Ms"
MAX_REQUEST_S = 10.0  # what a header may ask for at most; long polls and streams carry none
MAX_HEADER_DIGITS = 9

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)


class DeadlineExceededError(LaunchdayError, TimeoutError):
    """Raised when a wait used up its time. Whoever asked has gone or is about to: stop working for them."""


def current() -> float | None:
    """Return the deadline of the request that is being served, in monotonic seconds; None: there is none."""
    return _deadline.get()


def left_s(clock: Clock, patience_s: float) -> float:
    """Return the seconds that a wait may take: the lesser of ``patience_s`` and what the request has left.

    Below 0 where the deadline has passed.
    """
    deadline = _deadline.get()
    return patience_s if deadline is None else min(patience_s, deadline - clock.monotonic())


def check(clock: Clock) -> None:
    """Raise DeadlineExceededError where the request's deadline has passed: before work, not after it."""
    if left_s(clock, 1.0) <= 0.0:
        raise DeadlineExceededError("the request's time is over: nobody waits for its answer any more")


def header_value(clock: Clock, patience_s: float) -> str:
    """Return the header's value for a call that waits ``patience_s`` seconds: milliseconds, from 1."""
    return str(max(1, int(left_s(clock, patience_s) * 1000.0)))


def read_header(value: bytes) -> float | None:
    """Return the seconds that a header grants, `MAX_REQUEST_S` at most; None where it is no whole number."""
    if not value.isdigit() or len(value) > MAX_HEADER_DIGITS:
        return None
    return min(int(value) / 1000.0, MAX_REQUEST_S)


class serving:
    """Serve a request until ``deadline`` (monotonic seconds): a context manager that sets `current`.

    Args:
        deadline: of the request; None: the block works for nobody in particular, and has no deadline.
    """

    __slots__ = ("_deadline", "_token")

    def __init__(self, deadline: float | None) -> None:
        self._deadline = deadline
        self._token: Token[float | None] | None = None

    def __enter__(self) -> None:
        self._token = _deadline.set(self._deadline)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._token is not None:
            _deadline.reset(self._token)


class within:
    """Bound a block of waits by `left_s`: an asynchronous context manager.

    The block's own calls see the nearer deadline. A block whose time is over already is not begun.

    Args:
        clock: says what is left of the request.
        patience_s: seconds that the block may take at most.

    Raises:
        DeadlineExceededError: the time was over before the block's end.
    """

    __slots__ = ("_allowed_s", "_clock", "_patience_s", "_timeout", "_token")

    def __init__(self, clock: Clock, patience_s: float) -> None:
        self._clock = clock
        self._patience_s = patience_s
        self._allowed_s = 0.0
        self._timeout: asyncio.Timeout
        self._token: Token[float | None]

    async def __aenter__(self) -> Self:
        self._allowed_s = allowed_s = left_s(self._clock, self._patience_s)
        if allowed_s <= 0.0:
            raise DeadlineExceededError("the request's time is over: nobody waits for its answer any more")
        self._timeout = asyncio.timeout(allowed_s)
        await self._timeout.__aenter__()
        self._token = _deadline.set(self._clock.monotonic() + allowed_s)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        _deadline.reset(self._token)
        try:
            await self._timeout.__aexit__(kind, error, trace)
        except TimeoutError as late:
            raise DeadlineExceededError(f"no answer within {self._allowed_s:.3g} s") from late

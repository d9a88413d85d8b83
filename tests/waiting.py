"""One way to wait for something in a test: ask again until it holds, and fail with what was waited for.

A test that waits asks a condition; it never sleeps for a fixed time and hopes. ``until`` is for tests that
run in an event loop, ``until_sync`` for all others.
"""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

WITHIN_S = 30.0  # generous: the machine is busy with the other tests
FIRST_PAUSE_S = 0.002
MAX_PAUSE_S = 0.05


async def until(
    condition: Callable[[], Any] | Callable[[], Awaitable[Any]],
    what: str = "",
    *,
    within_s: float = WITHIN_S,
    ignore: type[BaseException] | tuple[type[BaseException], ...] = (),
) -> Any:
    """Ask a condition again and again until its answer is truthy.

    Args:
        condition: is called without arguments; its answer is awaited where it is awaitable.
        what: what is waited for, for the failure's message; without it the condition's own name stands there.
        within_s: seconds after which the test fails. An answer of the condition that takes longer is cut off.
        ignore: exceptions of the condition that mean "not yet".

    Returns:
        The first truthy answer of the condition.
    """
    answer: Any = None
    pause_s = FIRST_PAUSE_S
    try:
        async with asyncio.timeout(within_s):
            while True:
                try:
                    answer = condition()
                    if inspect.isawaitable(answer):
                        answer = await answer
                except ignore as error:
                    answer = error
                else:
                    if answer:
                        return answer
                await asyncio.sleep(pause_s)
                pause_s = min(2 * pause_s, MAX_PAUSE_S)
    except TimeoutError:
        pytest.fail(_message(condition, what, within_s, answer))


def until_sync(
    condition: Callable[[], Any],
    what: str = "",
    *,
    within_s: float = WITHIN_S,
    ignore: type[BaseException] | tuple[type[BaseException], ...] = (),
) -> Any:
    """The same without an event loop: blocks the calling thread. Arguments and result as of ``until``."""
    deadline = time.monotonic() + within_s
    pause_s = FIRST_PAUSE_S
    while True:
        try:
            answer = condition()
        except ignore as error:
            answer = error
        else:
            if answer:
                return answer
        if time.monotonic() > deadline:
            pytest.fail(_message(condition, what, within_s, answer))
        time.sleep(pause_s)
        pause_s = min(2 * pause_s, MAX_PAUSE_S)


def _message(condition: Callable[[], Any], what: str, within_s: float, answer: Any) -> str:
    waited_for = what or getattr(condition, "__qualname__", repr(condition))
    return f"not within {within_s:g} s: {waited_for} (last answer: {answer!r})"

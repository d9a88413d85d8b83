"""Letting go of aiokafka's clients, whose ``stop()`` can hang on a dead broker, fail, or end cancelled without anybody having asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

import structlog

log = structlog.get_logger()


async def close_within(timeout_s: float, what: str, closing: Awaitable[None]) -> None:
    """Run ``closing`` for at most twice ``timeout_s`` seconds, and go on however it ends; only the caller's own cancellation is passed on.

    A client whose coordinator was being cancelled ends its ``stop()`` with CancelledError. Passed on, that would look like a wish
    to end the caller: a consumer ended so for good, and its service said that it was well.
    """
    stopping = asyncio.ensure_future(closing)
    try:
        _, pending = await asyncio.wait({stopping}, timeout=timeout_s)
    except asyncio.CancelledError:
        await asyncio.wait({stopping}, timeout=timeout_s)
        raise
    if pending:
        log.warning("kafka_close_slow", client=what, timeout_s=timeout_s)
        stopping.cancel()
        await asyncio.wait({stopping}, timeout=timeout_s)
    elif stopping.cancelled():
        log.warning("kafka_close_cancelled", client=what)
    elif (error := stopping.exception()) is not None:
        log.warning("kafka_close_failed", client=what, error=repr(error))


def is_being_cancelled() -> bool:
    """Whether somebody wants the running task to end: a CancelledError without that came out of a library, and is a fault like another."""
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0

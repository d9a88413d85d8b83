"""Work that is done to its end although its task is cancelled meanwhile, once or again and again."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, TypeVar

import structlog

from launchday.clock import Clock

T = TypeVar("T")

log = structlog.get_logger()


async def uncut(work: Coroutine[Any, Any, T]) -> T:
    """Await ``work``, which has bounds of its own; a cancellation of the caller takes effect after its end.

    Clients of engines may leave a connection open, or an answer unread, when they are cancelled while they
    connect.
    """
    task = asyncio.ensure_future(work)
    try:
        return await asyncio.shield(task)
    except asyncio.CancelledError:
        if not task.done():
            await asyncio.wait([task])
        if not task.cancelled():
            task.exception()  # nobody else asks
        raise


async def take_turns(
    turn: Callable[[], Coroutine[Any, Any, object]],
    every_s: float,
    clock: Clock,
    *,
    what: str,
    away: tuple[type[Exception], ...],
    retry_s: float | None = None,
    tell: Callable[..., Any] = log.debug,
) -> NoReturn:
    """Take a turn, pause, and so on, until cancelled; a turn that fails ends no other.

    Each turn is awaited to its end: redis-py before Python 3.12 may lose a cancellation, and a loop that did
    not hear of it would go on for ever, with whoever waits for its end.

    Args:
        turn: one turn, which has bounds of its own.
        every_s: the pause after each.
        clock: times the pauses.
        what: what waits after a failure, for the log.
        away: errors that say that an engine is away: waited out.
        retry_s: the pause after a turn that failed; None: ``every_s``.
        tell: logs one of those.
    """
    while True:
        pause_s = every_s if retry_s is None else retry_s
        try:
            await uncut(turn())
            pause_s = every_s
        except away as error:
            tell(f"{what} wait", reason=repr(error))
        except Exception:
            log.exception(f"{what} failed")
        await clock.sleep(pause_s)

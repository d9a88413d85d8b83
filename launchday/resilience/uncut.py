"""Work that is done to its end although its task is cancelled meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


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

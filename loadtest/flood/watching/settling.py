"""How counters are waited for after the last player has left: they trail by seconds, or never agree."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable


async def settle(
    balanced: Callable[[], Awaitable[bool]], waits_on: Callable[[float], bool], poll_s: float
) -> float | None:
    """Read counters again and again until they balance, or until nobody waits for them any more.

    Args:
        balanced: reads them, and says whether they balance.
        waits_on: given the seconds that it has taken so far, says whether to read them once more.
        poll_s: seconds between two readings.

    Returns:
        The seconds that it took; None where they do not balance.
    """
    began_s = time.monotonic()
    while True:
        found = await balanced()
        took_s = time.monotonic() - began_s
        if found:
            return round(took_s, 3)
        if not waits_on(took_s):
            return None
        await asyncio.sleep(poll_s)

"""A real game server that plays no match: it is warmed up, forked, bound and sends heartbeats, and waits when
it is allocated.
"""

from __future__ import annotations

import asyncio
from typing import Any

from dedicated_server import server
from dedicated_server.server import main, warm_up

__all__ = ["main", "warm_up"]


async def _wait_forever(*_: Any) -> int:
    await asyncio.Event().wait()
    return 0


server._serve_match = _wait_forever  # type: ignore[assignment]

"""A real game server, warmed up, forked, bound and beating as every other, that plays no match: what it was allocated for, it waits out."""

from __future__ import annotations

import asyncio
from typing import Any

from dedicated_server import server
from dedicated_server.server import main, warm_up

__all__ = ["main", "warm_up"]


async def _park(*_: Any) -> int:
    await asyncio.Event().wait()
    return 0


server._serve_match = _park  # type: ignore[assignment]

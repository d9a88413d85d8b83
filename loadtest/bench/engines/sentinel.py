"""``sentinel``: the meta service on a primary that three Sentinels watch, with two replicas.

A change is acknowledged once one of the replicas has it (``LAUNCHDAY_CACHE_WAIT_REPLICAS=1``): a primary that
was replaced while it was stopped finds no replica of its own any more, and acknowledges nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import tempfile
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from loadtest.bench.engines.cache_load import CacheLoad, services
from loadtest.bench.engines.measuring import Audit, EngineFault
from loadtest.bench.engines.valkey_nodes import Watched, running

ENGINE = "sentinel"
WAIT = {"cache_wait_replicas": 1, "cache_wait_ms": 500}
PAUSE_S = 10.0


@dataclass
class OnWatched:
    """Services on a watched primary; see `measuring.Subject`."""

    watched: Watched
    load: CacheLoad
    pauses: bool

    async def ask(self, number: int) -> bool:
        """See `CacheLoad.ask`."""
        return await self.load.ask(number)

    async def inject(self) -> None:
        """The primary dies, or stops."""
        self._primary = self.watched.primary()
        if self.pauses:
            self._primary.pause()
        else:
            self._primary.kill()

    async def heal(self) -> None:
        """It is there again: as a primary that is none any more."""
        if self.pauses:
            self._primary.resume()
        else:
            self._primary.start()

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """See `CacheLoad.audit`."""
        await asyncio.to_thread(self.watched.settled)
        return await self.load.audit(acknowledged)


@contextlib.asynccontextmanager
async def on_watched(*, pauses: bool) -> AsyncIterator[OnWatched]:
    """A watched primary with the services on it."""
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        folder = Path(name)
        with running(Watched(folder / "nodes")) as watched:
            async with services(folder, watched.address, WAIT) as load:
                yield OnWatched(watched, load, pauses)


FAULTS: Sequence[EngineFault] = (
    EngineFault(ENGINE, "primary killed", functools.partial(on_watched, pauses=False)),
    EngineFault(
        ENGINE,
        "primary paused for 10 s",
        functools.partial(on_watched, pauses=True),
        lasts_s=PAUSE_S,
        ends_outside=True,
    ),
)

"""Looking at the backend while a run goes on, and after it until its books have settled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from dedicated_server.fleet.client import FleetAdminClient, FleetError
from loadtest.errors import BackendError
from loadtest.flood.counters import BackendCounters, CountersReader
from loadtest.flood.progress import ProgressDisplay
from loadtest.flood.timeline import Timeline
from loadtest.players.player_records import PlayerRecords

SAMPLE_INTERVAL_S = 1.0
SETTLE_TIMEOUT_S = (
    15.0  # events, commits and rewards trail the last player by a second or two; after this they never come
)
SETTLE_TIMEOUT_INTERRUPTED_S = 5.0
SETTLE_POLL_S = 0.5


class BackendMonitor:
    """Looks at everything once a second while a run goes on.

    Args:
        before: the books as they were before the run.

    Attributes:
        phase: what is going on, for the progress display.
        fault: why the books could not be read the last time, or None.
        ended: ids of matches that are over, as their servers say.
    """

    def __init__(
        self,
        reader: CountersReader,
        before: BackendCounters,
        fleet: FleetAdminClient,
        records: PlayerRecords,
        timeline: Timeline,
        progress: ProgressDisplay,
        clock: Callable[[], float],
        ended_matches: set[str],
    ) -> None:
        self.phase = "playing"
        self.error: str | None = None
        self.ended_matches = ended_matches
        self._reader = reader
        self._before = self._books = before
        self._fleet = fleet
        self._fates = records
        self._timeline = timeline
        self._progress = progress
        self._clock = clock
        self._reports: dict[str, dict[str, Any]] = {}

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch in the background for as long as the context lasts."""
        task = asyncio.create_task(self.watch(), name="backend monitor")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    async def watch(self) -> None:
        """Look until cancelled. A service that does not answer leaves a gap in the curves, and the run goes on."""
        while True:
            look_s = self._clock()
            books, servers = await asyncio.gather(self.read(), self._servers())
            since = books.since(self._before) if self.error is None else None
            self._timeline.sample(round(look_s, 2), self._fates, since, servers)
            self._progress.update(look_s, self.phase)
            await asyncio.sleep(max(0.0, look_s + SAMPLE_INTERVAL_S - self._clock()))

    def reports(self) -> list[dict[str, Any]]:
        """The last report of each match that players of this run were in, by region."""
        return sorted(
            self._reports.values(), key=lambda item: (item.get("region", ""), item.get("match_id", ""))
        )

    async def read(self) -> BackendCounters:
        """The books now; where they cannot be read, as they were last, with ``fault`` set."""
        try:
            self._books = await self._reader.read()
        except BackendError as error:
            self.error = str(error)
        else:
            self.error = None
            for item in self._books.fleet.get("reports", []):
                self._keep(item, item.get("region", ""))
        return self._books

    async def _servers(self) -> list[dict[str, Any]]:
        try:
            servers = await self._fleet.gameservers()
        except FleetError:
            return []
        for server in servers:
            self._keep(server.get("report") or {}, server.get("region", ""))
        return servers

    def _keep(self, item: dict[str, Any], region: str) -> None:
        match_id = item.get("match_id")
        if not match_id or match_id not in self._fates.match_id:
            return
        if item.get("phase") == "over" or item.get("outcome") == "ended":
            self.ended_matches.add(match_id)
        known = self._reports.get(match_id)
        if known is None or item.get("tick", 0) >= known.get("tick", 0):
            self._reports[match_id] = {"region": region or (known or {}).get("region", ""), **item}


async def wait_until_settled(
    looks: BackendMonitor, stop_event: asyncio.Event, balanced: Callable[[BackendCounters], bool]
) -> tuple[BackendCounters, float | None]:
    """Look until the books balance, or until they have had long enough; the last books read, and the seconds it took or None."""
    start_s = time.monotonic()
    while True:
        books = await looks.read()
        took_s = time.monotonic() - start_s
        if looks.error is None and balanced(books):
            return books, round(took_s, 3)
        if took_s > (SETTLE_TIMEOUT_INTERRUPTED_S if stop_event.is_set() else SETTLE_TIMEOUT_S):
            return books, None
        await asyncio.sleep(SETTLE_POLL_S)

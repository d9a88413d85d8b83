"""Watches the backend during a run, and afterwards until its counters have settled."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from dedicated_server.fleet.client import FleetAdminClient, FleetError
from loadtest.background import background
from loadtest.errors import BackendError
from loadtest.flood.counters import BackendCounters, CountersReader
from loadtest.flood.progress import ProgressDisplay
from loadtest.flood.timeline import Timeline
from loadtest.players.player_records import PlayerRecords

SAMPLE_INTERVAL_S = 1.0
# Events, commits and rewards trail the last player by a second or two; after this they never come.
SETTLE_TIMEOUT_S = 15.0
SETTLE_TIMEOUT_INTERRUPTED_S = 5.0
SETTLE_POLL_S = 0.5


class BackendMonitor:
    """Reads counters and game servers once a second, for the timeline, the progress and the reports of
    matches.

    Args:
        reader: of the services' counters.
        before: the counters before the run.
        fleet: client of the fleet's admin API.
        records: of the players; only matches that they were in are kept.
        timeline: gets a sample each second.
        progress: is updated each second.
        clock: seconds of the run.
        ended_matches: gets the ids of matches that are over. A match may end while all its players are away,
            so that only its server knows.

    Attributes:
        phase: what the progress calls the present part of the run.
        error: why the counters could not be read the last time, or None.
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
        self._before = self._counters = before
        self._fleet = fleet
        self._records = records
        self._timeline = timeline
        self._progress = progress
        self._clock = clock
        self._reports: dict[str, dict[str, Any]] = {}

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Watch in the background for as long as the context lasts."""
        async with background(self.watch(), "backend monitor"):
            yield

    async def watch(self) -> None:
        """Sample until cancelled.

        A service that does not answer leaves a gap in the curves; the run goes on.
        """
        while True:
            sample_s = self._clock()
            counters, servers = await asyncio.gather(self.read(), self._servers())
            since = counters.since(self._before) if self.error is None else None
            self._timeline.sample(round(sample_s, 2), self._records, since, servers)
            self._progress.update(sample_s, self.phase)
            await asyncio.sleep(max(0.0, sample_s + SAMPLE_INTERVAL_S - self._clock()))

    def reports(self) -> list[dict[str, Any]]:
        """The last report of each match of this run's players, ordered by region."""
        return sorted(
            self._reports.values(), key=lambda item: (item.get("region", ""), item.get("match_id", ""))
        )

    async def read(self) -> BackendCounters:
        """The counters now; where they cannot be read, the last ones, with ``error`` set."""
        try:
            self._counters = await self._reader.read()
        except BackendError as error:
            self.error = str(error)
        else:
            self.error = None
            for item in self._counters.fleet.get("reports", []):
                self._keep_report(item, item.get("region", ""))
        return self._counters

    async def _servers(self) -> list[dict[str, Any]]:
        try:
            servers = await self._fleet.gameservers()
        except FleetError:
            return []
        for server in servers:
            self._keep_report(server.get("report") or {}, server.get("region", ""))
        return servers

    def _keep_report(self, item: dict[str, Any], region: str) -> None:
        match_id = item.get("match_id")
        if not match_id or match_id not in self._records.match_id:
            return
        if item.get("phase") == "over" or item.get("outcome") == "ended":
            self.ended_matches.add(match_id)
        known = self._reports.get(match_id)
        if known is None or item.get("tick", 0) >= known.get("tick", 0):
            self._reports[match_id] = {"region": region or (known or {}).get("region", ""), **item}


async def wait_until_settled(
    monitor: BackendMonitor, stop_event: asyncio.Event, balanced: Callable[[BackendCounters], bool]
) -> tuple[BackendCounters, float | None]:
    """Read the counters until they balance, or until the time for it is over.

    Args:
        monitor: whose counters are read.
        stop_event: when set, the time is short.
        balanced: whether the ledger of these counters balances.

    Returns:
        The last counters, and the seconds that it took until they balanced or None.
    """
    start_s = time.monotonic()
    while True:
        counters = await monitor.read()
        took_s = time.monotonic() - start_s
        if monitor.error is None and balanced(counters):
            return counters, round(took_s, 3)
        if took_s > (SETTLE_TIMEOUT_INTERRUPTED_S if stop_event.is_set() else SETTLE_TIMEOUT_S):
            return counters, None
        await asyncio.sleep(SETTLE_POLL_S)

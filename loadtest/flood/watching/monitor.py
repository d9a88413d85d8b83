"""Watches the backend during a run, and afterwards until its counters have settled."""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

from dedicated_server.fleet.client import FleetAdminClient, FleetError
from loadtest.background import background
from loadtest.errors import BackendError
from loadtest.flood.watching.counters import BackendCounters, CountersReader, ServiceCounters
from loadtest.flood.watching.progress import ProgressDisplay
from loadtest.flood.watching.settling import settle
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords

SAMPLE_INTERVAL_S = 1.0
FLEET_LIST = "the fleet's list"  # of game servers, which is asked for beside its counters
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
        error: why the counters could not be read the last time that all were, or None.
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

        The players are counted each second, however long the services take. Each of those is asked again
        when it has answered; one that does not answer leaves a gap in its curves, and the run goes on.
        """
        asking: dict[str, asyncio.Task[None]] = {}
        sources: dict[str, Callable[[], Awaitable[None]]] = {
            service: functools.partial(self._ask, service) for service in self._reader.services
        }
        sources[FLEET_LIST] = self._ask_for_servers
        try:
            while True:
                sample_s = self._clock()
                self._timeline.begin_sample(round(sample_s, 2), self._records)
                for name, ask in sources.items():
                    task = asking.get(name)
                    if task is None or task.done():
                        if task is not None:
                            task.result()  # an error of the load test, not of the service
                        asking[name] = asyncio.ensure_future(ask())
                self._progress.update(sample_s, self.phase)
                await _pause(max(0.0, sample_s + SAMPLE_INTERVAL_S - self._clock()))
        finally:
            for task in asking.values():
                task.cancel()
            await asyncio.gather(*asking.values(), return_exceptions=True)

    async def _ask(self, service: str) -> None:
        try:
            counters = await self._reader.read_service(service)
        except BackendError:
            self._timeline.add_silence(self._now(), service)
            return
        self._counters = replace(self._counters, **{service: counters})
        if service == "fleet":
            self._keep_reports(counters)
        since = self._counters.since(self._before)
        self._timeline.add_counters(self._now(), service, getattr(since, service))

    async def _ask_for_servers(self) -> None:
        try:
            servers = await self._fleet.gameservers()
        except FleetError:
            self._timeline.add_silence(self._now(), FLEET_LIST)
            return
        for server in servers:
            self._keep_report(server.get("report") or {}, server.get("region", ""))
        self._timeline.add_servers(self._now(), self._records, servers)

    def _now(self) -> float:
        return round(self._clock(), 2)

    def reports(self) -> list[dict[str, Any]]:
        """The last report of each match of this run's players, ordered by region."""
        return sorted(
            self._reports.values(), key=lambda item: (item.get("region", ""), item.get("match_id", ""))
        )

    async def read(self) -> BackendCounters:
        """The counters now; where they cannot be read, the last ones, with ``error`` set."""
        try:
            counters = await self._reader.read()
        except BackendError as error:
            self.error = str(error)
        else:
            self.error = None
            self._counters = counters
            self._keep_reports(counters.fleet)
        return self._counters

    def _keep_reports(self, fleet: ServiceCounters) -> None:
        for item in fleet.get("reports", []):
            self._keep_report(item, item.get("region", ""))

    def _keep_report(self, item: dict[str, Any], region: str) -> None:
        match_id = item.get("match_id")
        if not match_id or match_id not in self._records.match_id:
            return
        if item.get("phase") == "over" or item.get("outcome") == "ended":
            self.ended_matches.add(match_id)
        known = self._reports.get(match_id)
        if known is None or item.get("tick", 0) >= known.get("tick", 0):
            self._reports[match_id] = {"region": region or (known or {}).get("region", ""), **item}


async def _pause(seconds: float) -> None:
    await asyncio.sleep(seconds)


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
    counters: BackendCounters | None = None

    async def read() -> bool:
        nonlocal counters
        counters = await monitor.read()
        return monitor.error is None and balanced(counters)

    def waits_on(took_s: float) -> bool:
        return took_s <= (SETTLE_TIMEOUT_INTERRUPTED_S if stop_event.is_set() else SETTLE_TIMEOUT_S)

    settled_s = await settle(read, waits_on, SETTLE_POLL_S)
    assert counters is not None
    return counters, settled_s

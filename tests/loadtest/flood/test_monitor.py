from __future__ import annotations

import asyncio
import contextlib
import io
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any, cast

import numpy as np
import pytest

from dedicated_server.fleet.client import FleetAdminClient
from launchday.terminal import Terminal
from loadtest.errors import BackendError
from loadtest.flood.injection.faults import FaultRecord
from loadtest.flood.watching import monitor
from loadtest.flood.watching.counters import CountersReader, ServiceCounters
from loadtest.flood.watching.monitor import BackendMonitor
from loadtest.flood.watching.progress import ProgressDisplay
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.report import incidents
from loadtest.scenario.faults import SlowStore
from tests.loadtest.sample_run import sample_counters, sample_outcome
from tests.waiting import until


class SlowReader:
    """Counters of which a service's come when the test says, or not at all."""

    services = ("matchmaker", "fleet", "meta", "rewards")

    def __init__(self) -> None:
        self.meta_answers = asyncio.Event()
        self.meta_error: BackendError | None = None
        self.asked: list[str] = []

    async def read_service(self, service: str) -> ServiceCounters:
        self.asked.append(service)
        if service == "meta":
            await self.meta_answers.wait()
            if self.meta_error is not None:
                raise self.meta_error
        found: ServiceCounters = getattr(sample_counters(searching=3, writebehind_depth=9), service)
        return found


class QuietFleet:
    async def gameservers(self) -> list[dict[str, Any]]:
        return []


class Watched:
    """A monitor with a clock that the test turns on: a sample each second of it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 0.0
        self.reader = SlowReader()
        self.records, self.timeline = PlayerRecords(np.zeros(2)), Timeline()
        self._woken = asyncio.Event()
        monkeypatch.setattr(monitor, "_pause", self._pause)
        self.monitor = BackendMonitor(
            cast(CountersReader, self.reader),
            sample_counters(),
            cast(FleetAdminClient, QuietFleet()),
            self.records,
            self.timeline,
            ProgressDisplay(Terminal(file=io.StringIO()), self.records, self.timeline),
            lambda: self.now_s,
            set(),
        )

    async def _pause(self, seconds: float) -> None:
        until_s = self.now_s + seconds
        while self.now_s < until_s:
            self._woken.clear()
            await self._woken.wait()

    async def at(self, now_s: float) -> None:
        self.now_s = now_s
        self._woken.set()
        await until(lambda: self.timeline.at_s[-1] >= int(now_s), "the sample of this second")
        await until(lambda: self.timeline.fleet_at_s[-1] is not None, "the fleet's answer")

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        async with self.monitor.watching():
            await until(lambda: bool(self.timeline.at_s), "the first sample")
            yield


async def test_while_a_service_is_slow_samples_still_come_each_second_with_their_times(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = Watched(monkeypatch)
    timeline = watched.timeline
    async with watched.watching():
        await watched.at(0.0)
        watched.records.state[:] = PlayerState.QUEUED
        await watched.at(1.0)
        watched.records.state[:] = PlayerState.PLAYING
        await watched.at(2.0)
        watched.now_s = 2.5
        watched.reader.meta_answers.set()
        await until(lambda: timeline.queue["write-behind rows"][-1] is not None, "the slow answer")
    assert timeline.at_s == [0.0, 1.0, 2.0]
    assert timeline.players[PlayerState.QUEUED] == [0, 2, 0]  # when they were counted, not when meta answered
    assert timeline.players[PlayerState.PLAYING] == [0, 0, 2]
    assert timeline.queue["tickets searching"] == [3, 3, 3]  # other services leave no gap
    assert timeline.queue["write-behind rows"] == [None, None, 9]
    assert timeline.queue_at_s["write-behind rows"] == [None, None, 2.5]
    assert watched.reader.asked.count("meta") == 1  # one question at a time


async def test_a_fault_stands_before_the_service_that_it_silences(monkeypatch: pytest.MonkeyPatch) -> None:
    watched = Watched(monkeypatch)
    async with watched.watching():
        await watched.at(0.0)  # asked before the fault, given up after it
        watched.now_s = 5.0
        watched.reader.meta_error = BackendError("meta does not answer")
        watched.reader.meta_answers.set()
        await until(lambda: bool(watched.timeline.unanswered), "the end of the patience")
    fault = SlowStore(at_s=0, do="slow_store", by_ms=3500, for_s=60)
    slow = FaultRecord(fault, "store 3500 ms slower", began_s=0.01)
    run = replace(sample_outcome(), timeline=watched.timeline, fault_records=[slow])
    found = [(each.at_s, each.planned) for each in incidents.find_incidents(run)]
    assert found == [(0.01, True), (5.0, False)]
    assert incidents.describe_first(run) == (
        "Broke first, at 5 s: meta did not answer when its counters were read; 1 in all, "
        "after this fault: store 3500 ms slower."
    )

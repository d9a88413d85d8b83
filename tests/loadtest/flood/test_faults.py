from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import psutil
import pytest
from pydantic import TypeAdapter

from dedicated_server.fleet.client import FleetAdminClient
from launchday.engines import EmbeddedServer, Valkey
from loadtest.errors import BackendError
from loadtest.flood.injection.faults import FaultInjector
from loadtest.flood.watching.allocations import AllocatedServer, AllocationFeed
from loadtest.flood.watching.timeline import Timeline
from loadtest.scenario.faults import Fault
from tests.waiting import until


class Sleeper:
    """A process to be killed as a game server."""

    def __init__(self) -> None:
        self.process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])

    def listed(self, name: str, region: str, phase: str = "playing") -> dict[str, Any]:
        return {"name": name, "region": region, "pid": self.process.pid, "report": {"phase": phase}}


@pytest.fixture
def sleepers() -> Iterator[list[Sleeper]]:
    made = [Sleeper() for _ in range(3)]
    yield made
    for sleeper in made:
        sleeper.process.kill()
        sleeper.process.wait()


class FakeFleet:
    def __init__(self, servers: list[dict[str, Any]]) -> None:
        self.servers = servers

    async def gameservers(self) -> list[dict[str, Any]]:
        return self.servers


class FakeCutter:
    def __init__(self) -> None:
        self.cuts: list[tuple[str, bool]] = []

    async def cut(self, region: str, *, off: bool) -> None:
        self.cuts.append((region, off))


class FakeProcesses:
    """A launcher with a cache of its own."""

    processes: dict[str, int] = {}  # noqa: RUF012 - as the protocol has it

    def __init__(self, cache: EmbeddedServer | None = None) -> None:
        self.cache = cache
        self.delays_ms: list[float] = []
        self.planned: list[str] = []

    def engine(self, role: str) -> EmbeddedServer | None:
        return self.cache if role == "cache" else None

    deaths: list[str] = []  # noqa: RUF012 - as the protocol has it

    @contextlib.contextmanager
    def planned_outage(self, name: str) -> Iterator[None]:
        self.planned.append(name)
        yield
        self.planned.append(f"{name} may be judged again")

    def slow_store(self, by_ms: float) -> None:
        self.delays_ms.append(by_ms)


def injector_of(
    *planned: dict[str, Any],
    processes: FakeProcesses | None = None,
    servers: list[dict[str, Any]] | None = None,
    cutter: FakeCutter | None = None,
    feed: AllocationFeed | None = None,
) -> FaultInjector:
    begun_s = time.monotonic()
    fleet = cast(FleetAdminClient, FakeFleet(servers or []))
    return FaultInjector(
        TypeAdapter(list[Fault]).validate_python(list(planned)),
        processes,
        fleet,
        feed or AllocationFeed(fleet, lambda: 0.0),
        cutter or FakeCutter(),
        Timeline(),
        lambda: time.monotonic() - begun_s,
        lambda count: 0,
    )


async def until_ended(faults: FaultInjector) -> None:
    await until(lambda: all(record.ended_s is not None for record in faults.records), "all faults end")


async def test_a_server_that_plays_in_the_region_is_killed_and_named(sleepers: list[Sleeper]) -> None:
    servers = [
        sleepers[0].listed("a", "west-europe"),
        sleepers[1].listed("b", "east-us", phase="waiting"),
        sleepers[2].listed("c", "east-us"),
    ]
    async with injector_of(
        {"at_s": 0.0, "do": "kill_server", "region": "east-us"}, servers=servers
    ) as faults:
        await until_ended(faults)
    assert sleepers[2].process.wait() == -9
    assert sleepers[0].process.poll() is sleepers[1].process.poll() is None
    assert (faults.killed_count, faults.killed_servers, faults.missed) == (1, {"c"}, 0)


async def test_a_killed_cache_comes_back_on_its_port_with_its_data(tmp_path: Path) -> None:
    cache = Valkey(tmp_path / "data", tmp_path / "log")
    cache.start()
    port, first = cache.port, cache.process
    assert first is not None
    try:
        processes = FakeProcesses(cache)
        async with injector_of(
            {"at_s": 0.0, "do": "stop_cache", "for_s": 0.05}, processes=processes
        ) as faults:
            await until_ended(faults)
        assert first.returncode == -9
        assert cache.process is not first
        assert cache.port == port
        assert cache.answers()
        assert processes.planned == ["cache", "cache may be judged again"]
    finally:
        cache.stop()


async def test_what_is_still_wrong_when_the_run_ends_is_set_right() -> None:
    processes, cutter = FakeProcesses(), FakeCutter()
    faults = injector_of(
        {"at_s": 0.0, "do": "slow_store", "by_ms": 50.0, "for_s": 600.0},
        {"at_s": 0.0, "do": "cut_region", "region": "east-us", "for_s": 600.0},
        {"at_s": 500.0, "do": "slow_store", "by_ms": 99.0, "for_s": 1.0},
        processes=processes,
        cutter=cutter,
    )
    async with faults:
        await until(lambda: processes.delays_ms and cutter.cuts, "both faults begin")
    assert processes.delays_ms == [50.0, 0.0]
    assert cutter.cuts == [("east-us", True), ("east-us", False)]
    assert faults.missed == 1


def test_a_fault_that_this_backend_cannot_be_given_is_said_before_the_run() -> None:
    with pytest.raises(BackendError, match="store killed: the store was not started by this command"):
        injector_of({"at_s": 0.0, "do": "stop_store", "for_s": 1.0}, processes=FakeProcesses())
    with pytest.raises(BackendError, match="slow_store needs a backend"):
        injector_of({"at_s": 0.0, "do": "slow_store", "by_ms": 1.0, "for_s": 1.0})
    with pytest.raises(BackendError, match="director stopped: it was not started by this command"):
        injector_of({"at_s": 0.0, "do": "pause", "part": "director", "for_s": 1.0}, processes=FakeProcesses())


def _stands(process: subprocess.Popen[bytes]) -> bool:
    return bool(psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)


async def test_a_part_stands_still_for_its_time_and_is_not_taken_for_dead_meanwhile(
    sleepers: list[Sleeper],
) -> None:
    processes = FakeProcesses()
    processes.processes = {"meta service": sleepers[0].process.pid}
    fault = {"at_s": 0.0, "do": "pause", "part": "meta_service", "for_s": 600.0}
    async with injector_of(fault, processes=processes):
        await until(lambda: _stands(sleepers[0].process), "the part stands still")
        assert processes.planned == ["meta service"]
    assert not _stands(sleepers[0].process)
    assert processes.planned == ["meta service", "meta service may be judged again"]


async def test_every_third_game_server_is_stopped_when_it_is_allocated_and_goes_on_by_itself(
    sleepers: list[Sleeper],
) -> None:
    feed = AllocationFeed(cast(FleetAdminClient, FakeFleet([])), lambda: 0.0)
    fault = {"at_s": 0.0, "do": "pause", "part": "game_servers", "every": 3, "for_s": 0.2, "window_s": 600.0}
    async with injector_of(fault, feed=feed) as faults:
        await until(lambda: faults.records[0].began_s is not None)
        for name, sleeper in zip("abc", sleepers, strict=True):
            feed.note(AllocatedServer(name, f"match of {name}", sleeper.process.pid))
        await until(lambda: _stands(sleepers[2].process), "the third stands still")
        assert not _stands(sleepers[0].process)
        assert not _stands(sleepers[1].process)
        await until(lambda: not _stands(sleepers[2].process), "it goes on")
        assert faults.records[0].as_json()["stopped"] == ["c"]
        assert faults.records[0].ended_s is None


async def test_busy_processes_have_a_session_each_and_end_with_the_fault() -> None:
    async with injector_of({"at_s": 0.0, "do": "busy", "processes": 3, "for_s": 600.0}) as faults:
        busy: list[psutil.Process] = await until(_three_busy_sessions, "three processes compute")
    await until(lambda: not any(map(_runs, busy)), "they have ended")
    assert faults.busy_s > 0.0  # planned: nobody else has taken it from the machine


def _runs(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    return False


def _three_busy_sessions() -> list[psutil.Process]:
    """The processes that compute, where there are three and each leads a session of its own."""
    found = []
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if (
                "loadtest.flood.injection.busy_processes" in process.cmdline()
                and process.parent() != psutil.Process()
            ):
                found.append(process)
    return found if len(found) == 3 and all(os.getsid(each.pid) == each.pid for each in found) else []

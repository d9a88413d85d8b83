"""Fault injection: at their time, faults of the scenario kill, cut or slow parts of the backend, and end
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from dedicated_server.fleet.client import FleetAdminClient, FleetError
from launchday.engines import EmbeddedServer
from loadtest.errors import BackendError
from loadtest.flood.backend_processes import BackendProcesses
from loadtest.flood.timeline import Timeline
from loadtest.scenario.faults import (
    CutRegion,
    Fault,
    KillServer,
    SlowStore,
    StopBroker,
    StopCache,
    StopStore,
)

ROLES = {StopCache: "cache", StopBroker: "bus", StopStore: "store"}
RETRY_S = 0.25  # between two searches for a server to kill, while none has a match
READY_POLL_S = 0.1
READY_TIMEOUT_S = 60.0


class RegionCutter(Protocol):
    """What a fault needs of the bots' UDP side."""

    async def cut(self, region: str, *, off: bool) -> None:
        """Drop all datagrams between players and the game servers of a region, or let them through again."""
        ...


@dataclass(slots=True)
class FaultRecord:
    """What came of one fault of the scenario.

    Attributes:
        what: in words.
        began_s, ended_s: seconds after the start; None where it never came to that.
        killed: names of the game servers that were killed.
    """

    fault: Fault
    what: str
    began_s: float | None = None
    ended_s: float | None = None
    killed: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The record, as the run's JSON shows it."""
        planned = self.fault.model_dump(exclude_none=True)
        return planned | {
            "what": self.what,
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "killed": self.killed,
        }


def describe_fault(fault: Fault) -> str:
    """A fault in a few words, such as "2 game servers killed"."""
    match fault:
        case KillServer(count=count, region=region):
            return f"{count} game server{'s' if count > 1 else ''} killed" + (
                f" in {region}" if region else ""
            )
        case CutRegion(region=region):
            return f"{region} cut off"
        case StopCache():
            return "cache killed"
        case StopBroker():
            return "broker stopped"
        case StopStore():
            return "store killed"
        case SlowStore(by_ms=by_ms):
            return f"store {by_ms:g} ms slower"


class FaultInjector:
    """Injects the faults of a run. Use it as an async context manager: leaving it ends the faults that still
    last.

    Args:
        faults: of the scenario.
        processes: of the backend; None where they are not known: then only regions can be cut, and game
            servers killed that run on this machine.
        fleet: lists the game servers.
        cutter: cuts regions.
        timeline: notes when each fault began and ended.
        clock: seconds of the run.
        choose: a random integer below its argument, from the scenario's seed.

    Attributes:
        records: what came of each fault.

    Raises:
        BackendError: on construction, for a fault that cannot be injected into this backend.
    """

    def __init__(
        self,
        faults: list[Fault],
        processes: BackendProcesses | None,
        fleet: FleetAdminClient,
        cutter: RegionCutter,
        timeline: Timeline,
        clock: Callable[[], float],
        choose: Callable[[int], int],
    ) -> None:
        self.records = [FaultRecord(fault, describe_fault(fault)) for fault in faults]
        self._processes, self._fleet, self._cutter = processes, fleet, cutter
        self._timeline, self._clock, self._choose = timeline, clock, choose
        self._tasks: list[asyncio.Task[None]] = []
        for fault in faults:
            role = ROLES.get(type(fault))
            if role is not None and (processes is None or processes.engine(role) is None):
                raise BackendError(
                    f"faults: {describe_fault(fault)}: the {role} was not started by this command; "
                    "let launchday flood start the backend, or leave the fault out"
                )
            if isinstance(fault, SlowStore) and processes is None:
                raise BackendError("faults: slow_store needs a backend that launchday flood has started")

    @property
    def killed_count(self) -> int:
        """The number of game servers killed so far."""
        return sum(len(record.killed) for record in self.records)

    @property
    def killed_servers(self) -> set[str]:
        """Names of the game servers killed so far."""
        return {name for record in self.records for name in record.killed}

    @property
    def missed(self) -> int:
        """Faults that were not injected, because the run ended before their time."""
        return sum(record.began_s is None for record in self.records)

    async def __aenter__(self) -> FaultInjector:
        self._tasks = [asyncio.create_task(self._inject_at_its_time(record)) for record in self.records]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End the faults that still last, and start no more. Raises what the injection of one has raised."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _inject_at_its_time(self, record: FaultRecord) -> None:
        fault = record.fault
        await asyncio.sleep(fault.at_s - self._clock())
        if isinstance(fault, KillServer):
            await self._kill_servers(record, fault)
            return
        self._note_begin(record)
        try:
            await self._begin_fault(fault)
            await asyncio.sleep(fault.for_s)
        finally:
            await asyncio.shield(self._end_fault(record, fault))

    def _note_begin(self, record: FaultRecord) -> None:
        record.began_s = round(self._clock(), 2)
        self._timeline.faults.append((record.began_s, record.what))

    async def _begin_fault(self, fault: Fault) -> None:
        if isinstance(fault, CutRegion):
            await self._cutter.cut(fault.region, off=True)
        elif isinstance(fault, SlowStore):
            assert self._processes is not None
            self._processes.slow_store(fault.by_ms)
        else:
            engine = self._engine(fault)
            assert engine.process is not None
            engine.process.send_signal(signal.SIGKILL if engine.durable else signal.SIGSTOP)
            if engine.durable:
                await asyncio.to_thread(engine.process.wait)

    async def _end_fault(self, record: FaultRecord, fault: Fault) -> None:
        if isinstance(fault, CutRegion):
            await self._cutter.cut(fault.region, off=False)
        elif isinstance(fault, SlowStore):
            assert self._processes is not None
            self._processes.slow_store(0.0)
        elif not isinstance(fault, KillServer):
            await self._start_again(self._engine(fault))
        record.ended_s = round(self._clock(), 2)
        self._timeline.faults.append((record.ended_s, f"ended: {record.what}"))

    def _engine(self, fault: Fault) -> EmbeddedServer:
        assert self._processes is not None
        engine = self._processes.engine(ROLES[type(fault)])
        assert engine is not None
        return engine

    async def _start_again(self, engine: EmbeddedServer) -> None:
        """Start an engine on its old port and data, without blocking the event loop while it comes up."""
        assert engine.process is not None
        if not engine.durable:
            engine.process.send_signal(signal.SIGCONT)
            return
        deadline_s = self._clock() + READY_TIMEOUT_S
        engine.process = engine.launch()  # in the main thread: a child dies with the thread that started it
        while not await asyncio.to_thread(engine.answers):
            if engine.process.poll() is not None:  # the old process may still be ending
                engine.process = engine.launch()
            if self._clock() > deadline_s:
                raise BackendError(f"{engine.name} did not come back within {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(READY_POLL_S)

    async def _kill_servers(self, record: FaultRecord, fault: KillServer) -> None:
        while len(record.killed) < fault.count:
            playing = []
            with contextlib.suppress(FleetError):
                playing = [
                    server
                    for server in await self._fleet.gameservers()
                    if (server.get("report") or {}).get("phase") == "playing"
                    and not server.get("gone")
                    and server["name"] not in self.killed_servers
                    and fault.region in (None, server["region"])
                ]
            if not playing:
                await asyncio.sleep(RETRY_S)
                continue
            playing.sort(key=lambda server: str(server["name"]))
            victim = playing[self._choose(len(playing))]
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(victim["pid"]), signal.SIGKILL)
                record.killed.append(str(victim["name"]))
                if record.began_s is None:
                    self._note_begin(record)
        record.ended_s = record.began_s

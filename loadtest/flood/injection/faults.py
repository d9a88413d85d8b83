"""Fault injection: at their time, faults of the scenario kill, cut or slow parts of the backend, and end
again.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import subprocess
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from dedicated_server.fleet.client import FleetAdminClient, FleetError
from launchday.engines import EmbeddedServer
from loadtest.errors import BackendError
from loadtest.flood.backend_processes import BackendProcesses
from loadtest.flood.injection import busy_processes, pauses
from loadtest.flood.watching.allocations import AllocationFeed
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.drops import ConnectionDrops
from loadtest.scenario.faults import (
    GAME_SERVERS,
    Busy,
    CutRegion,
    Fault,
    KillServer,
    Pause,
    ReconnectAll,
    SlowStore,
    StopBroker,
    StopCache,
    StopStore,
)

ROLES = {StopCache: "cache", StopBroker: "bus", StopStore: "store"}
# Parts by their names in a scenario → in BackendProcesses, where they differ.
PART_NAMES = {"meta_service": "meta service", "write_behind": "write-behind", "broker": "bus"}
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
        stopped: names of the game servers that were stopped for a while.
    """

    fault: Fault
    what: str
    began_s: float | None = None
    ended_s: float | None = None
    killed: list[str] = field(default_factory=list)
    stopped: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """The record, as the run's JSON shows it."""
        planned = self.fault.model_dump(exclude_none=True)
        return planned | {
            "what": self.what,
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "killed": self.killed,
            "stopped": self.stopped,
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
        case ReconnectAll():
            return "every client loses its connections and comes back"
        case StopCache():
            return "cache killed"
        case StopBroker():
            return "broker stopped"
        case StopStore():
            return "store killed"
        case SlowStore(by_ms=by_ms):
            return f"store {by_ms:g} ms slower"
        case Busy(processes=processes):
            return f"{processes} busy process{'es' if processes > 1 else ''}"
        case Pause(part="game_servers", every=every, for_s=for_s):
            which = "each game server" if every == 1 else f"one game server in {every}"
            return f"{which} stopped for {for_s:g} s when it is allocated"
        case Pause(part=part):
            return f"{part.replace('_', ' ')} stopped"


class FaultInjector:
    """Injects the faults of a run. Use it as an async context manager: leaving it ends the faults that still
    last.

    Args:
        faults: of the scenario.
        processes: of the backend; None where they are not known: then only regions can be cut, and game
            servers killed that run on this machine.
        fleet: lists the game servers; None, as the next two, on a target of somebody else's: such a run has
            no fault that needs them.
        allocations: says which game servers are allocated.
        cutter: cuts regions.
        timeline: notes when each fault began and ended.
        clock: seconds of the run.
        choose: a random integer below its argument, from the scenario's seed.
        drops: drops the connections of all players.

    Attributes:
        records: what came of each fault.
        busy_s: seconds of processor time that processes of the fault ``busy`` have used.

    Raises:
        BackendError: on construction, for a fault that cannot be injected into this backend.
    """

    def __init__(
        self,
        faults: list[Fault],
        processes: BackendProcesses | None,
        fleet: FleetAdminClient | None,
        allocations: AllocationFeed | None,
        cutter: RegionCutter | None,
        timeline: Timeline,
        clock: Callable[[], float],
        choose: Callable[[int], int],
        drops: ConnectionDrops | None = None,
    ) -> None:
        self.records = [FaultRecord(fault, describe_fault(fault)) for fault in faults]
        self._processes, self._fleet, self._cutter = processes, fleet, cutter
        self._drops = ConnectionDrops() if drops is None else drops
        self._allocations = allocations
        self._timeline, self._clock, self._choose = timeline, clock, choose
        self.busy_s = 0.0
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
            if isinstance(fault, Pause) and fault.part != GAME_SERVERS and self._pid(fault) is None:
                raise BackendError(
                    f"faults: {describe_fault(fault)}: it was not started by this command; "
                    "let launchday flood start the backend, or leave the fault out"
                )

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
        if isinstance(fault, ReconnectAll):
            self._note_begin(record)
            record.ended_s = record.began_s
            self._drops.drop_all()
            return
        ends = contextlib.AsyncExitStack()
        self._note_begin(record)
        try:
            await self._begin(record, ends)
            await asyncio.sleep(fault.lasts_s)
        finally:
            await asyncio.shield(self._end(record, ends))

    def _note_used(self, process: subprocess.Popen[bytes]) -> None:
        self.busy_s += busy_processes.used_s(process)

    def _note_begin(self, record: FaultRecord) -> None:
        record.began_s = round(self._clock(), 2)
        self._timeline.faults.append((record.began_s, record.what))

    async def _begin(self, record: FaultRecord, ends: contextlib.AsyncExitStack) -> None:
        """Begin a fault. What ends it is pushed first: the run may be stopped in between."""
        match record.fault:
            case CutRegion(region=region):
                assert self._cutter is not None
                ends.push_async_callback(self._cutter.cut, region, off=False)
                await self._cutter.cut(region, off=True)
            case SlowStore(by_ms=by_ms):
                assert self._processes is not None
                ends.callback(self._processes.slow_store, 0.0)
                self._processes.slow_store(by_ms)
            case Busy(processes=count, for_s=for_s):
                process = busy_processes.start(count, for_s)
                ends.push_async_callback(asyncio.to_thread, process.wait)
                ends.callback(process.kill)
                ends.callback(self._note_used, process)
            case Pause(part="game_servers", every=every, for_s=for_s):
                assert self._allocations is not None
                stopper = pauses.AllocationStopper(every, for_s)
                record.stopped = stopper.stopped
                ends.push_async_callback(stopper.close)
                ends.enter_context(self._allocations.calling(stopper.on_allocated))
            case Pause() as fault:
                pid = self._pid(fault)
                assert pid is not None
                assert self._processes is not None
                name = _name(fault)
                ends.enter_context(self._processes.planned_outage(name))
                ends.enter_context(pauses.stopped(pid, family=self._processes.engine(name) is not None))
            case StopCache() | StopBroker() | StopStore() as fault:
                await self._stop_engine(ROLES[type(fault)], ends)

    async def _stop_engine(self, role: str, ends: contextlib.AsyncExitStack) -> None:
        assert self._processes is not None
        engine = self._processes.engine(role)
        assert engine is not None
        assert engine.process is not None
        ends.enter_context(self._processes.planned_outage(role))
        if not engine.durable:
            ends.enter_context(pauses.stopped(engine.process.pid, family=True))
            return
        ends.push_async_callback(self._start_again, engine)
        engine.process.kill()
        await asyncio.to_thread(engine.process.wait)

    async def _end(self, record: FaultRecord, ends: contextlib.AsyncExitStack) -> None:
        await ends.aclose()
        record.ended_s = round(self._clock(), 2)
        self._timeline.faults.append((record.ended_s, f"ended: {record.what}"))

    def _pid(self, fault: Pause) -> int | None:
        return None if self._processes is None else self._processes.processes.get(_name(fault))

    async def _start_again(self, engine: EmbeddedServer) -> None:
        """Start an engine on its old port and data, without blocking the event loop while it comes up."""
        deadline_s = self._clock() + READY_TIMEOUT_S
        engine.process = engine.launch()  # in the main thread: a child dies with the thread that started it
        while not await asyncio.to_thread(engine.answers):
            if engine.process.poll() is not None:  # the old process may still be ending
                engine.process = engine.launch()
            if self._clock() > deadline_s:
                raise BackendError(f"{engine.name} did not come back within {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(READY_POLL_S)

    async def _kill_servers(self, record: FaultRecord, fault: KillServer) -> None:
        assert self._fleet is not None
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


def _name(fault: Pause) -> str:
    """A part's name among the backend's processes."""
    return PART_NAMES.get(fault.part, fault.part)

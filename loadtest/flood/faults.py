"""Faults on a timeline: at their time, things are killed, cut or slowed, and later set right again."""

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
RETRY_S = 0.25  # for a server to kill, where none has a match yet
READY_POLL_S = 0.1
READY_TIMEOUT_S = 60.0


class RegionCutter(Protocol):
    """What a fault needs of the swarm."""

    async def cut(self, region: str, *, off: bool) -> None:
        """Cut players off from the game servers of a region, or let them through again."""
        ...


@dataclass(slots=True)
class FaultRecord:
    """A fault of the scenario, and what came of it.

    Attributes:
        began_s, over_s: seconds after the start; None where it never came to that.
        what: in words.
        killed: servers that were killed.
    """

    fault: Fault
    what: str
    began_s: float | None = None
    ended_s: float | None = None
    killed: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the JSON of the run."""
        planned = self.fault.model_dump(exclude_none=True)
        return planned | {
            "what": self.what,
            "began_s": self.began_s,
            "ended_s": self.ended_s,
            "killed": self.killed,
        }


def describe_fault(fault: Fault) -> str:
    """What a fault is, in a few words."""
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
    """All faults of a run. Use it as an async context manager: leaving it sets everything right that is still wrong.

    Args:
        machine: None where the backend is not ours: then only game servers of this machine can be killed, and regions cut.
        choose: picks one of so many; from the scenario's seed.

    Raises:
        BackendError: on construction, for faults that this backend cannot be given.
    """

    def __init__(
        self,
        faults: list[Fault],
        machine: BackendProcesses | None,
        fleet: FleetAdminClient,
        cutter: RegionCutter,
        timeline: Timeline,
        clock: Callable[[], float],
        choose: Callable[[int], int],
    ) -> None:
        self.records = [FaultRecord(fault, describe_fault(fault)) for fault in faults]
        self._machine, self._fleet, self._cutter = machine, fleet, cutter
        self._timeline, self._clock, self._choose = timeline, clock, choose
        self._tasks: list[asyncio.Task[None]] = []
        for fault in faults:
            role = ROLES.get(type(fault))
            if role is not None and (machine is None or machine.engine(role) is None):
                raise BackendError(
                    f"faults: {describe_fault(fault)}: the {role} is not one that this launcher has started; "
                    "let launchday flood start the backend, or leave the fault out"
                )
            if isinstance(fault, SlowStore) and machine is None:
                raise BackendError("faults: slow_store needs a backend that launchday flood has started")

    @property
    def killed_count(self) -> int:
        """Game servers that were killed so far."""
        return sum(len(happening.killed) for happening in self.records)

    @property
    def killed_servers(self) -> set[str]:
        """Names of the game servers that were killed so far."""
        return {name for happening in self.records for name in happening.killed}

    @property
    def missed(self) -> int:
        """Faults whose time never came, because the run was over before."""
        return sum(happening.began_s is None for happening in self.records)

    async def __aenter__(self) -> FaultInjector:
        self._tasks = [asyncio.create_task(self._happen(happening)) for happening in self.records]
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Set right what is still wrong, and let nothing more go wrong. Raises what a fault of our own has raised."""
        for task in self._tasks:
            task.cancel()
        results = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def _happen(self, happening: FaultRecord) -> None:
        fault = happening.fault
        await asyncio.sleep(fault.at_s - self._clock())
        if isinstance(fault, KillServer):
            await self._kill_servers(happening, fault)
            return
        self._begin(happening)
        try:
            await self._go_wrong(fault)
            await asyncio.sleep(fault.for_s)
        finally:
            await asyncio.shield(self._set_right(happening, fault))

    def _begin(self, happening: FaultRecord) -> None:
        happening.began_s = round(self._clock(), 2)
        self._timeline.faults.append((happening.began_s, happening.what))

    async def _go_wrong(self, fault: Fault) -> None:
        if isinstance(fault, CutRegion):
            await self._cutter.cut(fault.region, off=True)
        elif isinstance(fault, SlowStore):
            assert self._machine is not None
            self._machine.slow_store(fault.by_ms)
        else:
            engine = self._engine(fault)
            assert engine.process is not None
            engine.process.send_signal(signal.SIGKILL if engine.durable else signal.SIGSTOP)
            if engine.durable:
                await asyncio.to_thread(engine.process.wait)

    async def _set_right(self, happening: FaultRecord, fault: Fault) -> None:
        if isinstance(fault, CutRegion):
            await self._cutter.cut(fault.region, off=False)
        elif isinstance(fault, SlowStore):
            assert self._machine is not None
            self._machine.slow_store(0.0)
        elif not isinstance(fault, KillServer):
            await self._start_again(self._engine(fault))
        happening.ended_s = round(self._clock(), 2)
        self._timeline.faults.append((happening.ended_s, f"over: {happening.what}"))

    def _engine(self, fault: Fault) -> EmbeddedServer:
        assert self._machine is not None
        engine = self._machine.engine(ROLES[type(fault)])
        assert engine is not None
        return engine

    async def _start_again(self, engine: EmbeddedServer) -> None:
        """Start an engine on its old port and data, without stopping the bots while it comes up."""
        assert engine.process is not None
        if not engine.durable:
            engine.process.send_signal(signal.SIGCONT)
            return
        deadline_s = self._clock() + READY_TIMEOUT_S
        engine.process = (
            engine.launch()
        )  # here, in the main thread: a child dies with the thread that started it
        while not await asyncio.to_thread(engine.answers):
            if engine.process.poll() is not None:  # what is left of the old one may still be going
                engine.process = engine.launch()
            if self._clock() > deadline_s:
                raise BackendError(f"{engine.name} did not come back within {READY_TIMEOUT_S:g} s")
            await asyncio.sleep(READY_POLL_S)

    async def _kill_servers(self, happening: FaultRecord, fault: KillServer) -> None:
        while len(happening.killed) < fault.count:
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
                happening.killed.append(str(victim["name"]))
                if happening.began_s is None:
                    self._begin(happening)
        happening.ended_s = happening.began_s

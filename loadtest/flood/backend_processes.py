"""The processes of a backend that runs on this machine: what they cost, and how faults reach them."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Protocol

import psutil

from launchday.engines import EmbeddedServer

GAME_SERVERS, SERVICES, ENGINES, OTHERS = "servers", "services", "engines", "others"
FLEET = "fleet"  # the service whose children all game servers are


class BackendProcesses(Protocol):
    """What the load test needs of the launcher that started the backend."""

    @property
    def processes(self) -> dict[str, int]:
        """Process ids by service and engine name."""
        ...

    def engine(self, role: str) -> EmbeddedServer | None:
        """The embedded server of a role (cache, store, bus); None where the settings name a server of the
        user's own.
        """
        ...

    @property
    def deaths(self) -> Sequence[str]:
        """One line for each process that died by itself since the play began."""
        ...

    def planned_outage(self, name: str) -> AbstractContextManager[None]:
        """Let a part, by its name in ``processes``, be killed or stopped on purpose until the block ends.

        Until then it is neither counted as dead nor started again.
        """
        ...

    def slow_store(self, by_ms: float) -> None:
        """Delay every answer of the store by so many milliseconds; 0 ends it."""
        ...


class CpuMeter:
    """Processor time of the backend by kind of process.

    A process's children count with it, and those that have ended too: the system adds what a child has used
    to the parent that reaps it.
    """

    def __init__(self, processes: BackendProcesses) -> None:
        self._processes = processes
        self._last: dict[tuple[str, int], dict[str, float]] = {}
        self._spent: dict[str, float] = {GAME_SERVERS: 0.0, SERVICES: 0.0, ENGINES: 0.0}

    def read(self) -> dict[str, float]:
        """Seconds of processor time since the first reading, by kind.

        It walks over /proc, which takes some milliseconds.
        """
        for name, pid in self._processes.processes.items():
            now = self._now(name, pid)
            before = self._last.get((name, pid), now)
            for kind, seconds in now.items():
                self._spent[kind] += max(0.0, seconds - before.get(kind, 0.0))
            self._last[name, pid] = now
        return dict(self._spent)

    def by_kind(self, own_s: float, machine_s: float) -> dict[str, float]:
        """Seconds of processor time since the first reading, by kind, with what neither the backend nor this
        process used.

        Args:
            own_s: what this process has used meanwhile.
            machine_s: what the whole machine has used meanwhile, by two calls of :meth:`busy_s`.
        """
        backend = self.read()
        return {**backend, OTHERS: max(0.0, machine_s - own_s - sum(backend.values()))}

    @staticmethod
    def busy_s() -> float:
        """Seconds of processor time that the whole machine has used since it started."""
        times = psutil.cpu_times()
        return float(sum(times) - times.idle - getattr(times, "iowait", 0.0) - getattr(times, "guest", 0.0))

    def _now(self, name: str, pid: int) -> dict[str, float]:
        try:
            root = psutil.Process(pid)
            own = root.cpu_times()
            tree_s = own.children_user + own.children_system
            for child in root.children(recursive=True):
                with contextlib.suppress(psutil.NoSuchProcess):
                    times = child.cpu_times()
                    tree_s += times.user + times.system + times.children_user + times.children_system
        except psutil.NoSuchProcess:
            return {}
        own_s = own.user + own.system
        if name == FLEET:
            return {SERVICES: own_s, GAME_SERVERS: tree_s}
        kind = ENGINES if self._processes.engine(name) is not None else SERVICES
        return {kind: own_s + tree_s}

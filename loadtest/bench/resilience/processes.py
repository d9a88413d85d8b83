"""Memory and descriptors of all processes of a backend, its game servers included."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

import numpy as np
import psutil

from loadtest.background import background
from loadtest.flood.backend_processes import BackendProcesses

SAMPLE_S = 2.0
SETTLED_SHARE = 0.25  # of the samples, the first, are left out: an allocator's arenas fill in steps
FEWEST = 4  # samples that a slope is worked out from
STORE = "store"
BYTES_A_MB = 1 << 20


class ProcessWatch:
    """Watches the processes of a backend.

    Args:
        backend: whose processes and their descendants are watched.
    """

    def __init__(self, backend: BackendProcesses) -> None:
        self._processes: dict[str, psutil.Process] = {}
        for name, pid in backend.processes.items():
            root = psutil.Process(pid)
            self._processes[name] = root
            for number, child in enumerate(root.children(recursive=True)):
                self._processes[f"{name}, child {number}"] = child
        self._samples: dict[str, list[tuple[float, int]]] = {name: [] for name in self._processes}

    def descriptors(self) -> dict[str, int]:
        """Open descriptors now, by process; those that have ended are left out.

        Of PostgreSQL without its files: each of its processes keeps those of the tables that it has read, a
        thousand at most, and which process reads a table first is chance.
        """
        found = {}
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                files = len(process.open_files()) if name.startswith(STORE) else 0
                found[name] = process.num_fds() - files
        return found

    @contextlib.asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Note the memory of each process every SAMPLE_S seconds while the context lasts."""
        async with background(self._sample(), "memory samples"):
            yield

    def mb_a_minute(self) -> dict[str, float]:
        """Growth of each process's own memory in MB a minute, by its samples."""
        return {
            name: slope_a_minute([at_s for at_s, _ in samples], [size for _, size in samples])
            for name, samples in self._samples.items()
            if len(samples) * (1.0 - SETTLED_SHARE) >= FEWEST
        }

    async def _sample(self) -> None:
        while True:
            await asyncio.to_thread(self._take_samples)
            await asyncio.sleep(SAMPLE_S)

    def _take_samples(self) -> None:
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                self._samples[name].append((time.monotonic(), process.memory_full_info().uss))


def slope_a_minute(at_s: list[float], size_bytes: list[int]) -> float:
    """Growth in MB a minute: the least-squares slope of sizes without their largest step up and down.

    A buffer that is taken or given back once is a step, 24 MB in the process that writes Parquet, and a line
    through it rises by 27 MB a minute. What grows does so again and again.
    """
    skipped = int(len(at_s) * SETTLED_SHARE)
    steps = np.diff(np.array(size_bytes[skipped:], float))
    steps[[np.argmax(steps), np.argmin(steps)]] = 0.0
    slope, _offset = np.polyfit(at_s[skipped + 1 :], np.cumsum(steps), 1)
    return round(float(slope) * 60.0 / BYTES_A_MB, 3)


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much each of the counts has grown that are in both."""
    return {name: after[name] - count for name, count in before.items() if name in after}

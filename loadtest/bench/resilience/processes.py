"""Memory and descriptors of all processes of a backend, its game servers included."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Mapping

import numpy as np
import psutil

from loadtest.flood.backend_processes import BackendProcesses

SAMPLE_S = 2.0
SETTLED_SHARE = 0.25  # of the samples, the first, are left out: an allocator's arenas fill in steps
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
        """Open descriptors now, by process; those that have ended are left out."""
        found = {}
        for name, process in self._processes.items():
            with contextlib.suppress(psutil.NoSuchProcess):
                found[name] = process.num_fds()
        return found

    @contextlib.asynccontextmanager
    async def sampling(self) -> AsyncIterator[None]:
        """Note the memory of each process every SAMPLE_S seconds while the context lasts."""
        task = asyncio.create_task(self._sample(), name="memory samples")
        try:
            yield
        finally:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def mb_a_minute(self) -> dict[str, float]:
        """Growth of each process's own memory in MB a minute, by the slope of the samples."""
        return {
            name: slope_a_minute([at_s for at_s, _ in samples], [size for _, size in samples])
            for name, samples in self._samples.items()
            if len(samples) * (1.0 - SETTLED_SHARE) >= 2
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
    """Growth in MB a minute: the least-squares slope of sizes over time, without the first of them."""
    skipped = int(len(at_s) * SETTLED_SHARE)
    slope, _offset = np.polyfit(np.array(at_s[skipped:]), np.array(size_bytes[skipped:], float), 1)
    return round(float(slope) * 60.0 / BYTES_A_MB, 3)


def grown(before: Mapping[str, int], after: Mapping[str, int]) -> dict[str, int]:
    """By how much each of the counts has grown that are in both."""
    return {name: after[name] - count for name, count in before.items() if name in after}

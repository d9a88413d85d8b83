"""How much of the machine this process may use: cores, memory, processes, by containers' and shells' limits.

A container's share is not what the machine has: four processes that hash on half a core, or a compiler a core
in a gigabyte, take each other's time and are then killed without a word.
"""

from __future__ import annotations

import contextlib
import math
import os
import resource
from collections.abc import Iterator
from pathlib import Path

CGROUPS = Path("/sys/fs/cgroup")
OWN_CGROUPS = Path("/proc/self/cgroup")
MEMORY = Path("/proc/meminfo")
PROCESSES = Path("/proc")
NO_LIMIT = 1 << 60  # cgroup v1 writes a number of this size where there is none


def cores() -> int:
    """Return how many cores this process may keep busy, at least 1.

    Those that it may run on (sched_setaffinity), and no more than the processor time that its cgroups grant,
    rounded up (``cpu.max`` of version 2, ``cpu.cfs_quota_us`` of version 1).
    """
    granted = len(os.sched_getaffinity(0))
    for folder in _cgroups("cpu"):
        limit = _words(folder / "cpu.max") or [
            *_words(folder / "cpu.cfs_quota_us"),
            *_words(folder / "cpu.cfs_period_us"),
        ]
        with contextlib.suppress(ValueError, ZeroDivisionError):  # "max": there is none
            quota_us, period_us = (float(word) for word in limit)
            if quota_us > 0:
                granted = min(granted, math.ceil(quota_us / period_us))
    return max(granted, 1)


def memory_bytes() -> int:
    """Return how much memory this process and its children may use: the machine's, or less by its cgroups
    (``memory.max``, ``memory.limit_in_bytes``) or by the limit on its addresses (``ulimit -v``).
    """
    granted = NO_LIMIT
    for line in _lines(MEMORY):
        if line.startswith("MemTotal:"):
            granted = int(line.split()[1]) << 10
    for folder in _cgroups("memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            with contextlib.suppress(ValueError, IndexError):
                granted = min(granted, int(_words(folder / name)[0]))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    return granted if soft == resource.RLIM_INFINITY else min(granted, soft)


def at_once(bytes_each: int) -> int:
    """Return how many processes that need so much memory each may work side by side, at least 1."""
    return max(min(cores(), memory_bytes() // bytes_each), 1)


def processes_left() -> int:
    """Return how many processes and threads may still be started.

    By this user (``ulimit -u``, which counts all that the user has, and does not bind root), and in the
    cgroups (``pids.max``).
    """
    left = NO_LIMIT
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    uid = os.getuid()
    if soft != resource.RLIM_INFINITY and uid != 0:
        left = soft - _threads_of(uid)
    for folder in _cgroups("pids"):
        with contextlib.suppress(ValueError, IndexError):
            most, now = (int(_words(folder / name)[0]) for name in ("pids.max", "pids.current"))
            left = min(left, most - now)
    return max(left, 0)


def _threads_of(uid: int) -> int:
    counted = 0
    for process in PROCESSES.iterdir():
        with contextlib.suppress(OSError):  # it has ended
            if process.name.isdigit() and process.stat().st_uid == uid:
                counted += len(os.listdir(process / "task"))
    return counted


def _cgroups(controller: str) -> Iterator[Path]:
    """Yield the folders of this process's cgroup and of those that it lies in, as far as they are visible."""
    for line in _lines(OWN_CGROUPS):
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers and controller not in controllers.split(","):
            continue
        root = CGROUPS / controllers if controllers else CGROUPS
        if not root.is_dir():
            root = CGROUPS / controller
        # A path from outside the container is not visible in it; its own group is then the root.
        folder = root / path.strip("/")
        while folder.is_relative_to(root):
            if folder.is_dir():
                yield folder
            folder = folder.parent


def _lines(file: Path) -> list[str]:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return file.read_text().splitlines()
    return []


def _words(file: Path) -> list[str]:
    return " ".join(_lines(file)).split()

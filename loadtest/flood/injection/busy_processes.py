"""Processes that only compute: ``python -m loadtest.flood.injection.busy_processes COUNT SECONDS``.

Each has a session of its own: the scheduler shares the processors between sessions first (sched_autogroup),
and every service of the backend has one too. They end after their time, and with whoever started them.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

import psutil

from launchday import child_processes, startup


def start(count: int, for_s: float) -> subprocess.Popen[bytes]:
    """Start ``count`` processes that compute for ``for_s`` seconds; return their parent: they end with it.

    One process is started here and makes the others: forking the flood itself forty times would stop its bots
    for as long as the copies of its page tables take.
    """
    command = [sys.executable, "-m", __name__, str(count), str(for_s)]
    return child_processes.spawn(command, log=Path(os.devnull))


def used_s(parent: subprocess.Popen[bytes]) -> float:
    """Return the seconds of processor time that they have used until now; after ``wait`` nobody knows."""
    found = 0.0
    with contextlib.suppress(psutil.NoSuchProcess):
        root = psutil.Process(parent.pid)
        for process in (root, *root.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                times = process.cpu_times()
                found += times.user + times.system
                if process == root:
                    found += times.children_user + times.children_system
    return found


def compute(until_s: float) -> None:
    """Compute until a moment of the monotonic clock."""
    while time.monotonic() < until_s:
        pass


def main() -> None:
    """Make the processes and wait until all have ended."""
    count, until_s, parent = int(sys.argv[1]), time.monotonic() + float(sys.argv[2]), os.getpid()
    children = []
    for _ in range(count):
        child = os.fork()
        if child == 0:
            os.setsid()
            child_processes.die_with_parent(parent)
            compute(until_s)
            os._exit(0)
        children.append(child)
    for child in children:
        os.waitpid(child, 0)


if __name__ == "__main__":
    startup.prepare()
    main()

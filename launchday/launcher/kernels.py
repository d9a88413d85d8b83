"""Compiles kernels ahead of time, one process a part, side by side on all cores, and says so."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from launchday import child_processes, kernel_cache, machine
from launchday.errors import LaunchdayError

POLL_S = 0.02
STOP_TIMEOUT_S = 1.0
COMPILER_BYTES = 600 << 20  # of one process: the game server's kernels take 565 MB


class CompileError(LaunchdayError):
    """Raised when a part of the kernels does not compile.

    The message has the compiler's last words and the log's path.
    """


@dataclass(frozen=True)
class KernelPart:
    """One part of the kernels, compiled by one process.

    Attributes:
        name: its name in `launchday.kernel_cache`.
        meaning: what its kernels do, for people.
        code: Python that compiles them.
        cpu_s: seconds of one core that it takes, measured; for the estimate alone.
        after: the part whose kernels it uses too: where both are compiled, that one comes first, so that none
            is compiled twice.
    """

    name: str
    meaning: str
    code: str
    cpu_s: float
    after: str = ""


# In an order in which two cores end together.
PARTS = (
    KernelPart(
        "flexmatch",
        "the search of rule sets",
        "from matchmaker.rules.flexmatch.warm_up import warm_up; warm_up()",
        35.0,
    ),
    KernelPart(
        "matchmaker",
        "matching",
        "from matchmaker.matching.warm_up import warm_up; warm_up()",
        31.0,
    ),
    KernelPart(
        "why",
        "why a ticket has no match",
        "from matchmaker.plans.why.warm_up import warm_up; warm_up()",
        25.0,
        after="flexmatch",
    ),
    KernelPart(
        "plans",
        "the matching by plans",
        "from matchmaker.plans.warm_up import warm_up; warm_up()",
        85.0,
        after="flexmatch",
    ),
    KernelPart(
        "simulation",
        "the simulator",
        "from loadtest.simulate.command import warm_up; warm_up()",
        35.0,
        after="matchmaker",
    ),
    KernelPart(
        "dedicated_server",
        "the game server's tick",
        "from dedicated_server.match.warm_up import warm_up; warm_up()",
        35.0,
    ),
    KernelPart(
        "loadtest",
        "the simulated players",
        "from loadtest.warm_up import warm_up; warm_up()",
        17.0,
    ),
)
ALL_PARTS = frozenset(part.name for part in PARTS)
BACKEND_PARTS = frozenset({"dedicated_server", "matchmaker"})
FLOOD_PARTS = BACKEND_PARTS | {"loadtest"}
GAME_SERVER_PART = "dedicated_server"  # not needed where game servers are somebody else's


def compile_kernels(progress: Callable[[str], None], names: Iterable[str] = ALL_PARTS) -> int:
    """Compile the parts that are not compiled yet, as many at once as there are cores, and wait for all.

    Where another process compiles a part already, this waits for it.

    Args:
        progress: is given one line a step; nothing where all parts are compiled.
        names: of the parts.

    Returns:
        The number of parts that were not compiled before.

    Raises:
        CompileError: a part does not compile. The others are ended first.
    """
    folder = os.environ.get("NUMBA_CACHE_DIR")
    wanted = set(names)
    missing = [part for part in PARTS if part.name in wanted and not kernel_cache.is_compiled(part.name)]
    if folder is None or not missing:
        return 0
    cores = machine.at_once(COMPILER_BYTES)
    estimate_s = max(sum(part.cpu_s for part in missing) / cores, *(part.cpu_s for part in missing), 0.0)
    progress(
        f"compiling kernels: {', '.join(part.meaning for part in missing)} "
        f"(about {estimate_s:.0f} s on {min(cores, len(missing))} cores, once for these sources)"
    )
    running: dict[KernelPart, tuple[subprocess.Popen[bytes], float]] = {}
    ahead = list(missing)
    try:
        while ahead or running:
            unfinished = {part.name for part in (*ahead, *running)}
            for part in [part for part in ahead if part.after not in unfinished][: cores - len(running)]:
                ahead.remove(part)
                running[part] = (_start(part, Path(folder)), time.monotonic())
            for part, (process, started) in list(running.items()):
                if process.poll() is None:
                    continue
                del running[part]
                if process.returncode != 0:
                    log = _log(part, Path(folder))
                    raise CompileError(
                        f"{part.meaning} does not compile: {child_processes.last_line(log)} (log: {log})"
                    )
                progress(f"compiled {part.meaning} in {time.monotonic() - started:.0f} s")
            time.sleep(POLL_S)
    finally:
        for process, _ in running.values():
            child_processes.stop(process, STOP_TIMEOUT_S)
    return len(missing)


def _start(part: KernelPart, folder: Path) -> subprocess.Popen[bytes]:
    return child_processes.spawn([sys.executable, "-c", part.code], log=_log(part, folder))


def _log(part: KernelPart, folder: Path) -> Path:
    return folder / f"{part.name}.log"

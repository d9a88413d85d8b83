"""A memory cgroup of one's own, of either version, for a command and all that it starts."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from loadtest.errors import CaseUnavailableError

CGROUPS = Path("/sys/fs/cgroup")
OWN = Path("/proc/self/cgroup")
MB = 1 << 20
GONE_S = 5.0
POLL_S = 0.05
UNLIMITED_LACKS = (
    "this case needs a memory cgroup that we may make: run it as root, or below systemd-run --user --scope"
)


@dataclass(frozen=True, slots=True)
class MemoryCgroup:
    """A cgroup with a limit.

    Attributes:
        folder: of the cgroup; a process whose id is written to its ``cgroup.procs`` belongs to it.
        version: 1 or 2.
    """

    folder: Path
    version: int

    @property
    def killed(self) -> int:
        """How many processes the kernel has killed because the limit was reached."""
        file = self.folder / ("memory.events" if self.version == 2 else "memory.oom_control")
        lines = dict(line.split() for line in file.read_text().splitlines())
        return int(lines.get("oom_kill", 0))

    @property
    def peak_mb(self) -> int | None:
        """The most that was in use, files in the page cache included; None where the kernel does not say."""
        file = self.folder / ("memory.peak" if self.version == 2 else "memory.max_usage_in_bytes")
        return int(file.read_text()) // MB if file.exists() else None


@contextlib.contextmanager
def memory_cgroup(limit_mb: int) -> Iterator[MemoryCgroup]:
    """Make a cgroup with a limit, and remove it when its processes have ended.

    Raises CaseUnavailableError where we may not make one.
    """
    name = f"launchday-environment-{os.getpid()}"
    try:
        made = _version_1(name, limit_mb) or _version_2(name, limit_mb)
    except OSError as error:
        raise CaseUnavailableError(f"{UNLIMITED_LACKS} ({error.strerror})") from error
    if made is None:
        raise CaseUnavailableError(UNLIMITED_LACKS)
    try:
        yield made
    finally:
        deadline = time.monotonic() + GONE_S
        while (made.folder / "cgroup.procs").read_text().strip() and time.monotonic() < deadline:
            time.sleep(POLL_S)
        made.folder.rmdir()


def _version_1(name: str, limit_mb: int) -> MemoryCgroup | None:
    own = next((line.split(":", 2)[2] for line in _own_lines() if ":memory:" in line), None)
    if own is None:
        return None
    folder = CGROUPS / "memory" / own.lstrip("/") / name
    folder.mkdir()
    (folder / "memory.limit_in_bytes").write_text(str(limit_mb * MB))
    return MemoryCgroup(folder, 1)


def _version_2(name: str, limit_mb: int) -> MemoryCgroup | None:
    own = next((line[3:] for line in _own_lines() if line.startswith("0::")), None)
    if own is None:
        return None
    # A sibling: a cgroup that has processes cannot have children with a memory controller.
    folder = (CGROUPS / own.lstrip("/")).parent / name
    folder.mkdir()
    if not (folder / "memory.max").exists():
        folder.rmdir()
        return None
    (folder / "memory.max").write_text(str(limit_mb * MB))
    with contextlib.suppress(OSError):
        (folder / "memory.swap.max").write_text("0")
    return MemoryCgroup(folder, 2)


def _own_lines() -> list[str]:
    return OWN.read_text().splitlines() if OWN.exists() else []

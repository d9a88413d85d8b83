"""The processor that a benchmark runs on, and how near its second-level caches let a tick come to its floor.

A tick of 100 players reads half a megabyte. Where a core has less than 2 MiB of second-level cache, which the
kernel's own data passes through as well, part of that is fetched anew in every tick.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

PROCESSORS: Final = Path("/proc/cpuinfo")
CORES: Final = Path("/sys/devices/system/cpu")
LARGE_L2_KIB: Final = 2_048
UNITS_KIB: Final = {"K": 1, "M": 1_024}
JUDGED_PLAYERS: Final = 100
# By layout: the largest ratio of a tick to its floor where a core's cache is small, and elsewhere.
GOALS: Final = {"map": (1.30, 1.15), "cluster": (1.45, 1.35)}


@dataclass(frozen=True, slots=True)
class Processor:
    """A core of this machine.

    Attributes:
        name: as it calls itself; empty where it does not say.
        l2_kib: KiB of second-level cache that a core has, its share where several have one; None: unknown.
    """

    name: str
    l2_kib: int | None

    def goal(self, layout: str, players: int) -> float | None:
        """Return the largest ratio of a tick to its floor that is good here; None where none is set.

        A cache of which nothing is known is no excuse.
        """
        if players != JUDGED_PLAYERS or layout not in GOALS:
            return None
        small, large = GOALS[layout]
        return small if self.l2_kib is not None and self.l2_kib < LARGE_L2_KIB else large


def processor(core: int, processors: Path = PROCESSORS, cores: Path = CORES) -> Processor:
    """Return what is known of a core."""
    return Processor(_name(processors), _l2_kib(core, cores))


def _name(processors: Path) -> str:
    for line in _text(processors).splitlines():
        key, _, value = line.partition(":")
        if key.strip() in ("model name", "Model", "Hardware") and value.strip():
            return value.strip()
    return ""


def _l2_kib(core: int, cores: Path) -> int | None:
    for cache in sorted((cores / f"cpu{core}" / "cache").glob("index*")):
        if _text(cache / "level").strip() != "2" or _text(cache / "type").strip() == "Instruction":
            continue
        size = _text(cache / "size").strip()
        if size[-1:] in UNITS_KIB and size[:-1].isdecimal():
            return int(size[:-1]) * UNITS_KIB[size[-1]] // max(_cores_at(cache, cores), 1)
    return None


def _cores_at(cache: Path, cores: Path) -> int:
    """How many cores have a cache: processors that are one core's threads count as one."""
    sharing = _numbers(_text(cache / "shared_cpu_list"))
    first = {
        min(_numbers(_text(cores / f"cpu{number}" / "topology" / "thread_siblings_list")) or {number})
        for number in sharing
    }
    return len(first)


def _numbers(text: str) -> set[int]:
    """Read a list such as ``0-3,8``."""
    found: set[int] = set()
    for part in text.strip().split(","):
        first, _, last = part.partition("-")
        if first.isdecimal() and (last or first).isdecimal():
            found.update(range(int(first), int(last or first) + 1))
    return found


def _text(path: Path) -> str:
    with contextlib.suppress(OSError, UnicodeDecodeError):
        return path.read_text()
    return ""

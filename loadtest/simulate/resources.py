"""What a simulation itself took: wall time, and the most memory the process ever held."""

from __future__ import annotations

import resource
import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")
KIB_A_MB = 1_024


def peak_rss_mb() -> float:
    """The most resident memory of this process so far, in MB of 2^20 bytes."""
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / KIB_A_MB, 1)


def timed(work: Callable[[], T]) -> tuple[T, float]:
    """What some work gave, and the seconds it took."""
    started = time.perf_counter()
    done = work()
    return done, time.perf_counter() - started

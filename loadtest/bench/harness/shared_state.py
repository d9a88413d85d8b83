"""Memory that the parent, the game server and the clients share during a run.

The server writes the truth to it, so that the clients can measure the age of what they know; both read the
machine's one monotonic clock. There are no locks: a reader may see a tick's positions a moment early or late,
by less than 1 % of a tick.
"""

from __future__ import annotations

import math
import mmap
import os
import weakref
from enum import IntEnum
from multiprocessing import reduction
from multiprocessing.context import SpawnContext
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from launchday.mapped_files import map_allocated

TICK_TIMES: Final = 4_096  # ticks whose times are kept: a minute
POSITION_TICKS: Final = 128  # ticks whose positions are kept: two seconds, more than any client is behind


class Window(IntEnum):
    """The phase of a run."""

    CLOSED = 0  # clients connect or warm up
    OPEN = 1  # what happens is measured
    OVER = 2


class SharedState:
    """Shared arrays for up to ``capacity`` players.

    It is handed to a child process when that is created, not later.

    Args:
        context: starts the child processes; its pickles carry descriptors.
        capacity: players.

    Attributes:
        tick_at_s: when tick t began, at t % TICK_TIMES.
        ground_truth: x and y of every entity, in metres.
        floor_port: of every client's socket to the floor.
        position_history: the positions of tick t, at t % POSITION_TICKS.
        position_history_tick: the number of that tick, which is written last.

    Raises OSError where there is not so much memory.
    """

    _window: npt.NDArray[np.int64]
    _disturbed: npt.NDArray[np.int64]
    tick_at_s: npt.NDArray[np.float64]
    ground_truth: npt.NDArray[np.float64]
    floor_port: npt.NDArray[np.int32]
    position_history: npt.NDArray[np.float64]
    position_history_tick: npt.NDArray[np.int64]

    def __init__(self, context: SpawnContext, capacity: int) -> None:
        self.capacity = capacity
        # A file without a name: /dev/shm, where a container has 64 MB, is not asked.
        descriptor = os.memfd_create("launchday-bench")
        self._map(descriptor, sum(_bytes_of(dtype, shape) for _, dtype, shape in _fields(capacity)))

    def _map(self, descriptor: int, length: int = 0) -> None:
        self._descriptor = descriptor
        self._memory = map_allocated(descriptor, length) if length else mmap.mmap(descriptor, 0)
        weakref.finalize(self, os.close, descriptor)
        at = 0
        for name, dtype, shape in _fields(self.capacity):
            setattr(self, name, np.frombuffer(self._memory, dtype, math.prod(shape), at).reshape(shape))
            at += _bytes_of(dtype, shape)

    @property
    def window(self) -> Window:
        """The phase of the run."""
        return Window(int(self._window[0]))

    @window.setter
    def window(self, value: Window) -> None:
        self._window[0] = value

    @property
    def disturbed(self) -> bool:
        """Whether the block is disturbed: baseline and disturbed blocks take turns."""
        return bool(self._disturbed[0])

    @disturbed.setter
    def disturbed(self, value: bool) -> None:
        self._disturbed[0] = value

    def __getstate__(self) -> dict[str, Any]:
        return {"capacity": self.capacity, "descriptor": reduction.DupFd(self._descriptor)}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.capacity = state["capacity"]
        self._map(state["descriptor"].detach())


def _fields(capacity: int) -> tuple[tuple[str, Any, tuple[int, ...]], ...]:
    """Name, type and shape of every array, those of the widest elements first."""
    return (
        ("_window", np.int64, (1,)),
        ("_disturbed", np.int64, (1,)),
        ("tick_at_s", np.float64, (TICK_TIMES,)),
        ("ground_truth", np.float64, (2, capacity)),
        ("position_history", np.float64, (POSITION_TICKS, 2, capacity)),
        ("position_history_tick", np.int64, (POSITION_TICKS,)),
        ("floor_port", np.int32, (capacity,)),
    )


def _bytes_of(dtype: Any, shape: tuple[int, ...]) -> int:
    return int(np.dtype(dtype).itemsize) * math.prod(shape)

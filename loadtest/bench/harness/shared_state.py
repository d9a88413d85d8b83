"""Memory that the parent, the game server and the clients share during a run.

The server writes the truth to it, so that the clients can measure the age of what they know; both read the
machine's one monotonic clock. There are no locks: a reader may see a tick's positions a moment early or late,
by less than 1 % of a tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from multiprocessing.context import SpawnContext
from typing import Any, Final

import numpy as np
import numpy.typing as npt

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
    """

    def __init__(self, context: SpawnContext, capacity: int) -> None:
        self.capacity = capacity
        self._blocks: dict[str, Any] = {
            "window": context.RawArray("b", 8),
            "tick_at_s": context.RawArray("b", 8 * TICK_TIMES),
            "ground_truth": context.RawArray("b", 8 * 2 * capacity),
            "floor_port": context.RawArray("b", 4 * capacity),
            "position_history": context.RawArray("b", 8 * 2 * POSITION_TICKS * capacity),
            "position_history_tick": context.RawArray("b", 8 * POSITION_TICKS),
            "disturbed": context.RawArray("b", 8),
        }
        self._view()

    def _view(self) -> None:
        self._window = self._array("window", np.int64, (1,))
        # When tick t began, at t % TICK_TIMES
        self.tick_at_s = self._array("tick_at_s", np.float64, (TICK_TIMES,))
        self.ground_truth = self._array(
            "ground_truth", np.float64, (2, self.capacity)
        )  # x and y of every entity, in metres
        # Of every client's socket to the floor
        self.floor_port = self._array("floor_port", np.int32, (self.capacity,))
        # The positions of tick t at t % POSITION_TICKS, and the number of that tick, which is written last.
        self.position_history = self._array(
            "position_history", np.float64, (POSITION_TICKS, 2, self.capacity)
        )
        self.position_history_tick = self._array("position_history_tick", np.int64, (POSITION_TICKS,))
        self._disturbed = self._array("disturbed", np.int64, (1,))

    def _array(self, name: str, dtype: Any, shape: Sequence[int]) -> npt.NDArray[Any]:
        return np.frombuffer(self._blocks[name], dtype).reshape(shape)

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
        return {"capacity": self.capacity, "_blocks": self._blocks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view()

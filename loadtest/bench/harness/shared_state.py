"""The notice board: memory that the parent, the game server and the crowd share during a run.

On it the server writes what is true, so that the crowd can tell how old what it was told is; both read the machine's one monotonic
clock. Nobody waits for anybody: a reader may see a tick's positions a moment early or late, which is worth less than 1 % of a tick.
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from multiprocessing.context import SpawnContext
from typing import Any, Final

import numpy as np
import numpy.typing as npt

TICK_TIMES: Final = 4_096  # whose times are remembered: a minute
POSITION_TICKS: Final = 128  # whose positions are: two seconds, more than anybody is shown late


class Window(IntEnum):
    """Where a run is."""

    CLOSED = 0  # clients are connecting, or warming up
    OPEN = 1  # what happens now counts
    OVER = 2


class SharedState:
    """Shared arrays for up to ``capacity`` players. Hand it to a child process when it is created, not later."""

    def __init__(self, context: SpawnContext, capacity: int) -> None:
        self.capacity = capacity
        self._blocks: dict[str, Any] = {
            "window": context.RawArray("b", 8),
            "tick_at_s": context.RawArray("b", 8 * TICK_TIMES),
            "truth": context.RawArray("b", 8 * 2 * capacity),
            "floor_port": context.RawArray("b", 4 * capacity),
            "trail": context.RawArray("b", 8 * 2 * POSITION_TICKS * capacity),
            "trail_tick": context.RawArray("b", 8 * POSITION_TICKS),
            "rough": context.RawArray("b", 8),
        }
        self._view()

    def _view(self) -> None:
        self._window = self._array("window", np.int64, (1,))
        self.tick_at_s = self._array("tick_at_s", np.float64, (TICK_TIMES,))  # tick t began, at t % TICKS
        self.ground_truth = self._array(
            "truth", np.float64, (2, self.capacity)
        )  # x and y in metres of every entity
        self.floor_port = self._array("floor_port", np.int32, (self.capacity,))  # of every client
        # The same of the last ticks, tick t at t % TRAIL_TICKS, and which tick that is; written in this order.
        self.position_history = self._array("trail", np.float64, (POSITION_TICKS, 2, self.capacity))
        self.position_history_tick = self._array("trail_tick", np.int64, (POSITION_TICKS,))
        self._disturbed = self._array("rough", np.int64, (1,))

    def _array(self, name: str, dtype: Any, shape: Sequence[int]) -> npt.NDArray[Any]:
        return np.frombuffer(self._blocks[name], dtype).reshape(shape)

    @property
    def window(self) -> Window:
        """Where the run is."""
        return Window(int(self._window[0]))

    @window.setter
    def window(self, value: Window) -> None:
        self._window[0] = value

    @property
    def disturbed(self) -> bool:
        """Whether the trouble that a run is about is to be made now; calm and rough blocks take turns."""
        return bool(self._disturbed[0])

    @disturbed.setter
    def disturbed(self, value: bool) -> None:
        self._disturbed[0] = value

    def __getstate__(self) -> dict[str, Any]:
        return {"capacity": self.capacity, "_blocks": self._blocks}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._view()

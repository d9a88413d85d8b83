"""What players ask for: the last few inputs of each, as the wire decoded them."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

# Columns of Inputs.rows. The wire decodes into this layout directly; a test compares the two.
INPUT_TICK: Final = 0  # client tick of what lies here
INPUT_MOVE_X: Final = 1  # eastward, −127…127: part of full speed
INPUT_MOVE_Y: Final = 2  # northward
INPUT_YAW: Final = 3  # 65,536 to the turn
INPUT_BUTTONS: Final = 4
INPUT_VIEW_TICK: Final = 5  # server tick that the player was shown
INPUT_COLUMNS: Final = 6

FIRE: Final = 1  # bit of INPUT_BUTTONS
NO_INPUT: Final = 0  # client ticks count from 1


class Inputs(NamedTuple):
    """Rings of inputs, N players × R: client tick t's input is row t % R while that row's INPUT_TICK says so."""

    newest: npt.NDArray[np.int32]  # [N] client tick of the newest input, NO_INPUT before the first
    rows: npt.NDArray[np.int32]  # [N, R, INPUT_COLUMNS]


def new_inputs(players: int, ring: int = 64) -> Inputs:
    """Allocate empty rings."""
    return Inputs(
        newest=np.zeros(players, dtype=np.int32),
        rows=np.zeros((players, ring, INPUT_COLUMNS), dtype=np.int32),
    )

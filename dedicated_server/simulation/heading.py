"""Angles as 65,536 parts of a turn, and their unit vectors by arithmetic that is the same on every machine.

The C library's sine differs in the last bit between versions and processors, which would be enough to make a
replayed match miss a shot. A polynomial of additions and multiplications is the same everywhere.
"""

from __future__ import annotations

import math

from numba import njit

from dedicated_server.native.compilation import INLINE

TURN = 65_536
_STEP_RADIANS = 2.0 * math.pi / TURN


@njit(cache=True, nogil=True, **INLINE)
def direction(yaw: int) -> tuple[float, float]:
    """Unit vector (east, north) of a heading in 65,536 parts of a turn; within 1e-11 of cosine and sine."""
    turned = int(yaw) & 65_535
    quadrant = (turned + 8_192) >> 14  # the nearest multiple of a quarter turn: the rest is within an eighth
    angle = (turned - (quadrant << 14)) * _STEP_RADIANS
    square = angle * angle
    cosine = 1.0 - square * (
        1 / 2
        - square
        * (
            1 / 24
            - square * (1 / 720 - square * (1 / 40_320 - square * (1 / 3_628_800 - square / 479_001_600)))
        )
    )
    sine = angle * (
        1.0
        - square
        * (1 / 6 - square * (1 / 120 - square * (1 / 5_040 - square * (1 / 362_880 - square / 39_916_800))))
    )
    quadrant &= 3
    if quadrant == 0:
        return cosine, sine
    if quadrant == 1:
        return -sine, cosine
    if quadrant == 2:
        return -cosine, -sine
    return sine, -cosine

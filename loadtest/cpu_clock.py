"""Processor time of the calling thread, from compiled code: the C library's ``clock_gettime``."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from numba import types

from dedicated_server.native.compilation import STAGE, njit

CLOCK_THREAD_CPUTIME_ID = 3  # of Linux

_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))


@njit(cache=True, nogil=True, **STAGE)
def thread_ns(timespec: npt.NDArray[np.int64]) -> int:
    """Nanoseconds that this thread has used. ``timespec``: int64[2], room for the answer; the layout of 64-bit Linux."""
    _clock_gettime(CLOCK_THREAD_CPUTIME_ID, timespec.ctypes.data)
    return int(timespec[0] * 1_000_000_000 + timespec[1])

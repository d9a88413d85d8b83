"""Random streams for compiled code: one 64-bit state per stream, so that each bot and each link draws from
its own.

SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014): one addition and one
mix per number; any seed is good, and it passes BigCrush. Seeds come from ``numpy.random.SeedSequence``.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from dedicated_server.native.compilation import STAGE, njit

# As uint64, not int: numba turns uint64 with int64 into float64.
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30 = np.uint64(30)
_SHIFT_27 = np.uint64(27)
_SHIFT_31 = np.uint64(31)
_SHIFT_11 = np.uint64(11)  # keeps 53 bits, what a float64 holds exactly
_UNIT = 1.0 / (1 << 53)


@njit(cache=True, nogil=True, **STAGE)
def next_uniform(streams: npt.NDArray[np.uint64], stream: int) -> float:
    """The next number in [0, 1) of one of the streams."""
    state = streams[stream] + _GOLDEN
    streams[stream] = state
    mixed = (state ^ (state >> _SHIFT_30)) * _MIX_1
    mixed = (mixed ^ (mixed >> _SHIFT_27)) * _MIX_2
    mixed = mixed ^ (mixed >> _SHIFT_31)
    return float(mixed >> _SHIFT_11) * _UNIT


@njit(cache=True, nogil=True, **STAGE)
def next_exponential(streams: npt.NDArray[np.uint64], stream: int) -> float:
    """The next exponentially distributed number, mean 1; takes one number of the stream."""
    return -math.log(1.0 - next_uniform(streams, stream))


@njit(cache=True, nogil=True, **STAGE)
def next_normal(streams: npt.NDArray[np.uint64], stream: int) -> float:
    """The next normally distributed number, mean 0, deviation 1 (Box–Muller); takes two numbers of the
    stream.
    """
    radius = math.sqrt(2.0 * next_exponential(streams, stream))
    return radius * math.cos(2.0 * math.pi * next_uniform(streams, stream))

"""Random durations: start-ups, matches, rests. A shape is a number, so that compiled code can choose by it."""

from __future__ import annotations

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from loadtest.bots.rng import next_exponential, next_normal, next_uniform

CONSTANT = 0  # always the same
EXPONENTIAL = 1  # memoryless, of that mean; what queueing theory is exact for
UNIFORM = 2  # evenly from (1 − spread) of it to all of it
LOG_NORMAL = 3  # of that median; spread is the standard deviation of the logarithm


@njit(cache=True, nogil=True)
def draw_duration(
    streams: NDArray[np.uint64], stream: int, shape: int, duration_s: float, spread: float
) -> float:
    """A random duration of one of the shapes, in seconds."""
    if shape == EXPONENTIAL:
        return float(duration_s * next_exponential(streams, stream))
    if spread <= 0.0:
        return duration_s
    if shape == UNIFORM:
        return float(duration_s * (1.0 - spread * next_uniform(streams, stream)))
    if shape == LOG_NORMAL:
        return duration_s * math.exp(spread * next_normal(streams, stream))
    return duration_s

"""Memory for what a tick goes through, in pages of 2 MB.

A tick of 100 players reads a little of each of a thousand 4 KB pages, and after 16 ms of sleep the processor has forgotten where each of
them lies: looking that up, on a virtual machine twice over, took a fifth of what the tick computes. In a few large pages there is nothing
to look up. Linux gives them for the asking; elsewhere the arrays are ordinary ones.
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt

PAGE_BYTES: Final = 2 << 20
LINE_BYTES: Final = 64  # arrays begin at a cache line, so that none shares one with another
HAS_LARGE_PAGES: Final = hasattr(mmap, "MADV_HUGEPAGE")

Zeros: TypeAlias = Callable[..., npt.NDArray[Any]]  # numpy.zeros, or a stand-in for it


class Pages:
    """Arrays side by side in large pages; the pages live as long as any of their arrays."""

    def __init__(self) -> None:
        self._free = np.zeros(0, np.uint8)

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """As numpy.zeros."""
        kind = np.dtype(dtype)
        size = prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if not HAS_LARGE_PAGES or size == 0:
            return np.zeros(shape, kind)
        taken = -(-size // LINE_BYTES) * LINE_BYTES
        if taken > len(self._free):
            self._free = _map(taken)
        block, self._free = self._free[:size], self._free[taken:]
        return block.view(kind).reshape(shape)


def _map(size: int) -> npt.NDArray[np.uint8]:
    """At least ``size`` bytes of zeros, from the beginning of a large page; what is never touched takes no memory."""
    whole = -(-size // PAGE_BYTES) * PAGE_BYTES
    mapping = mmap.mmap(-1, whole + PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without large pages
        mapping.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(mapping, np.uint8)
    begin = -memory.ctypes.data % PAGE_BYTES
    return memory[begin : begin + whole]

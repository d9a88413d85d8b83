"""Names for what kernels take: arrays, and int64 as the integer that it is to compiled code."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]
Ints: TypeAlias = npt.NDArray[np.int32]
Longs: TypeAlias = npt.NDArray[np.int64]
Shorts: TypeAlias = npt.NDArray[np.uint16]
Window: TypeAlias = npt.NDArray[np.uint32]
Records: TypeAlias = npt.NDArray[Any]  # a structured dtype
Row: TypeAlias = Any  # one record of them: numpy has no type for its fields

if TYPE_CHECKING:

    def int64(value: Any) -> int:
        """Convert to signed 64 bits: from uint64, the one way that numba does not turn into a float."""
else:
    int64 = np.int64

"""How kernels are compiled, and the names of what they take.

Every kernel is ``@njit(cache=True, nogil=True, **FLAGS)`` with one of the three sets of flags below. All
three switch numba's reference counting off (``_nrt``). With it, every function that takes the server's state
counts 23 arrays up and
down: opening 100 datagrams costs 146 µs with it and 50 µs without. Without it a kernel cannot allocate: one
that tries does not compile.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Bytes: TypeAlias = npt.NDArray[np.uint8]
Words: TypeAlias = npt.NDArray[np.uint64]
Ints: TypeAlias = npt.NDArray[np.int32]
Longs: TypeAlias = npt.NDArray[np.int64]
Floats: TypeAlias = npt.NDArray[np.float64]
Window: TypeAlias = npt.NDArray[np.uint32]
Records: TypeAlias = npt.NDArray[Any]  # a structured dtype
Row: TypeAlias = Any  # one record of such an array: numpy has no type for its fields

if TYPE_CHECKING:
    _Kernel = TypeVar("_Kernel", bound=Callable[..., Any])

    def njit(*, cache: bool, nogil: bool, **options: Any) -> Callable[[_Kernel], _Kernel]:
        """Numba's decorator. Numba's own carries no types and would make every call untyped."""

    def int64(value: Any) -> int:
        """Convert to signed 64 bits: the one conversion from uint64 that numba does not turn into a float."""

    def to_fixed_tuple(row: Any, length: int) -> tuple[int, ...]:
        """A tuple of the first ``length`` numbers of a row; the compiler has to know the length."""

    def replaced(numbers: tuple[int, ...], place: int, number: int) -> tuple[int, ...]:
        """The tuple with another number at one place."""
else:
    from numba import config
    from numba import njit as njit

    int64 = np.int64
    if config.DISABLE_JIT:
        from dedicated_server.native.plain import replaced, to_fixed_tuple
    else:
        from numba.cpython.unsafe.tuple import tuple_setitem
        from numba.np.unsafe.ndarray import to_fixed_tuple as to_fixed_tuple

        replaced = tuple_setitem

# For kernels that are called from Python, and from other compiled code.
STAGE: Final[dict[str, Any]] = {"_nrt": False}

# For kernels that only kernels call. They are inlined: a call with the server's state passes 170 words, and
# `encode_batch` takes 1,600 µs with calls and 130 µs inlined. The wrappers for other callers are left out:
# they take a quarter of the time to compile.
INNER: Final[dict[str, Any]] = {
    "_nrt": False,
    "forceinline": True,
    "no_cpython_wrapper": True,
    "no_cfunc_wrapper": True,
}

# For kernels that kernels call, and tests call from Python: inlined as INNER, with the wrapper that Python
# needs.
INLINE: Final[dict[str, Any]] = {**STAGE, "forceinline": True}

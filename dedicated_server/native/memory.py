"""A whole structure of arrays, handed to compiled code as one integer.

Numba unpacks every array of an argument on every call, from Python objects that are cold in the cache sixty times a second: 70 arrays
are 150 µs a tick. A match's arrays never move, so their unpacked form is written down once, side by side, and a kernel reads it back
from there: 0.2 µs, however many there are.

>>> WORLD = typeof(new_world(...))       # the type, once per module
>>> pinned = Pinned(world, WORLD)        # keeps the arrays alive
>>> kernel(pinned.address)               # @njit(**STAGE) def kernel(at): world = unpinned(at, WORLD)

Only for kernels compiled without numba's reference counting (`compilation.STAGE`): what is read back owns nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numba import njit, typeof, types
from numba.extending import intrinsic

from dedicated_server.compilation import STAGE

WORD_BYTES: Final = 8


class StateHandle:
    """Arrays in (nested) named tuples, unpacked for compiled code at ``address`` for as long as this object lives.

    Raises TypeError when they are not of the ``expected`` numba type: a kernel that read them as another would corrupt memory.
    """

    def __init__(self, arrays: Any, expected: types.Type) -> None:
        actual = typeof(arrays)
        if actual != expected:
            raise TypeError(f"expected arrays of {expected}, got {actual}")
        self.arrays = arrays
        self._memory = np.zeros(sum(_words_of(array) for array in _leaves(arrays)), dtype=np.int64)
        self.address = int(self._memory.ctypes.data)
        store_state(arrays, self.address)


@intrinsic
def load_state(_typing_context: Any, address: Any, pinned_type: Any) -> Any:
    """In compiled code: what was pinned at ``address``, of a numba type that is a global constant. Reads any other value too."""
    value_type = pinned_type.instance_type

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(value_type).as_pointer()
        return builder.load(builder.inttoptr(arguments[0], pointer))

    return value_type(types.intp, pinned_type), generate


@intrinsic
def _write(_typing_context: Any, value: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        content, at = arguments
        builder.store(content, builder.inttoptr(at, content.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(value, types.intp), generate


@njit(nogil=True, cache=True, **STAGE)
def store_state(arrays: Any, address: int) -> None:
    """Write numba's form of the arrays down at ``address``, which must have room for it."""
    _write(arrays, address)


def _leaves(arrays: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(arrays, tuple):
        for part in arrays:
            yield from _leaves(part)
    else:
        yield arrays


def _words_of(array: np.ndarray[Any, Any]) -> int:
    """Of numba's form of an array: owner, parent, count, item size and data, then shape and strides."""
    return 5 + 2 * array.ndim

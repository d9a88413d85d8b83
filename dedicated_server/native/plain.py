"""Kernels as plain Python: what only the compiler knows has a twin here, for ``NUMBA_DISABLE_JIT=1``.

With that variable numba leaves every function as it is written, so that a hook's mistake has a traceback with
its line. Intrinsics have no such form. Each names its twin by `with_twin`, and arrays of records come from
`zeros`, because a kernel asks a record for attributes, which numpy offers of its ``recarray`` alone.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from numba import config
from numba.extending import intrinsic

PLAIN: Final = bool(config.DISABLE_JIT)  # numba reads the variable once, when it is imported

_stored: weakref.WeakValueDictionary[int, Any] = weakref.WeakValueDictionary()


def with_twin(twin: Callable[..., Any]) -> Callable[[Callable[..., Any]], Any]:
    """Decorate an intrinsic: in plain Python its ``twin`` stands in its place."""
    return lambda definition: twin if PLAIN else intrinsic(definition)


def store(address: int, handle: Any) -> None:
    """Note which handle's arrays are at an address, for as long as the handle lives."""
    _stored[address] = handle


def load_state(address: int, _state_type: Any) -> Any:
    """Twin of `memory.load_state`: the arrays themselves. Raises KeyError where none are stored."""
    return _stored[int(address)].arrays


def ignore(*_arguments: Any) -> None:
    """Twin of what changes nothing that a program could see, as prefetching does."""


def trailing_zeros(value: Any) -> int:
    """Twin of `bits.trailing_zeros`."""
    number = int(value)
    return (number & -number).bit_length() - 1 if number else 64


def set_bits(value: Any) -> int:
    """Twin of `bits.set_bits`."""
    return int(value).bit_count()


def leading_zeros(value: Any) -> int:
    """Twin of `bits.leading_zeros`."""
    return 64 - int(value).bit_length()


def to_fixed_tuple(row: Any, length: int) -> tuple[int, ...]:
    """Twin of numba's: a tuple of the first ``length`` numbers of a row."""
    return tuple(int(number) for number in row[:length])


def replaced(numbers: tuple[int, ...], place: int, number: int) -> tuple[int, ...]:
    """Twin of numba's ``tuple_setitem``: the tuple with another number at one place."""
    return (*numbers[:place], number, *numbers[place + 1 :])


def zeros(shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
    """Allocate as numpy.zeros does; in plain Python the records of a structured dtype have attributes."""
    return with_attributes(np.zeros(shape, dtype))


def with_attributes(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return a view of a structured array whose records plain Python can ask as kernels do; others as is."""
    return array.view(np.recarray) if PLAIN and array.dtype.names is not None else array

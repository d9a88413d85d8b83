"""Memory of the tick: huge pages, arrays handed to compiled code as one address, and prefetching.

Three costs of a tick of 100 players are mended here; each of them comes from 16 ms of sleep between two
ticks, after which the processor's caches hold little of the match.

Huge pages
    A tick reads a little of each of a thousand 4 KB pages. Looking up where each of them lies took a fifth of
    the tick on a virtual machine. In pages of 2 MB there is next to nothing to look up. Linux grants them on
    request; elsewhere the arrays are ordinary ones.
State handles
    Numba unpacks every array of an argument on every call: 70 arrays are 150 µs a tick. A match's arrays
    never move, so their unpacked form is stored once, side by side, and a kernel loads it from there in
    0.2 µs.
Prefetching
    A kernel asks for memory that it will need, goes on with other work, and finds the memory in the cache
    when it gets there.

>>> WORLD_TYPE = typeof(new_world(...))  # the type, once per module
>>> handle = StateHandle(world, WORLD_TYPE)  # keeps the arrays alive
>>> kernel(handle.address)  # in the kernel: world = load_state(address, WORLD_TYPE)
"""

from __future__ import annotations

import contextlib
import mmap
from collections.abc import Callable, Iterator
from math import prod
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import typeof, types

from dedicated_server.native import plain
from dedicated_server.native.compilation import INNER, STAGE, njit

PAGE_BYTES: Final = 2 << 20
LINE_BYTES: Final = 64  # arrays begin at a cache line, so that no two arrays share one
HAS_HUGE_PAGES: Final = hasattr(mmap, "MADV_HUGEPAGE")

AllocateZeros: TypeAlias = Callable[..., npt.NDArray[Any]]  # numpy.zeros, or a stand-in for it


class Arena:
    """Arrays side by side in huge pages. The pages live as long as any of their arrays."""

    def __init__(self) -> None:
        self._free = np.zeros(0, np.uint8)

    def zeros(self, shape: int | tuple[int, ...], dtype: npt.DTypeLike = np.float64) -> npt.NDArray[Any]:
        """Allocate an array of zeros; arguments and result are those of numpy.zeros."""
        kind = np.dtype(dtype)
        size = prod(shape if isinstance(shape, tuple) else (shape,)) * kind.itemsize
        if not HAS_HUGE_PAGES or size == 0:
            return np.zeros(shape, kind)
        taken = -(-size // LINE_BYTES) * LINE_BYTES
        if taken > len(self._free):
            self._free = _map_huge_pages(taken)
        block, self._free = self._free[:size], self._free[taken:]
        return block.view(kind).reshape(shape)


def _map_huge_pages(size: int) -> npt.NDArray[np.uint8]:
    """Map at least ``size`` bytes of zeros, from the beginning of a huge page on.

    Untouched pages take no memory.
    """
    whole = -(-size // PAGE_BYTES) * PAGE_BYTES
    mapping = mmap.mmap(-1, whole + PAGE_BYTES, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    with contextlib.suppress(OSError):  # a kernel without huge pages
        mapping.madvise(mmap.MADV_HUGEPAGE)
    memory = np.frombuffer(mapping, np.uint8)
    begin = -memory.ctypes.data % PAGE_BYTES
    return memory[begin : begin + whole]


class StateHandle:
    """Arrays in (nested) named tuples, unpacked for compiled code at ``address`` while this object lives.

    Args:
        arrays: the named tuple. Its arrays must not be replaced; their contents may change.
        expected: the numba type under which kernels load it.

    Raises TypeError when ``arrays`` are of another numba type: a kernel that loaded them as ``expected``
    would corrupt memory.
    """

    def __init__(self, arrays: Any, expected: types.Type) -> None:
        self.arrays = arrays
        self._memory = np.zeros(sum(_words_of(array) for array in _leaves(arrays)), dtype=np.int64)
        self.address = int(self._memory.ctypes.data)
        if plain.PLAIN:
            plain.store(self.address, self)
            return
        actual = typeof(arrays)
        if actual != expected:
            raise TypeError(f"expected arrays of {expected}, got {actual}")
        store_state(arrays, self.address)


@plain.with_twin(plain.load_state)
def load_state(_typing_context: Any, address: Any, state_type: Any) -> Any:
    """In compiled code: load what a `StateHandle` stored at ``address``.

    ``state_type`` is its numba type, a global constant of the kernel. Only for kernels without numba's
    reference counting (`compilation.STAGE` and its like): what is loaded owns nothing. Any other value of a
    numba type can be loaded too.
    """
    value_type = state_type.instance_type

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer = context.get_value_type(value_type).as_pointer()
        return builder.load(builder.inttoptr(arguments[0], pointer))

    return value_type(types.intp, state_type), generate


@plain.with_twin(plain.ignore)
def _write(_typing_context: Any, value: Any, address: Any) -> Any:
    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        content, at = arguments
        builder.store(content, builder.inttoptr(at, content.type.as_pointer()))
        return context.get_dummy_value()

    return types.void(value, types.intp), generate


@njit(nogil=True, cache=True, **STAGE)
def store_state(arrays: Any, address: int) -> None:
    """Write numba's form of the arrays at ``address``. The memory there must have room for it."""
    _write(arrays, address)


def _leaves(arrays: Any) -> Iterator[np.ndarray[Any, Any]]:
    if isinstance(arrays, tuple):
        for part in arrays:
            yield from _leaves(part)
    else:
        yield arrays


def _words_of(array: np.ndarray[Any, Any]) -> int:
    """Count the words of numba's form of an array.

    Owner, parent, count, item size and data, then shape and strides.
    """
    return 5 + 2 * array.ndim


@plain.with_twin(plain.ignore)
def _prefetch_line(_typing_context: Any, address: Any) -> Any:
    """Ask for the cache line at an address. An address without memory behind it is not an error."""

    def generate(context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        pointer, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        function = builder.module.declare_intrinsic(
            "llvm.prefetch", (pointer,), ir.FunctionType(ir.VoidType(), (pointer, number, number, number))
        )
        read, keep, data = ir.Constant(number, 0), ir.Constant(number, 3), ir.Constant(number, 1)
        builder.call(function, (builder.inttoptr(arguments[0], pointer), read, keep, data))
        return context.get_dummy_value()

    return types.void(types.intp), generate


@njit(cache=True, nogil=True, **INNER)
def prefetch(address: int, size: int) -> None:
    """Ask for ``size`` bytes of memory at ``address``. Does not wait for them, and changes nothing."""
    for line in range(address - address % LINE_BYTES, address + size, LINE_BYTES):
        _prefetch_line(line)


@njit(cache=True, nogil=True, **INNER)
def prefetch_array(array: npt.NDArray[Any]) -> None:
    """Ask for all of a contiguous array."""
    prefetch(array.ctypes.data, array.nbytes)

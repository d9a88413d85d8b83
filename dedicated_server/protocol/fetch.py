"""Fetching memory before it is needed: compiled code asks for lines of it and goes on, and finds them near when it gets there.

Sixteen milliseconds after the last tick hardly anything of a match is left in the processor's caches, and what each client needs is scattered:
without asking ahead, every line costs the whole way to memory, one after the other.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from dedicated_server.native.compilation import INNER, njit

LINE_BYTES = 64


@intrinsic
def _ask(_typing_context: Any, address: Any) -> Any:
    """Ask for the line at an address. Any address will do: one that is not there is not an error."""

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
def fetch(address: int, size: int) -> None:
    """Ask for ``size`` bytes of memory. Waits for none of them, and changes nothing."""
    for line in range(address - address % LINE_BYTES, address + size, LINE_BYTES):
        _ask(line)

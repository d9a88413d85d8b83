"""Bit packing into 64-bit words, lowest bits first: bit i of a stream is bit i % 8 of byte i // 8.

A stream is an array of uint64 with one word of slack behind the last bit. Shifts and masks stay uint64
throughout: uint64 mixed with int64 silently becomes float64 in numba.
"""

from __future__ import annotations

import numpy as np
from llvmlite import ir
from numba import types

from dedicated_server.native import plain
from dedicated_server.native.compilation import INLINE, INNER, STAGE, Bytes, Words, int64, njit

_ONE = np.uint64(1)
_63 = np.uint64(63)


@njit(cache=True, nogil=True, **STAGE)
def append(words: Words, position: int, value: int | np.uint64, bits: int) -> int:
    """Write the low ``bits`` (0…64) of ``value`` at bit ``position``; returns the position behind them.

    ``value`` must have no bit set above ``bits``. Without a branch: the second word is always written, as
    what spills over, which also clears it for the next call. So the stream's first word must be 0 at the
    start, and nothing else.
    """
    word = position >> 6
    shift = np.uint64(position & 63)
    value = np.uint64(value)
    words[word] |= value << shift
    words[word + 1] = (value >> _ONE) >> (_63 - shift)
    return position + bits


@njit(cache=True, nogil=True, **INLINE)
def put(words: Words, position: int, carry: np.uint64, value: np.uint64, bits: int) -> tuple[int, np.uint64]:
    """Append a value, as `append` does, for many values in a row.

    The word being filled is ``carry``: it is never read back from memory. The caller must write the last
    carry, at ``words[position >> 6]``.
    """
    shift = np.uint64(position & 63)
    filled = carry | (value << shift)
    words[position >> 6] = filled
    end = position + bits
    return end, filled if end >> 6 == position >> 6 else (value >> _ONE) >> (_63 - shift)


@njit(cache=True, nogil=True, **STAGE)
def take(words: Words, position: int, bits: int) -> np.uint64:
    """Read ``bits`` (1…64) at bit ``position``, as uint64."""
    word = position >> 6
    shift = np.uint64(position & 63)
    value: np.uint64 = (words[word] >> shift) | ((words[word + 1] << _ONE) << (_63 - shift))
    return value & (np.uint64(0xFFFFFFFFFFFFFFFF) >> np.uint64(64 - bits))


@njit(cache=True, nogil=True, **STAGE)
def take_int(words: Words, position: int, bits: int) -> int:
    """Read ``bits`` (1…63) at bit ``position``, as int64."""
    return int64(take(words, position, bits))


@njit(cache=True, nogil=True, **STAGE)
def zigzag(value: int) -> int:
    """0, −1, 1, −2 … as 0, 1, 2, 3 …: small numbers of either sign in few bits."""
    return (value << 1) ^ (value >> 63)


@njit(cache=True, nogil=True, **STAGE)
def unzigzag(value: int) -> int:
    """The reverse of `zigzag`."""
    return (value >> 1) ^ -(value & 1)


@plain.with_twin(plain.trailing_zeros)
def trailing_zeros(typingctx, value):  # type: ignore[no-untyped-def]
    """Index of the lowest bit set in a uint64; 64 for 0."""
    if value != types.uint64:
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@plain.with_twin(plain.set_bits)
def set_bits(typingctx, value):  # type: ignore[no-untyped-def]
    """How many bits are set in a uint64."""
    if value != types.uint64:
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctpop(arguments[0])

    return types.int64(types.uint64), generate


@plain.with_twin(plain.leading_zeros)
def leading_zeros(typingctx, value):  # type: ignore[no-untyped-def]
    """How many bits above the highest one set are in a uint64; 64 for 0."""
    if value != types.uint64:
        return None

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return builder.ctlz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@njit(cache=True, nogil=True, **STAGE)
def bit_length(value: int | np.uint64) -> int:
    """Bits that a non-negative int64, or a uint64, needs; 0 for 0."""
    length: int = 64 - leading_zeros(np.uint64(value))
    return length


@njit(cache=True, nogil=True, **INLINE)
def nearest(known: int, low: int, bits: int) -> int:
    """The number nearest to ``known`` whose low ``bits`` are ``low``: serial arithmetic (RFC 1982)."""
    half = int64(1) << int64(bits - 1)
    return known + ((low - known + half) & (2 * half - 1)) - half


@njit(cache=True, nogil=True, **INNER)
def read_uint(data: Bytes, at: int, length: int) -> int:
    """A little-endian number of up to 8 bytes as int64."""
    value = int64(0)
    for byte in range(length):
        value |= int64(data[at + byte]) << int64(8 * byte)
    return value


@njit(cache=True, nogil=True, **INNER)
def write_uint(data: Bytes, at: int, value: int, length: int) -> None:
    """The reverse of `read_uint`."""
    for byte in range(length):
        data[at + byte] = (value >> int64(8 * byte)) & int64(0xFF)


@njit(cache=True, nogil=True, **INNER)
def same_bytes(a: Bytes, a_at: int, b: Bytes, b_at: int, length: int) -> bool:
    """Whether two runs of bytes are equal, in a time that does not tell where they differ."""
    difference = 0
    for byte in range(length):
        difference |= int64(a[a_at + byte]) ^ int64(b[b_at + byte])
    return difference == 0


@njit(cache=True, nogil=True, **INNER)
def copy_bytes(target: Bytes, target_at: int, source: Bytes, source_at: int, length: int) -> None:
    """Copy bytes."""
    for byte in range(length):
        target[target_at + byte] = source[source_at + byte]

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from dedicated_server.protocol.bits import (
    append,
    bit_length,
    set_bits,
    take,
    take_int,
    trailing_zeros,
    unzigzag,
    zigzag,
)
from tests.dedicated_server.protocol import entity_oracle, oracle

PIECES = st.lists(
    st.integers(1, 64).flatmap(lambda bits: st.tuples(st.integers(0, (1 << bits) - 1), st.just(bits))),
    max_size=40,
)


@given(PIECES)
def test_what_is_appended_is_what_the_oracle_writes_and_reads_back(pieces: list[tuple[int, int]]) -> None:
    words = np.full(64, 0xFFFFFFFFFFFFFFFF, np.uint64)  # what an earlier stream left
    words[0] = 0
    writer = oracle.BitWriter()
    position = 0
    for value, bits in pieces:
        position = append(words, position, np.uint64(value), bits)
        writer.put(value, bits)
    assert position == writer.bits
    assert words.tobytes()[: (position + 7) // 8] == writer.data()
    at = 0
    for value, bits in pieces:
        assert int(take(words, at, bits)) == value
        if bits < 64:
            assert take_int(words, at, bits) == value
        at += bits


@given(st.integers(-(2**40), 2**40))
def test_zigzag_is_the_oracles_and_reversible(value: int) -> None:
    assert zigzag(value) == entity_oracle.zigzag(value)
    assert unzigzag(zigzag(value)) == value


@njit(cache=False)
def _zeros(value):  # type: ignore[no-untyped-def]
    return trailing_zeros(value)


@njit(cache=False)
def _ones(value):  # type: ignore[no-untyped-def]
    return set_bits(value)


@given(st.integers(0, 2**64 - 1))
def test_bit_counts_are_pythons(value: int) -> None:
    assert bit_length(np.uint64(value)) == value.bit_length()
    assert bit_length(value >> 1) == (value >> 1).bit_length()
    assert _ones(np.uint64(value)) == value.bit_count()
    assert _zeros(np.uint64(value)) == ((value & -value).bit_length() - 1 if value else 64)

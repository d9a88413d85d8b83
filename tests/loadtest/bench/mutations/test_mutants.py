"""Mutants differ from what they are made of, in every way that they are said to."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol.datagrams import MAX_DATAGRAM_BYTES
from loadtest.bench.mutations.mutants import CUT, LENGTHENED, MUTATIONS, UNCHANGED, Original, mutate

DATAGRAMS = st.binary(min_size=12, max_size=80)


@given(datagrams=st.lists(DATAGRAMS, min_size=2, max_size=12, unique=True), seed=st.integers(0, 2**32))
def test_nothing_that_a_server_would_take_in_comes_unchanged(datagrams: list[bytes], seed: int) -> None:
    originals = [Original(one, fresh=number % 2 == 0) for number, one in enumerate(datagrams)]
    batch = mutate(originals, 400, np.random.default_rng(seed))
    fresh = {one.datagram for one in originals if one.fresh}
    for row, (length, mutation, original) in enumerate(
        zip(batch.lengths.tolist(), batch.mutation.tolist(), batch.original.tolist(), strict=True)
    ):
        assert 0 <= length <= MAX_DATAGRAM_BYTES + 60
        made = batch.data[row, :length].tobytes()
        assert made not in fresh
        if mutation == UNCHANGED:
            assert made == originals[original].datagram
        elif mutation == CUT:
            assert originals[original].datagram.startswith(made)
        elif mutation == LENGTHENED:
            assert made.startswith(originals[original].datagram)


def test_two_that_differ_in_their_last_byte_alone_are_spliced_into_neither() -> None:
    originals = [Original(bytes(40) + bytes((last,)), fresh=True) for last in (1, 14, 112)]
    batch = mutate(originals, 5_000, np.random.default_rng(1))
    made = {batch.data[row, :length].tobytes() for row, length in enumerate(batch.lengths.tolist())}
    assert not made & {one.datagram for one in originals}
    assert len(np.unique(batch.mutation)) == len(MUTATIONS) - 1  # all but unchanged

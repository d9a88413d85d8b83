from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol import sealing


class NaiveWindow:
    """Remembers everything."""

    def __init__(self) -> None:
        self.seen: set[int] = set()

    def check(self, sequence: int) -> int:
        if self.seen and sequence <= max(self.seen) - 256:
            return sealing.TOO_OLD
        return sealing.REPLAYED if sequence in self.seen else sealing.FRESH


@given(st.lists(st.one_of(st.integers(0, 600), st.integers(0, 2**32 - 2)), max_size=200))
def test_each_number_passes_once_and_only_among_the_newest_256(numbers: list[int]) -> None:
    window = np.zeros(256, np.uint32)
    newest = -1
    naive = NaiveWindow()
    for number in numbers:
        verdict = sealing.check_sequence(window, newest, number)
        assert verdict == naive.check(number)
        if verdict == sealing.FRESH:
            newest = sealing.mark_sequence(window, newest, number)
            naive.seen.add(number)
    assert newest == max(naive.seen, default=-1)

"""What only the compiler knows has a twin in plain Python, which says the same."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from numba import njit

from dedicated_server.native import plain
from dedicated_server.protocol import bits

NUMBERS = (0, 1, 2, 3, 0b1011000, 1 << 31, (1 << 63) | 1, 1 << 63, (1 << 64) - 1)


@njit
def compiled_bits(number):  # type: ignore[no-untyped-def]
    return bits.trailing_zeros(number), bits.set_bits(number), bits.leading_zeros(number)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_twin_counts_bits_as_the_processor_does(number: int) -> None:
    twins = (plain.trailing_zeros(number), plain.set_bits(number), plain.leading_zeros(number))
    assert twins == compiled_bits(np.uint64(number))


def test_compiled_code_takes_ordinary_arrays_of_records() -> None:
    record = np.dtype([("a", np.int32)])
    assert not plain.PLAIN
    assert type(plain.zeros(3, record)) is np.ndarray
    assert plain.zeros((2, 3)).shape == (2, 3)


IN_PLAIN_PYTHON = """
from typing import NamedTuple
import numpy as np
from numba import typeof
from dedicated_server.native import memory, plain
from dedicated_server.simulation.world import WORLD_TYPE

class Arrays(NamedTuple):
    records: np.ndarray

arrays = Arrays(plain.zeros(2, np.dtype([("a", np.int32)])))
handle = memory.StateHandle(arrays, typeof(arrays))
loaded = memory.load_state(handle.address, typeof(arrays))
loaded.records[1].a = 5
memory.prefetch_array(loaded.records)
assert arrays.records["a"].tolist() == [0, 5]
address = handle.address
del handle
try:
    memory.load_state(address, None)
except KeyError:
    print("forgotten")
"""


def test_in_plain_python_an_address_gives_its_arrays_and_records_have_attributes() -> None:
    done = subprocess.run(
        [sys.executable, "-c", IN_PLAIN_PYTHON],
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "forgotten\n"

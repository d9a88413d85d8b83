"""Asking for memory ahead: it must be harmless, whatever it is asked for."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numba import njit

from dedicated_server.native.compilation import STAGE
from dedicated_server.native.memory import prefetch


@njit(nogil=True, **STAGE)
def fetch_from_python(address: int, size: int) -> None:
    prefetch(address, size)


@given(offset=st.integers(0, 200), size=st.integers(0, 5_000))
def test_memory_that_is_asked_for_is_as_it_was(offset: int, size: int) -> None:
    memory = np.arange(1_000, dtype=np.int64)
    fetch_from_python(memory.ctypes.data + offset, size)
    assert (memory == np.arange(1_000)).all()


@given(address=st.integers(0, 2**47), size=st.integers(0, 1_000))
def test_memory_that_is_not_there_may_be_asked_for_too(address: int, size: int) -> None:
    fetch_from_python(address, size)

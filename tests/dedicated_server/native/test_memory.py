"""Arrays in large pages are arrays as numpy makes them."""

from __future__ import annotations

import gc
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numba import typeof

from dedicated_server.native.memory import HAS_HUGE_PAGES, LINE_BYTES, PAGE_BYTES, Arena

RECORD = np.dtype([("number", np.int64), ("name", np.uint8, (5,))], align=True)


@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 40), min_size=1, max_size=3),
            st.sampled_from([np.uint8, np.int32, np.uint64, np.float64, RECORD]),
        ),
        max_size=12,
    )
)
def test_they_are_zero_writable_apart_and_to_compiled_code_the_same(
    wanted: list[tuple[list[int], type]],
) -> None:
    pages = Arena()
    arrays = [pages.zeros(tuple(shape), dtype) for shape, dtype in wanted]
    for (shape, dtype), array in zip(wanted, arrays, strict=True):
        expected: npt.NDArray[Any] = np.zeros(tuple(shape), dtype)
        assert typeof(array) == typeof(expected)
        assert array.shape == expected.shape
        assert array.tobytes() == expected.tobytes()
        if HAS_HUGE_PAGES and array.size:
            assert array.ctypes.data % LINE_BYTES == 0
    for number, array in enumerate(arrays, start=1):
        array.view(np.uint8)[...] = number
    for number, array in enumerate(arrays, start=1):
        assert (array.view(np.uint8) == number).all()


def test_one_number_is_a_shape_and_float64_is_what_is_not_asked_for() -> None:
    array = Arena().zeros(7)
    assert array.shape == (7,)
    assert array.dtype == np.float64


@pytest.mark.parametrize("size", [PAGE_BYTES - 1, PAGE_BYTES, PAGE_BYTES + 1, 5 * PAGE_BYTES])
def test_an_array_may_be_larger_than_a_page_and_outlives_its_pages(size: int) -> None:
    pages = Arena()
    first, second = pages.zeros(100, np.uint8), pages.zeros(size, np.uint8)
    first[:], second[:] = 1, 2
    del pages
    gc.collect()
    assert (first == 1).all()
    assert (second == 2).all()

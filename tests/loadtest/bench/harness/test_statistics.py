"""Percentiles, fits and nested figures."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.bench.harness.statistics import fitted_exponent, flatten, histogram_percentiles, percentiles


def test_percentiles_are_named_and_100_is_the_maximum() -> None:
    assert percentiles(range(101), 50, 99, 100) == {"p50": 50.0, "p99": 99.0, "max": 100.0}


def test_of_nothing_all_percentiles_are_zero() -> None:
    assert percentiles([], 50, 100) == {"p50": 0.0, "max": 0.0}
    assert histogram_percentiles(np.zeros(4, np.int64), 1.0, 50, 100) == {"p50": 0.0, "max": 0.0}


@given(
    st.lists(st.integers(0, 99), min_size=1, max_size=200), st.sampled_from((1.0, 50.0, 95.0, 99.0, 100.0))
)
def test_a_histogram_gives_the_upper_edge_of_the_bin_in_which_the_percentile_lies(
    values: list[int], point: float
) -> None:
    counts = np.bincount(values, minlength=100)

    (found,) = histogram_percentiles(counts, 0.5, point).values()

    rank = max(1, int(np.ceil(len(values) * point / 100.0 - 1e-9)))
    assert found == round((sorted(values)[rank - 1] + 1) * 0.5, 1)


@given(st.floats(0.5, 2.5), st.floats(0.1, 100.0))
def test_the_exponent_of_a_power_law_is_found(exponent: float, factor: float) -> None:
    sizes = [100, 200, 400, 800]

    assert fitted_exponent(sizes, [factor * size**exponent for size in sizes]) == pytest.approx(
        exponent, abs=1e-3
    )


def test_nested_figures_become_one_row_each() -> None:
    assert flatten({"tick_us": {"p50": 1.0, "p99": 2.0}, "players": 3}) == {
        "tick_us p50": 1.0,
        "tick_us p99": 2.0,
        "players": 3,
    }

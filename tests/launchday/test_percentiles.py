from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.percentiles import (
    at_least,
    histogram_percentiles,
    log_bucket_percentile,
    log_buckets,
    percentiles,
)


def test_percentiles_are_named_and_rounded_and_the_hundredth_is_the_maximum() -> None:
    assert percentiles(range(1, 102), 50, 99.5, 100) == {"p50": 51.0, "p99.5": 100.5, "max": 101.0}
    assert percentiles([1.23456], 50, digits=1) == {"p50": 1.2}


def test_what_is_not_finite_is_left_out_and_of_nothing_the_caller_says_what_it_is() -> None:
    assert percentiles([np.nan, 2.0, np.inf], 50) == {"p50": 2.0}
    assert percentiles([], 50, 100) == {"p50": None, "max": None}
    assert percentiles([np.nan], 50, empty=0.0) == {"p50": 0.0}


def test_a_percentile_that_falls_on_a_lower_limit_is_named() -> None:
    waits_s, gave_up = [1.0, 2.0, 3.0, 20.0, 20.0], [False, False, False, True, True]
    assert at_least(waits_s, gave_up, 50, 75, 95, 100) == ["p75", "p95", "max"]
    assert at_least(waits_s, gave_up, 60) == ["p60"]  # between a known wait and one that was given up
    assert at_least(waits_s, [False] * 5, 50, 100) == []
    assert at_least([5.0, 30.0], [True, False], 100) == []  # whoever gave up waited less than the longest
    assert at_least([], [], 50) == []


@given(st.lists(st.integers(0, 99), min_size=1, max_size=200), st.sampled_from([5, 50, 95, 99, 100]))
def test_a_histogram_with_equal_bins_is_right_to_one_bin(values: list[int], point: int) -> None:
    counts = np.bincount(values, minlength=100)
    exact = float(np.percentile(values, point, method="inverted_cdf"))
    [found] = histogram_percentiles(counts, 1.0, point).values()
    assert found == exact + 1.0


def test_an_empty_histogram_has_no_percentiles() -> None:
    nothing = np.zeros(3, np.int64)
    assert histogram_percentiles(nothing, 1.0, 50) == {"p50": None}
    assert histogram_percentiles(nothing, 1.0, 50, empty=0.0) == {"p50": 0.0}


@given(
    st.lists(st.floats(0.001, 100_000), min_size=1, max_size=200),
    st.sampled_from([0.05, 0.5, 0.95, 0.99, 1.0]),
)
def test_a_percentile_of_logarithmic_buckets_is_right_to_one_per_cent(
    values: list[float], share: float
) -> None:
    buckets = {int(bucket): count for bucket, count in log_buckets(values).items()}
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert log_bucket_percentile(buckets, share) == pytest.approx(exact, rel=0.0101)


def test_in_logarithmic_buckets_nothing_counted_is_zero_and_nothing_waited_is_almost_so() -> None:
    assert log_bucket_percentile({}, 0.5) == 0
    buckets = {int(bucket): count for bucket, count in log_buckets([0.0, -1.0]).items()}
    assert log_bucket_percentile(buckets, 0.5) < 0.0011

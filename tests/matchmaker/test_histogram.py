from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmaker.histogram import buckets_of, percentile


@given(
    st.lists(st.floats(0.001, 100_000), min_size=1, max_size=200),
    st.sampled_from([0.05, 0.5, 0.95, 0.99, 1.0]),
)
def test_a_percentile_is_right_to_one_per_cent(values: list[float], share: float) -> None:
    buckets = {int(bucket): count for bucket, count in buckets_of(values).items()}
    exact = float(np.quantile(values, share, method="inverted_cdf"))
    assert percentile(buckets, share) == pytest.approx(exact, rel=0.0101)


def test_nothing_counted_is_zero_and_nothing_waited_is_almost_so() -> None:
    assert percentile({}, 0.5) == 0
    assert percentile({int(bucket): count for bucket, count in buckets_of([0.0, -1.0]).items()}, 0.5) < 0.0011

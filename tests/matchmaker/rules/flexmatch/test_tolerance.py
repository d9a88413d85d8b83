from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from matchmaker.rules.flexmatch.tolerance import at_most, equal

floats = st.floats(-1e6, 1e6)


@given(st.lists(st.decimals(0, 100, places=2).map(float), min_size=2, max_size=20))
def test_the_order_in_which_a_mean_is_added_up_decides_nothing(values: list[float]) -> None:
    one, other = sum(values) / len(values), sum(reversed(values)) / len(values)
    assert equal(one, other)
    assert at_most(one, other)
    assert at_most(other, one)


@given(floats, floats)
def test_what_differs_by_more_than_rounding_is_told_apart(one: float, other: float) -> None:
    assert at_most(one, other) or at_most(other, one)
    if abs(one - other) > 0.01:
        assert not equal(one, other)
        assert at_most(one, other) == (one < other)


@pytest.mark.parametrize(
    ("value", "limit", "holds"),
    [
        (80.0, 80.0, True),
        (80.0 + 4e-8, 80.0, True),
        (80.0 + 1e-6, 80.0, False),
        (math.inf, math.inf, True),
        (math.inf, 5.0, False),
        (5.0, -math.inf, False),
        (-math.inf, -math.inf, True),
        (math.nan, 5.0, False),
        (5.0, math.nan, False),
    ],
)
def test_a_limit_is_met_but_for_rounding(value: float, limit: float, holds: bool) -> None:
    assert at_most(value, limit) == holds

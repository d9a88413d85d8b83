from __future__ import annotations

import pytest

from loadtest.simulate.estimates.intervals import (
    Estimate,
    estimate,
    format_estimate,
    format_figure,
    format_share,
)


def test_an_estimate_is_the_mean_and_students_interval() -> None:
    found = estimate([1.0, 2.0, 3.0, 4.0, 5.0])
    assert found.mean == 3.0
    assert found.half_width == pytest.approx(2.776 * 2.5**0.5 / 5**0.5, abs=1e-6)
    assert (found.low, found.high) == (3.0 - found.half_width, 3.0 + found.half_width)


def test_one_seed_has_no_interval_and_nothing_measured_has_no_mean() -> None:
    assert estimate([7.0]) == Estimate(7.0, 0.0)
    assert estimate([7.0, None]) == Estimate(None, 0.0)
    assert estimate([]).low is None


@pytest.mark.parametrize(
    ("mean", "half_width", "text"),
    [
        (0.004337, 0.0, "0.004337"),
        (0.004337, 0.000118, "0.00434 ± 0.00012"),
        (16.537, 1.1475, "16.5 ± 1.1"),
        (1_234.0, 56.0, "1,234 ± 56"),
        (20.0, 0.0, "20"),
        (None, 0.0, "–"),
    ],
)
def test_an_estimate_has_the_digits_that_its_interval_is_worth(
    mean: float | None, half_width: float, text: str
) -> None:
    assert format_estimate(Estimate(mean, half_width)) == text


def test_small_figures_and_shares_are_no_powers_of_ten() -> None:
    assert format_share(1e-6) == "0.0001 %"
    assert format_share(0.01) == "1 %"
    assert format_share(None) == "–"
    assert format_figure(1_234_567.0) == "1,234,567"
    assert format_figure(0.0) == "0"

"""The rule set that ships, by the fast kernel and by its plan."""

from __future__ import annotations

import pytest

from loadtest.bench import simulated_hour

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are


def test_fives_wait_as_long_by_plan_as_by_the_fast_kernel() -> None:
    waits = simulated_hour._of_fives(6_000, 1)
    assert waits["kernel"] == waits["kernel_by_the_clock"]
    assert {each["matched"] for each in waits.values()} == {6_000}
    ratios = simulated_hour._ratios(waits, "kernel")
    assert all(abs(ratio - 1.0) <= 0.05 for ratio in ratios.values())


def test_few_fives_widen_sooner_by_the_fast_kernel_than_by_the_clock() -> None:
    waits = simulated_hour._of_fives(1_000, 1)
    assert waits["kernel"]["p95"] < waits["kernel_by_the_clock"]["p95"]
    assert {each["matched"] for each in waits.values()} == {1_000}

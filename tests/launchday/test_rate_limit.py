from __future__ import annotations

import pytest

from launchday.rate_limit import RateLimit


def test_a_burst_passes_and_then_one_at_a_time() -> None:
    limit = RateLimit(2.0, burst_s=10.0)
    passed = [limit.wait_s(1, 100.0) for _ in range(22)]
    assert passed[:20] == [0.0] * 20
    assert all(wait_s > 0 for wait_s in passed[20:])
    assert limit.wait_s(1, 100.0 + passed[-1]) == 0.0
    assert limit.wait_s(2, 100.0) == 0.0  # another caller's allowance is its own


def test_without_a_rate_everything_passes() -> None:
    assert RateLimit(0.0, burst_s=4.0).wait_s(1, 0.0) == 0.0


def test_a_rate_slower_than_its_burst_lets_one_request_pass() -> None:
    limit = RateLimit(0.05, burst_s=4.0)
    assert limit.wait_s("a", 0.0) == 0.0
    assert limit.wait_s("a", 0.0) == 20.0


def test_the_table_of_callers_forgets_the_quiet_ones_and_never_grows_beyond_its_size() -> None:
    limit = RateLimit(1.0, burst_s=2.0, max_callers=3)
    for caller in range(3):
        assert limit.wait_s(caller, 0.0) == 0.0
    assert limit.wait_s(0, 1.5) == 0.0
    assert limit.wait_s(3, 1.5) == 0.0  # 1 and 2 are whole again, and forgotten
    assert limit.wait_s(0, 1.5) == 0.0
    assert limit.wait_s(0, 1.5) > 0.0  # 0 is not: its burst is used up
    for caller in range(100, 110):
        limit.wait_s(caller, 1.5)
    assert len(limit._whole_at) <= 3


@pytest.mark.parametrize("now", [68.30000000000001, 7200.123456789, 1_800_000_000.7])
def test_the_first_request_passes_at_whatever_time(now: float) -> None:
    limit = RateLimit(0.01, burst_s=4.0)
    assert limit.wait_s("caller", now) == 0.0
    assert limit.wait_s("caller", now) > 99.9

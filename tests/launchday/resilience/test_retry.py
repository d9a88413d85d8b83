from __future__ import annotations

import pytest

from launchday.clock import ManualClock
from launchday.resilience.retry import Backoff, CircuitBreaker, RetryBudget, retry_after_s


def test_repeats_are_a_share_of_what_succeeded_beyond_a_small_reserve() -> None:
    budget = RetryBudget(share=0.1, reserve=10.0)
    assert sum(budget.take() for _ in range(1_000)) == 10
    for _ in range(25):
        budget.succeeded()
    assert sum(budget.take() for _ in range(1_000)) == 2
    for _ in range(1_000):
        budget.succeeded()
    assert sum(budget.take() for _ in range(1_000)) == 10


def test_pauses_have_full_jitter_below_a_limit_that_doubles() -> None:
    clock = ManualClock()
    firsts = [Backoff(clock, 0.1, 0.8).next_s() for _ in range(200)]
    assert 0.0 <= min(firsts) < 0.01
    assert 0.09 < max(firsts) <= 0.1
    many = [[pauses.next_s() for _ in range(5)] for pauses in (Backoff(clock, 0.1, 0.8) for _ in range(200))]
    limits = [max(pause[turn] for pause in many) for turn in range(5)]
    for limit, bound in zip(limits, (0.1, 0.2, 0.4, 0.8, 0.8), strict=True):
        assert 0.9 * bound < limit <= bound


def test_a_success_lets_the_pauses_begin_anew() -> None:
    pauses = Backoff(ManualClock(), 0.1, 100.0)
    for _ in range(10):
        pauses.next_s()
    pauses.reset()
    assert pauses.next_s() <= 0.1


def test_what_the_other_side_asks_for_is_waited_at_least_and_not_by_all_alike() -> None:
    clock = ManualClock()
    pauses = [Backoff(clock, 0.5, 2.0).next_s(3.0) for _ in range(100)]
    assert min(pauses) >= 3.0
    assert max(pauses) - min(pauses) > 0.3


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, 0.0),
        ("", 0.0),
        ("2", 2.0),
        ("Fri, 15 Jan 2027 08:00:07 GMT", 7.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("99999999999999999999", 3600.0),
        ("soon", 0.0),
        ("-3", 0.0),
    ],
)
def test_a_retry_after_is_read_as_seconds_or_as_a_date(value: str | None, seconds: float) -> None:
    assert retry_after_s(value, 1_800_000_000.0) == seconds


def test_after_some_refusals_in_a_row_one_trial_at_a_time_is_let_through() -> None:
    clock = ManualClock()
    breaker = CircuitBreaker(clock, refusals=3, max_open_s=1.0)
    for _ in range(3):
        assert breaker.allows()
        breaker.refused()
    assert not breaker.allows()
    for _ in range(5):
        clock.advance(1.01)
        assert [breaker.allows() for _ in range(10)] == [True] + 9 * [False]
        breaker.refused()
    clock.advance(1.01)
    assert breaker.allows()
    breaker.answered()
    assert all(breaker.allows() for _ in range(10))


def test_an_answer_between_refusals_keeps_it_closed() -> None:
    breaker = CircuitBreaker(ManualClock(), refusals=3)
    for _ in range(10):
        breaker.refused()
        breaker.refused()
        breaker.answered()
    assert breaker.allows()

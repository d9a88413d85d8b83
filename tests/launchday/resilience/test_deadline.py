from __future__ import annotations

import asyncio

import pytest

from launchday.clock import ManualClock, SystemClock
from launchday.resilience import deadline
from launchday.resilience.deadline import DeadlineExceededError


def test_a_wait_may_take_the_lesser_of_ones_patience_and_what_the_request_has_left() -> None:
    clock = ManualClock()
    assert deadline.current() is None
    assert deadline.left_s(clock, 5.0) == 5.0
    with deadline.serving(clock.monotonic() + 2.0):
        assert deadline.left_s(clock, 5.0) == 2.0
        assert deadline.left_s(clock, 1.0) == 1.0
        clock.advance(1.5)
        assert deadline.left_s(clock, 5.0) == pytest.approx(0.5)
        deadline.check(clock)
        clock.advance(0.5)
        with pytest.raises(DeadlineExceededError, match="nobody waits"):
            deadline.check(clock)
    assert deadline.left_s(clock, 5.0) == 5.0


async def test_a_block_ends_with_the_request_whatever_its_own_patience() -> None:
    clock = SystemClock()
    async with asyncio.timeout(10):
        with (
            deadline.serving(clock.monotonic() + 0.02),
            pytest.raises(DeadlineExceededError, match=r"no answer within 0\.0"),
        ):
            async with deadline.within(clock, 60.0):
                await asyncio.Event().wait()


async def test_a_block_ends_with_its_own_patience_and_the_error_is_a_time_out() -> None:
    async with asyncio.timeout(10):
        with pytest.raises(TimeoutError, match=r"no answer within 0\.02 s"):
            async with deadline.within(SystemClock(), 0.02):
                await asyncio.Event().wait()


async def test_a_block_whose_time_is_over_is_not_begun() -> None:
    clock = ManualClock()
    begun = False
    with deadline.serving(clock.monotonic() - 1.0), pytest.raises(DeadlineExceededError):
        async with deadline.within(clock, 5.0):
            begun = True
    assert not begun


async def test_calls_within_a_block_see_the_nearer_deadline_and_those_after_it_do_not() -> None:
    clock = ManualClock()
    with deadline.serving(clock.monotonic() + 8.0):
        async with deadline.within(clock, 3.0):
            assert deadline.left_s(clock, 5.0) == 3.0
            async with deadline.within(clock, 4.0):
                assert deadline.left_s(clock, 5.0) == 3.0
        assert deadline.left_s(clock, 10.0) == 8.0


async def test_a_cancellation_and_the_blocks_own_errors_pass_through() -> None:
    clock = SystemClock()
    with pytest.raises(KeyError):
        async with deadline.within(clock, 5.0):
            raise KeyError
    assert deadline.current() is None

    async def waits() -> None:
        async with deadline.within(clock, 60.0):
            await asyncio.Event().wait()

    task = asyncio.create_task(waits())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_task_inherits_the_requests_deadline_unless_it_works_for_others_too() -> None:
    async def left() -> float | None:
        return deadline.current()

    with deadline.serving(12.0):
        inherited = asyncio.create_task(left())
        with deadline.serving(None):
            shared = asyncio.create_task(left())
    assert (await inherited, await shared) == (12.0, None)


def test_the_header_has_the_milliseconds_that_are_left_and_at_least_one() -> None:
    clock = ManualClock()
    assert deadline.header_value(clock, 5.0) == "5000"
    with deadline.serving(clock.monotonic() + 0.25):
        assert deadline.header_value(clock, 5.0) == "250"
        clock.advance(1.0)
        assert deadline.header_value(clock, 5.0) == "1"


@pytest.mark.parametrize(
    ("value", "granted_s"),
    [
        (b"250", 0.25),
        (b"0", 0.0),
        (b"86400000", deadline.MAX_REQUEST_S),
        (b"", None),
        (b"-5", None),
        (b"1.5", None),
        (b"soon", None),
        (b"9" * 400, None),
    ],
)
def test_a_header_grants_at_most_ten_seconds_and_a_malformed_one_nothing(
    value: bytes, granted_s: float | None
) -> None:
    assert deadline.read_header(value) == granted_s

"""A process that was stopped wakes late, and does not count the time for which it heard nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from launchday.resilience import pauses
from launchday.resilience.pauses import PauseWatch

STOPPED_S = 30.0

Stop = Callable[[float], None]


@pytest.fixture
async def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    """Stop this process, as far as its event loop can tell: the loop's clock jumps while it does nothing."""
    loop = asyncio.get_running_loop()
    own, ahead_s = loop.time, 0.0

    def jump(seconds: float) -> None:
        nonlocal ahead_s
        ahead_s += seconds

    monkeypatch.setattr(loop, "time", lambda: own() + ahead_s)
    return jump


def test_a_call_that_comes_late_was_stopped_for_the_rest() -> None:
    watch = PauseWatch(period_s=0.25, tolerance_s=3.0)
    assert watch.noticed(100.0) == 0.0
    assert watch.noticed(100.25) == 0.0
    assert watch.noticed(103.4) == 0.0  # a busy machine
    assert watch.noticed(115.65) == pytest.approx(12.0)
    assert watch.noticed(115.9) == 0.0


async def test_a_wait_goes_on_after_a_stop_and_takes_what_came_meanwhile(stop: Stop) -> None:
    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    async with pauses.timeout(5.0):
        stop(STOPPED_S)
        asyncio.get_running_loop().call_later(0.0, answer.set_result, "it came meanwhile")
        for _ in range(5):  # the answer takes some turns through whatever reads it
            await asyncio.sleep(0)
        assert await answer == "it came meanwhile"


async def wait_for_nothing(seconds: float, stop: Stop) -> None:
    async with pauses.timeout(seconds, look_s=seconds / 10):
        stop(STOPPED_S)
        await asyncio.get_running_loop().create_future()


async def test_a_wait_ends_when_its_own_seconds_have_passed(stop: Stop) -> None:
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        await wait_for_nothing(0.1, stop)
    assert loop.time() - began >= STOPPED_S + 0.08  # but for the look that was due in the stop


async def test_a_wait_without_a_stop_is_an_ordinary_one() -> None:
    async with pauses.timeout(30.0):
        await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with pauses.timeout(0.01):
            await asyncio.get_running_loop().create_future()

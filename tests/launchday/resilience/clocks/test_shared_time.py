"""Processes that share a cache agree on the time, whoever's clock is stepped."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from redis.asyncio import Redis

from launchday.clock import OFFSET_FILE, SLEW, ManualClock, SystemClock
from launchday.resilience.clocks.shared_time import GAP_S, KEY, SharedTime, shared_time
from launchday.resilience.sockets import redis_client

CLOSE_S = 5.0  # steps are larger by far; a busy machine may keep an answer waiting


@pytest.fixture
async def cache(cache_url: str) -> AsyncIterator[Redis]:
    client = redis_client(cache_url, decode_responses=True)
    await client.delete(KEY)
    yield client
    await client.delete(KEY)
    await client.aclose()


@pytest.fixture
def step(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[float], object]:
    """Steps the clocks that are made from now on."""
    monkeypatch.setenv(OFFSET_FILE, str(tmp_path / "ahead"))
    return lambda seconds: (tmp_path / "ahead").write_text(str(seconds))


async def test_a_process_that_begins_after_a_step_has_the_time_of_those_before_it(
    cache: Redis, step: Callable[[float], object]
) -> None:
    old = SystemClock()
    await SharedTime(cache, old).agree()
    step(3600.0)
    new = SystemClock()
    assert new.now() - old.now() > 3000.0
    await SharedTime(cache, new).agree()
    assert new.now() == pytest.approx(old.now(), abs=CLOSE_S)
    assert new.wall() - new.now() == pytest.approx(3600.0, abs=CLOSE_S)


@pytest.mark.parametrize("step_s", [3600.0, -3600.0])
async def test_a_step_of_the_caches_clock_moves_nobody(cache: Redis, step_s: float) -> None:
    one, other, late = SystemClock(), SystemClock(), SystemClock()
    keepers = [SharedTime(cache, clock) for clock in (one, other)]
    for keeper in keepers:
        await keeper.agree()
    before = one.now() - one.monotonic()
    # As if its clock had been stepped since it was asked last: what it remembers of it is off by so much.
    await cache.hset(KEY, "wall", repr(float(await cache.hget(KEY, "wall") or 0) - step_s))
    for keeper in (*keepers, SharedTime(cache, late)):
        await keeper.agree()
    for clock in (one, other, late):
        assert clock.now() - clock.monotonic() == pytest.approx(before, abs=CLOSE_S)


async def test_a_process_that_was_away_does_not_move_the_others(cache: Redis) -> None:
    one, paused = SystemClock(), SystemClock()
    keepers = [SharedTime(cache, clock) for clock in (one, paused)]
    for keeper in keepers:
        await keeper.agree()
    paused.agree(paused.now() - 100.0)  # a machine that was stopped together with its monotonic clock
    for keeper in reversed(keepers):
        await keeper.agree()
    assert paused.now() == pytest.approx(one.now(), abs=CLOSE_S)
    assert one.now() == pytest.approx(one.wall(), abs=CLOSE_S)


async def test_the_time_walks_to_the_caches_clock(cache: Redis) -> None:
    await SharedTime(cache, SystemClock()).agree()
    before = float(await cache.hget(KEY, "wall") or 0) - 1.0
    await cache.hset(KEY, mapping={"at": repr(before - 100.0), "wall": repr(before)})
    await SharedTime(cache, SystemClock()).agree()
    at, wall = [float(each or 0) for each in await cache.hmget(KEY, ["at", "wall"])]
    assert wall - at == pytest.approx(100.0 - SLEW * min(wall - before, GAP_S), abs=1e-3)


async def test_without_the_cache_and_in_a_world_of_its_own_a_clock_is_left_alone() -> None:
    away = redis_client("redis://127.0.0.1:9")
    clock, manual = SystemClock(), ManualClock()
    async with shared_time(away, clock), shared_time(away, manual):
        assert clock.now() == pytest.approx(clock.wall(), abs=CLOSE_S)
        assert manual.now() == 1_800_000_000.0
    await away.aclose()

"""The service as a process of its own: its HTTP side, and what kill -9 does to it."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import asyncpg
import httpx2
import pytest
from redis.asyncio import Redis

from launchday import child_processes
from launchday.engines.base import free_port
from launchday.identity import signer_of
from launchday.settings import Settings, environment
from meta_service.cache.keys import ONE
from rewards.client import RewardsClient, RewardsCounters
from rewards.errors import RewardsUnavailableError
from tests.rewards.examples import a_death, a_grant, a_kill, a_result
from tests.rewards.running import progression, query, send
from tests.waiting import until


@pytest.fixture
def service_settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"rewards_port": free_port()})


# What the fixture short_sessions does in this process.
SHORT_SESSIONS = """
import runpy
from rewards.consumer import consumer
consumer.SESSION_TIMEOUT_MS, consumer.HEARTBEAT_MS = 1_500, 500
runpy.run_module("rewards", run_name="__main__")
"""


@contextlib.contextmanager
def service(settings: Settings, *, as_it_is: bool = False) -> Iterator[subprocess.Popen[bytes]]:
    """``python -m rewards`` with these settings, and, but for ``as_it_is``, with short group sessions."""
    child = child_processes.spawn(
        [sys.executable, *(["-m", "rewards"] if as_it_is else ["-c", SHORT_SESSIONS])],
        log=settings.state_dir / "rewards.log",
        env={**os.environ, **environment(settings)},
    )
    try:
        yield child
    finally:
        child_processes.stop(child, 10)


def url(settings: Settings) -> str:
    return f"http://127.0.0.1:{settings.rewards_port}"


def client(settings: Settings) -> RewardsClient:
    token = signer_of(settings, "loadtest").service_token("test", time.time())
    return RewardsClient(url(settings), token)


@contextlib.asynccontextmanager
async def holding_offsets(store_url: str) -> AsyncIterator[Callable[[], Awaitable[bool]]]:
    """Keep every transaction from writing its offsets, and give a way to see that one is stuck there."""
    holder, observer = await asyncpg.connect(store_url), await asyncpg.connect(store_url)

    async def somebody_waits() -> bool:
        return bool(
            await observer.fetchval(
                "SELECT count(*) FROM pg_stat_activity "
                "WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
        )

    try:
        async with holder.transaction():
            await holder.execute("LOCK TABLE consumer_offsets IN EXCLUSIVE MODE")
            yield somebody_waits
    finally:
        await holder.close()
        await observer.close()


async def read_counters(settings: Settings) -> RewardsCounters | None:
    """The service's counters, or None while it does not answer."""
    with contextlib.suppress(RewardsUnavailableError):
        async with client(settings) as asked:
            return await asked.counters()
    return None


async def test_the_service_shows_its_health_metrics_and_counters_and_stops_on_request(
    service_settings: Settings,
) -> None:
    settings = service_settings
    redis = Redis.from_url(settings.cache_url, decode_responses=True)
    await redis.hset(ONE.player(1), "skin", "recruit")  # progress is published of players who are there
    with service(settings, as_it_is=True) as child:
        await send(settings, [a_kill(1, 2), a_death(2), a_result([1, 2]), (b"junk", b"1")])

        async def all_applied() -> bool:
            found = await read_counters(settings)
            return found is not None and found.lag == 0 and found.events_applied == 3

        await until(all_applied, "everything applied and no lag")
        assert await read_counters(settings) == RewardsCounters(
            kills_applied=1, events_applied=3, duplicates=0, dead_letters=1, lag=0
        )
        async with httpx2.AsyncClient(base_url=url(settings)) as http:
            assert (await http.get("/healthz")).status_code == 200
            assert 'rewards_events_applied_total{kind="kill"} 1.0' in (await http.get("/metrics")).text
            assert (await http.get("/v1/internal/counters")).status_code == 401
            assert (await http.get("/v1/internal/dead-letters")).status_code == 401
            token = signer_of(settings, "loadtest").service_token("test", time.time())
            answer = await http.get(
                "/v1/internal/dead-letters", headers={"Authorization": f"Bearer {token}"}, timeout=30.0
            )
            [letter] = answer.json()["dead_letters"]
            assert letter["bytes"] == len(b"junk")
            assert letter["origin"].startswith(settings.topic_prefix)
            assert letter["reason"]

        assert await redis.hmget(ONE.player(1), ["xp", "level"]) == ["650", "2"]
        await redis.aclose()

        child.send_signal(signal.SIGTERM)
        assert child.wait(15) in (0, -signal.SIGTERM)
    log = (settings.state_dir / "rewards.log").read_text()
    assert "Traceback" not in log, log


async def test_killed_in_the_middle_and_started_again_it_gives_exactly_the_xp_earned(
    service_settings: Settings,
) -> None:
    settings = service_settings
    players, rounds, kills_before_result = 200, 40, 3
    events = []
    for turn in range(rounds):
        for player in range(1, players + 1):
            events += [a_kill(player, player % players + 1) for _ in range(kills_before_result)]
        events.append(a_result([turn % players + 1, (turn + 1) % players + 1]))
    twice = events[::20]  # 5 % of them are sent again

    async def some_applied(least: int) -> bool:
        found = await read_counters(settings)
        return found is not None and found.events_applied >= least

    with service(settings) as child:
        await send(settings, events[: len(events) // 2])
        await until(lambda: some_applied(len(events) // 2), "the first half")
        async with holding_offsets(settings.store_url) as somebody_waits:
            await send(settings, events[len(events) // 2 :] + twice)
            await until(somebody_waits, "a transaction before its last statement")
            child.kill()
            child.wait()
    assert await query(settings.store_url, "SELECT count(*) FROM event_inbox") == [(len(events) // 2,)]
    with service(settings):
        await until(lambda: some_applied(len(events)), "the rest")

        async def nothing_waits() -> bool:
            found = await read_counters(settings)
            return found is not None and found.lag == 0

        await until(nothing_waits, "no lag")

    rows = await progression(settings.store_url)
    xp = sum(int(str(row[0])) for row in rows.values())
    assert xp == players * rounds * kills_before_result * 100 + rounds * (50 + 50 + 500)
    assert sum(int(str(row[2])) for row in rows.values()) == players * rounds * kills_before_result
    assert {row[2] for row in rows.values()} == {rounds * kills_before_result}


async def test_without_a_store_the_service_is_up_and_says_that_it_waits(service_settings: Settings) -> None:
    settings = service_settings.model_copy(
        update={"store_url": f"postgresql://postgres@127.0.0.1:{free_port()}/none"}
    )
    with service(settings):

        async def answered() -> int:
            with contextlib.suppress(httpx2.HTTPError):
                async with httpx2.AsyncClient(base_url=url(settings)) as http:
                    return (await http.get("/healthz")).status_code
            return 0

        await until(answered, "health")
        async with client(settings) as asked:
            with pytest.raises(RewardsUnavailableError, match="503"):
                await asked.counters()


async def test_a_grant_of_a_player_that_nobody_knows_makes_that_player_known(
    service_settings: Settings,
) -> None:
    settings = service_settings
    with service(settings):
        await send(settings, [a_grant(2**63 - 1, 5)])

        async def applied() -> bool:
            return bool(await progression(settings.store_url))

        await until(applied, "the grant")
    assert await progression(settings.store_url) == {2**63 - 1: (5, 1, 0, 0, 0)}

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any
from uuid import UUID

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings, environment
from meta_service.cache import keys
from meta_service.cache.keys import ONE
from meta_service.store.apply import apply
from meta_service.writebehind import worker
from tests.meta_service.conftest import (
    Backend,
    Clock,
    drain,
    drained,
    new_match,
    result,
    running,
    working,
)
from tests.waiting import until

NOW_S = 1_800_000_000.0
MATCH = UUID(int=1)
OTHER_MATCH = UUID(int=2)


def loadout(player_id: int, skin: str, version: int) -> str:
    return json.dumps({"player_id": str(player_id), "skin": skin, "version": str(version)})


def checkout(match_id: UUID, server: str, *players: tuple[int, int]) -> str:
    rows = [[str(player_id), str(fence)] for player_id, fence in players]
    until = "1800000000000"
    return json.dumps(
        {
            "match_id": str(match_id),
            "server": server,
            "region": "east-us",
            "lease_until_ms": until,
            "players": rows,
        }
    )


def commit(match_id: UUID, *players: tuple[int, int, int]) -> str:
    rows = [[str(id_), str(fence), str(stamp), "1", "3", "44.5"] for id_, fence, stamp in players]
    return json.dumps({"match_id": str(match_id), "players": rows})


async def outcomes(store: asyncpg.Connection) -> dict[int, tuple[str | None, int | None]]:
    rows = await store.fetch("SELECT fence, outcome, kills FROM match_history")
    return {row["fence"]: (row["outcome"], row["kills"]) for row in rows}


async def test_a_loadout_is_stored_and_says_so(backend: Backend, store: asyncpg.Connection) -> None:
    login = await backend.login()
    await backend.client.set_loadout(login.session_token, "recruit")
    last = await backend.client.set_loadout(login.session_token, "scout")
    assert (await backend.client.profile(login.session_token)).sync == "pending"
    await drain(backend)
    profile = await backend.client.profile(login.session_token)
    assert (profile.skin, profile.version, profile.sync) == ("scout", last.version, "synced")
    row = await store.fetchrow("SELECT * FROM loadouts")
    assert (row["player_id"], row["skin"], row["version"]) == (login.player_id, "scout", last.version)


async def test_a_match_is_in_the_history_with_its_results(
    backend: Backend, store: asyncpg.Connection
) -> None:
    ids = [login.player_id for login in await backend.logins(3)]
    match = new_match()
    players = (await backend.client.check_out(match, "server-1", "east-us", 60, ids)).checked_out
    backend.clock.advance(44)
    await backend.client.commit(match, [result(player.player_id, player.fence) for player in players])
    await drain(backend)
    rows = await store.fetch("SELECT * FROM match_history WHERE match_id = $1", match)
    assert {row["player_id"] for row in rows} == set(ids)
    for row in rows:
        assert (row["server"], row["region"], row["outcome"]) == ("server-1", "east-us", "committed")
        assert (row["placement"], row["kills"], row["played_s"]) == (1, 3, 44.5)
        assert 43.9 < (row["ended_at"] - row["checked_out_at"]).total_seconds() < 44.1
    counters = await backend.client.counters()
    assert counters.writebehind_written == 3 + 3 + 3 + 3  # accounts, sessions, check-outs, commits
    assert (counters.writebehind_refused, counters.writebehind_rejected) == (0, 0)


async def test_the_newest_version_wins_in_whatever_order_changes_arrive(store: asyncpg.Connection) -> None:
    changes = [
        loadout(player, f"skin-{version}", version) for player in range(1, 6) for version in range(1, 9)
    ]
    Random(4).shuffle(changes)
    for start in range(0, len(changes), 7):
        await apply(store, {"loadout": changes[start : start + 7]}, NOW_S)
    rows = await store.fetch("SELECT skin, version FROM loadouts")
    assert [tuple(row) for row in rows] == [("skin-8", 8)] * 5


async def test_hundreds_of_changes_are_one_statement(store: asyncpg.Connection) -> None:
    statements: list[str] = []
    store.add_query_logger(lambda query: statements.append(query.query))
    await apply(store, {"loadout": [loadout(player, "scout", 1) for player in range(1, 801)]}, NOW_S)
    assert sum("loadouts" in statement for statement in statements) == 1
    assert await store.fetchval("SELECT count(*) FROM loadouts") == 800


@pytest.mark.parametrize("order", [(0, 1, 2), (0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1), (2, 1, 0)])
async def test_two_matches_in_a_row_are_stored_the_same_in_any_order(
    store: asyncpg.Connection, order: tuple[int, ...]
) -> None:
    changes = [
        {"checkout": [checkout(MATCH, "server-1", (7, 1000))]},
        {"commit": [commit(MATCH, (7, 1000, 1500))]},
        {"checkout": [checkout(OTHER_MATCH, "server-2", (7, 2000))]},
    ]
    for index in order:
        assert (await apply(store, changes[index], NOW_S)).refused == 0
    assert await outcomes(store) == {1000: ("committed", 3), 2000: (None, None)}
    assert await store.fetchval("SELECT server FROM match_history WHERE fence = 1000") == "server-1"


async def test_the_store_refuses_a_stale_fence_that_the_cache_let_through(store: asyncpg.Connection) -> None:
    # As when the cache lost the second check-out, or another region's cache never knew of the first.
    await apply(store, {"checkout": [checkout(MATCH, "server-1", (7, 1000), (8, 1000))]}, NOW_S)
    await apply(store, {"checkout": [checkout(OTHER_MATCH, "server-2", (7, 2000))]}, NOW_S)
    late = {"commit": [commit(MATCH, (7, 1000, 3000), (8, 1000, 3000))]}
    assert (await apply(store, late, NOW_S)).refused == 1
    rows = await store.fetch("SELECT player_id, fence, outcome, kills FROM match_history ORDER BY 1, 2")
    assert [tuple(row) for row in rows] == [
        (7, 1000, "refused", None),
        (7, 2000, None, None),
        (8, 1000, "committed", 3),
    ]


async def test_a_stale_commit_in_the_stream_is_counted_as_refused(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    await redis.xadd(ONE.home.stream, {"checkout": checkout(MATCH, "server-1", (7, 1000))})
    await redis.xadd(ONE.home.stream, {"checkout": checkout(OTHER_MATCH, "server-2", (7, 2000))})
    await redis.xadd(ONE.home.stream, {"commit": commit(MATCH, (7, 1000, 3000))})
    await drain(backend)
    assert (await backend.client.counters()).writebehind_refused == 1
    assert await outcomes(store) == {1000: ("refused", None), 2000: (None, None)}


async def test_applying_a_batch_twice_is_the_same_as_once(store: asyncpg.Connection) -> None:
    changes = {
        "loadout": [loadout(7, "scout", 3)],
        "checkout": [checkout(MATCH, "server-1", (7, 1000))],
        "commit": [commit(MATCH, (7, 1000, 1500))],
    }
    await apply(store, changes, NOW_S)
    before = await store.fetch("SELECT * FROM match_history, loadouts")
    await apply(store, changes, NOW_S)
    assert await store.fetch("SELECT * FROM match_history, loadouts") == before


async def test_a_change_the_store_cannot_take_is_set_aside_and_the_others_are_stored(
    backend: Backend, redis: Redis, store: asyncpg.Connection
) -> None:
    for player in range(1, 6):
        await redis.xadd(ONE.home.stream, {"loadout": loadout(player, "scout", 1)})
    await redis.xadd(ONE.home.stream, {"loadout": "not json"})
    await redis.xadd(ONE.home.stream, {"riddle": "{}"})
    for player in range(6, 11):
        await redis.xadd(ONE.home.stream, {"loadout": loadout(player, "scout", 1)})
    await drain(backend)
    assert await store.fetchval("SELECT count(*) FROM loadouts") == 10
    counters = await backend.client.counters()
    assert (counters.writebehind_written, counters.writebehind_rejected) == (10, 2)
    rejected: Any = await redis.xrange(ONE.home.rejected)
    reasons = [fields["reason"] for _, fields in rejected]
    assert "json" in reasons[0]
    assert "riddle" in reasons[1]


async def test_leases_expire_with_nobody_looking(backend: Backend, redis: Redis) -> None:
    player_id = (await backend.login()).player_id
    await backend.client.check_out(new_match(), "server-1", "east-us", 10, [player_id])
    backend.clock.advance(11)
    async with working(backend.settings, backend.clock):

        async def expired() -> bool:
            return bool(await redis.hget(backend.keys.player(player_id), "lease_state") == "expired")

        await until(expired)


async def test_changes_wait_while_the_store_is_away_and_drain_when_it_is_back(
    backend: Backend, store: asyncpg.Connection
) -> None:
    database = await store.fetchval("SELECT current_database()")
    login = await backend.login()
    await backend.client.set_loadout(login.session_token, "scout")
    admin = await asyncpg.connect(backend.settings.store_url.rsplit("/", 1)[0] + "/postgres")
    try:
        await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS false")
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", database
        )
        async with working(backend.settings, backend.clock):
            pending = await backend.app.state.context.players.cache.redis.xlen(ONE.home.stream)
            assert pending == 3  # the account, its session, the loadout
            profile = await backend.client.profile(login.session_token)
            assert (profile.skin, profile.sync) == ("scout", "pending")
            await admin.execute(f"ALTER DATABASE {database} ALLOW_CONNECTIONS true")
            await drained(backend)
    finally:
        await admin.close()
    assert (await backend.client.profile(login.session_token)).sync == "synced"


async def test_the_worker_goes_on_when_the_cache_comes_back_empty(backend: Backend, redis: Redis) -> None:
    async with working(backend.settings, backend.clock):
        await backend.login()
        await drained(backend)
        await redis.flushall()  # the stream and its consumer group are gone
        await backend.client.login_device("after-the-loss")
        await drained(backend)


async def test_another_worker_takes_over_what_a_dead_one_had_taken(
    backend: Backend, redis: Redis, store: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker, "CLAIM_IDLE_S", 0.05)
    monkeypatch.setattr(worker, "MAINTENANCE_INTERVAL_S", 0.0)
    await redis.xadd(ONE.home.stream, {"loadout": loadout(7, "scout", 1)})
    await redis.xgroup_create(ONE.home.stream, keys.CONSUMER_GROUP, id="0")
    await redis.xreadgroup(keys.CONSUMER_GROUP, "dead", {ONE.home.stream: ">"})
    await drain(backend)
    assert await store.fetchval("SELECT skin FROM loadouts WHERE player_id = 7") == "scout"


@asynccontextmanager
async def worker_process(settings: Settings) -> AsyncIterator[asyncio.subprocess.Process]:
    child = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "meta_service.writebehind", "--name", "killed"),
        env={**os.environ, **environment(settings)},
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        yield child
    finally:
        if child.returncode is None:
            child.kill()
        await child.wait()


async def test_nothing_is_lost_or_doubled_when_the_worker_is_killed_again_and_again(
    settings: Settings, clock: Clock, store: asyncpg.Connection
) -> None:
    random = Random(11)
    async with running(settings, clock) as backend:
        logins = await backend.logins(8)
        newest: dict[int, int] = {}
        stop = asyncio.Event()

        async def change() -> None:
            number = 0
            while not stop.is_set():
                login = random.choice(logins)
                number += 1
                changed = await backend.client.set_loadout(
                    login.session_token, ("recruit", "scout")[number % 2]
                )
                newest[login.player_id] = max(newest.get(login.player_id, 0), changed.version)
                await asyncio.sleep(0.002)

        changing = asyncio.create_task(change())
        for _ in range(3):
            written = (await backend.client.counters()).writebehind_written

            async def has_begun(before: int = written) -> bool:
                return (await backend.client.counters()).writebehind_written > before

            async with worker_process(settings) as worker:
                await until(has_begun)
                await asyncio.sleep(random.random() * 0.03)  # anywhere in its cycle
                worker.send_signal(signal.SIGKILL)
        stop.set()
        await changing
        async with worker_process(settings) as worker:
            await drained(backend)
            worker.send_signal(signal.SIGTERM)
            assert await worker.wait() == 0
        rows = await store.fetch("SELECT player_id, version FROM loadouts")
        assert {row["player_id"]: row["version"] for row in rows} == newest
        accounts = await store.fetchval("SELECT count(*) FROM accounts")
        assert accounts == len(logins)


async def test_a_worker_takes_over_the_counters_of_an_earlier_version(
    settings: Settings, clock: Clock, redis: Redis
) -> None:
    await redis.hset(keys.OLD_COUNTERS, mapping={"checkouts": 3, "commits": 3})
    async with running(settings, clock) as backend, working(settings, clock):
        assert await until(lambda: redis.exists(ONE.home.counters), "the counters have their new name")
        counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.expired, counters.open) == (3, 3, 0, 0)

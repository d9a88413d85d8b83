"""The cache comes back with older data: what was stored since is there again at the next touch."""

from __future__ import annotations

from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from meta_service.cache.cache import Cache
from meta_service.cache.epoch import EpochWatch
from meta_service.cache.keys import ONE, Keys
from meta_service.client import MetaRefusedError, Session
from meta_service.store import catalogue
from meta_service.store.store import Store
from tests.meta_service.conftest import Backend, Clock, drain, new_match, result, running
from tests.meta_service.domain.test_shop import CRATE, fund
from tests.waiting import until


class OlderCopy:
    """What a cache held at one moment, and how it gets it back."""

    def __init__(self, redis: Redis, store: asyncpg.Connection, keys: Keys) -> None:
        self._redis = redis
        self._partitions = keys.partitions
        self._store = store
        self._dumps: dict[str, Any] = {}

    async def take(self) -> None:
        for key in [key async for key in self._redis.scan_iter()]:
            self._dumps[key] = await self._redis.dump(key)

    async def put_back(self, run_id: str = "") -> None:
        """Replace everything; ``run_id``: as another process, else as the same one."""
        await self._redis.flushall()
        for key, dump in self._dumps.items():
            await self._redis.restore(key, 0, dump, replace=True)
        for each in self._partitions:
            await self._redis.set(each.beat, 0)
        if run_id:  # what was known so far was known of another server
            await self._store.execute("UPDATE cache_epochs SET mark = $1", run_id)
            for each in self._partitions:
                number = str(await self._redis.get(each.epoch)).partition(" ")[0]
                await self._redis.set(each.epoch, f"{number} {run_id}")
                await self._redis.set(each.beat, 10**9)


async def noticed(backend: Backend, before: int) -> None:
    cache = backend.app.state.context.players.cache
    await until(lambda: min(cache.epochs) > before, "another epoch")


@pytest.fixture
async def copy(backend: Backend, redis: Redis, store: asyncpg.Connection) -> OlderCopy:
    await noticed(backend, 0)
    return OlderCopy(redis, store, backend.keys)


@pytest.mark.parametrize("run_id", ["", "another-server"])
async def test_what_the_store_has_comes_back_into_an_older_cache(
    backend: Backend, copy: OlderCopy, store: asyncpg.Connection, run_id: str
) -> None:
    await catalogue.put(store, [CRATE])
    login = await backend.login()
    await fund(backend, login, 100)
    await play(backend, login, kills=3)
    await drain(backend)
    await backend.client.leaderboard(login.session_token, "kills")
    await copy.take()
    backend.clock.advance(2)
    await backend.client.set_loadout(login.session_token, "scout", emotes=["wave"])
    await fund(backend, login, 900)
    await play(backend, login, kills=7)
    await drain(backend)
    await store.execute(
        "INSERT INTO progression (player_id, xp, level) VALUES ($1, 5000, 10)", login.player_id
    )
    await store.execute("INSERT INTO ratings VALUES ($1, 'duel', 31, 2, 9)", login.player_id)
    before = backend.app.state.context.players.cache.epoch
    await copy.put_back(run_id)
    await noticed(backend, before)
    profile = await backend.client.profile(login.session_token)
    assert (profile.skin, profile.emotes, profile.sync) == ("scout", ["wave"], "synced")
    assert (profile.level, profile.xp, profile.balances) == (10, 5000, {"coins": 1000})
    skills = await backend.client.skills("duel", [login.player_id])
    assert skills.skills[login.player_id].mu == 31
    board = await backend.client.leaderboard(login.session_token, "kills")
    assert [standing.score for standing in board.standings] == [10]
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.expired, counters.open) == (1, 1, 0, 0)


async def test_a_lease_that_ended_since_is_ended_and_counted(backend: Backend, copy: OlderCopy) -> None:
    login = await backend.login()
    match = new_match()
    out = await backend.client.check_out(match, "s", "east-us", 60, [login.player_id])
    await drain(backend)
    await copy.take()
    backend.clock.advance(2)
    told = [result(login.player_id, out.checked_out[0].fence)]
    await backend.client.commit(match, told)
    await drain(backend)
    before = backend.app.state.context.players.cache.epoch
    await copy.put_back()
    await noticed(backend, before)
    again = await backend.client.check_out(new_match(), "s", "east-us", 60, [login.player_id])
    assert again.refused == []
    counters = await backend.client.counters()
    assert (counters.checkouts, counters.commits, counters.expired, counters.open) == (2, 1, 0, 1)


async def test_a_lease_that_an_older_cache_has_forgotten_still_holds(
    backend: Backend, copy: OlderCopy
) -> None:
    login = await backend.login()
    await drain(backend)
    await copy.take()
    backend.clock.advance(2)
    out = await backend.client.check_out(new_match(), "s", "east-us", 60, [login.player_id])
    await drain(backend)
    before = backend.app.state.context.players.cache.epoch
    await copy.put_back()
    await noticed(backend, before)
    other = await backend.client.check_out(new_match(), "other", "east-us", 60, [login.player_id])
    assert [refusal.reason for refusal in other.refused] == ["checked-out"]
    assert out.checked_out


async def test_a_partial_change_in_an_older_cache_does_not_bring_older_parts_back(
    backend: Backend, copy: OlderCopy
) -> None:
    login = await backend.login()
    await drain(backend)
    await copy.take()
    backend.clock.advance(2)
    await backend.client.set_loadout(login.session_token, "scout", emotes=["wave"])
    await drain(backend)
    before = backend.app.state.context.players.cache.epoch
    await copy.put_back()
    await noticed(backend, before)
    changed = await backend.client.set_loadout(login.session_token, settings={"fov": 90})
    assert (changed.skin, changed.emotes) == ("scout", ["wave"])


async def test_a_session_that_was_ended_stays_so_and_the_store_is_not_talked_out_of_it(
    backend: Backend, copy: OlderCopy, store: asyncpg.Connection
) -> None:
    login = await backend.login()
    await drain(backend)
    await copy.take()
    backend.clock.advance(2)
    await backend.client.log_out(login.session_token)
    await drain(backend)
    # Before anybody has noticed: the older cache exchanges the token, for it has forgotten the log-out.
    cache = backend.app.state.context.players.cache
    before = cache.epoch
    await copy.put_back()
    backend.clock.advance(2)
    exchange = ("refresh", login.player_id, session_of(backend, login), backend.clock.now(), (0, 10_000))
    assert (await cache.session(*exchange, final=True))[0] == "ok"
    await drain(backend)
    assert await store.fetchval("SELECT state FROM sessions") == "revoked"
    await noticed(backend, before)
    with pytest.raises(MetaRefusedError, match="session-revoked"):
        await backend.client.profile(login.session_token)
    with pytest.raises(MetaRefusedError, match="session-revoked"):
        await backend.client.refresh(login.refresh_token)
    await drain(backend)
    assert await store.fetchval("SELECT state FROM sessions") == "revoked"


async def test_a_login_elsewhere_is_not_undone_by_an_exchange_that_an_older_cache_allows(
    backend: Backend, copy: OlderCopy, store: asyncpg.Connection
) -> None:
    first = await backend.client.login_device("one-device")
    await drain(backend)
    await copy.take()
    backend.clock.advance(2)
    second = await backend.client.login_device("one-device")
    await drain(backend)
    cache = backend.app.state.context.players.cache
    before = cache.epoch
    await copy.put_back()
    backend.clock.advance(2)
    await cache.session(
        "refresh", first.player_id, session_of(backend, first), backend.clock.now(), (0, 10_000), final=True
    )
    await drain(backend)
    assert await store.fetchval("SELECT session_id FROM sessions") == session_of(backend, second)
    await noticed(backend, before)
    assert (await backend.client.profile(second.session_token)).player_id == second.player_id
    with pytest.raises(MetaRefusedError, match="session-superseded"):
        await backend.client.profile(first.session_token)


async def test_who_exchanged_a_token_that_the_older_cache_has_forgotten_stays_logged_in(
    backend: Backend, copy: OlderCopy
) -> None:
    login = await backend.login()
    await copy.take()
    backend.clock.advance(2)
    renewed = await backend.client.refresh(login.refresh_token)
    await copy.put_back()  # neither the cache nor the store knows of the exchange
    backend.clock.advance(2)
    again = await backend.client.refresh(renewed.refresh_token)
    assert (await backend.client.profile(again.session_token)).player_id == login.player_id


async def test_while_the_store_is_away_an_older_cache_serves_what_it_has(
    backend: Backend, copy: OlderCopy, monkeypatch: pytest.MonkeyPatch
) -> None:
    login = await backend.login()
    await drain(backend)
    cache = backend.app.state.context.players.cache
    cache.epochs = [epoch + 1 for epoch in cache.epochs]  # as after another life began
    monkeypatch.setattr(backend.app.state.context.players.store._presence, "away", True)
    assert (await backend.client.profile(login.session_token)).skin == "recruit"
    assert (await backend.client.set_loadout(login.session_token, "scout")).sync == "pending"
    out = await backend.client.check_out(new_match(), "s", "east-us", 60, [login.player_id])
    assert [player.player_id for player in out.checked_out] == [login.player_id]
    renewed = await backend.client.refresh(login.refresh_token)
    assert (await backend.client.profile(renewed.session_token)).skin == "scout"


async def test_every_process_gets_one_number_for_one_change(
    settings: Any, redis: Redis, clock: Clock
) -> None:
    store = Store(settings.store_url, clock)
    caches = [Cache(redis) for _ in range(3)]
    watches = [EpochWatch(cache, store, clock) for cache in caches]
    for watch in watches:
        await watch.look()
    assert [cache.epoch for cache in caches] == [1, 1, 1]
    await redis.set(ONE.home.epoch, "1 of-another")
    await store.change("UPDATE cache_epochs SET mark = 'of-another'")
    for watch in watches:
        await watch.look()
    assert [cache.epoch for cache in caches] == [2, 2, 2]
    await store.close()


async def test_a_start_without_the_store_takes_the_epoch_that_the_cache_knows(
    settings: Any, clock: Clock, redis: Redis
) -> None:
    async with running(settings, clock) as backend:
        await noticed(backend, 0)
    away = settings.model_copy(update={"store_url": "postgresql://nobody@127.0.0.1:1/none"})
    async with running(away, clock) as backend:
        await noticed(backend, 0)


async def play(backend: Backend, login: Session, kills: int) -> None:
    match = new_match()
    out = await backend.client.check_out(match, "s", "east-us", 60, [login.player_id])
    await backend.client.commit(match, [result(login.player_id, out.checked_out[0].fence, kills=kills)])


def session_of(backend: Backend, login: Session) -> str:
    session_id: str = backend.app.state.signer.verify(login.session_token, backend.clock.now()).session_id
    return session_id

"""Two regions over one store; the second one's cache is another database of the same Valkey."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import permutations

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from meta_service.cache import cache
from meta_service.cache.cache import Cache
from meta_service.cache.keys import ONE
from meta_service.client import MetaRefusedError
from meta_service.store.apply import apply
from meta_service.store.load_players import LOAD_PLAYERS
from meta_service.writebehind.worker import WriteBehind
from tests.meta_service.conftest import SEASONS, Backend, Clock, new_match, result, running
from tests.waiting import until

NOW_S = 1_800_000_000.0


@contextlib.asynccontextmanager
async def region(settings: Settings, clock: Clock, name: str, database: int) -> AsyncIterator[Backend]:
    """An API and a write-behind worker of one region."""
    url = settings.cache_url.rsplit("/", 1)[0] + f"/{database}"
    own = settings.model_copy(update={"region": name, "cache_url": url, "requests_per_player_s": 0.0})
    redis = cache.connect(url)
    stop = asyncio.Event()
    worker = asyncio.create_task(
        WriteBehind(redis, own.store_url, name, clock, name, seasons=SEASONS).run(stop)
    )
    try:
        async with running(own, clock) as backend:
            yield backend
    finally:
        stop.set()
        await worker
        await redis.aclose()


@dataclass
class Regions:
    west: Backend
    east: Backend
    clock: Clock


@pytest.fixture
async def regions(
    settings: Settings, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Regions]:
    # The tests' clock stands still, so workers look at what others did in each of their rounds.
    monkeypatch.setattr("meta_service.writebehind.worker.MAINTENANCE_INTERVAL_S", 0.0)
    async with region(settings, clock, "west", 0) as west, region(settings, clock, "east", 1) as east:
        yield Regions(west, east, clock)


async def wears(backend: Backend, token: str, skin: str) -> None:
    async def so() -> bool:
        return (await backend.client.profile(token)).skin == skin

    await until(so)


async def in_store(store: asyncpg.Connection, table: str) -> None:
    await until(lambda: store.fetchval(f"SELECT count(*) FROM {table}"))


async def test_two_regions_that_write_one_loadout_come_to_the_newest(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await regions.west.client.login_device("a-player-of-two-regions")
    token = login.session_token
    await in_store(store, "sessions")
    await in_store(store, "accounts")
    await regions.east.client.profile(token)  # the east knows the player from here on
    regions.clock.advance(1)
    await regions.east.client.set_loadout(token, "recruit")
    regions.clock.advance(1)
    newer = await regions.west.client.set_loadout(token, "scout")
    await wears(regions.east, token, "scout")
    await wears(regions.west, token, "scout")
    assert (await regions.east.client.profile(token)).version == newer.version
    regions.clock.advance(2)
    await regions.east.client.set_loadout(token, "recruit")
    await wears(regions.west, token, "recruit")


async def test_a_players_home_moves_with_the_player_and_the_old_region_hears_of_it(
    regions: Regions, store: asyncpg.Connection
) -> None:
    first = await regions.west.client.login_device("a-player-who-moves")
    assert (await regions.west.client.profile(first.session_token)).home_region == "west"
    await regions.west.client.set_loadout(first.session_token, "scout")
    await in_store(store, "accounts")
    await in_store(store, "loadouts")
    regions.clock.advance(1)
    second = await regions.east.client.login_device("a-player-who-moves")
    profile = await regions.east.client.profile(second.session_token)
    assert (second.player_id, profile.home_region, profile.skin) == (first.player_id, "east", "scout")

    async def superseded() -> bool:
        try:
            await regions.west.client.profile(first.session_token)
        except MetaRefusedError as error:
            return error.kind == "session-superseded"
        return False

    await until(superseded)
    assert await store.fetchval("SELECT region FROM sessions") == "east"


async def test_a_name_a_linked_device_and_a_deletion_are_known_in_the_other_region(
    regions: Regions, store: asyncpg.Connection, settings: Settings
) -> None:
    west, east = regions.west.client, regions.east.client
    login = await west.login_device("a-player-of-two-regions")
    token = login.session_token
    await in_store(store, "sessions")
    await in_store(store, "accounts")
    await east.profile(token)  # the east knows the player from here on
    await west.set_name(token, "Nina of Troy")
    await west.link_device(token, "a-phone-of-the-west")

    async def named() -> bool:
        return (await east.profile(token)).display_name == "Nina of Troy"

    await until(named)
    assert (await east.login_device("a-phone-of-the-west")).player_id == login.player_id
    deletion = await east.delete_account((await east.login_device("a-phone-of-the-west")).session_token)
    assert deletion.deleted

    async def finished() -> bool:
        return bool(await store.fetchval("SELECT count(*) FROM erasures WHERE finished_at IS NOT NULL"))

    await until(finished)
    for client in (west, east):
        with pytest.raises(MetaRefusedError) as told:
            await client.profile(token)
        assert told.value.kind == "session-erased"


async def test_a_region_does_not_take_in_players_whom_it_does_not_know(
    regions: Regions, store: asyncpg.Connection
) -> None:
    stranger = await regions.west.client.login_device("a-player-of-the-west")
    await in_store(store, "accounts")
    known = await regions.west.client.login_device("a-player-of-both")
    await in_store(store, "sessions")
    await until(lambda: store.fetchval("SELECT count(*) = 2 FROM accounts"))
    await regions.east.client.profile(known.session_token)
    regions.clock.advance(1)
    for login in (stranger, known):
        await regions.west.client.set_loadout(login.session_token, "scout")
    await wears(regions.east, known.session_token, "scout")
    east: Redis = regions.east.app.state.context.players.cache.redis
    assert not await east.exists(ONE.player(stranger.player_id))


async def test_every_region_tells_its_matchmaker_who_logged_out_in_another(
    regions: Regions, store: asyncpg.Connection
) -> None:
    known, stranger = [await regions.west.client.login_device(f"a-player-{n}") for n in "ab"]
    await until(lambda: store.fetchval("SELECT count(*) = 2 FROM sessions"))
    await until(lambda: store.fetchval("SELECT count(*) = 2 FROM accounts"))
    await regions.east.client.profile(known.session_token)
    for login in (known, stranger):
        await regions.west.client.log_out(login.session_token)

    async def told() -> bool:
        ends = (await regions.east.client.session_ends()).ends
        return {end.player_id for end in ends} == {known.player_id, stranger.player_id}

    await until(told)


async def test_results_of_one_region_are_on_the_boards_of_another_and_balances_come_home(
    regions: Regions, store: asyncpg.Connection
) -> None:
    login = await regions.west.client.login_device("a-player-who-returns")
    await in_store(store, "accounts")
    await in_store(store, "sessions")
    token = login.session_token
    assert (await regions.east.client.leaderboard(token, "kills")).standings == []
    match = new_match()
    out = await regions.west.client.check_out(match, "s", "west", 60, [login.player_id])
    await regions.west.client.commit(match, [result(login.player_id, out.checked_out[0].fence, kills=6)])

    async def shown() -> bool:
        board = await regions.east.client.leaderboard(token, "kills")
        return [line.score for line in board.standings] == [6]

    await until(shown)
    regions.clock.advance(1)
    away = await regions.east.client.login_device("a-player-who-returns")
    await regions.east.client.grant("a-grant-in-the-east", login.player_id, "coins", 9, "a test")
    assert (await regions.east.client.profile(away.session_token)).balances == {"coins": 9}
    await until(lambda: store.fetchval("SELECT region = 'east' FROM sessions"))
    await until_home(regions.west, login.player_id, "east")
    regions.clock.advance(1)
    back = await regions.west.client.login_device("a-player-who-returns")
    profile = await regions.west.client.profile(back.session_token)
    assert (profile.home_region, profile.balances) == ("west", {"coins": 9})


async def until_home(backend: Backend, player_id: int, home: str) -> None:
    redis: Redis = backend.app.state.context.players.cache.redis

    async def so() -> bool:
        return bool(await redis.hget(backend.keys.player(player_id), "home") == home)

    await until(so)


@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_changes_of_two_regions_with_one_version_come_to_the_same_in_any_order(
    store: asyncpg.Connection, redis: Redis, clock: Clock, order: tuple[int, ...]
) -> None:
    changes = [
        {"player_id": "7", "skin": "of-west", "version": "5", "region": "west"},
        {"player_id": "7", "skin": "of-east", "version": "5", "region": "east"},
        {"player_id": "7", "skin": "before", "version": "4", "region": "west"},
    ]
    await store.execute("INSERT INTO accounts VALUES (7, '\\x00', 'Seven', now())")
    for index in order:
        await apply(store, {"loadout": [json.dumps(changes[index])]}, NOW_S)
        rows = await store.fetch(LOAD_PLAYERS, [7])
        await Cache(redis, "east").load([rows[0][0]], [7], clock.now())
    assert await store.fetchval("SELECT skin FROM loadouts") == "of-west"
    assert await redis.hget(ONE.player(7), "skin") == "of-west"

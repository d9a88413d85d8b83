"""The API over real servers, with a clock that only the test moves."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from functools import partial
from uuid import UUID, uuid4

import asyncpg
import httpx2
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis

from launchday.clock import SystemClock
from launchday.seasons import Season, Seasons
from launchday.settings import Settings
from meta_service.app import build
from meta_service.cache import scripts
from meta_service.cache.cache import connect
from meta_service.cache.keys import Keys
from meta_service.cache.partitions import agree
from meta_service.client import MetaClient, PlayerCommit, Session
from meta_service.writebehind.worker import WriteBehind
from tests.waiting import until


def season(name: str, starts: str, ends: str, zone: str = "UTC") -> Season:
    return Season.model_validate(
        {
            "name": name,
            "title": name,
            "zone": zone,
            "starts": starts,
            "ends": ends,
            "tiers": [{"xp": 500, "reward": "spray"}],
        }
    )


SEASONS = Seasons([season("century", "2000-01-01", "2100-01-01")])  # whenever the tests run


# A machine that runs all tests may stand still for seconds, which is no outage of anything: engines and the
# API are given up after so long, and tests of outages set shorter times themselves.
ROOM_S = 30.0

# Before a script's text: refuses each key that is not among KEYS, as a cluster's nodes may.
CHECK_OF_KEYS = """
local redis = (function(real)
  local named, keyless, all = {}, {INFO = true}, {DEL = true, EXISTS = true}
  for _, key in ipairs(KEYS) do
    named[key] = true
  end
  local function checked(run)
    return function(command, ...)
      for index = 1, keyless[command] and 0 or all[command] and select('#', ...) or 1 do
        local key = tostring((select(index, ...)))
        if not named[key] then
          error(command .. ' touches a key that is not named: ' .. key)
        end
      end
      return run(command, ...)
    end
  end
  return setmetatable({call = checked(real.call), pcall = checked(real.pcall)}, {__index = real})
end)(redis)
"""


class Clock(SystemClock):
    """The machine's clock, but for wall time: that begins now and moves only when told to."""

    def __init__(self) -> None:
        super().__init__()
        self._told_s = time.time()

    def now(self) -> float:
        return self._told_s

    def wall(self) -> float:
        return self._told_s

    def advance(self, seconds: float) -> None:
        self._told_s += seconds

    def set(self, now: float) -> None:
        self._told_s = now


@dataclass
class Backend:
    """One API, its clients, and what stands behind it."""

    app: FastAPI
    clock: Clock
    settings: Settings
    client: MetaClient
    http: httpx2.AsyncClient

    @property
    def keys(self) -> Keys:
        """The names of the cache's keys."""
        keys: Keys = self.app.state.context.players.cache.keys
        return keys

    @property
    def service_token(self) -> str:
        token: str = self.app.state.signer.service_token("test", self.clock.now())
        return token

    async def login(self, name: str = "device") -> Session:
        return await self.client.login_device(f"{name}-{uuid4()}")

    async def logins(self, count: int) -> list[Session]:
        return [await self.login() for _ in range(count)]


@contextlib.asynccontextmanager
async def running(settings: Settings, clock: Clock, seasons: Seasons = SEASONS) -> AsyncIterator[Backend]:
    app = build(settings, clock, seasons)
    token = app.state.signer.service_token("test", clock.now())
    transport = httpx2.ASGITransport(app, raise_app_exceptions=False)
    async with (
        app.router.lifespan_context(app),
        MetaClient("http://meta", token, transport=transport, patience_s=ROOM_S) as client,
        httpx2.AsyncClient(base_url="http://meta", transport=transport) as http,
    ):
        yield Backend(app, clock, settings, client, http)


@pytest.fixture(autouse=True)
def named_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every script of the service touches only keys that its caller has named: one that does not ends."""
    real = scripts.source
    monkeypatch.setattr(scripts, "source", lambda name: f"{CHECK_OF_KEYS}\n{real(name)}")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """The cache may take `ROOM_S` for an answer."""
    monkeypatch.setattr("meta_service.app.connect", partial(connect, answer_s=ROOM_S))


@pytest.fixture
def partitions() -> int:
    """How many partitions the cache has; a module may have its own."""
    return 1


@pytest.fixture
def settings(settings: Settings, partitions: int) -> Settings:
    room = {"store_answer_s": ROOM_S, "store_change_s": ROOM_S}
    return settings.model_copy(update={"cache_partitions": partitions} | room)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
async def backend(settings: Settings, clock: Clock) -> AsyncIterator[Backend]:
    # No limit of requests: the clock stands still.
    async with running(settings.model_copy(update={"requests_per_player_s": 0.0}), clock) as backend:
        yield backend


@pytest.fixture
async def redis(cache_url: str) -> AsyncIterator[Redis]:
    connection = connect(cache_url)
    yield connection
    await connection.aclose()


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(store_url)
    yield connection
    await connection.close()


@contextlib.asynccontextmanager
async def working(
    settings: Settings, clock: Clock, name: str = "worker", seasons: Seasons = SEASONS
) -> AsyncIterator[None]:
    """A write-behind worker inside this process, stopped in order at the end."""
    redis = connect(settings.cache_url)
    keys = await agree(redis, settings.cache_partitions)
    stop = asyncio.Event()
    worker = asyncio.create_task(
        WriteBehind(redis, settings.store_url, name, clock, seasons=seasons, keys=keys).run(stop)
    )
    try:
        yield
    finally:
        stop.set()
        await worker
        await redis.aclose()


async def drain(backend: Backend, seasons: Seasons = SEASONS) -> None:
    """Store every change that waits; the test's time-out is the limit."""
    async with working(backend.settings, backend.clock, seasons=seasons):
        await drained(backend)


async def drained(backend: Backend) -> None:
    async def empty() -> bool:
        return not (await backend.client.counters()).writebehind_depth

    await until(empty, "every change is stored")


def result(player_id: int, fence: int, *, placement: int = 1, kills: int = 3) -> PlayerCommit:
    return PlayerCommit(player_id, fence, placement=placement, kills=kills, played_s=44.5)


def new_match() -> UUID:
    return uuid4()

"""The write-behind worker.

It takes accepted changes from the stream in the cache, stores a batch in one transaction, and only then
takes them out of the stream. Killed at any point it loses nothing: what it had taken is still pending under
its name. So the next worker of that name goes on with it at once, and a worker of another name after
``CLAIM_IDLE_S``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any, cast

import asyncpg
import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from launchday.clock import Clock
from launchday.resilience import deadline, store_address
from launchday.resilience.clocks.store_time import StoreTime
from launchday.seasons import Seasons, shipped
from meta_service.cache import keys, scripts
from meta_service.cache.cache import PLAYER_TTL_S, Cache
from meta_service.domain.blocks import Blocks
from meta_service.domain.leaderboards import forget_boards, publish
from meta_service.domain.parties import Parties
from meta_service.domain.players import Players
from meta_service.domain.rejected_changes import RejectedChanges
from meta_service.store.apply import INVALID_CHANGE_ERRORS, STATEMENTS, apply
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.season_sums import follow_table
from meta_service.writebehind.bans import BanReplicator
from meta_service.writebehind.erasures import LeftErasures
from meta_service.writebehind.expiry import PlayerExpiry
from meta_service.writebehind.items import ItemReplicator
from meta_service.writebehind.older_boards import OlderBoards
from meta_service.writebehind.regions import RegionReplicator
from meta_service.writebehind.shown_values import ShownValues

MAX_BATCH = 1000  # changes a transaction: past some hundreds the cost of a change no longer falls
READ_BLOCK_S = 0.5  # how long one read of the stream waits for the first change
# Between batches that were not full: at most 50 transactions a second, a tenth of the 200 ms promised.
LINGER_S = 0.02
CLAIM_IDLE_S = 5.0  # another worker's batch is taken over after this; twice applied is the same as once
APPLY_S = (
    4.0  # for connecting, BEGIN, statements and COMMIT; below CLAIM_IDLE_S, at which another would take over
)
MAINTENANCE_INTERVAL_S = 1.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0)

Entry = tuple[str, dict[str, str]]

log = structlog.get_logger()


class WriteBehind:
    """One worker.

    Args:
        redis: a client of the region's cache.
        store_url: postgresql://… address.
        name: under which the stream remembers what this worker has taken; kept over restarts.
        region: whose cache it is, where several regions share a store; empty: the only one.
        player_ttl_s: how long the cache keeps a player of whom the store has everything.
        seasons: the table by which results are summed up; None: the shipped one.
    """

    def __init__(
        self,
        redis: Redis,
        store_url: str,
        name: str,
        clock: Clock,
        region: str = "",
        player_ttl_s: float = PLAYER_TTL_S,
        seasons: Seasons | None = None,
    ) -> None:
        self._redis = redis
        self._cache = Cache(redis, region, player_ttl_s=player_ttl_s)
        self._expiry = PlayerExpiry(self._cache, clock)
        self._seasons = seasons or shipped()
        players = Players(self._cache, cast(Any, None), clock)  # who is logged out asks no store,
        parties = Parties(players, Blocks(players), cast(Any, None), clock)  # and signs nothing
        self._replicator = RegionReplicator(self._cache, self._seasons, parties.log_out)
        self._older = OlderBoards(redis)
        self._bans = BanReplicator(self._cache)
        self._items = ItemReplicator(self._cache)
        self._values = ShownValues(self._cache)
        self._store_time = StoreTime(clock)
        self._store_url = store_url
        self._name = name
        self._clock = clock
        self._connection: asyncpg.Connection | None = None
        self._acknowledge = redis.register_script(scripts.source("acknowledge"))
        self._reject = redis.register_script(scripts.source("reject"))
        self._rejected = RejectedChanges(redis)
        self._maintaining_at = 0.0
        self._follows_table = False
        self._failures = 0

    def go_by(self, seasons: Seasons) -> None:
        """Sum results up by another table from the next batch on."""
        self._seasons = self._replicator.seasons = seasons
        self._follows_table = False

    async def run(self, stop: asyncio.Event) -> None:
        """Store changes until ``stop`` is set; outages of the cache and of the store are waited out.

        Leases end and players expire in a task beside it, which needs the cache alone; deletions that were
        left are finished in another.
        """
        loop = asyncio.get_running_loop()
        erasures = LeftErasures(self._cache, self._store_url, self._clock)
        beside = [
            loop.create_task(self._expiry.run(), name="expire"),
            loop.create_task(erasures.run(), name="finish deletions"),
        ]
        try:
            await self._work(stop)
        finally:
            for task in beside:
                task.cancel()
            await asyncio.wait(beside)
            await self._disconnect()

    async def _work(self, stop: asyncio.Event) -> None:
        resumed = False
        while not stop.is_set():
            try:
                if not resumed:
                    await self._join_group()
                    await self._follow_table()
                    while entries := await self._read("0"):
                        await self._store(entries)
                    resumed = True
                await self._follow_table()
                await self._maintain()
                entries = await self._read(">")
                if entries:
                    await self._store(entries)
                self._failures = 0
                if len(entries) < MAX_BATCH:
                    await _pause(stop, LINGER_S)
            except (RedisError, *UNAVAILABLE_ERRORS) as error:
                resumed = False  # what was read and not stored is pending: begin with it
                await self._disconnect()
                delay_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
                self._failures += 1
                log.warning("write-behind waits", reason=store_address.explained(error), retry_in_s=delay_s)
                await _pause(stop, delay_s)

    async def _join_group(self) -> None:
        try:
            await self._redis.xgroup_create(keys.STREAM, keys.CONSUMER_GROUP, id="0", mkstream=True)
        except ResponseError as error:
            if "BUSYGROUP" not in str(error):
                raise
        with contextlib.suppress(ResponseError):  # only a cache of an earlier version has them
            await self._redis.renamenx(keys.OLD_COUNTERS, keys.COUNTERS)

    async def _follow_table(self) -> None:
        """See that the sums are those of the table's seasons, once; the boards of those that changed go."""
        if not self._follows_table:
            seasons = self._seasons
            changed = await follow_table(await self._connected(), seasons, self._clock.now())
            if changed:
                await forget_boards(self._redis, changed)
                log.info("seasons summed up anew", seasons=changed)
            self._follows_table = seasons is self._seasons

    async def _read(self, after: str) -> list[Entry]:
        """The next changes: ``>`` those nobody has taken, ``0`` those this worker took and did not finish."""
        answer = await cast(
            Any,
            self._redis.xreadgroup(
                keys.CONSUMER_GROUP,
                self._name,
                {keys.STREAM: after},
                count=MAX_BATCH,
                block=int(READ_BLOCK_S * 1000),
            ),
        )
        return _entries(answer)

    async def _maintain(self) -> None:
        monotonic = self._clock.monotonic()
        if monotonic < self._maintaining_at:
            return
        self._maintaining_at = monotonic + MAINTENANCE_INTERVAL_S
        _, claimed, _ = await cast(
            Any,
            self._redis.xautoclaim(
                keys.STREAM, keys.CONSUMER_GROUP, self._name, int(CLAIM_IDLE_S * 1000), count=MAX_BATCH
            ),
        )
        if claimed:
            log.info("took over changes", count=len(claimed))
            await self._store([(id_, fields) for id_, fields in claimed if fields])
        if taken_back := await self._rejected.take_back(STATEMENTS.keys()):
            log.info("took back changes that an older worker did not know", count=len(taken_back))
        async with deadline.within(self._clock, APPLY_S):
            await self._bans.replicate(await self._connected(), self._clock.now())
            await self._items.replicate(await self._connected(), self._clock.now())
        if self._cache.region:
            async with deadline.within(self._clock, APPLY_S):
                await self._replicator.replicate(await self._connected(), await self._stored_at())
            async with deadline.within(self._clock, APPLY_S):
                await self._values.replicate(await self._connected(), self._clock.now())
        elif await self._older.are_kept(self._seasons, self._clock.wall()):
            async with deadline.within(self._clock, APPLY_S):
                await self._replicator.show_records(await self._connected(), await self._stored_at())

    async def _store(self, entries: Sequence[Entry]) -> None:
        """Store changes and take them out of the stream; one that the store cannot take is rejected alone."""
        if not entries:
            return
        changes: dict[str, list[str]] = {}
        for _, fields in entries:
            for kind, text in fields.items():
                changes.setdefault(kind, []).append(text)
        try:
            async with deadline.within(self._clock, APPLY_S):
                applied = await apply(
                    await self._connected(),
                    changes,
                    await self._stored_at(),
                    self._seasons,
                    self._cache.region,
                )
        except INVALID_CHANGE_ERRORS as error:
            if len(entries) == 1:
                await self._reject_entry(entries[0], error)
                return
            middle = len(entries) // 2
            await self._store(entries[:middle])
            await self._store(entries[middle:])
            return
        if applied.refused:
            log.warning("store refused stale fences", count=applied.refused)
        if applied.records:
            await publish(self._redis, applied.records, self._seasons)
        ids = [id_ for id_, _ in entries]
        await cast(
            Any,
            self._acknowledge(
                keys=[keys.COUNTERS, keys.STREAM],
                args=[keys.CONSUMER_GROUP, applied.refused, self._waited_ms(ids), *ids],
            ),
        )

    async def _stored_at(self) -> float:
        """When rows were stored: by the store's clock where regions find each other's by that."""
        store_now = await self._store_time.now(await self._connected())
        return store_now if self._cache.region else self._clock.wall()

    def _waited_ms(self, ids: Sequence[str]) -> int:
        accepted_ms = min(int(id_.partition("-")[0]) for id_ in ids)  # by the cache's clock
        return max(int(self._clock.now() * 1000) - accepted_ms, 0)

    async def _reject_entry(self, entry: Entry, error: Exception) -> None:
        id_, fields = entry
        log.error("store cannot take a change", entry=id_, reason=str(error))
        flat = [part for pair in fields.items() for part in pair]
        await cast(
            Any,
            self._reject(
                keys=[keys.COUNTERS, keys.STREAM, keys.REJECTED],
                args=[keys.CONSUMER_GROUP, id_, str(error), *flat],
            ),
        )

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await store_address.connect(self._store_url)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


def _entries(answer: Any) -> list[Entry]:
    if not answer:
        return []
    streams = answer.items() if isinstance(answer, dict) else answer  # RESP3 or RESP2
    return [(id_, fields) for _, entries in streams for id_, fields in entries if fields]


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)

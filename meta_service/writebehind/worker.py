"""The write-behind worker.

It takes accepted changes from the streams in the cache, stores a batch in one transaction, and only then
takes them out of them. Killed at any point it loses nothing: what it had taken is still pending under its
name. So the next worker of that name goes on with it at once, and a worker of another name after
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
from redis.exceptions import RedisError

from launchday.clock import Clock
from launchday.resilience import deadline, store_address
from launchday.resilience.clocks.store_time import StoreTime
from launchday.seasons import Seasons, shipped
from meta_service.cache.cache import PLAYER_TTL_S, Cache
from meta_service.cache.keys import ONE, Keys
from meta_service.domain.blocks import Blocks
from meta_service.domain.leaderboards import forget_boards, publish
from meta_service.domain.parties import Parties
from meta_service.domain.players import Players
from meta_service.domain.rejected_changes import RejectedChanges
from meta_service.store.apply import INVALID_CHANGE_ERRORS, STATEMENTS, apply
from meta_service.store.errors import UNAVAILABLE_ERRORS
from meta_service.store.season_sums import follow_table
from meta_service.writebehind.elsewhere import Elsewhere
from meta_service.writebehind.erasures import LeftErasures
from meta_service.writebehind.expiry import PlayerExpiry
from meta_service.writebehind.streams import MAX_BATCH, NEW, TAKEN, ChangeStreams, Entry

# Between batches that were not full: at most 50 transactions a second, a tenth of the 200 ms promised.
LINGER_S = 0.02
EMPTY_S = 0.1  # after a read that found nothing and could not wait for it
CLAIM_IDLE_S = 5.0  # another worker's batch is taken over after this; twice applied is the same as once
APPLY_S = (
    4.0  # for connecting, BEGIN, statements and COMMIT; below CLAIM_IDLE_S, at which another would take over
)
IDLE_S = 2 * APPLY_S  # of a transaction, after which the store ends it: this worker's machine may be gone
MAINTENANCE_INTERVAL_S = 1.0
BACKOFF_S = (0.1, 0.2, 0.5, 1.0)

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
        keys: the cache's.
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
        keys: Keys = ONE,
    ) -> None:
        self._redis = redis
        self._cache = Cache(redis, region, player_ttl_s=player_ttl_s, keys=keys)
        self._streams = ChangeStreams(redis, keys, name)
        self._expiry = PlayerExpiry(self._cache, clock)
        self._seasons = seasons or shipped()
        players = Players(self._cache, cast(Any, None), clock)  # who is logged out asks no store,
        parties = Parties(players, Blocks(players), cast(Any, None), clock)  # and signs nothing
        self._elsewhere = Elsewhere(redis, self._cache, self._seasons, parties.log_out, clock)
        self._store_time = StoreTime(clock)
        self._store_url = store_url
        self._clock = clock
        self._connection: asyncpg.Connection | None = None
        self._rejected = RejectedChanges(redis, keys)
        self._maintaining_at = 0.0
        self._follows_table = False
        self._failures = 0

    def go_by(self, seasons: Seasons) -> None:
        """Sum results up by another table from the next batch on."""
        self._seasons = seasons
        self._elsewhere.go_by(seasons)
        self._follows_table = False

    async def run(self, stop: asyncio.Event) -> None:
        """Store changes until ``stop`` is set; outages of the cache and of the store are waited out.

        Leases end and players expire in a task beside it, which needs the cache alone; deletions that were
        left are finished in another; with several regions one looks what the others have stored.
        """
        loop = asyncio.get_running_loop()
        erasures = LeftErasures(self._cache, self._store_url, self._clock)
        beside = [
            loop.create_task(self._expiry.run(), name="expire"),
            loop.create_task(erasures.run(), name="finish deletions"),
        ]
        if self._cache.region:
            looking = self._elsewhere.run(self._store_url, MAINTENANCE_INTERVAL_S)
            beside.append(loop.create_task(looking, name="look elsewhere"))
        try:
            await self._work(stop)
        finally:
            for task in beside:
                task.cancel()
            await erasures.end()
            await asyncio.wait(beside)
            await self._disconnect()

    async def _work(self, stop: asyncio.Event) -> None:
        resumed = False
        while not stop.is_set():
            try:
                if not resumed:
                    await self._streams.join()
                    await self._follow_table()
                    while entries := await self._streams.read(TAKEN):
                        await self._store_in_batches(entries)
                    resumed = True
                await self._follow_table()
                await self._maintain()
                entries = await self._streams.read(NEW)
                await self._store_in_batches(entries)
                self._failures = 0
                if not self._streams.more:
                    await _pause(stop, LINGER_S if entries or self._streams.waits else EMPTY_S)
            except (RedisError, *UNAVAILABLE_ERRORS) as error:
                resumed = False  # what was read and not stored is pending: begin with it
                await self._disconnect()
                delay_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
                self._failures += 1
                log.warning("write-behind waits", reason=store_address.explained(error), retry_in_s=delay_s)
                await _pause(stop, delay_s)

    async def _follow_table(self) -> None:
        """See that the sums are those of the table's seasons, once; the boards of those that changed go."""
        if not self._follows_table:
            seasons = self._seasons
            changed = await follow_table(await self._connected(), seasons, self._clock.now())
            if changed:
                await forget_boards(self._redis, changed)
                log.info("seasons summed up anew", seasons=changed)
            self._follows_table = seasons is self._seasons

    async def _maintain(self) -> None:
        monotonic = self._clock.monotonic()
        if monotonic < self._maintaining_at:
            return
        self._maintaining_at = monotonic + MAINTENANCE_INTERVAL_S
        if claimed := await self._streams.claim(CLAIM_IDLE_S):
            log.info("took over changes", count=len(claimed))
            await self._store_in_batches(claimed)
        if taken_back := await self._rejected.take_back(STATEMENTS.keys()):
            log.info("took back changes that an older worker did not know", count=len(taken_back))
        if not self._cache.region:  # else that is done beside it
            await self._elsewhere.look(await self._connected())

    async def _store_in_batches(self, entries: Sequence[Entry]) -> None:
        for start in range(0, len(entries), MAX_BATCH):
            await self._store(entries[start : start + MAX_BATCH])

    async def _store(self, entries: Sequence[Entry]) -> None:
        """Store changes and take them out of the stream; one that the store cannot take is rejected alone."""
        changes: dict[str, list[str]] = {}
        for entry in entries:
            for kind, text in entry.changes.items():
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
                log.error("store cannot take a change", entry=entries[0].id, reason=str(error))
                await self._streams.reject(entries[0], str(error))
                return
            middle = len(entries) // 2
            await self._store(entries[:middle])
            await self._store(entries[middle:])
            return
        if applied.refused:
            log.warning("store refused stale fences", count=applied.refused)
        if applied.records:
            await publish(self._redis, applied.records, self._seasons)
        await self._streams.acknowledge(entries, applied.refused, self._waited_ms(entries))

    async def _stored_at(self) -> float:
        """When rows were stored: by the store's clock where regions find each other's by that."""
        store_now = await self._store_time.now(await self._connected())
        return store_now if self._cache.region else self._clock.wall()

    def _waited_ms(self, entries: Sequence[Entry]) -> int:
        accepted_ms = min(int(entry.id.partition("-")[0]) for entry in entries)  # by the cache's clock
        return max(int(self._clock.now() * 1000) - accepted_ms, 0)

    async def _connected(self) -> asyncpg.Connection:
        if self._connection is None or self._connection.is_closed():
            self._connection = await store_address.connect(self._store_url, idle_s=IDLE_S)
        return self._connection

    async def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        await asyncio.wait_for(stop.wait(), seconds)

"""Bring players from the store into the cache: many in one query, and each player by one process at a time.

After a cache was lost, every player's next request finds nothing there. Without care a thousand requests
for one player would be a thousand queries, just when the store has most to do. Inside a process a second
request waits for the first one's answer. Among processes a lock in the cache, which ends by itself if its
owner dies, shows that one of them is loading the player.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

from prometheus_client import Counter

from launchday.clock import Clock
from launchday.resilience import deadline
from meta_service.cache.cache import Cache
from meta_service.errors import StoreUnavailableError
from meta_service.store.store import Store

LOCK_MS = 3_000  # longer than a load may take: the store has two seconds to answer
MAX_WAIT_S = 1.0  # for another process; after that we load the player ourselves, as the other may have died
POLL_S = 0.01
LOAD_S = 4.0  # for a wait and a load of one's own after it

PLAYERS_LOADED = Counter("launchday_meta_players_loaded", "Players brought from the store into the cache.")
LOADS_SHARED = Counter(
    "launchday_meta_player_loads_shared", "Requests that waited for another's load of the player."
)


class CacheFiller:
    """Loads players from the store into the cache. Times are Unix seconds given by the caller.

    A load works for everybody who waits for it, so it is a task of its own: it outlives whoever asked first,
    and each waits for it no longer than they can.
    """

    def __init__(self, cache: Cache, store: Store, clock: Clock) -> None:
        self._cache = cache
        self._keys = cache.keys
        self._store = store
        self._clock = clock
        self._under_way: dict[int, asyncio.Task[None]] = {}

    async def load(self, player_ids: Sequence[int], now: float) -> None:
        """Bring these players into the cache, as far as the store knows them.

        Raises StoreUnavailableError, also when the load takes longer than the request has, or redis-py's
        errors.
        """
        mine = [id_ for id_ in dict.fromkeys(player_ids) if id_ not in self._under_way]
        if len(mine) < len(player_ids):
            LOADS_SHARED.inc(len(player_ids) - len(mine))
        if mine:
            with deadline.serving(None):
                task = asyncio.get_running_loop().create_task(self._load_or_wait(mine, now))
            self._under_way.update(dict.fromkeys(mine, task))
            task.add_done_callback(lambda _: self._end(mine))
            task.add_done_callback(_retrieve_exception)
        try:
            async with deadline.within(self._clock, LOAD_S):
                for task in dict.fromkeys(self._under_way[id_] for id_ in player_ids):
                    await asyncio.shield(task)
        except deadline.DeadlineExceededError as late:
            raise StoreUnavailableError(f"players were not loaded in time: {late}") from late

    def _end(self, player_ids: Sequence[int]) -> None:
        for id_ in player_ids:
            del self._under_way[id_]

    async def _load_or_wait(self, player_ids: Sequence[int], now: float) -> None:
        locks = self._cache.redis.pipeline(transaction=False)
        for id_ in player_ids:
            locks.set(self._keys.fill_lock(id_), "1", nx=True, px=LOCK_MS)
            locks.hmget(self._keys.player(id_), ["loaded", "skin"])
        answers = await locks.execute()
        states = list(zip(player_ids, answers[::2], answers[1::2], strict=True))
        mine = [id_ for id_, locked, _ in states if locked]
        elsewhere = [id_ for id_, locked, _ in states if not locked]
        if mine:
            try:
                # Another process may have ended its load between the caller's read and our lock.
                missing = [id_ for id_, locked, known in states if locked and not self._is_known(id_, *known)]
                if missing:
                    await self._fetch(missing, now)
            finally:
                await self._unlock(mine)
        if elsewhere:
            LOADS_SHARED.inc(len(elsewhere))
            left = await self._await_others(elsewhere)
            if left:
                await self._fetch(left, now)

    async def _await_others(self, player_ids: Sequence[int]) -> list[int]:
        """Wait until others have loaded these players; return the players whom nobody has loaded."""
        waiting = list(player_ids)
        for _ in range(int(MAX_WAIT_S / POLL_S)):
            pipeline = self._cache.redis.pipeline(transaction=False)
            for id_ in waiting:
                pipeline.hget(self._keys.player(id_), "loaded")
                pipeline.exists(self._keys.fill_lock(id_))
            answers = await cast(Any, pipeline.execute())
            states = list(zip(waiting, answers[::2], answers[1::2], strict=True))
            missing = [
                (id_, locked) for id_, loaded, locked in states if not self._cache.is_fresh(id_, loaded)
            ]
            given_up = [id_ for id_, locked in missing if not locked]
            waiting = [id_ for id_, locked in missing if locked]
            if given_up:  # their process failed: load them now instead of waiting for the rest
                return given_up + waiting
            if not waiting:
                break
            await self._clock.sleep(POLL_S)
        return waiting

    async def _unlock(self, player_ids: Sequence[int]) -> None:
        locks = self._cache.redis.pipeline(transaction=False)
        for id_ in player_ids:
            locks.delete(self._keys.fill_lock(id_))
        await locks.execute()

    def _is_known(self, player_id: int, loaded: str | None, skin: str | None) -> bool:
        return skin is not None and self._cache.is_fresh(player_id, loaded)

    async def _fetch(self, player_ids: Sequence[int], now: float) -> None:
        rows = await self._store.load(player_ids)
        await self._cache.load(rows, player_ids, now)
        PLAYERS_LOADED.inc(len(player_ids))


def _retrieve_exception(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # else asyncio warns of a failure that nobody waited for

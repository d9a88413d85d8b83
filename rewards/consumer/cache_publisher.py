"""The cache publisher: what is stored of players goes to the cache after its transaction, the newest only:
experience and levels, ratings, and what they have of the things that progress gave.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from typing import Protocol

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from rewards import metrics
from rewards.consumer.gives import NOTHING, Balance, Given, Owned
from rewards.consumer.store import PlayerProgress, PlayerRating
from rewards.progression.ratings import Rating

MAX_PLAYERS_PER_CALL = 500
RETRY_S = 1.0

log = structlog.get_logger()


class ProgressSink(Protocol):
    """Where progress is published; ``meta_service.client.ProgressCache`` is the real one."""

    async def publish(self, progress: list[PlayerProgress]) -> object:
        """Make these players' XP and level visible.

        Values only ever grow, so repeats and stale values do no harm.
        """


class RatingSink(Protocol):
    """Where ratings are published for the matchmaker; ``meta_service.client.RatingCache`` is the real one."""

    async def publish(self, ratings: list[tuple[int, str, float, float, int]]) -> object:
        """Make (player, mode, mu, sigma, matches) visible; the one that rests on the most matches wins."""


class GivenSink(Protocol):
    """Where balances and items are published; ``meta_service.client.GivenCache`` is the real one."""

    async def publish(self, balances: Sequence[Balance], items: Sequence[Owned]) -> object:
        """Make what players have of things visible; of each the newest version wins."""


class CachePublisher:
    """Publishes in the background what it is given.

    An outage of the cache delays it, and nothing waits for it.

    Args:
        sink: where XP and levels go.
        clock: waits between attempts.
        ratings: where ratings go; without it they are not published.
        given: where balances and items go; without it they are not published.
    """

    def __init__(
        self,
        sink: ProgressSink,
        clock: Clock,
        ratings: RatingSink | None = None,
        given: GivenSink | None = None,
    ) -> None:
        self._sink = sink
        self._clock = clock
        self._rating_sink = ratings
        self._given_sink = given
        self._pending: dict[int, tuple[int, int]] = {}
        self._pending_ratings: dict[tuple[int, str], Rating] = {}
        self._pending_balances: dict[tuple[int, str], tuple[int, int]] = {}
        self._pending_items: dict[tuple[int, str], tuple[int, int]] = {}
        self._arrived = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def enqueue(
        self,
        progress: Iterable[PlayerProgress],
        ratings: Iterable[PlayerRating] = (),
        given: Given = NOTHING,
    ) -> None:
        """Queue rows that changed; of each player only the newest is kept."""
        if self._rating_sink is not None:
            for player_id, mode, rating in ratings:
                known = self._pending_ratings.get((player_id, mode))
                if known is None or rating.matches >= known.matches:
                    self._pending_ratings[player_id, mode] = rating
        for player_id, xp, level in progress:
            if xp >= self._pending.get(player_id, (0, 0))[0]:
                self._pending[player_id] = (xp, level)
        if self._given_sink is not None:
            _keep_newest(self._pending_balances, given.balances)
            _keep_newest(self._pending_items, given.items)
        self._update_gauge()
        if not self._is_done():
            self._arrived.set()
            self._idle.clear()

    async def flush(self, timeout_s: float) -> bool:
        """Wait until the cache has everything; returns False when the time ran out."""
        try:
            async with asyncio.timeout(timeout_s):
                await self._idle.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Publish for ever; cancel it to stop."""
        while True:
            await self._arrived.wait()
            try:
                await self._publish_chunk()
            except (RedisError, OSError, TimeoutError) as error:
                log.warning(
                    "rewards_cache_unavailable", reason=repr(error), players_behind=len(self._pending)
                )
                await self._clock.sleep(RETRY_S)
            except Exception:
                log.exception("rewards_cache_failed", players_behind=len(self._pending))
                await self._clock.sleep(RETRY_S)

    async def _publish_chunk(self) -> None:
        chunk = [(player, *self._pending[player]) for player in list(self._pending)[:MAX_PLAYERS_PER_CALL]]
        if chunk:
            await self._sink.publish(chunk)
        for player_id, xp, level in chunk:
            if self._pending[player_id] == (xp, level):
                del self._pending[player_id]
        await self._publish_ratings()
        await self._publish_given()
        self._update_gauge()
        if self._is_done():
            self._arrived.clear()
            self._idle.set()

    async def _publish_ratings(self) -> None:
        chunk = list(self._pending_ratings.items())[:MAX_PLAYERS_PER_CALL]
        if not chunk or self._rating_sink is None:
            return
        await self._rating_sink.publish(
            [(*key, rating.mu, rating.sigma, rating.matches) for key, rating in chunk]
        )
        for key, rating in chunk:
            if self._pending_ratings[key] == rating:
                del self._pending_ratings[key]

    async def _publish_given(self) -> None:
        balances = list(self._pending_balances.items())[:MAX_PLAYERS_PER_CALL]
        items = list(self._pending_items.items())[:MAX_PLAYERS_PER_CALL]
        if self._given_sink is None or not (balances or items):
            return
        await self._given_sink.publish(
            [(*key, *newest) for key, newest in balances], [(*key, *newest) for key, newest in items]
        )
        for pending, chunk in ((self._pending_balances, balances), (self._pending_items, items)):
            for key, newest in chunk:
                if pending[key] == newest:
                    del pending[key]

    def _is_done(self) -> bool:
        return not (self._pending or self._pending_ratings or self._pending_balances or self._pending_items)

    def _update_gauge(self) -> None:
        metrics.CACHE_BEHIND.set(
            len(
                self._pending.keys()
                | {player for player, _ in self._pending_ratings}
                | {player for player, _ in self._pending_balances}
                | {player for player, _ in self._pending_items}
            )
        )


def _keep_newest(
    pending: dict[tuple[int, str], tuple[int, int]], rows: Iterable[tuple[int, str, int, int]]
) -> None:
    for player_id, name, total, version in rows:
        known = pending.get((player_id, name))
        if known is None or version > known[1]:
            pending[player_id, name] = total, version

"""Ratings: a result moves them once, in the order of the log, and the matchmaker reads the new ones."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest
from redis.asyncio import Redis

from launchday.clock import SystemClock
from meta_service.cache.cache import Cache, connect
from meta_service.cache.keys import ONE
from meta_service.cache.leases import Leases
from meta_service.client import ProgressCache, RatingCache
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.store import Store
from rewards.events import Envelope, PlayerPlacement, match_ended
from rewards.progression import rules
from rewards.progression.ratings import PRIOR, Rating, rate
from tests.rewards.examples import NOW_S, source_of
from tests.rewards.running import LETTERS, batch, query


def result(match: int, order: Sequence[Sequence[int]], mode: str = "battle_royale") -> Envelope:
    """A match's end; ``order`` has the sides from first to last."""
    return match_ended(
        source_of(match),
        now_s=NOW_S,
        tick=9,
        mode=mode,
        duration_s=45.0,
        placements=[
            PlayerPlacement(player, team, team + 1, 0, 1.0)
            for team, side in enumerate(order)
            for player in side
        ],
    )


@pytest.fixture
async def store(store_url: str) -> AsyncIterator[Store]:
    made = Store(store_url, "rewards", rules.load(), LETTERS)
    yield made
    await made.close()


async def stored(store_url: str) -> dict[tuple[int, str], Rating]:
    rows = await query(store_url, "SELECT player_id, mode, mu, sigma, matches FROM ratings")
    return {(row[0], row[1]): Rating(*row[2:]) for row in rows}  # type: ignore[arg-type,misc]


def test_who_wins_rises_who_loses_falls_and_both_are_better_known() -> None:
    moved = rate([result(1, [[1], [2], [3]])], {})

    first, second, third = (moved[player, "battle_royale"] for player in (1, 2, 3))
    assert first.mu > PRIOR.mu > third.mu
    assert first.mu > second.mu > third.mu
    assert max(each.sigma for each in (first, second, third)) < PRIOR.sigma
    assert {each.matches for each in (first, second, third)} == {1}


def test_a_side_wins_and_loses_together_and_modes_are_apart() -> None:
    moved = rate([result(1, [[1, 2], [3, 4]], mode="teams_of_five"), result(2, [[3], [1]])], {})

    assert moved[1, "teams_of_five"].mu == moved[2, "teams_of_five"].mu > PRIOR.mu
    assert moved[1, "battle_royale"].mu < PRIOR.mu < moved[3, "battle_royale"].mu
    assert (2, "battle_royale") not in moved


def test_a_match_without_an_opponent_moves_nothing() -> None:
    assert rate([result(1, [[1, 2, 3]])], {}) == {}


async def test_a_match_is_rated_once_however_many_results_it_has(store: Store, store_url: str) -> None:
    await store.apply(batch([result(1, [[1], [2]]), result(1, [[2], [1]])]), NOW_S)
    once = await stored(store_url)
    await store.apply(batch([result(1, [[2], [1]])], first_offset=2), NOW_S)

    assert await stored(store_url) == once
    assert once[1, "battle_royale"].mu > once[2, "battle_royale"].mu
    assert {rating.matches for rating in once.values()} == {1}


async def test_ratings_do_not_depend_on_how_results_fall_into_batches(store: Store, store_url: str) -> None:
    results = [result(match, [[match % 5 + 1], [match % 3 + 6], [match % 4 + 10]]) for match in range(40)]
    for at in range(0, 40, 7):
        await store.apply(batch(results[at : at + 7], first_offset=at), NOW_S)

    assert await stored(store_url) == rate(results, {})


async def test_the_matchmaker_reads_the_new_skill_and_old_news_does_no_harm(
    store: Store, cache_url: str
) -> None:
    redis = Redis.from_url(cache_url)
    cache = Cache(connect(cache_url))
    read = Leases(cache)
    for player in (1, 2):
        await redis.hset(ONE.player(player), "skin", "recruit")
    publisher = CachePublisher(ProgressCache(redis), SystemClock(), RatingCache(redis))
    publishing = asyncio.create_task(publisher.run())
    try:
        first = await store.apply(batch([result(1, [[1], [2]])]), NOW_S)
        second = await store.apply(batch([result(2, [[1], [2]])], first_offset=1), NOW_S)
        for applied in (first, second, first):
            publisher.enqueue(applied.progress, applied.ratings)
            assert await publisher.flush(10)

        newest = {player: rating for player, _, rating in second.ratings}
        prior = (25.0, 8.0)
        seen = await read.ticket_facts("battle_royale", [1, 2, 3], NOW_S, prior)
        assert [facts.rating for facts in seen] == [
            (newest[1].mu, newest[1].sigma),
            (newest[2].mu, newest[2].sigma),
            prior,
        ]
    finally:
        publishing.cancel()
        await asyncio.gather(publishing, return_exceptions=True)
        await cache.close()
        await redis.aclose()


async def test_recent_ratings_are_there_to_be_published_again_after_a_crash(store: Store) -> None:
    applied = await store.apply(batch([result(1, [[1], [2]])]), NOW_S)
    assert sorted(await store.recent_ratings(600)) == sorted(applied.ratings)

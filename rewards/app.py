"""The HTTP side: health, metrics and the books of a running consumer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator

import structlog
from fastapi import FastAPI, Request
from pydantic import BaseModel, Field
from redis.asyncio import Redis

from launchday.problems import Problem
from launchday.service import ServiceCaller, create_app, end_the_process_with
from launchday.settings import Settings
from meta_service.client import ProgressCache, RatingCache
from rewards.cache import CacheFollower
from rewards.consumer import Consumer
from rewards.errors import StoreUnavailableError
from rewards.events import DEAD_LETTERS, SOURCES
from rewards.outbox import Outbox
from rewards.rules import Rules
from rewards.store import Store

CONSUMER_NAME = "rewards"
CACHE_TIMEOUT_S = 5.0
STOP_S = 8.0

log = structlog.get_logger()


class Books(BaseModel):
    """What has been applied. Totals come from the store, so they survive restarts; duplicates are this process's."""

    kills_applied: int
    events_applied: int
    duplicates: int
    dead_letters: int
    lag: int | None = Field(description="Records not applied yet, all partitions; null while Kafka is away.")


def build(settings: Settings, rules: Rules) -> FastAPI:
    """Make the application; its lifespan runs the consumer."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        store = Store(
            settings.store_url,
            CONSUMER_NAME,
            rules,
            DEAD_LETTERS.name(settings.topic_prefix),
            announce=True,
        )
        outbox = Outbox(store.connections, settings.kafka_bootstrap, settings.topic_prefix)
        redis = Redis.from_url(
            settings.cache_url, socket_timeout=CACHE_TIMEOUT_S, socket_connect_timeout=CACHE_TIMEOUT_S
        )
        follower = CacheFollower(ProgressCache(redis), RatingCache(redis))
        consumer = Consumer(
            settings.kafka_bootstrap, settings.topic_prefix, store, follower, announced=outbox.notice
        )
        app.state.store, app.state.consumer = store, consumer
        consuming = asyncio.create_task(consumer.run(), name="consume")
        following = asyncio.create_task(follower.run(), name="follow")
        telling = asyncio.create_task(outbox.run(), name="tell")
        for task in (consuming, following, telling):
            task.add_done_callback(end_the_process_with)
        try:
            yield
        finally:
            for task in (consuming, following, telling):
                task.remove_done_callback(end_the_process_with)
            await consumer.stop()
            _, late = await asyncio.wait({consuming}, timeout=STOP_S)
            if not late:
                await follower.settle(STOP_S)
            await _cancel(consuming, following, telling)
            await store.close()
            await redis.aclose()

    app = create_app("rewards", settings, lifespan)

    @app.get("/v1/internal/books", tags=["internal"])
    async def books(request: Request, _caller: ServiceCaller) -> Books:
        """Say what has been applied and what waits."""
        consumer: Consumer = request.app.state.consumer
        store: Store = request.app.state.store
        try:
            lag = await consumer.lag()
            totals = await store.totals([topic.name(settings.topic_prefix) for topic in SOURCES])
        except StoreUnavailableError as error:
            raise Problem(
                503, "store-unavailable", "the store is away: try again", headers={"Retry-After": "1"}
            ) from error
        return Books(
            kills_applied=totals.kills,
            events_applied=totals.events,
            duplicates=consumer.counts.duplicates,
            dead_letters=totals.dead_letters,
            lag=lag,
        )

    return app


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("rewards_task_failed", error=repr(outcome))

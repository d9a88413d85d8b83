"""The HTTP application: health, metrics, and the counters and newest dead letters of a running consumer."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Annotated, Any

import structlog
from fastapi import FastAPI, Query, Request
from pydantic import BaseModel, Field

from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.resilience import deadline, parts, sockets
from launchday.resilience.bus import Bus
from launchday.service import OperatorCaller, ServiceCaller, create_app, read_again, terminate_when_done
from launchday.settings import Settings
from meta_service.client import GivenCache, ProgressCache, RatingCache
from rewards import dead_letters, kept_events
from rewards.arrival import ArrivalCheck
from rewards.client import LogGap, RewardsCounters
from rewards.consumer import inbox_days
from rewards.consumer.cache_publisher import CachePublisher
from rewards.consumer.consumer import Consumer
from rewards.consumer.outbox import OutboxRelay
from rewards.consumer.rules_reload import RulesFollower
from rewards.consumer.store import Store
from rewards.errors import DeadLettersError, StoreUnavailableError
from rewards.events import DEAD_LETTERS, REWARDS_TOPICS
from rewards.events.logs.gaps import gaps_of_lake
from rewards.progression import rules as progression
from rewards.progression.rules import Rules

CONSUMER_NAME = "rewards"
CACHE_TIMEOUT_S = 5.0
CACHE_CONNECTIONS = 4  # one publishes; the others are for its scripts' first calls
STOP_TIMEOUT_S = 3.0  # for the transaction under way; the launcher kills a service after 8 s
FLUSH_TIMEOUT_S = 1.0  # what is not in the cache by then is published at the next start
MAX_DEAD_LETTERS = 200
NEWEST_GAPS = 20
ANALYTICS_FOLDER = "analytics"  # in the state folder
COUNTERS_TIMEOUT_S = 9.0  # callers wait for 10
DEAD_LETTERS_TIMEOUT_S = 8.0  # a client waits longer for a broker that does not answer

log = structlog.get_logger()


class DeadLetterSummary(BaseModel):
    """A record that was no event; ``launchday events dead-letters`` shows it whole and resends it."""

    origin: str = Field(description="topic/partition/offset")
    at: float = Field(description="The record's time, Unix seconds.")
    reason: str
    bytes: int


class NewestDeadLetters(BaseModel):
    """The newest dead letters, the newest first."""

    dead_letters: list[DeadLetterSummary]


class RulesReloaded(BaseModel):
    """What is in force from now on."""

    seasons: int
    challenges: int


def build(settings: Settings, rules: Rules, clock: Clock) -> FastAPI:
    """Make the application; its lifespan runs the consumer, the cache publisher and the outbox relay."""

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        bus = Bus.of(settings, clock)
        store = Store(
            settings.store_url,
            CONSUMER_NAME,
            rules,
            DEAD_LETTERS.name(settings.topic_prefix),
            announce_level_ups=True,
            connections=settings.rewards_store_connections,
        )
        outbox = OutboxRelay(store.connections, bus, settings.topic_prefix, clock)
        redis = sockets.redis_client(
            settings.cache_url, connections=CACHE_CONNECTIONS, answer_s=CACHE_TIMEOUT_S
        )
        publisher = CachePublisher(ProgressCache(redis), clock, RatingCache(redis), GivenCache(redis))
        consumer = Consumer(
            bus,
            settings.topic_prefix,
            store,
            publisher,
            clock,
            notify_outbox=outbox.notify,
            judge=ArrivalCheck.of(settings, clock),
        )
        follower = RulesFollower(
            store,
            lambda: progression.configured(settings.rules, settings.seasons),
            clock,
            on_given=lambda given: publisher.enqueue((), (), given),
        )
        app.state.reloading.add("rules", follower.reload)
        app.state.store, app.state.consumer, app.state.bus = store, consumer, bus
        needed = contextlib.AsyncExitStack()
        app.state.health.add(
            parts.broker_part(bus),
            await needed.enter_async_context(parts.store_part(settings.store_url)),
            # not needed: what could not be published is published when the cache is back
            await needed.enter_async_context(parts.cache_part(settings.cache_url, needed=False)),
        )
        consuming = asyncio.create_task(consumer.run(), name="consume")
        publishing = asyncio.create_task(publisher.run(), name="publish to the cache")
        relaying = asyncio.create_task(outbox.run(), name="relay the outbox")
        catching_up = asyncio.create_task(follower.run(), name="give what is due")
        keeping = asyncio.create_task(
            inbox_days.keep(
                settings.store_itself, bus, settings.topic_prefix, settings.event_max_behind_s, clock
            ),
            name="keep the inbox's days",
        )
        for task in (consuming, publishing, relaying, catching_up, keeping):
            task.add_done_callback(terminate_when_done)
        try:
            yield
        finally:
            for task in (consuming, publishing, relaying, catching_up, keeping):
                task.remove_done_callback(terminate_when_done)
            await consumer.stop()
            _, late = await asyncio.wait({consuming}, timeout=STOP_TIMEOUT_S)
            if not late:
                await publisher.flush(FLUSH_TIMEOUT_S)
            await _cancel(consuming, publishing, relaying, catching_up, keeping)
            await store.close()
            await redis.aclose()
            await needed.aclose()

    app = create_app("rewards", settings, lifespan, clock=clock)

    @app.get("/v1/internal/counters", tags=["internal"])
    async def counters(request: Request, _caller: ServiceCaller) -> RewardsCounters:
        """Say what has been applied and what waits."""
        consumer: Consumer = request.app.state.consumer
        store: Store = request.app.state.store
        try:
            async with deadline.within(clock, COUNTERS_TIMEOUT_S):
                lag = await consumer.lag()
                totals = await store.totals([topic.name(settings.topic_prefix) for topic in REWARDS_TOPICS])
                gaps = await store.positions.totals()
                newest = await store.positions.gaps(NEWEST_GAPS) if gaps.gaps else []
                of_analytics, newer, spooled = await clock.run_in_thread(_on_disk, settings.state_dir)
        except (StoreUnavailableError, TimeoutError) as error:
            raise ProblemError(
                503, "store-unavailable", "the store does not answer: try again", headers={"Retry-After": "1"}
            ) from error
        return RewardsCounters(
            kills_applied=totals.kills,
            events_applied=totals.events,
            duplicates=consumer.counters.duplicates,
            dead_letters=totals.dead_letters,
            lag=lag,
            newer_waiting=totals.newer_waiting,
            analytics_newer_waiting=newer,
            spooled_newer_waiting=sum(each.events for each in spooled),
            lag_seconds=consumer.lag_seconds,
            gaps=gaps.gaps,
            missing_records=gaps.missing,
            unknown_gaps=gaps.unknown,
            newest_gaps=[
                LogGap(
                    topic=gap.topic,
                    partition=gap.partition,
                    finding=gap.finding,
                    from_offset=gap.from_offset,
                    to_offset=gap.to_offset,
                    missing=gap.missing,
                    noticed_at=at,
                )
                for gap, at in newest
            ],
            **_counted(of_analytics),
        )

    @app.post("/v1/operator/rules/reload", tags=["operators"])
    async def reload_rules(request: Request, _caller: OperatorCaller) -> RulesReloaded:
        """Read the rules, challenges and seasons again; they are refused whole where anything is wrong."""
        try:
            await read_again(request.app, "rules")
        except StoreUnavailableError as error:
            raise ProblemError(
                503, "store-unavailable", "the store does not answer: try again", headers={"Retry-After": "1"}
            ) from error
        in_force = request.app.state.store.rules
        return RulesReloaded(seasons=len(in_force.seasons), challenges=len(in_force.challenges))

    @app.get("/v1/internal/dead-letters", tags=["internal"])
    async def newest_dead_letters(
        request: Request,
        _caller: ServiceCaller,
        limit: Annotated[int, Query(ge=1, le=MAX_DEAD_LETTERS)] = 20,
    ) -> NewestDeadLetters:
        """List the newest dead letters."""
        try:
            async with deadline.within(clock, DEAD_LETTERS_TIMEOUT_S):
                found = await dead_letters.read_newest(request.app.state.bus, settings.topic_prefix, limit)
        except (DeadLettersError, TimeoutError) as error:
            raise ProblemError(
                503,
                "dead-letters-unavailable",
                "the dead letters cannot be read right now: try again",
                headers={"Retry-After": "5"},
            ) from error
        return NewestDeadLetters(
            dead_letters=[
                DeadLetterSummary(
                    origin=letter.origin,
                    at=letter.timestamp_ms / 1000,
                    reason=letter.reason,
                    bytes=len(letter.value),
                )
                for letter in found
            ]
        )

    return app


def _on_disk(state_dir: Path) -> tuple[list[dict[str, Any]] | None, int | None, list[kept_events.Waiting]]:
    """What analytics and game servers have left beside this service: gaps, and newer events of both."""
    folder = state_dir / ANALYTICS_FOLDER
    return gaps_of_lake(folder), kept_events.in_lake(folder), kept_events.in_spools(state_dir)


def _counted(gaps: list[dict[str, Any]] | None) -> dict[str, int]:
    """The counters of the gaps of analytics."""
    if gaps is None:
        return {}
    missing = [gap["missing"] for gap in gaps]
    return {
        "analytics_gaps": len(gaps),
        "analytics_missing_records": sum(count or 0 for count in missing),
        "analytics_unknown_gaps": missing.count(None),
    }


async def _cancel(*tasks: asyncio.Task[None]) -> None:
    for task in tasks:
        task.cancel()
    for outcome in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(outcome, Exception):
            log.error("rewards_task_failed", error=repr(outcome))

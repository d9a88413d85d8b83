"""Progression rebuilt from the log is byte for byte what it was."""

from __future__ import annotations

import random
import uuid
from collections.abc import AsyncIterator

import asyncpg
import pytest

from launchday.clock import SystemClock
from launchday.settings import Settings
from loadtest.event_fixture import make_event_fixture
from rewards.consumer import rebuild
from rewards.errors import RebuildError
from rewards.progression import rules
from tests.rewards.running import applied, query, running, send


@pytest.fixture
async def empty_store_url(store_url: str, migrated_database: str) -> AsyncIterator[str]:
    base, name = store_url.rsplit("/", 1)[0], f"rebuilt_{uuid.uuid4().hex}"
    admin = await asyncpg.connect(f"{base}/template1")
    try:
        await admin.execute(f"CREATE DATABASE {name} TEMPLATE {migrated_database}")
        yield f"{base}/{name}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()


async def test_the_log_gives_the_same_progression_byte_for_byte(
    settings: Settings, empty_store_url: str
) -> None:
    known = make_event_fixture(16, players=120)
    rng = random.Random(1)
    events = list(known.events)
    for event in rng.sample(known.events, 200):
        events.insert(rng.randrange(len(events)), event)
    async with running(settings) as rewards:
        await send(settings, [*events[:2000], (b"junk", b"1"), *events[2000:]])
        await applied(rewards, len(known.events) + 1, settings)

    found = await rebuild.rebuild(
        settings.kafka_bootstrap, settings.topic_prefix, empty_store_url, rules.load(), SystemClock()
    )

    assert (found.events, found.duplicates, found.bad) == (len(known.events), 200, 1)
    live = await rebuild.dump(settings.store_url)
    assert await rebuild.dump(empty_store_url) == live
    assert live.count(b"\n") > 120 * 4
    assert found.digest == await rebuild.digest(settings.store_url)

    await query(empty_store_url, "UPDATE ratings SET mu = mu + 1e-12 WHERE player_id = 1")
    assert await rebuild.digest(empty_store_url) != found.digest

    with pytest.raises(RebuildError, match="not empty"):
        await rebuild.rebuild(
            settings.kafka_bootstrap, settings.topic_prefix, empty_store_url, rules.load(), SystemClock()
        )

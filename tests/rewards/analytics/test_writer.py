"""The writer: from the topics to the files, each event once, whoever is stopped in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from launchday.clock import SystemClock
from launchday.settings import Settings
from loadtest.event_fixture import make_event_fixture
from rewards.analytics import writer as writer_module
from rewards.analytics.lake import Lake
from rewards.analytics.writer import Writer
from tests.optional import needs
from tests.rewards.analytics.test_lake import assert_each_once
from tests.rewards.running import send
from tests.waiting import until


@contextlib.asynccontextmanager
async def writing(settings: Settings, folder: Path) -> AsyncIterator[Writer]:
    made = Writer(settings.kafka_bootstrap, settings.topic_prefix, Lake(folder), SystemClock())
    task = asyncio.create_task(made.run())
    try:
        yield made
    finally:
        made.stop()
        await asyncio.wait_for(task, 20)


@needs("apache-kafka")
async def test_every_event_is_written_once_and_a_writer_goes_on_where_the_last_one_stopped(
    apache_settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "FLUSH_S", 0.2)
    settings, folder = apache_settings, tmp_path / "analytics"
    events = make_event_fixture(4, players=100).events
    async with writing(settings, folder) as first:
        await send(settings, [*events[:500], *events[:50], (b"junk", b"1")])
        await until(lambda: first.written == 500, "the first half")
        # A second process finds the folder taken, and waits.
        standby = Writer(settings.kafka_bootstrap, settings.topic_prefix, Lake(folder), SystemClock())
        waiting = asyncio.create_task(standby.run())
        await send(settings, [*events[400:], *events[:10]])
        await until(lambda: first.written == len(events), "the second half")
        assert standby.written == 0
    more = make_event_fixture(1, players=100, seed=9).events
    await send(settings, [*events[:100], *more])
    await until(lambda: standby.written == len(more), "the one on standby at work")
    standby.stop()
    await waiting

    assert_each_once(folder, [*events, *more])


async def test_stopping_writes_what_is_in_memory(settings: Settings, tmp_path: Path) -> None:
    events = make_event_fixture(1, players=100).events
    await send(settings, events)
    (tmp_path / "analytics").touch()  # a file in the folder's place: the writer waits until it is gone
    with capture_logs() as said:
        async with writing(settings, tmp_path / "analytics") as made:
            await until(lambda: bool(said), "a word about it")
            assert said[0]["event"] == "analytics_folder_unusable"
            (tmp_path / "analytics").unlink()
            await until(lambda: len(made._events) == len(events), "everything read")
    assert_each_once(tmp_path / "analytics", events)

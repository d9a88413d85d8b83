from __future__ import annotations

import asyncio
import contextlib
import time
import uuid

import asyncpg

from launchday.clock import SystemClock
from launchday.settings import Settings
from rewards.consumer import inbox_days
from rewards.events import EventIds
from tests.rewards.running import query
from tests.waiting import until

DAY_S = 86_400.0


async def test_rewards_keeps_days_for_the_ids_and_ids_without_a_day_lie_in_the_rest(
    settings: Settings,
) -> None:
    keeping = asyncio.create_task(
        inbox_days.keep(
            settings.store_url, settings.kafka_bootstrap, settings.topic_prefix, 8 * DAY_S, SystemClock()
        )
    )
    ids, now_s = EventIds.from_clock(SystemClock()), time.time()
    given = [uuid.UUID(bytes=ids.next(now_s + after_s)) for after_s in (0.0, DAY_S, 400 * DAY_S)]
    given.append(uuid.uuid5(uuid.NAMESPACE_URL, "a letter"))

    async def days() -> int:
        found = await query(
            settings.store_url, "SELECT count(*) FROM pg_inherits WHERE inhparent = 'event_inbox'::regclass"
        )
        return int(str(found[0][0]))

    async def are_made() -> bool:
        return await days() == 1 + 8  # the rest, today, and a week ahead

    await until(are_made, "the days")
    keeping.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await keeping
    store = await asyncpg.connect(settings.store_url)
    await store.executemany(
        "INSERT INTO event_inbox (event_id, topic) VALUES ($1, 't')", [[id_] for id_ in given]
    )
    rows = await store.fetch("SELECT event_id, tableoid::regclass::text AS place FROM event_inbox")
    await store.close()
    places = {row["event_id"]: row["place"] for row in rows}
    assert [places[id_] == "event_inbox_rest" for id_ in given] == [False, False, True, True]


def test_what_of_the_rest_lives_on_is_what_no_day_holds() -> None:
    table = inbox_days.inbox(17)
    day = inbox_days.BEFORE_US
    assert table.begins(day) == "'016f5e66-e800-0000-0000-000000000000'"
    assert "event_id <" in table.outlives(day)
    assert "applied_at >= '2020-01-01 00:00+00'" in table.outlives(day)

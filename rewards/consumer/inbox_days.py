"""The inbox in days: which day an event's id belongs to, and how long the inbox has to remember it."""

from __future__ import annotations

import datetime
import math

from launchday.clock import Clock
from launchday.resilience import day_partitions
from launchday.resilience.bus import BusAddress
from launchday.resilience.day_partitions import DAY_S, DayTable
from rewards.consumer import totals
from rewards.consumer.store_connection import ConnectionPool
from rewards.events import REWARDS_TOPICS
from rewards.events.topics import longest_kept_s

INBOX = "event_inbox"
BEFORE_US = datetime.date(
    2020, 1, 1
)  # no event of ours is older: an id that says so was made by a wrong clock
COUNT_S = 3_600.0  # to count a large inbox, once, before its totals are kept


def first_id(day: datetime.date) -> str:
    """The smallest UUIDv7 of a day (UTC), as SQL."""
    ms = round(datetime.datetime.combine(day, datetime.time(), datetime.UTC).timestamp() * 1000)
    digits = f"{ms:012x}"
    return f"'{digits[:8]}-{digits[8:]}-0000-0000-000000000000'"


def inbox(days_kept: float) -> DayTable:
    """The inbox. In its rest lie ids that name no time of ours: of dead letters, and of wrong clocks."""

    def outlives(day: datetime.date) -> str:
        is_odd = f"event_id < {first_id(BEFORE_US)} OR event_id >= {first_id(day)}"
        return f"({is_odd}) AND applied_at >= '{day} 00:00+00'"

    return DayTable(INBOX, first_id, outlives, days_kept)


async def keep(store_url: str, bus: BusAddress, prefix: str, max_behind_s: float, clock: Clock) -> None:
    """Keep the inbox's days, and count once what is in it; cancel it to stop.

    An id is remembered for as long as its record can be read: an event may arrive ``max_behind_s`` after its
    time, and the broker then keeps it for the topics' retention.

    Args:
        store_url: postgresql://… of the global store.
        bus: Kafka's, or ``host:port,…`` of it, which is asked for the retention.
        prefix: first part of the topics' names.
        max_behind_s: as the consumer has it.
        clock: says which day it is.
    """
    connections = ConnectionPool(store_url, COUNT_S)
    counted = False

    async def tables() -> list[DayTable]:
        nonlocal counted
        if not counted:
            await totals.count_before(connections)
            counted = True
        kept_s = await longest_kept_s(bus, prefix, REWARDS_TOPICS)
        return [inbox(math.ceil((kept_s + max_behind_s) / DAY_S))]

    try:
        await day_partitions.run(store_url, tables, clock)
    finally:
        await connections.close()

"""What was applied since the store was made: totals kept in rows, however large the tables have become.

Triggers of the schema (``r0023_growth``) add to them in the transaction that stores a batch, in a row of its
backend's own. What was there before the triggers is counted once: in one view of the store, it is what lies
in the tables less what the triggers have counted. That is exact whenever it is done, while others write, as
long as nothing has been dropped.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from rewards.consumer.store_connection import ConnectionPool

_READ = "SELECT counted, name, slot, total FROM running_totals"

_COUNT_BEFORE = """
    INSERT INTO running_totals (counted, name, slot, total)
    SELECT 'inbox', topic, -1, there.total - coalesce(counted.total, 0)
    FROM (SELECT topic, count(*) AS total FROM event_inbox GROUP BY topic) AS there
    LEFT JOIN (
        SELECT name, sum(total) AS total FROM running_totals WHERE counted = 'inbox' GROUP BY name
    ) AS counted ON counted.name = there.topic
    UNION ALL
    SELECT 'kills', '', -1, (SELECT coalesce(sum(kills), 0) FROM progression)
        - (SELECT coalesce(sum(total), 0) FROM running_totals WHERE counted = 'kills')
    UNION ALL
    SELECT 'inbox', '', -1, 0
    ON CONFLICT DO NOTHING
"""


@dataclass(frozen=True, slots=True)
class Totals:
    """What was applied since the store was made, and what waits."""

    events: int
    dead_letters: int
    kills: int
    newer_waiting: int


async def count_before(connections: ConnectionPool) -> None:
    """Count what was there before totals were kept, unless that was done: a second for two million events.

    Raises StoreUnavailableError.
    """
    async with connections.transaction() as connection:
        if not await connection.fetchval(
            "SELECT EXISTS (SELECT FROM running_totals WHERE counted = 'inbox' AND name = '')"
        ):
            # One at a time: one that waited for another's rows would fail. One statement is one view.
            await connection.execute("LOCK TABLE running_totals IN SHARE UPDATE EXCLUSIVE MODE")
            await connection.execute(_COUNT_BEFORE)


async def read(connection: Any, topics: Collection[str], dead_letter_topic: str) -> Totals | None:
    """Read the totals; None where what was there before is still to be counted."""
    rows = await connection.fetch(_READ)
    if not any(row["counted"] == "inbox" and not row["name"] for row in rows):
        return None
    waiting = await connection.fetchval("SELECT count(*) FROM newer_events")

    def total(counted: str, names: Collection[str]) -> int:
        return sum(row["total"] for row in rows if row["counted"] == counted and row["name"] in names)

    return Totals(
        events=total("inbox", topics),
        dead_letters=total("inbox", [dead_letter_topic]),
        kills=total("kills", [""]),
        newer_waiting=waiting,
    )

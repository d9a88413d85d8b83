"""How far each partition was read, of which log, and where a log had gaps: rows of the global store."""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

from rewards.consumer import statements
from rewards.consumer.store_connection import ConnectionPool
from rewards.events.logs.gaps import Gap
from rewards.events.logs.verdict import Finding, Position
from rewards.records import Partition

MAX_GAPS = 10_000  # that a command lists


@dataclass(frozen=True, slots=True)
class GapTotals:
    """All gaps of a consumer since the store was made.

    Attributes:
        gaps: their number.
        missing: records that were never read, as far as anybody knows.
        unknown: gaps of which nobody knows how many records are missing.
    """

    gaps: int
    missing: int
    unknown: int


class StoredPositions:
    """The positions of one consumer. Methods raise StoreUnavailableError when the store does not answer.

    Args:
        connections: to the global store.
        consumer: the name under which positions are kept.
        known: tells which of some ids belong to records that were read; None: of none.

    Attributes:
        topic_ids: topic → the id that it had when this process took up its partitions; it is stored with
            every offset, so that an offset never stands beside the id of a log that it is not of.
    """

    def __init__(
        self,
        connections: ConnectionPool,
        consumer: str,
        known: Callable[[Collection[uuid.UUID]], Awaitable[set[uuid.UUID]]] | None = None,
    ) -> None:
        self.topic_ids: dict[str, uuid.UUID] = {}
        self._connections = connections
        self._consumer = consumer
        self._known = known

    async def positions(self) -> dict[Partition, Position]:
        """Return how far each partition was read."""
        async with self._connections.acquire() as connection:
            rows = await connection.fetch(
                "SELECT topic, partition, next_offset, topic_id FROM consumer_offsets WHERE consumer = $1",
                self._consumer,
            )
        return {
            (row["topic"], row["partition"]): Position(row["next_offset"], row["topic_id"]) for row in rows
        }

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Return those of the ids whose records were read."""
        return set() if self._known is None else await self._known(ids)

    async def move(self, positions: Mapping[Partition, Position], gaps: Sequence[Gap], now_s: float) -> None:
        """Store positions, and the gaps that they leap over: all or nothing.

        Args:
            positions: of some partitions.
            gaps: those that two members find at once are stored once.
            now_s: Unix seconds, when the gaps were noticed.
        """
        places = sorted(positions)
        async with self._connections.transaction() as connection:
            await connection.execute(
                statements.UPSERT_OFFSETS,
                self._consumer,
                [topic for topic, _ in places],
                [partition for _, partition in places],
                [positions[place].next_offset for place in places],
                [positions[place].topic_id for place in places],
            )
            for gap in gaps:
                await connection.execute(
                    statements.INSERT_GAP,
                    self._consumer,
                    gap.topic,
                    gap.partition,
                    gap.finding.value,
                    gap.from_offset,
                    gap.to_offset,
                    gap.missing,
                    gap.topic_id,
                    now_s,
                )

    async def totals(self) -> GapTotals:
        """Count the gaps."""
        async with self._connections.acquire() as connection:
            row = await connection.fetchrow(
                "SELECT count(*) AS gaps, coalesce(sum(missing), 0)::bigint AS missing, "
                "count(*) FILTER (WHERE missing IS NULL) AS unknown FROM event_gaps WHERE consumer = $1",
                self._consumer,
            )
        return GapTotals(row["gaps"], row["missing"], row["unknown"])

    async def gaps(self, limit: int) -> list[tuple[Gap, float]]:
        """Return the newest gaps, the newest first, each with the Unix second at which it was noticed."""
        async with self._connections.acquire() as connection:
            rows = await connection.fetch(statements.SELECT_GAPS, self._consumer, limit)
        return [
            (
                Gap(
                    row["topic"],
                    row["partition"],
                    Finding(row["finding"]),
                    row["from_offset"],
                    row["to_offset"],
                    row["missing"],
                    row["topic_id"],
                ),
                row["noticed_s"],
            )
            for row in rows
        ]

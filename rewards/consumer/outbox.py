"""What was written to an outbox in the transaction that made it so is sent to Kafka after it, and deleted once acknowledged.

A crash in between sends it again, under the same id; whoever counts by id counts it once.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid

import structlog

from rewards.consumer.outbox_sources import OUTBOX_SOURCES, OutboxBatch, OutboxSources
from rewards.consumer.store_connection import ConnectionPool
from rewards.errors import StoreUnavailableError
from rewards.events import BusUnavailableError, EventIds, Source, level_up, routing
from rewards.events.closing import is_being_cancelled
from rewards.events.kafka import KafkaSender, Record

SOURCE_NAME = "rewards"
BURST = 50  # events made into records at a stretch: half a millisecond
POLL_S = 0.5  # how soon it is seen that the meta service has written something; three look-ups in empty tables cost 0.3 ms
RETRY_S = 2.0

log = structlog.get_logger()


def level_up_envelope(
    player_id: int, from_level: int, to_level: int, xp: int, at_s: float
) -> tuple[uuid.UUID, bytes]:
    """The event of a player's reaching a level, and its id: a player reaches a level once, so the id is made of both."""
    envelope = level_up(
        Source(SOURCE_NAME, "", ids=EventIds.of(f"level-up/{player_id}/{to_level}")),
        now_s=at_s,
        player_id=player_id,
        from_level=from_level,
        to_level=to_level,
        xp=xp,
    )
    return uuid.UUID(bytes=envelope.event_id), envelope.SerializeToString()


class OutboxRelay:
    """Sends what is in the outbox in the background; several services may do it at once.

    Args:
        connections: to the store.
        bootstrap: Kafka's address.
        prefix: first part of the topics' names.
        outboxes: what is sent.
    """

    def __init__(
        self,
        connections: ConnectionPool,
        bootstrap: str,
        prefix: str,
        outboxes: OutboxSources = OUTBOX_SOURCES,
    ) -> None:
        self._connections = connections
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._outboxes = outboxes
        self._waiting = asyncio.Event()
        self._waiting.set()  # a crash may have left some

    def notify(self) -> None:
        """There is something to send."""
        self._waiting.set()

    async def run(self) -> None:
        """Send for ever; cancel it to stop."""
        link: KafkaSender | None = None
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.wait(), POLL_S)
                self._waiting.clear()
                try:
                    if link is None:
                        link = await KafkaSender.open(self._bootstrap, "rewards-outbox")
                    while await self._send(link):
                        pass
                except (StoreUnavailableError, BusUnavailableError, asyncio.CancelledError) as error:
                    if is_being_cancelled():
                        raise
                    log.warning("rewards_outbox_waits", reason=str(error) or repr(error))
                    if link is not None:
                        await link.close()
                        link = None
                    self._waiting.set()
                    await asyncio.sleep(RETRY_S)
        finally:
            if link is not None:
                await link.close()

    async def _send(self, link: KafkaSender) -> bool:
        """Send some of each outbox; False when there was nothing."""
        sent = False
        for outbox in self._outboxes:
            async with self._connections.acquire() as connection, connection.transaction():
                waiting = await outbox(connection)
                if waiting.events:
                    await link.send(await self._records(waiting))
                    await connection.execute(waiting.delete_sql, waiting.keys)
                    sent = True
        return sent

    async def _records(self, waiting: OutboxBatch) -> list[Record]:
        records = []
        for index, envelope in enumerate(waiting.events):
            if index % BURST == BURST - 1:
                await asyncio.sleep(0)  # the consumer lives in the same loop
            topic, key = routing(envelope)
            at_ms = int(envelope.occurred_at * 1000)
            records.append(Record(topic.name(self._prefix), key, envelope.SerializeToString(), at_ms))
        return records

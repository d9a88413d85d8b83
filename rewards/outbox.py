"""Level-ups told to everybody: written in the transaction that makes them, sent to Kafka after it, deleted once acknowledged.

A crash in between sends one again, under the same id; whoever counts them by id counts it once.
"""

from __future__ import annotations

import asyncio
import hashlib
import uuid

import structlog

from rewards.errors import StoreUnavailableError
from rewards.events import BusUnavailableError, EventIds, Source, level_up, parse_envelope, routing
from rewards.events.closing import is_being_cancelled
from rewards.events.link import Link, Record
from rewards.store_connection import Connections

SOURCE_NAME = "rewards"
AT_ONCE = 500
RETRY_S = 2.0

log = structlog.get_logger()


def level_up_envelope(
    player_id: int, from_level: int, to_level: int, xp: int, at_s: float
) -> tuple[uuid.UUID, bytes]:
    """The event of a player's reaching a level, and its id: a player reaches a level once, so the id is made of both."""
    digest = hashlib.sha256(f"level-up/{player_id}/{to_level}".encode()).digest()
    ids = EventIds(lambda bits: int.from_bytes(digest, "big") >> (256 - bits))
    envelope = level_up(
        Source(SOURCE_NAME, "", ids=ids),
        now_s=at_s,
        player_id=player_id,
        from_level=from_level,
        to_level=to_level,
        xp=xp,
    )
    return uuid.UUID(bytes=envelope.event_id), envelope.SerializeToString()


class Outbox:
    """Sends what is in the outbox in the background; several services may do it at once.

    Args:
        connections: to the store.
        bootstrap: Kafka's address.
        prefix: first part of the topics' names.
    """

    def __init__(self, connections: Connections, bootstrap: str, prefix: str) -> None:
        self._connections = connections
        self._bootstrap = bootstrap
        self._prefix = prefix
        self._waiting = asyncio.Event()
        self._waiting.set()  # a crash may have left some

    def notice(self) -> None:
        """There is something to send."""
        self._waiting.set()

    async def run(self) -> None:
        """Send for ever; cancel it to stop."""
        link: Link | None = None
        try:
            while True:
                await self._waiting.wait()
                self._waiting.clear()
                try:
                    if link is None:
                        link = await Link.open(self._bootstrap, "rewards-outbox")
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

    async def _send(self, link: Link) -> bool:
        """Send some; False when there were none."""
        async with self._connections.one() as connection, connection.transaction():
            rows = await connection.fetch(
                "SELECT event_id, envelope FROM event_outbox ORDER BY event_id LIMIT $1 "
                "FOR UPDATE SKIP LOCKED",
                AT_ONCE,
            )
            records = []
            for row in rows:
                envelope = parse_envelope(row["envelope"])
                topic, key = routing(envelope)
                at_ms = int(envelope.occurred_at * 1000)
                records.append(Record(topic.name(self._prefix), key, row["envelope"], at_ms))
            if records:
                await link.deliver(records)
                await connection.execute(
                    "DELETE FROM event_outbox WHERE event_id = ANY($1::uuid[])",
                    [row["event_id"] for row in rows],
                )
        return bool(records)

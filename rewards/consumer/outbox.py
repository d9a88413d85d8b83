"""The outbox: events stored in the transaction of what they announce, then sent to Kafka and deleted.

Rewards writes its own, level-ups, as finished events. The meta service writes purchases and loadout changes
as rows of its own. An event's id is made of what happened, so an event that is sent again after a crash has
the same id, and whoever counts by id counts it once.

A newer version of either service may have written what this one does not know: events without a route, rows
with columns that it never saw. It leaves them for the newer one, and says how many there are.
"""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog

from launchday.clock import Clock
from launchday.resilience.bus import BusAddress
from launchday.resilience.retry import Backoff
from rewards import metrics
from rewards.consumer.store_connection import ConnectionPool
from rewards.errors import BadEventError, BusUnavailableError, StoreUnavailableError
from rewards.events import (
    Envelope,
    EventIds,
    Source,
    level_up,
    loadout_changed,
    parse_envelope,
    purchase,
    routing,
)
from rewards.events.kafka import KafkaRecord, KafkaSender
from rewards.events.kafka_clients import is_being_cancelled

REWARDS_PRODUCER = "rewards"
META_PRODUCER = "meta"  # the producer of events that the meta service wrote
MAX_EVENTS = 500  # taken out of an outbox at once
TELL_S = 30.0
MAX_LEFT = 10_000  # events of a newer version that are passed over; with more, it is their turn again
MAX_LOADOUT_BATCHES = 2  # of up to a thousand loadouts each
BURST_EVENTS = 50  # made into records at a stretch: half a millisecond
POLL_S = (
    0.5  # the longest that a row of the meta service waits unseen; three look-ups in empty tables cost 0.3 ms
)
FIRST_RETRY_S, MAX_RETRY_S = 0.5, 4.0  # with jitter: several services send what waits

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Some of what waits in one outbox.

    Attributes:
        events: to be sent.
        delete_sql: the statement that takes them out of their outbox; its one argument is ``keys``.
    """

    events: Sequence[Envelope]
    delete_sql: str
    keys: Sequence[object]


OutboxSources = Sequence[Callable[[Any], Awaitable[OutboxBatch]]]
"""Each takes a connection in a transaction, locks the rows that it returns, and skips locked ones."""


class OwnEvents:
    """Takes the finished events that rewards has stored: level-ups.

    A rewards service of a newer version may have left others, which this one cannot send. They stay for it.
    """

    def __init__(self) -> None:
        self._left: dict[uuid.UUID, None] = {}

    async def __call__(self, connection: Any) -> OutboxBatch:
        """Take some of them."""
        rows = await connection.fetch(
            "SELECT event_id, envelope FROM event_outbox WHERE event_id <> ALL($2::uuid[])"
            " ORDER BY event_id LIMIT $1 FOR UPDATE SKIP LOCKED",
            MAX_EVENTS,
            list(self._left),
        )
        events, keys = [], []
        for row in rows:
            try:
                envelope = parse_envelope(row["envelope"])
                routing(envelope)
            except BadEventError as error:
                if len(self._left) < MAX_LEFT:
                    self._left[row["event_id"]] = None
                log.warning("rewards_outbox_event_left", event_id=str(row["event_id"]), reason=str(error))
                continue
            events.append(envelope)
            keys.append(row["event_id"])
        return OutboxBatch(events, "DELETE FROM event_outbox WHERE event_id = ANY($1::uuid[])", keys)


level_ups = OwnEvents()


_COLUMNS = {
    "purchase_outbox": ("purchase_id", "region"),
    "loadout_outbox": ("entry_no", "player_ids", "skins", "versions", "regions", "stored_at"),
}


def _is_known(table: str) -> str:
    """The condition that a row has nothing in columns that this program does not know."""
    return f"jsonb_strip_nulls(to_jsonb({table}) - '{{{','.join(_COLUMNS[table])}}}'::text[]) = '{{}}'"


COUNT_NEWER_ROWS = " UNION ALL ".join(
    f"SELECT '{table}' AS outbox, count(*) AS rows FROM {table} WHERE NOT {_is_known(table)}"
    for table in _COLUMNS
)
"""For each outbox of the meta service, how many rows wait for a program that knows more."""


async def purchases(connection: Any) -> OutboxBatch:
    """Take purchases that the meta service has committed."""
    rows = await connection.fetch(
        "SELECT purchase_id, region, player_id, item_id, quantity, currency, paid,"
        " extract(epoch FROM purchased_at)::float8 AS at"
        " FROM purchase_outbox JOIN purchases USING (purchase_id)"
        f" WHERE {_is_known('purchase_outbox')}"
        " ORDER BY purchase_id LIMIT $1 FOR UPDATE OF purchase_outbox SKIP LOCKED",
        MAX_EVENTS,
    )
    return OutboxBatch(
        [
            purchase(
                Source(META_PRODUCER, row["region"], ids=EventIds.of(f"purchase/{row['purchase_id']}")),
                now_s=row["at"],
                player_id=row["player_id"],
                purchase_id=str(row["purchase_id"]),
                item_id=row["item_id"],
                currency=row["currency"],
                price=row["paid"],
                quantity=row["quantity"],
            )
            for row in rows
        ],
        "DELETE FROM purchase_outbox WHERE purchase_id = ANY($1::uuid[])",
        [row["purchase_id"] for row in rows],
    )


async def loadouts(connection: Any) -> OutboxBatch:
    """Take loadouts that the meta service has stored; one row is one batch of its write-behind."""
    rows = await connection.fetch(
        "SELECT entry_no, player_ids, skins, versions, regions, extract(epoch FROM stored_at)::float8 AS at"
        f" FROM loadout_outbox WHERE {_is_known('loadout_outbox')}"
        " ORDER BY entry_no LIMIT $1 FOR UPDATE SKIP LOCKED",
        MAX_LOADOUT_BATCHES,
    )
    return OutboxBatch(
        [
            loadout_changed(
                Source(META_PRODUCER, region, ids=EventIds.of(f"loadout/{player_id}/{version}/{region}")),
                now_s=row["at"],
                player_id=player_id,
                skin=skin,
                version=version,
            )
            for row in rows
            for player_id, skin, version, region in zip(
                row["player_ids"], row["skins"], row["versions"], row["regions"], strict=True
            )
        ],
        "DELETE FROM loadout_outbox WHERE entry_no = ANY($1::bigint[])",
        [row["entry_no"] for row in rows],
    )


OUTBOX_SOURCES: OutboxSources = (level_ups, purchases, loadouts)


def level_up_envelope(
    player_id: int, from_level: int, to_level: int, xp: int, at_s: float
) -> tuple[uuid.UUID, bytes]:
    """Make the event of a player who reaches a level: its id and the serialised envelope.

    A player reaches a level once, so the id is made of the player and the level. ``at_s`` is in Unix seconds.
    """
    envelope = level_up(
        Source(REWARDS_PRODUCER, "", ids=EventIds.of(f"level-up/{player_id}/{to_level}")),
        now_s=at_s,
        player_id=player_id,
        from_level=from_level,
        to_level=to_level,
        xp=xp,
    )
    return uuid.UUID(bytes=envelope.event_id), envelope.SerializeToString()


class OutboxRelay:
    """Sends what is in the outboxes in the background; several services may do it at once.

    Args:
        connections: to the store.
        bus: Kafka's, or ``host:port,…`` of it.
        prefix: first part of the topics' names.
        clock: waits between attempts.
        outboxes: what is sent.
    """

    def __init__(
        self,
        connections: ConnectionPool,
        bus: BusAddress,
        prefix: str,
        clock: Clock,
        outboxes: OutboxSources = OUTBOX_SOURCES,
    ) -> None:
        self._connections = connections
        self._bus = bus
        self._prefix = prefix
        self._clock = clock
        self._outboxes = outboxes
        self._tell_at = 0.0
        self._waiting = asyncio.Event()
        self._waiting.set()  # a crash may have left some

    def notify(self) -> None:
        """Say that there is something to send, so that it is not found by the next poll only."""
        self._waiting.set()

    async def run(self) -> None:
        """Send for ever; cancel it to stop. Outages of the store and of Kafka only delay it."""
        sender: KafkaSender | None = None
        pauses = Backoff(self._clock, FIRST_RETRY_S, MAX_RETRY_S)
        try:
            while True:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._waiting.wait(), POLL_S)
                self._waiting.clear()
                try:
                    if sender is None:
                        sender = await KafkaSender.open(self._bus, "rewards-outbox")
                    while await self._send(sender):
                        pass
                    await self._tell()
                    pauses.reset()
                except (StoreUnavailableError, BusUnavailableError, asyncio.CancelledError) as error:
                    if is_being_cancelled():
                        raise
                    log.warning("rewards_outbox_delayed", reason=str(error) or repr(error))
                    if sender is not None:
                        await sender.close()
                        sender = None
                    self._waiting.set()
                    await self._clock.sleep(pauses.next_s())
        finally:
            if sender is not None:
                await sender.close()

    async def _send(self, sender: KafkaSender) -> bool:
        """Send some of each outbox; False when there was nothing."""
        sent = False
        for outbox in self._outboxes:
            async with self._connections.transaction() as connection:
                batch = await outbox(connection)
                if batch.events:
                    await sender.send(await self._records(batch))
                    await connection.execute(batch.delete_sql, batch.keys)
                    sent = True
        return sent

    async def _tell(self) -> None:
        """Say, twice a minute, how many rows wait for a program that knows more."""
        now = self._clock.monotonic()
        if now < self._tell_at:
            return
        self._tell_at = now + TELL_S
        async with self._connections.acquire() as connection:
            found = await connection.fetch(COUNT_NEWER_ROWS)
        metrics.OUTBOX_NEWER_WAITING.set(sum(row["rows"] for row in found))
        if waiting := {row["outbox"]: row["rows"] for row in found if row["rows"]}:
            log.warning("rewards_outbox_newer_rows_wait", next_step="upgrade rewards", **waiting)

    async def _records(self, batch: OutboxBatch) -> list[KafkaRecord]:
        records = []
        for index, envelope in enumerate(batch.events):
            if index % BURST_EVENTS == BURST_EVENTS - 1:
                await asyncio.sleep(0)  # the consumer lives in the same loop
            topic, key = routing(envelope)
            at_ms = int(envelope.occurred_at * 1000)
            records.append(KafkaRecord(topic.name(self._prefix), key, envelope.SerializeToString(), at_ms))
        return records

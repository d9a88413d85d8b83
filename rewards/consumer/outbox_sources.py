"""What waits to be told: the outboxes in the store, each with how to take some out, as events, and how to forget them.

Rewards writes its own, level-ups, as finished events. The meta service writes what was bought and put on, in its own words, in the
transactions that make it so. An event's id is made of what happened, so telling it again after a crash gives the same id.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from rewards.events import Envelope, EventIds, Source, loadout_changed, parse_envelope, purchase

META_PRODUCER = "meta"  # who says so, of what the meta service wrote
MAX_EVENTS = 500
MAX_LOADOUT_BATCHES = 2  # of loadouts, up to a thousand each


@dataclass(frozen=True, slots=True)
class OutboxBatch:
    """Some of what waits.

    Attributes:
        events: to be told.
        forget: the statement that takes them out of their outbox, with ``keys``, its one argument.
    """

    events: Sequence[Envelope]
    delete_sql: str
    keys: Sequence[object]


OutboxSources = Sequence[Callable[[Any], Awaitable[OutboxBatch]]]
"""Each takes a connection in a transaction and locks what it gives out; what another has locked is passed over."""


async def level_ups(connection: Any) -> OutboxBatch:
    """Levels that rewards has stored."""
    rows = await connection.fetch(
        "SELECT event_id, envelope FROM event_outbox ORDER BY event_id LIMIT $1 FOR UPDATE SKIP LOCKED",
        MAX_EVENTS,
    )
    return OutboxBatch(
        [parse_envelope(row["envelope"]) for row in rows],
        "DELETE FROM event_outbox WHERE event_id = ANY($1::uuid[])",
        [row["event_id"] for row in rows],
    )


async def purchases(connection: Any) -> OutboxBatch:
    """Purchases that the meta service has committed."""
    rows = await connection.fetch(
        "SELECT purchase_id, region, player_id, item_id, quantity, currency, paid,"
        " extract(epoch FROM purchased_at)::float8 AS at"
        " FROM purchase_outbox JOIN purchases USING (purchase_id)"
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
    """Loadouts that the meta service has stored, a row a batch of its write-behind."""
    rows = await connection.fetch(
        "SELECT entry_no, player_ids, skins, versions, regions, extract(epoch FROM stored_at)::float8 AS at"
        " FROM loadout_outbox ORDER BY entry_no LIMIT $1 FOR UPDATE SKIP LOCKED",
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

"""What waits for a program that knows more, wherever it is kept: store, outboxes, Parquet files, spools."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rewards.consumer import newer_events
from rewards.consumer.outbox import COUNT_NEWER_ROWS
from rewards.consumer.store_connection import ConnectionPool
from rewards.events import spool
from rewards.lake_manifest import MANIFEST, read_manifest

SPOOLS = ("spool", "results")  # folders in the state folder


@dataclass(frozen=True, slots=True)
class Waiting:
    """Some of what waits.

    Attributes:
        place: where it is kept.
        newer: what of it is newer; "" where it is not known.
        events: how many; of outboxes rows, of spools in another form files.
        oldest_at: when the first of them was kept, Unix seconds; None where it is not known.
    """

    place: str
    newer: str
    events: int
    oldest_at: float | None = None

    def as_json(self) -> dict[str, Any]:
        """As it is printed."""
        return asdict(self)


async def of_store(store_url: str) -> list[Waiting]:
    """Return what waits in a store, by cause. Raises StoreUnavailableError."""
    connections = ConnectionPool(store_url)
    try:
        return await _in_store(connections)
    finally:
        await connections.close()


async def _in_store(connections: ConnectionPool) -> list[Waiting]:
    async with connections.acquire() as connection:
        found = await newer_events.waiting(connection)
        rows = await connection.fetch(COUNT_NEWER_ROWS)
    waiting = [Waiting("store", newer, events, found.oldest_at) for newer, events in found.by_cause]
    return waiting + [Waiting(row["outbox"], "", row["rows"]) for row in rows if row["rows"]]


def in_lake(folder: Path) -> int | None:
    """Count what waits in a folder of Parquet files, by its manifest; None where there is none."""
    manifest = read_manifest(folder / MANIFEST)
    return None if manifest is None else int(manifest.get("newer_waiting", 0))


def in_spools(state_dir: Path) -> list[Waiting]:
    """Return what waits in the spools of this machine."""
    found = []
    for name in SPOOLS:
        events, files = spool.count_newer(state_dir / name)
        if events:
            found.append(Waiting(name, "", events))
        if files:
            found.append(Waiting(name, "files of a newer form", files))
    return found

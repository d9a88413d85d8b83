"""The global store's side: a batch's inbox ids, gains, levels and offsets in one transaction, hundreds of rows a statement."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator, Collection, Mapping
from dataclasses import dataclass
from typing import Any

import asyncpg

from rewards.batch import Batch, Partition
from rewards.effects import Effects, fold
from rewards.errors import RefusedByStoreError, StoreUnavailableError
from rewards.rules import Rules

COMMAND_TIMEOUT_S = 30.0  # a batch takes milliseconds; after this the connection counts as dead
CONNECT_TIMEOUT_S = 5.0
POOL_CONNECTIONS = 3  # one applies; the others are for the books and for looking things up

# DO NOTHING returns only what was not there: those events, and no others, have their effect in this transaction.
_REMEMBER = """
    INSERT INTO event_inbox (event_id, topic)
    SELECT * FROM unnest($1::uuid[], $2::text[])
    ON CONFLICT (event_id) DO NOTHING
    RETURNING event_id
"""

# width_bucket(x, thresholds) counts the thresholds that x has reached: the level. The row lock makes the sum right with several
# consumers; rows come sorted, so that two of them never wait for each other.
_GAIN = """
    INSERT INTO progression AS p (player_id, xp, level, kills, deaths, matches, updated_at)
    SELECT player_id, xp, width_bucket(xp, $6::bigint[]), kills, deaths, matches, now()
    FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[])
         AS gains (player_id, xp, kills, deaths, matches)
    ON CONFLICT (player_id) DO UPDATE SET
        xp = p.xp + excluded.xp,
        level = width_bucket(p.xp + excluded.xp, $6::bigint[]),
        kills = p.kills + excluded.kills,
        deaths = p.deaths + excluded.deaths,
        matches = p.matches + excluded.matches,
        updated_at = excluded.updated_at
    RETURNING player_id, xp, level
"""

_REACH = """
    INSERT INTO consumer_offsets (consumer, topic, partition, next_offset)
    SELECT $1, * FROM unnest($2::text[], $3::int[], $4::bigint[])
    ON CONFLICT (consumer, topic, partition) DO UPDATE SET next_offset = excluded.next_offset
"""

_REFUSALS = (asyncpg.DataError, asyncpg.IntegrityConstraintViolationError)
# InternalClientError: a connection that is cut in the middle of a statement says so when its transaction is to end.
_OUTAGES = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
    TimeoutError,
)

Progress = tuple[int, int, int]
"""Player id, XP and level, as stored."""


@dataclass(frozen=True, slots=True)
class Applied:
    """What a transaction did.

    Attributes:
        effects: gains and kinds of the events that were new.
        duplicates: events that had had their effect before, or came twice in the batch.
        letters: bad records that were new.
        progress: the rows that changed, as they are now.
    """

    effects: Effects
    duplicates: int
    letters: int
    progress: list[Progress]


@dataclass(frozen=True, slots=True)
class Totals:
    """What the store says was applied, since it was made."""

    events: int
    dead_letters: int
    kills: int


class Store:
    """Applies batches. Every method raises StoreUnavailableError when the store is away.

    Args:
        url: ``postgresql://…`` of the global store.
        consumer: the name that offsets are kept under.
        rules: what events are worth.
        letters_topic: the name that bad records have in the inbox.
    """

    def __init__(self, url: str, consumer: str, rules: Rules, letters_topic: str) -> None:
        self._url = url
        self._consumer = consumer
        self._rules = rules
        self._letters_topic = letters_topic
        self._pool: asyncpg.Pool | None = None
        self._connecting = asyncio.Lock()

    async def apply(self, batch: Batch) -> Applied:
        """Give every event of the batch that is new its effect, and remember how far we have read: all or nothing.

        Raises:
            RefusedByStoreError: something in the batch can never be stored.
        """
        topics = {event.event_id: event.raw.topic for event in batch.events}
        topics |= {bad.raw.letter_id: self._letters_topic for bad in batch.bad}
        ids = sorted(topics)
        async with self._connection() as connection, connection.transaction():
            rows = (
                await connection.fetch(_REMEMBER, ids, [topics[event_id] for event_id in ids]) if ids else []
            )
            new = {row["event_id"] for row in rows}
            fresh = {event.event_id: event.envelope for event in batch.events if event.event_id in new}
            effects = fold(fresh.values(), self._rules)
            progress = await self._gain(connection, effects)
            await self._reach(connection, batch.next_offsets)
        return Applied(
            effects=effects,
            duplicates=len(batch.events) - len(fresh),
            letters=len(new) - len(fresh),
            progress=progress,
        )

    async def next_offsets(self) -> dict[Partition, int]:
        """How far each partition has been applied."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT topic, partition, next_offset FROM consumer_offsets WHERE consumer = $1",
                self._consumer,
            )
        return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}

    async def known(self, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
        """Those of the ids that are in the inbox."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT event_id FROM event_inbox WHERE event_id = ANY($1::uuid[])", list(ids)
            )
        return {row["event_id"] for row in rows}

    async def recent_progress(self, window_s: float) -> list[Progress]:
        """The rows that changed in the last ``window_s`` seconds before the newest change."""
        async with self._connection() as connection:
            rows = await connection.fetch(
                "SELECT player_id, xp, level FROM progression "
                "WHERE updated_at >= (SELECT max(updated_at) FROM progression) - make_interval(secs => $1)",
                window_s,
            )
        return [(row["player_id"], row["xp"], row["level"]) for row in rows]

    async def totals(self, source_topics: Collection[str]) -> Totals:
        """Count what has been applied of these topics; reads the tables, so not for every second."""
        async with self._connection() as connection:
            row = await connection.fetchrow(
                "SELECT count(*) FILTER (WHERE topic = ANY($1::text[])) AS events, "
                "count(*) FILTER (WHERE topic = $2) AS letters, "
                "(SELECT coalesce(sum(kills), 0)::bigint FROM progression) AS kills FROM event_inbox",
                list(source_topics),
                self._letters_topic,
            )
        return Totals(events=row["events"], dead_letters=row["letters"], kills=row["kills"])

    async def close(self) -> None:
        """Close the connections."""
        pool, self._pool = self._pool, None
        if pool is None:
            return
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                await pool.close()
        except _OUTAGES:
            pool.terminate()

    async def _gain(self, connection: Any, effects: Effects) -> list[Progress]:
        if not effects.players:
            return []
        players = sorted(effects.players)
        gains = [effects.players[player_id] for player_id in players]
        rows = await connection.fetch(
            _GAIN,
            players,
            [gain.xp for gain in gains],
            [gain.kills for gain in gains],
            [gain.deaths for gain in gains],
            [gain.matches for gain in gains],
            self._rules.thresholds,
        )
        return [(row["player_id"], row["xp"], row["level"]) for row in rows]

    async def _reach(self, connection: Any, next_offsets: Mapping[Partition, int]) -> None:
        places = sorted(next_offsets)
        await connection.execute(
            _REACH,
            self._consumer,
            [topic for topic, _ in places],
            [partition for _, partition in places],
            [next_offsets[place] for place in places],
        )

    @contextlib.asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        try:
            async with self._connecting:
                if self._pool is None:
                    self._pool = await asyncpg.create_pool(
                        self._url,
                        min_size=1,
                        max_size=POOL_CONNECTIONS,
                        timeout=CONNECT_TIMEOUT_S,
                        command_timeout=COMMAND_TIMEOUT_S,
                    )
            async with self._pool.acquire(timeout=CONNECT_TIMEOUT_S) as connection:
                yield connection
        except _REFUSALS as error:
            raise RefusedByStoreError(f"the store refuses it: {error}") from error
        except _OUTAGES as error:
            raise StoreUnavailableError(f"{type(error).__name__}: {error}") from error

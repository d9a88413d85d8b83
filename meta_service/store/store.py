"""The global store as the API needs it: reads of players whom the cache lacks, and transactions for money.

Everything else is written behind.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

import asyncpg

from launchday.clock import Clock
from meta_service.errors import StoreUnavailableError

CONNECT_TIMEOUT_S = 1.0
RESPONSE_TIMEOUT_S = 2.0
POOL_CONNECTIONS = 8
RETRY_AFTER_S = 1.0  # while it does not answer, one request a second tries; the others are refused at once

MAX_TRIES = 12  # of a transaction that loses a race; each pause doubles, so this is about two seconds in all
FIRST_PAUSE_S = 0.002
MAX_PAUSE_S = 0.25

# Another transaction won. A single PostgreSQL raises them rarely, as we lock in one order; distributed ones
# do so by design.
SERIALIZATION_ERRORS = (asyncpg.SerializationError, asyncpg.DeadlockDetectedError)

# The store is unreachable, stopping, full or read-only. A wrong statement is a fault of ours and not among
# these.
UNREACHABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # a connection that is cut off in the middle of a statement
    asyncpg.PostgresConnectionError,
    asyncpg.OperatorInterventionError,
    asyncpg.InsufficientResourcesError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ObjectNotInPrerequisiteStateError,  # ALLOW_CONNECTIONS false
    asyncpg.ReadOnlySQLTransactionError,
)

# Whatever asyncpg raises for statements that are known to be right: refused, cut off, shutting down,
# read-only, not migrated yet. InternalClientError too: a connection that is cut in the middle of a
# statement raises it when its transaction ends.
UNAVAILABLE_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
)

DEFAULT_SKIN = "recruit"  # of a player who has stored no loadout

T = TypeVar("T")

# One JSON object a player, every value a string: the cache's script decodes it, and there numbers are not
# 64 bits wide, and null is not nil.
LOAD_PLAYERS = f"""
SELECT json_strip_nulls(json_build_object(
    'player_id', id::text,
    'device', encode(account.device_hash, 'hex'),
    'display_name', account.display_name,
    'skin', coalesce(loadout.skin, '{DEFAULT_SKIN}'),
    'emotes', coalesce(loadout.emotes, '[]')::text,
    'settings', coalesce(loadout.settings, '{{}}')::text,
    'loadout_version', coalesce(loadout.version, 0)::text,
    'loadout_region', coalesce(loadout.region, ''),
    'xp', coalesce(progress.xp, 0)::text,
    'level', coalesce(progress.level, 1)::text,
    'ratings', coalesce(
        (SELECT json_object_agg(mode, mu || ',' || sigma) FROM ratings WHERE player_id = id), '{{}}'
    ),
    'wallets', coalesce(
        (SELECT json_object_agg(currency, balance || ',' || version) FROM wallets WHERE player_id = id),
        '{{}}'
    ),
    'session_id', login.session_id,
    'session_generation', login.generation::text,
    'session_state', login.state,
    'session_version', login.version::text,
    'home', login.region,
    'fence', session.fence::text,
    'match_id', session.match_id,
    'server', session.server,
    'outcome', session.outcome,
    'lease_until_ms', (extract(epoch FROM session.lease_until) * 1000)::bigint::text,
    'ended_ms', (extract(epoch FROM session.ended_at) * 1000)::bigint::text
))::text
FROM unnest($1::bigint[]) WITH ORDINALITY AS asked(id, place)
LEFT JOIN accounts account ON account.player_id = id
LEFT JOIN loadouts loadout ON loadout.player_id = id
LEFT JOIN progression progress ON progress.player_id = id
LEFT JOIN sessions login ON login.player_id = id
LEFT JOIN LATERAL (
    SELECT * FROM match_history WHERE player_id = id ORDER BY fence DESC LIMIT 1
) session ON true
ORDER BY place
"""


class Store:
    """Reads from PostgreSQL. Connects when first used, and refuses at once while the store does not answer.

    Args:
        url: postgresql://… address.
        clock: times the pause after a failure, and draws the pauses between tries.
    """

    def __init__(self, url: str, clock: Clock) -> None:
        self._url = url
        self._clock = clock
        self._away_until = 0.0
        self._pool: asyncpg.Pool | None = None
        self._opening = asyncio.Lock()

    async def load(self, player_ids: Sequence[int]) -> list[str]:
        """The store's rows of these players as JSON texts, in order. Raises StoreUnavailableError.

        The row of a player whom the store does not know has no ``device``.
        """
        rows = await self._fetch(LOAD_PLAYERS, list(player_ids))
        return [row[0] for row in rows]

    async def read(self, statement: str, *arguments: Any) -> list[Any]:
        """Rows of one statement that changes nothing. Raises StoreUnavailableError."""
        return await self._fetch(statement, *arguments)

    async def transact(self, work: Callable[[asyncpg.Connection], Awaitable[T]]) -> T:
        """Run ``work`` in a transaction, again from its start when it lost a race; return what it returned.

        What ``work`` raises rolls everything back and passes through. Raises StoreUnavailableError when the
        store does not answer. That includes a connection lost during the commit, which may or may not have
        happened: the caller repeats with the same key.
        """
        if self._clock.monotonic() < self._away_until:
            raise StoreUnavailableError("the store did not answer a moment ago")
        for attempt in range(MAX_TRIES):
            try:
                pool = await self._opened()
                async with (
                    asyncio.timeout(RESPONSE_TIMEOUT_S),
                    pool.acquire() as connection,
                    connection.transaction(),
                ):
                    return await work(connection)
            except SERIALIZATION_ERRORS:
                pause_s = min(FIRST_PAUSE_S * 2**attempt, MAX_PAUSE_S)
                await self._clock.sleep(pause_s * self._clock.random("store-retry").uniform(0.5, 1.5))
            except UNREACHABLE_ERRORS as error:
                self._away_until = self._clock.monotonic() + RETRY_AFTER_S
                raise StoreUnavailableError(f"the store does not answer: {error!r}") from error
        raise StoreUnavailableError(f"{MAX_TRIES} tries in a row lost a race with other transactions")

    async def is_up(self) -> bool:
        """Whether the store answers now."""
        try:
            await self._fetch("SELECT 1")
        except StoreUnavailableError:
            return False
        return True

    async def close(self) -> None:
        """Close every connection at once."""
        if self._pool is not None:
            self._pool.terminate()

    async def _fetch(self, statement: str, *arguments: Any) -> list[Any]:
        if self._clock.monotonic() < self._away_until:
            raise StoreUnavailableError("the store did not answer a moment ago")
        try:
            pool = await self._opened()
            return list(await pool.fetch(statement, *arguments, timeout=RESPONSE_TIMEOUT_S))
        except UNAVAILABLE_ERRORS as error:
            self._away_until = self._clock.monotonic() + RETRY_AFTER_S
            raise StoreUnavailableError(f"the store does not answer: {error!r}") from error

    async def _opened(self) -> asyncpg.Pool:
        async with self._opening:
            if self._pool is None:
                self._pool = await asyncpg.create_pool(
                    self._url, min_size=0, max_size=POOL_CONNECTIONS, timeout=CONNECT_TIMEOUT_S
                )
            return self._pool

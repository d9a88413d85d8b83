"""The global store as the API needs it: reads of players whom the cache lacks, and changes of money.

Everything else is written behind. Each question and each change is one statement, so one round trip: a change
of several rows is a function of the store (see the migration ``r0014_one_trip``).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

import asyncpg
import structlog

from launchday.clock import Clock
from launchday.resilience import deadline, store_address
from launchday.resilience.store_connections import Connections
from meta_service.errors import StoreLateError, StoreUnavailableError
from meta_service.store.errors import SERIALIZATION_ERRORS, UNAVAILABLE_ERRORS, UNREACHABLE_ERRORS
from meta_service.store.load_players import LOAD_PLAYERS
from meta_service.store.presence import StorePresence
from meta_service.store.replica import BEHIND_S, Replica

ANSWER_S = 2.0  # see the setting store_answer_s
CHANGE_S = 4.0  # see the setting store_change_s
CONNECTIONS = 8  # see the setting store_connections
WARM_CONNECTIONS = 2  # what one request after the other uses; more are opened when more come at once

NEWEST = 2**53  # above every number of a row

MAX_TRIES = 12  # of a change that loses a race; each pause doubles, so this is about two seconds in all
FIRST_PAUSE_S = 0.002
MAX_PAUSE_S = 0.25

log = structlog.get_logger()


class Store:
    """Reads from PostgreSQL and changes it. Connects when first used; while it is away, refuses at once.

    Args:
        url: postgresql://… address.
        clock: bounds every wait, and draws the pauses between tries.
        answer_s: seconds for one statement, waiting for a connection included.
        change_s: seconds for a change, its repetitions after lost races included.
        connections: most connections at the same time.
        replica_url: of a replica, for reads that may be stale; empty: there is none.
        replica_behind_s: how far behind it may be.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        *,
        answer_s: float = ANSWER_S,
        change_s: float = CHANGE_S,
        connections: int = CONNECTIONS,
        replica_url: str = "",
        replica_behind_s: float = BEHIND_S,
    ) -> None:
        self._clock = clock
        self._answer_s = answer_s
        self._change_s = change_s
        self._connections = Connections(url, clock, connections)
        self._presence = StorePresence(url, clock)
        self._replica: Replica | None = None
        if replica_url:
            self._replica = Replica(replica_url, self._connections, clock, connections, replica_behind_s)

    async def load(self, player_ids: Sequence[int]) -> list[str]:
        """The store's rows of these players as JSON texts, in order. Raises StoreUnavailableError.

        The row of a player whom the store does not know has no ``device``.
        """
        rows = await self.read(LOAD_PLAYERS, list(player_ids))
        return [row[0] for row in rows]

    async def read(self, statement: str, *arguments: Any) -> list[Any]:
        """Rows of one statement that changes nothing. Raises StoreUnavailableError."""
        self._refuse_if_away()
        try:
            return await self._fetch(statement, *arguments)
        except UNAVAILABLE_ERRORS as error:
            raise self._unavailable(error) from error

    async def read_settled(self, statement: str, *arguments: Any) -> list[Any]:
        """As `read`, for rows that do not change any more: of the replica, where one is named and near."""
        if self._replica is not None and self._replica.is_near():
            found = await self._replica.read(self._answer_s / 2, statement, *arguments)
            if found is not None:
                return list(found)
        return await self.read(statement, *arguments)

    async def read_page(
        self,
        statement: str,
        arguments: Callable[[int, int], Sequence[Any]],
        number: str,
        before: int,
        limit: int,
    ) -> list[Any]:
        """A page of rows that are only ever added, the newest first, as `read` does.

        Older pages come of the replica, where one is named and near: it is asked for the row that the page
        before ended with, too, and has all that are older where it has that one.

        Args:
            statement: gives rows numbered below a number, the newest first.
            arguments: of the statement, given that number and the most rows.
            number: the column.
            before: the number of the last row of the page before; `NEWEST` or more: there is none.
            limit: most rows.
        """
        if before < NEWEST and self._replica is not None and self._replica.is_near():
            found = await self._replica.read(self._answer_s / 2, statement, *arguments(before + 1, limit + 1))
            if found and found[0][number] == before:
                return list(found[1:])
        return await self.read(statement, *arguments(before, limit))

    async def change(self, statement: str, *arguments: Any, at_one_moment: bool = False) -> list[Any]:
        """Run one statement that changes something, again when it lost a race; return its rows.

        ``at_one_moment``: also where it has seen a row before another transaction changed it. Without it the
        row is changed as it is by then, beside others as they were. Two more round trips.

        Raises StoreUnavailableError when the store does not answer. Then it may or may not have happened: the
        caller repeats with the same key.
        """
        self._refuse_if_away()
        try:
            async with deadline.within(self._clock, self._change_s):
                for attempt in range(MAX_TRIES):
                    try:
                        return await self._fetch(statement, *arguments, at_one_moment=at_one_moment)
                    except SERIALIZATION_ERRORS:
                        pause_s = min(FIRST_PAUSE_S * 2**attempt, MAX_PAUSE_S)
                        jitter = self._clock.random("store-retry").uniform(0.5, 1.5)
                        await self._clock.sleep(pause_s * jitter)
        except UNREACHABLE_ERRORS as error:
            raise self._unavailable(error) from error
        raise StoreUnavailableError(f"{MAX_TRIES} tries in a row lost a race with other transactions")

    async def is_up(self) -> bool:
        """Whether the store answers now; a time-out of ours alone does not mean that it does not."""
        try:
            await self.read("SELECT 1")
        except StoreUnavailableError:
            return not await self._presence.known()
        return True

    async def warm(self, statement: str, *arguments: Any) -> None:
        """Open the first connections and prepare ``statement`` on them, so that no request waits for that.

        Args:
            statement: is run with the ``arguments``, with which it changes nothing.
        """
        try:
            async with (
                self._connections.lend(self._change_s) as one,
                self._connections.lend(self._change_s) as other,
            ):
                for connection in (one, other)[:WARM_CONNECTIONS]:
                    await connection.fetch(statement, *arguments)
        except UNAVAILABLE_ERRORS as error:
            log.info("the store's connections are not warm", reason=store_address.explained(error))

    async def close(self) -> None:
        """Close every connection at once."""
        await self._presence.close()
        if self._replica is not None:
            await self._replica.close()
        self._connections.terminate()

    async def _fetch(self, statement: str, *arguments: Any, at_one_moment: bool = False) -> list[Any]:
        asked = False
        try:
            async with self._connections.lend(self._answer_s) as connection:
                asked = True
                if at_one_moment:
                    return await _at_one_moment(connection, statement, *arguments)
                return list(await connection.fetch(statement, *arguments))
        except TimeoutError as late:
            if asked:
                self._presence.suspect()
                raise StoreLateError(f"one statement took longer: {late!r}") from late
            raise

    def _refuse_if_away(self) -> None:
        if self._presence.away:
            raise StoreUnavailableError("the store is away")

    def _unavailable(self, error: BaseException) -> StoreUnavailableError:
        self._presence.suspect()
        return StoreUnavailableError(f"the store does not answer: {store_address.explained(error)}")


async def _at_one_moment(connection: asyncpg.Connection, statement: str, *arguments: Any) -> list[Any]:
    """Run a statement in a transaction that sees no change of others.

    Whoever lent the connection ends it where this is given up.
    """
    transaction = connection.transaction(isolation="repeatable_read")
    await transaction.start()
    try:
        rows = list(await connection.fetch(statement, *arguments))
        await transaction.commit()
    except asyncpg.PostgresError:
        with contextlib.suppress(asyncpg.InterfaceError):  # it ended with the failure
            await transaction.rollback()
        raise
    return rows

"""Alembic's environment: one asyncpg connection, a transaction a step, one migrator at a time.

Every wait for a lock is short, because whoever comes later queues behind it; a step that did not get its lock
is rolled back and tried again (`meta_service.store.migrations.locks`).
"""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import context
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, pool, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import create_async_engine

from launchday.resilience import store_address
from meta_service.store.migrations import locks

MIGRATION_LOCK = 0x6C61756E63680001  # an advisory lock's key, agreed among migrators only
TURN_S = 0.2  # how often a migrator asks whether it is its turn
CONNECT_S = 30.0


def _migrate(connection: Connection) -> None:
    _take_turn(connection)
    if _is_of_a_newer_release(connection):
        return  # an older release started beside it: steps only add what it need not know
    locks.limit_waits(connection)
    connection.commit()
    tries = 0
    while True:
        try:
            context.configure(connection=connection, transaction_per_migration=True)
            with context.begin_transaction():
                context.run_migrations()
        except DBAPIError as error:
            connection.rollback()
            if not locks.is_busy(error):
                raise
            tries += 1
            locks.pause(connection, tries)
            connection.commit()
        else:
            connection.commit()
            return


def _take_turn(connection: Connection) -> None:
    # Of the session, as steps commit in between. Asked for again and again, not waited for: a statement that
    # waits keeps its view of the rows, and making an index concurrently waits for all who have an older one.
    while not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": MIGRATION_LOCK}):
        connection.commit()
        connection.execute(text("SELECT pg_sleep(:s)"), {"s": TURN_S})
        connection.commit()
    connection.commit()


def _is_of_a_newer_release(connection: Connection) -> bool:
    known = {step.revision for step in context.script.walk_revisions()}
    heads = MigrationContext.configure(connection).get_current_heads()
    connection.commit()
    return not known.issuperset(heads)


async def _run(store_url: str) -> None:
    async def connect() -> Any:
        # asyncpg reads the address itself, so it means here exactly what it means to the services.
        return await store_address.connect(store_url, timeout_s=CONNECT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_migrate)
    finally:
        await engine.dispose()


asyncio.run(_run(context.config.attributes["store_url"]))

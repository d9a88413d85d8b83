"""Alembic's environment: one asyncpg connection, one transaction for all steps, one migrator at a time."""

from __future__ import annotations

import asyncio
from typing import Any

from alembic import context
from sqlalchemy import Connection, pool, text
from sqlalchemy.ext.asyncio import create_async_engine

from meta_service.store.connections import open_connection

MIGRATION_LOCK = 0x6C61756E63680001  # an advisory lock's key, agreed among migrators only
CONNECT_S = 30.0


def _upgrade(connection: Connection) -> None:
    context.configure(connection=connection, transaction_per_migration=False)
    with context.begin_transaction():
        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": MIGRATION_LOCK})
        context.run_migrations()


async def _run(store_url: str) -> None:
    async def connect() -> Any:
        # asyncpg reads the address itself, so it means here exactly what it means to the services.
        return await open_connection(store_url, timeout=CONNECT_S)

    engine = create_async_engine("postgresql+asyncpg://", async_creator=connect, poolclass=pool.NullPool)
    try:
        async with engine.connect() as connection:
            await connection.run_sync(_upgrade)
            await connection.commit()
    finally:
        await engine.dispose()


asyncio.run(_run(context.config.attributes["store_url"]))

"""Databases of a benchmark's own beside the one that it was given."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import asyncpg


@contextlib.asynccontextmanager
async def empty_database(store_url: str, name: str) -> AsyncIterator[str]:
    """Yield the URL of an empty database with the schema of another, and remove it afterwards.

    Args:
        store_url: the other one, to which nobody may be connected.
        name: of the new one.
    """
    address = urlsplit(store_url)
    base, template = f"{address.scheme}://{address.netloc}", address.path.removeprefix("/")
    admin = await asyncpg.connect(f"{base}/template1?{address.query}")
    try:
        await admin.execute(f'CREATE DATABASE {name} TEMPLATE "{template}"')
        yield f"{base}/{name}?{address.query}"
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")
    finally:
        await admin.close()

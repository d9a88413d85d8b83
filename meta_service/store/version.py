"""Whether a store's schema is the one that this code needs."""

from __future__ import annotations

import re

import asyncpg

from launchday.resilience import store_address

HEAD = "r0023_growth"
"""The newest step of the schema; a test compares it with the migrations."""

_NUMBER = re.compile(r"r(\d{4})")


async def schema_fault(store_url: str) -> str | None:
    """Say what is wrong with a store's schema, in one line that says what to do; None: nothing.

    A schema that is newer than the code fits: steps only add what older code needs not know.

    Raises OSError, TimeoutError or asyncpg's errors when the store does not answer.
    """
    connection = await store_address.connect(store_url)
    try:
        version = await connection.fetchval(
            "SELECT version_num FROM alembic_version", timeout=store_address.CONNECT_S
        )
    except asyncpg.UndefinedTableError:
        version = None
    finally:
        connection.terminate()
    if version is not None and _number(version) >= _number(HEAD):
        return None
    return (
        f"the store's schema is {version or 'missing'} and this code needs {HEAD}: "
        "run python -m meta_service.store.schema"
    )


def _number(version: str) -> int:
    found = _NUMBER.match(version)
    return int(found[1]) if found else 0

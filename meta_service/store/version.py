"""Whether a store's schema is the one that this code needs."""

from __future__ import annotations

import re

import asyncpg

from launchday.resilience import store_address

HEAD = "r0023_growth"
"""The newest step of the schema; a test compares it with the migrations."""

GUARD = "launchday_restoring"
"""A table that is there while a restore is not done: what players had changed last is not in the store
yet."""

_NUMBER = re.compile(r"r(\d{4})")


async def schema_fault(store_url: str) -> str | None:
    """Say what is wrong with a store's schema, in one line that says what to do; None: nothing.

    A schema that is newer than the code fits: steps only add what older code needs not know.

    Raises OSError, TimeoutError or asyncpg's errors when the store does not answer.
    """
    connection = await store_address.connect(store_url)
    try:
        version, restoring = await connection.fetchrow(
            "SELECT version_num, to_regclass($1) FROM alembic_version", GUARD, timeout=store_address.CONNECT_S
        ) or (None, None)
    except asyncpg.UndefinedTableError:
        version = restoring = None
    finally:
        connection.terminate()
    if restoring is not None:
        return (
            "the store's restore was cut short, it has not all that was saved: "
            "run launchday restore DIR again"
        )
    if version is not None and _number(version) >= _number(HEAD):
        return None
    return (
        f"the store's schema is {version or 'missing'} and this code needs {HEAD}: "
        "run python -m meta_service.store.schema"
    )


def _number(version: str) -> int:
    found = _NUMBER.match(version)
    return int(found[1]) if found else 0

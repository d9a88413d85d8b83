"""Everything that a store's schema is made of, as lines that can be compared."""

from __future__ import annotations

import asyncpg

CATALOGUE = {
    "column": """
        SELECT c.relname || '.' || a.attname AS name,
            format('%s %s%s default %s identity %s', a.attnum, format_type(a.atttypid, a.atttypmod),
                CASE WHEN a.attnotnull THEN ' not null' ELSE '' END,
                coalesce(pg_get_expr(d.adbin, d.adrelid), '-'), a.attidentity) AS what
        FROM pg_attribute a
        JOIN pg_class c ON c.oid = a.attrelid
        LEFT JOIN pg_attrdef d ON d.adrelid = a.attrelid AND d.adnum = a.attnum
        WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
            AND a.attnum > 0 AND NOT a.attisdropped
    """,
    "index": """
        SELECT c.relname AS name,
            pg_get_indexdef(i.indexrelid) || CASE WHEN i.indisvalid THEN '' ELSE ' INVALID' END AS what
        FROM pg_index i JOIN pg_class c ON c.oid = i.indexrelid
        WHERE c.relnamespace = 'public'::regnamespace
    """,
    "constraint": """
        SELECT conrelid::regclass || '.' || conname AS name, pg_get_constraintdef(oid) AS what
        FROM pg_constraint WHERE connamespace = 'public'::regnamespace
    """,
    "function": """
        SELECT oid::regprocedure::text AS name, md5(pg_get_functiondef(oid)) AS what
        FROM pg_proc WHERE pronamespace = 'public'::regnamespace
    """,
    "trigger": """
        SELECT tgrelid::regclass || '.' || tgname AS name, pg_get_triggerdef(oid) AS what
        FROM pg_trigger WHERE NOT tgisinternal
    """,
}


async def describe(store_url: str) -> list[str]:
    """Columns, indexes, constraints, functions and triggers, each with its definition, in one order."""
    connection = await asyncpg.connect(store_url)
    try:
        return [
            f"{kind} {row['name']}: {row['what']}"
            for kind, question in CATALOGUE.items()
            for row in await connection.fetch(f'SELECT * FROM ({question}) q ORDER BY name COLLATE "C"')
        ]
    finally:
        await connection.close()

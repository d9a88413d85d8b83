"""Idempotency keys: a request repeated under its key has its effect once and gets the first answer again.

The key, a hash of the request and the answer are written in the transaction that has the effect. So there
is no moment at which one of them is there without the others, whichever process is killed. A refusal rolls
the key back too: it may be used again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg

from meta_service.errors import KeyReusedError

SERVICES_OWNER = 0  # owner of the keys that services use; a player's keys are the player's own

Effect = Callable[[], Awaitable[dict[str, Any]]]


async def run_once(
    connection: asyncpg.Connection, owner: int, key: str, request: Mapping[str, Any], effect: Effect
) -> dict[str, Any]:
    """Run ``effect`` unless the key was used; return its answer, or that of the first time.

    Args:
        connection: inside a transaction.
        owner: the player whose key it is, or SERVICES_OWNER.
        key: the caller's Idempotency-Key.
        request: what was asked for; the same key with another request is refused.
        effect: does the work in the same transaction and returns a JSON object.

    Two requests with one key at once: the second waits in the insert until the first has committed.
    Raises KeyReusedError when the key came with a different request.
    """
    digest = hashlib.sha256(json.dumps(request, sort_keys=True).encode()).digest()
    claimed = await connection.fetchval(
        "INSERT INTO idempotency (owner, key, request_hash) VALUES ($1, $2, $3)"
        " ON CONFLICT DO NOTHING RETURNING true",
        *(owner, key, digest),
    )
    if not claimed:
        row = await connection.fetchrow(
            "SELECT request_hash, answer FROM idempotency WHERE owner = $1 AND key = $2", owner, key
        )
        if row["request_hash"] != digest:
            raise KeyReusedError("this Idempotency-Key came with a different request: use a new key")
        first: dict[str, Any] = json.loads(row["answer"])
        return first
    answer = await effect()
    await connection.execute(
        "UPDATE idempotency SET answer = $3::json WHERE owner = $1 AND key = $2",
        *(owner, key, json.dumps(answer)),
    )
    return answer

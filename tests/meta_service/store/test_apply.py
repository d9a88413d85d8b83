"""Sessions in the store: in whatever order changes come, the later one stays, an ended one stays ended."""

from __future__ import annotations

import itertools
import json

import asyncpg
import pytest

from meta_service.store.apply import apply

NOW_S = 1_800_000_000.0

OPENED = {"session_id": "a", "generation": 0, "state": "live", "opened": 100, "version": 100}
EXCHANGED = {**OPENED, "generation": 1, "version": 110}
REVOKED = {**EXCHANGED, "state": "revoked", "version": 120}
EXCHANGED_BY_AN_OLDER_CACHE = {**OPENED, "generation": 1, "version": 130}
ELSEWHERE = {"session_id": "b", "generation": 0, "state": "live", "opened": 125, "version": 125}
WITHOUT_A_TIME = {"session_id": "c", "generation": 0, "state": "live", "version": 90}  # of an earlier version


@pytest.mark.parametrize(
    ("changes", "last"),
    [
        ([OPENED, EXCHANGED], ("a", "live", 1)),
        ([OPENED, EXCHANGED, REVOKED], ("a", "revoked", 1)),
        ([OPENED, REVOKED, EXCHANGED_BY_AN_OLDER_CACHE], ("a", "revoked", 1)),
        ([OPENED, ELSEWHERE, EXCHANGED_BY_AN_OLDER_CACHE], ("b", "live", 0)),
        ([WITHOUT_A_TIME, REVOKED, OPENED], ("a", "revoked", 1)),
    ],
)
async def test_sessions_end_alike_in_whatever_order_and_batches_their_changes_come(
    store: asyncpg.Connection, changes: list[dict[str, object]], last: tuple[object, ...]
) -> None:
    for player, order in enumerate(itertools.permutations(changes), 1):
        texts = [json.dumps({"player_id": player, "region": "", **change}) for change in order]
        split = player % (len(texts) + 1)
        for batch in (texts[:split], texts[split:], texts[:1]):
            await apply(store, {"session": batch}, NOW_S)
    rows = await store.fetch("SELECT DISTINCT session_id, state, generation FROM sessions")
    assert [tuple(row) for row in rows] == [last]


async def test_a_transaction_that_fails_leaves_its_connection_usable(store: asyncpg.Connection) -> None:
    opened = json.dumps({"player_id": 7, "region": "", **OPENED})
    with pytest.raises(asyncpg.DataError):
        await apply(store, {"session": [opened], "commit": ['{"match_id": "no uuid"}']}, NOW_S)
    assert await store.fetchval("SELECT count(*) FROM sessions") == 0

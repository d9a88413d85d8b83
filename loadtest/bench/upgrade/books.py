"""What must be equal after an upgrade, whoever counted it: fleet, cache, the store's tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import asyncpg

from loadtest.bench.harness.store_books import WALLETS_OFF
from loadtest.flood.ledger import LedgerEntry, LedgerLine

_MONEY = "SELECT coalesce(sum(amount), 0)::bigint FROM ledger"
_ITEMS = """
SELECT count(*) FROM (SELECT * FROM inventory WHERE version > 0) AS held FULL JOIN (
    SELECT player_id, item_id, sum(quantity)::bigint AS quantity FROM item_movements GROUP BY 1, 2
) AS moved USING (player_id, item_id)
WHERE coalesce(held.quantity, 0) <> coalesce(moved.quantity, 0)
"""
_RESULTS = "SELECT count(*) FROM match_history WHERE outcome = 'committed'"
_SEASONS = "SELECT coalesce(sum(matches), 0)::bigint FROM season_records"


def lines(
    queue: Mapping[str, Any], fleet: Mapping[str, Any], meta: Mapping[str, Any], kills_applied: int
) -> list[LedgerLine]:
    """Compare the counters of the services.

    Args:
        queue: the matchmaker's, whose cache both releases share.
        fleet: the fleet's.
        meta: the meta service's, likewise shared.
        kills_applied: by rewards, as the store has it.
    """
    ends = {name: int(queue[name]) for name in ("matched", "cancelled", "expired", "failed")}
    started = int(fleet["matches_started"]) - int(fleet.get("matches_taken_back", 0))
    return [
        LedgerLine(
            "players",
            (
                LedgerEntry("queued", int(queue["queued"])),
                LedgerEntry(" + ".join(ends), sum(ends.values())),
            ),
        ),
        LedgerLine(
            "matches",
            (
                LedgerEntry("formed", int(queue["matches"])),
                LedgerEntry("started − taken back", started),
                LedgerEntry("ended", int(fleet["matches_ended"])),
            ),
        ),
        LedgerLine(
            "check-outs",
            (
                LedgerEntry("players checked out", int(meta["checkouts"]) - int(meta.get("closed", 0))),
                LedgerEntry("committed", int(meta["commits"])),
            ),
        ),
        LedgerLine(
            "kills",
            (
                LedgerEntry("counted by game servers", int(fleet["kills"])),
                LedgerEntry("applied by rewards", kills_applied),
            ),
        ),
        LedgerLine(
            "changes",
            (
                LedgerEntry("allowed to be set aside", 0),
                LedgerEntry("set aside", int(meta["writebehind_rejected"])),
            ),
        ),
    ]


async def lines_of_store(store_url: str, commits: int) -> list[LedgerLine]:
    """Compare the tables of the store with each other, and with the commits that were taken."""
    connection = await asyncpg.connect(store_url)
    try:
        found = {
            name: int(await connection.fetchval(statement))
            for name, statement in {
                "money": _MONEY,
                "wallets": WALLETS_OFF,
                "items": _ITEMS,
                "results": _RESULTS,
                "seasons": _SEASONS,
            }.items()
        }
    finally:
        await connection.close()
    return [
        LedgerLine("money", (LedgerEntry("allowed", 0), LedgerEntry("sum of the ledger", found["money"]))),
        LedgerLine("wallets", (LedgerEntry("allowed", 0), LedgerEntry("not as booked", found["wallets"]))),
        LedgerLine("items", (LedgerEntry("allowed", 0), LedgerEntry("not as moved", found["items"]))),
        LedgerLine(
            "results",
            (
                LedgerEntry("committed", commits),
                LedgerEntry("in the history", found["results"]),
                LedgerEntry("in the sums of seasons", found["seasons"]),
            ),
        ),
    ]

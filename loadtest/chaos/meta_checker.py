"""The checker of the chaos run: was anything lost, doubled or out of date?

``python -m loadtest.chaos.meta_checker LOG --store URL --cache URL`` compares what clients were answered with
what the store and the cache hold once the write-behind is empty. It shares no code with the service: it reads
the log of operations, the tables and the keys. It prints one JSON object; the exit code is 0 where nothing is
wrong and 1 otherwise.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any, cast

import asyncpg

from launchday import startup
from launchday.resilience.sockets import redis_client
from loadtest.chaos import meta_cache
from loadtest.chaos.evidence import Evidence, Rule
from loadtest.chaos.match_rules import MATCH_RULES
from loadtest.chaos.operation_log import Operation, read_operations, select_operations

BOARD_TIME_BITS = 33  # of a board's number: behind the sum stands when it was reached


async def loadouts_are_stored(evidence: Evidence) -> list[str]:
    """Every acknowledged loadout, or a newer one of the same player, is in the store."""
    rows = await evidence.store.fetch("SELECT player_id, skin, version FROM loadouts")
    stored = {row["player_id"]: row for row in rows}
    asked: dict[int, set[str]] = defaultdict(set)
    acknowledged: dict[int, dict[int, str]] = defaultdict(dict)
    for line in select_operations(evidence.operations, "set_loadout", "ask"):
        asked[line["player"]].add(line["skin"])
    for line in select_operations(evidence.operations, "set_loadout", "ack"):
        acknowledged[line["player"]][line["version"]] = line["skin"]
    wrong = []
    for player, versions in acknowledged.items():
        row, newest = stored.get(player), max(versions)
        if row is None or row["version"] < newest:
            kept = row["version"] if row else "none"
            wrong.append(f"player {player}: version {newest} was acknowledged, the store has {kept}")
        elif versions.get(row["version"], row["skin"]) != row["skin"] or row["skin"] not in asked[player]:
            wrong.append(f"player {player}: the store has {row['skin']} as version {row['version']}")
    return wrong


async def versions_only_grow(evidence: Evidence) -> list[str]:
    """One client a player: every answer, and every look, has a version that is not below the one before."""
    last: dict[int, tuple[int, str]] = {}
    wrong = []
    for line in evidence.operations:
        if line["phase"] != "ack" or line["op"] not in ("set_loadout", "read_profile"):
            continue
        player, version = line["player"], line["version"]
        before, skin = last.get(player, (-1, ""))
        if version < before or (line["op"] == "set_loadout" and version == before):
            wrong.append(f"player {player}: version {version} after {before}")
        if version == before and line["skin"] != skin:
            wrong.append(f"player {player}: version {version} is {skin} and {line['skin']}")
        last[player] = (version, line["skin"])
    return wrong


async def the_cache_agrees_with_the_store(evidence: Evidence) -> list[str]:
    """After draining, the cache's loadouts are the store's."""
    rows = await evidence.store.fetch("SELECT player_id, skin, version FROM loadouts")
    stored = {row["player_id"]: [row["skin"], str(row["version"])] for row in rows}
    keys = await meta_cache.player_keys(evidence.cache)
    cached = {
        player: await cast(Any, evidence.cache.hmget(keys[player], ["skin", "loadout_version"]))
        if player in keys
        else [None, None]
        for player in stored
    }
    return [
        f"player {player}: the cache has {cached[player]}, the store {kept}"
        for player, kept in stored.items()
        if cached[player] != kept
    ]


async def purchases_happened_once(evidence: Evidence) -> list[str]:
    """Every acknowledged purchase is there, under its key, once; and none that nobody asked for."""
    rows = await evidence.store.fetch("SELECT purchase_id::text AS id, player_id, paid FROM purchases")
    bought = {row["id"]: row for row in rows}
    answers = await evidence.store.fetch(
        "SELECT owner, key, answer->>'purchase_id' AS purchase FROM idempotency"
        " WHERE answer->>'purchase_id' IS NOT NULL"
    )
    by_key = {(row["owner"], row["key"]): row["purchase"] for row in answers}
    asked = {(line["player"], line["key"]) for line in select_operations(evidence.operations, "buy", "ask")}
    wrong = []
    for line in select_operations(evidence.operations, "buy", "ack"):
        row = bought.get(line["purchase"])
        if row is None or row["player_id"] != line["player"] or row["paid"] != line["paid"]:
            wrong.append(f"purchase {line['purchase']} was acknowledged and is not in the store")
        if by_key.get((line["player"], line["key"])) != line["purchase"]:
            wrong.append(f"key {line['key']} has another purchase than {line['purchase']}")
    wrong += [f"key {key} of {owner} was never asked for" for owner, key in by_key.keys() - asked]
    wrong += [f"purchase {id_} has no key" for id_ in bought.keys() - set(by_key.values())]
    return wrong


async def refunds_and_grants_happened_once(evidence: Evidence) -> list[str]:
    """Every acknowledged refund and grant is booked, and each one once."""
    refunded = await evidence.store.fetch(
        "SELECT purchase_id::text AS id FROM purchases WHERE refunded_at IS NOT NULL"
    )
    done = {row["id"] for row in refunded}
    acknowledged = {line["purchase"] for line in select_operations(evidence.operations, "refund", "ack")}
    asked = {line["purchase"] for line in select_operations(evidence.operations, "refund", "ask")}
    wrong = [f"refund of {id_} was acknowledged and is not in the store" for id_ in acknowledged - done]
    wrong += [f"refund of {id_} was never asked for" for id_ in done - asked]
    answers = await evidence.store.fetch(
        "SELECT key, answer->>'transfer_id' AS transfer FROM idempotency WHERE owner = 0"
    )
    transfers = {row["key"]: row["transfer"] for row in answers}
    for line in select_operations(evidence.operations, "grant", "ack"):
        transfer = transfers.get(line["key"])
        booked = await evidence.store.fetchval(
            "SELECT count(*) FROM ledger WHERE transfer_id::text = $1 AND account = $2 AND amount = $3",
            *(transfer, line["player"], line["amount"]),
        )
        if booked != 1:
            wrong.append(f"grant {line['key']} of {line['amount']} is booked {booked} times")
    return wrong


async def the_ledger_equals_the_wallets(evidence: Evidence) -> list[str]:
    """Every wallet is the sum of its entries; all entries of a currency, and of a transfer, add up to
    nothing.
    """
    off = await evidence.store.fetch(
        "SELECT coalesce(player_id, account) AS player, coalesce(balance, 0) AS balance, coalesce(booked, 0) "
        "AS booked"
        " FROM wallets FULL JOIN (SELECT account, currency, sum(amount) AS booked FROM ledger"
        " WHERE account > 0 GROUP BY 1, 2) entries ON account = player_id AND entries.currency = "
        "wallets.currency"
        " WHERE coalesce(balance, 0) <> coalesce(booked, 0)"
    )
    wrong = [
        f"player {row['player']}: the wallet has {row['balance']}, the ledger {row['booked']}" for row in off
    ]
    unbalanced = await evidence.store.fetch(
        "SELECT transfer_id, sum(amount) AS rest FROM ledger GROUP BY transfer_id, currency HAVING "
        "sum(amount) <> 0"
    )
    return wrong + [f"transfer {row['transfer_id']} is off by {row['rest']}" for row in unbalanced]


async def goods_equal_money(evidence: Evidence) -> list[str]:
    """What the purchases say was paid and given back is what the ledger booked and the inventory holds."""
    off = await evidence.store.fetch(
        "WITH said AS (SELECT player_id, sum(paid) FILTER (WHERE refunded_at IS NULL) AS paid,"
        "   sum(quantity) FILTER (WHERE refunded_at IS NULL) AS pieces FROM purchases GROUP BY 1),"
        " booked AS (SELECT account, -sum(amount) AS paid FROM ledger WHERE account > 0"
        "   AND (reason LIKE 'bought %' OR reason LIKE 'refunded %') GROUP BY 1),"
        " held AS (SELECT player_id, sum(quantity) AS pieces FROM inventory GROUP BY 1)"
        " SELECT player_id, said.paid, booked.paid AS booked, said.pieces, held.pieces AS held"
        " FROM said LEFT JOIN booked ON account = player_id LEFT JOIN held USING (player_id)"
        " WHERE coalesce(said.paid, 0) <> coalesce(booked.paid, 0) OR coalesce(said.pieces, 0) <> "
        "coalesce(held.pieces, 0)"
    )
    return [
        f"player {row['player_id']}: paid {row['paid']} for {row['pieces']}, booked {row['booked']}, holds "
        f"{row['held']}"
        for row in off
    ]


async def no_wallet_was_ever_negative(evidence: Evidence) -> list[str]:
    """Neither now nor after any entry of the ledger."""
    rows = await evidence.store.fetch(
        "SELECT DISTINCT account FROM (SELECT account, sum(amount) OVER"
        " (PARTITION BY account, currency ORDER BY entry_no) AS balance FROM ledger WHERE account > 0) "
        "running"
        " WHERE balance < 0 UNION SELECT player_id FROM wallets WHERE balance < 0"
    )
    return [f"player {row['account']} was below zero" for row in rows]


async def the_counters_balance(evidence: Evidence) -> list[str]:
    """The cache's counters, the store's rows and the seasons' sums agree, and the write-behind is empty."""
    cache = evidence.cache
    books = [await cast(Any, cache.hgetall(key)) for key in await meta_cache.parts(cache, "counters")]
    count = {name: sum(int(of.get(name, 0)) for of in books) for name in ("checkouts", "commits", "expired")}
    still_open = sum([await cache.zcard(key) for key in await meta_cache.parts(cache, "leases")])
    waiting = sum([await cache.xlen(key) for key in await meta_cache.parts(cache, "writebehind")])
    set_aside = sum([await cache.xlen(key) for key in await meta_cache.parts(cache, "writebehind:rejected")])
    store = await evidence.store.fetchrow(
        "SELECT count(*) AS checkouts, count(*) FILTER (WHERE outcome = 'committed') AS commits,"
        " coalesce(sum(kills) FILTER (WHERE outcome = 'committed'), 0) AS kills FROM match_history"
    )
    in_seasons = await evidence.store.fetchrow(
        "SELECT count(*) AS commits, coalesce(sum(kills), 0) AS kills FROM match_history JOIN season_windows"
        " ON coalesce(match_ended_at, ended_at) >= starts_at AND coalesce(match_ended_at, ended_at) < ends_at"
        " WHERE outcome = 'committed'"
    )
    sums = await evidence.store.fetchrow(
        "SELECT coalesce(sum(matches), 0) AS commits, coalesce(sum(kills), 0) AS kills FROM season_records"
    )
    shown = 0
    async for key in meta_cache.matching(cache, "{meta}:ranked:*:kills"):
        scores = await cast(Any, cache.zrange(key, 0, -1, withscores=True))
        shown += sum(-int(value) >> BOARD_TIME_BITS for _, value in scores)
    facts = [
        (
            count["checkouts"] == count["commits"] + count["expired"] + still_open,
            f"{count}, {still_open} open",
        ),
        (count["checkouts"] == store["checkouts"], f"{count} in the cache, {dict(store)} in the store"),
        (count["commits"] == store["commits"], f"{count} in the cache, {dict(store)} in the store"),
        (
            (sums["commits"], sums["kills"]) == (in_seasons["commits"], in_seasons["kills"]),
            f"{dict(sums)}, {dict(in_seasons)}",
        ),
        (shown == sums["kills"], f"the boards show {shown} kills, the store has {sums['kills']}"),
        (not waiting, "changes wait for the store"),
        (not set_aside, "changes were set aside"),
    ]
    return [detail for holds, detail in facts if not holds]


RULES: tuple[Rule, ...] = (
    loadouts_are_stored,
    versions_only_grow,
    the_cache_agrees_with_the_store,
    purchases_happened_once,
    refunds_and_grants_happened_once,
    the_ledger_equals_the_wallets,
    goods_equal_money,
    no_wallet_was_ever_negative,
    *MATCH_RULES,
    the_counters_balance,
)


async def check(evidence: Evidence) -> dict[str, list[str]]:
    """What is wrong, by the name of the rule; empty where nothing is."""
    found = {rule.__name__: await rule(evidence) for rule in RULES}
    return {name: wrong for name, wrong in found.items() if wrong}


def summary(operations: list[Operation]) -> dict[str, int]:
    """How much there was to check: acknowledged operations by kind, and refusals of stale fences."""
    counts: dict[str, int] = {}
    for op in ("set_loadout", "read_profile", "buy", "refund", "grant", "checkout", "commit", "close"):
        counts[op] = sum(1 for _ in select_operations(operations, op, "ack"))
    counts["stale_refused"] = sum(
        line["kind"] in ("stale-fence", "foreign-fence")
        for line in select_operations(operations, "commit", "refused")
    )
    return counts


async def _run(operations: Path, store_url: str, cache_url: str) -> int:
    store = await asyncpg.connect(store_url)
    cache = redis_client(cache_url, decode_responses=True)
    try:
        lines = read_operations(operations)
        wrong = await check(Evidence(lines, store, cache))
    finally:
        await store.close()
        await cache.aclose()
    print(json.dumps({"rules": len(RULES), "acknowledged": summary(lines), "wrong": wrong}))
    return 1 if wrong else 0


def main() -> int:
    """Check, print, and say by the exit code."""
    parser = argparse.ArgumentParser(prog="python -m loadtest.chaos.meta_checker", description=__doc__)
    parser.add_argument("operations", type=Path)
    parser.add_argument("--store", required=True, help="postgresql://… of the store")
    parser.add_argument("--cache", required=True, help="redis://… of the cache")
    arguments = parser.parse_args()
    return asyncio.run(_run(arguments.operations, arguments.store, arguments.cache))


if __name__ == "__main__":
    startup.prepare()
    sys.exit(main())

"""The checker is worth something only if it finds what it is there to find: each fault is planted, and must
be named.
"""

from __future__ import annotations

import asyncio
import copy
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest
from redis.asyncio import Redis

from launchday.settings import Settings
from loadtest.chaos import meta_checker
from loadtest.chaos.evidence import Evidence
from loadtest.chaos.meta_checker import RULES, check
from loadtest.chaos.meta_load import CRATE, SKINS, MetaLoad
from loadtest.chaos.operation_log import Operation, OperationLog, read_operations, select_operations
from meta_service.store import catalogue
from tests.meta_service.conftest import Clock, drain, running


@pytest.fixture
async def evidence(
    settings: Settings, store: asyncpg.Connection, redis: Redis, tmp_path: Path
) -> AsyncIterator[Evidence]:
    """What a short, quiet load leaves behind.

    Whatever a test plants in the store is rolled back, so nothing is guarded.
    """
    await catalogue.put(store, [CRATE, *SKINS])
    clock, path = Clock(), tmp_path / "operations.jsonl"
    async with running(settings.model_copy(update={"requests_per_player_s": 0.0}), clock) as backend:
        with OperationLog(path) as operations:
            load = MetaLoad(backend.client, operations, seed=3)
            await load.log_in()
            for _ in range(6):
                await load.change_loadout(load.logins[0])
                await load.trade(load.logins[1])
                await load.play_match("server-1")
                clock.advance(1)
        clock.advance(1)
        await backend.client.counters()  # ends the leases of who did not commit
        await drain(backend)
    transaction = store.transaction()
    await transaction.start()
    await store.execute("ALTER TABLE ledger DISABLE TRIGGER ALL")
    await store.execute("ALTER TABLE wallets DROP CONSTRAINT wallets_balance_check")
    yield Evidence(read_operations(path), store, redis)
    await transaction.rollback()


async def test_nothing_is_found_where_nothing_is_wrong(evidence: Evidence) -> None:
    assert await check(evidence) == {}
    counts = meta_checker.summary(evidence.operations)
    assert all(counts[op] for op in ("set_loadout", "read_profile", "buy", "grant", "checkout", "commit")), (
        counts
    )


def last(evidence: Evidence, op: str) -> Operation:
    return list(select_operations(evidence.operations, op, "ack"))[-1]


STORE_FAULTS = {
    "a match that was closed of itself": (
        "closed_matches_have_nobody",
        "UPDATE match_history SET outcome = 'closed', match_id = gen_random_uuid()",
    ),
    "a lost loadout": ("loadouts_are_stored", "DELETE FROM loadouts"),
    "a loadout that went back": ("loadouts_are_stored", "UPDATE loadouts SET version = version - 1"),
    "another skin under the same version": ("loadouts_are_stored", "UPDATE loadouts SET skin = 'forged'"),
    "a store that differs from the cache": (
        "the_cache_agrees_with_the_store",
        "UPDATE loadouts SET version = version + 1",
    ),
    "a lost purchase": ("purchases_happened_once", "DELETE FROM purchases"),
    "a doubled purchase": (
        "purchases_happened_once",
        "INSERT INTO purchases SELECT gen_random_uuid(), player_id, item_id, quantity, currency, paid, "
        "purchased_at,"
        " refunded_at FROM purchases LIMIT 1",
    ),
    "a purchase under a key that nobody sent": (
        "purchases_happened_once",
        "UPDATE idempotency SET key = 'nobody-' || key WHERE owner > 0",
    ),
    "a grant booked twice": (
        "refunds_and_grants_happened_once",
        "INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at) SELECT transfer_id, "
        "account,"
        " currency, amount, reason, booked_at FROM ledger WHERE reason = 'chaos'",
    ),
    "a refund that nobody asked for": (
        "refunds_and_grants_happened_once",
        "UPDATE purchases SET refunded_at = now() WHERE purchase_id = (SELECT purchase_id FROM purchases"
        " WHERE refunded_at IS NULL LIMIT 1)",
    ),
    "money out of nowhere": ("the_ledger_equals_the_wallets", "UPDATE wallets SET balance = balance + 1"),
    "a lost ledger entry": (
        "the_ledger_equals_the_wallets",
        "DELETE FROM ledger WHERE entry_no = (SELECT max(entry_no) FROM ledger)",
    ),
    "a transfer that makes money": (
        "the_ledger_equals_the_wallets",
        "UPDATE ledger SET amount = amount + 1 WHERE account <= 0",
    ),
    "goods that were not paid for": ("goods_equal_money", "UPDATE inventory SET quantity = quantity + 1"),
    "a negative wallet": ("no_wallet_was_ever_negative", "UPDATE wallets SET balance = -1"),
    "a wallet that was negative for a moment": (
        "no_wallet_was_ever_negative",
        "UPDATE ledger SET amount = amount - 100 WHERE entry_no = (SELECT min(entry_no) FROM ledger WHERE "
        "account > 0)",
    ),
    "a lost result": (
        "commits_are_stored",
        "UPDATE match_history SET outcome = NULL, placement = NULL, kills = NULL WHERE outcome = 'committed'",
    ),
    "a result that was changed": ("commits_are_stored", "UPDATE match_history SET kills = kills + 1"),
    "a stale fence in the store": (
        "no_stale_fence_was_accepted",
        "INSERT INTO match_history (player_id, fence, match_id, server) SELECT player_id,"
        " round(extract(epoch FROM ended_at) * 1000)::bigint - 1, gen_random_uuid(), 'other' FROM "
        "match_history"
        " WHERE outcome = 'committed' AND round(extract(epoch FROM ended_at) * 1000)::bigint - 1 > fence "
        "LIMIT 1",
    ),
    "two servers with one player": (
        "fences_grow_and_leases_exclude",
        "INSERT INTO match_history (player_id, fence, match_id, server) SELECT player_id, fence + 1,"
        " gen_random_uuid(), 'other' FROM match_history LIMIT 1",
    ),
    "a check-out that never was": (
        "the_counters_balance",
        "INSERT INTO match_history (player_id, fence, match_id) VALUES (7, 1, gen_random_uuid())",
    ),
    "a result counted twice in the season": (
        "the_counters_balance",
        "UPDATE season_records SET matches = matches + 1",
    ),
}


async def test_a_fault_planted_in_the_store_is_found(evidence: Evidence) -> None:
    missed = {}
    # A commit takes no time by a clock that stands still; let it take ten milliseconds.
    await evidence.store.execute("UPDATE match_history SET ended_at = ended_at + interval '10 ms'")
    assert await check(evidence) == {}
    for fault, (rule, statement) in STORE_FAULTS.items():
        planted = evidence.store.transaction()
        await planted.start()
        status = await evidence.store.execute(statement)
        assert not status.endswith(" 0"), f"{fault}: nothing was planted"
        found = await check(evidence)
        if rule not in found:
            missed[fault] = found
        await planted.rollback()
    assert missed == {}


async def test_a_version_that_went_back_before_a_clients_eyes_is_found(evidence: Evidence) -> None:
    operations = copy.deepcopy(evidence.operations)
    looked = list(select_operations(operations, "read_profile", "ack"))[-1]
    looked["version"] -= 1
    assert "versions_only_grow" in await check(Evidence(operations, evidence.store, evidence.cache))


async def test_one_version_of_two_skins_is_found(evidence: Evidence) -> None:
    operations = copy.deepcopy(evidence.operations)
    list(select_operations(operations, "read_profile", "ack"))[-1]["skin"] = "another"
    assert "versions_only_grow" in await check(Evidence(operations, evidence.store, evidence.cache))


async def test_one_key_with_two_purchases_is_found(evidence: Evidence) -> None:
    told = last(evidence, "buy")
    operations = [*evidence.operations, {**told, "purchase": "00000000-0000-4000-8000-000000000001"}]
    assert "purchases_happened_once" in await check(Evidence(operations, evidence.store, evidence.cache))


async def test_a_refund_that_was_told_and_not_made_is_found(evidence: Evidence) -> None:
    lost = {"at": 1, "op": "refund", "phase": "ack", "player": 7, "purchase": "no-such-purchase"}
    operations = [*evidence.operations, lost]
    assert "refunds_and_grants_happened_once" in await check(
        Evidence(operations, evidence.store, evidence.cache)
    )


async def test_a_fence_that_went_back_and_a_stale_one_that_was_taken_are_found(evidence: Evidence) -> None:
    told = last(evidence, "commit")
    asked = next(
        line["at"]
        for line in select_operations(evidence.operations, "commit", "ask")
        if line["match"] == told["match"]
    )
    match = "00000000-0000-4000-8000-000000000002"
    taken_over = {"op": "checkout", "match": match, "server": "other", "player": told["player"]}
    newer = [
        {"at": asked - 2, "phase": "ask", **taken_over},
        {"at": asked - 1, "phase": "ack", "fence": told["fence"] + 1, **taken_over},
    ]
    wrong = await check(
        Evidence(
            sorted([*evidence.operations, *newer], key=lambda line: line["at"]),
            evidence.store,
            evidence.cache,
        )
    )
    assert "no_stale_fence_was_accepted" in wrong
    later = time.monotonic_ns()
    older = [
        {"at": later, "phase": "ask", **taken_over},
        {"at": later + 1, "phase": "ack", "fence": told["fence"] - 1, **taken_over},
    ]
    wrong = await check(Evidence([*evidence.operations, *older], evidence.store, evidence.cache))
    assert "fences_grow_and_leases_exclude" in wrong


async def test_a_match_that_goes_on_after_it_was_closed_is_found(evidence: Evidence) -> None:
    told = last(evidence, "commit")
    gone: Operation = {"op": "close", "match": told["match"], "director": 9, "force": True}
    early = [{"at": 1, "phase": "ask", **gone}, {"at": 2, "phase": "ack", "closed": True, **gone}]
    wrong = await check(Evidence([*early, *evidence.operations], evidence.store, evidence.cache))
    assert [text.split(" ", 2)[2] for text in wrong["closed_matches_have_nobody"]] == [
        "got players after it was closed",
        "was committed after it was closed",
    ]


@pytest.mark.parametrize(
    ("key", "what"), [("{meta}:writebehind", "wait"), ("{meta}:writebehind:rejected", "set aside")]
)
async def test_what_never_reached_the_store_is_found(evidence: Evidence, key: str, what: str) -> None:
    await evidence.cache.xadd(key, {"loadout": "{}"})
    assert what in (await check(evidence))["the_counters_balance"][0]


def test_every_rule_is_tried_with_a_planted_fault() -> None:
    tried = {rule for rule, _ in STORE_FAULTS.values()} | {"versions_only_grow"}
    assert tried == {rule.__name__ for rule in RULES}


async def test_the_checker_is_a_program_that_says_by_its_exit_code(
    settings: Settings, store: asyncpg.Connection, tmp_path: Path
) -> None:
    path = tmp_path / "operations.jsonl"
    path.touch()

    async def run() -> tuple[int | None, bytes]:
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "loadtest.chaos.meta_checker", str(path)),
            *("--store", settings.store_url, "--cache", settings.cache_url),
            stdout=asyncio.subprocess.PIPE,
        )
        said, _ = await child.communicate()
        return child.returncode, said

    assert (await run())[0] == 0
    await store.execute("INSERT INTO wallets (player_id, currency, balance) VALUES (7, 'coins', 5)")
    code, said = await run()
    assert code == 1
    assert b"the wallet has 5, the ledger 0" in said

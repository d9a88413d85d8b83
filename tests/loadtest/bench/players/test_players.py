"""Random lives with lost answers end in a clean audit; of what is planted, each rule finds its own fault."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from loadtest.bench.players.audit import AT_THE_END, PlayersEvidence, audit, who_is_banned_stays_out
from loadtest.bench.players.players import gather, judge
from loadtest.bench.players.random_lives import RandomLives
from loadtest.bench.players.world import players_world
from loadtest.chaos.operation_log import Operation, OperationLog, read_operations
from meta_service.client import MetaUnavailableError

OPERATIONS = 600
LOST = 0.05  # of the answers

# What is planted in the store, past its guards, by the rule that is to notice.
PLANTED = {
    "wallets_are_what_was_moved": "UPDATE wallets SET balance = balance + 1 WHERE player_id = $1",
    "wallets_are_the_ledger": "UPDATE ledger SET amount = amount + 1 WHERE entry_no ="
    " (SELECT max(entry_no) FROM ledger WHERE account = $1)",
    "items_are_what_was_moved": "INSERT INTO inventory VALUES ($1, 'bench-rare', 4, now(), 9)"
    " ON CONFLICT (player_id, item_id) DO UPDATE SET quantity = inventory.quantity + 1",
    "nobody_wears_what_they_do_not_own": "INSERT INTO loadouts (player_id, skin, version, region, stored_at)"
    " VALUES ($1, 'never-existed', 1, '', now())"
    " ON CONFLICT (player_id) DO UPDATE SET skin = excluded.skin",
    "progress_is_what_was_played": "UPDATE progression SET xp = xp + 50 WHERE player_id = $1",
    "tiers_gave_once": "INSERT INTO item_movements"
    " (transfer_id, player_id, item_id, quantity, reason, actor, booked_at)"
    " VALUES (gen_random_uuid(), $1, 'bench-trophy', 1, 'again', 'service:rewards', now())",
    "boards_are_the_matches": "UPDATE match_history SET kills = kills + 1 WHERE outcome = 'committed'"
    " AND player_id = $1",
    "no_name_is_there_twice": "UPDATE accounts SET display_name = 'Twin' WHERE player_id <> $1",
    "nobody_is_friends_with_whom_they_block": "WITH other AS (SELECT max(player_id) AS id FROM accounts"
    " WHERE player_id <> $1), made AS (INSERT INTO friendships (low_id, high_id, asked_by, state, since)"
    " SELECT least($1, id), greatest($1, id), $1, 'friends', now() FROM other"
    " ON CONFLICT (low_id, high_id) DO UPDATE SET state = 'friends')"
    " INSERT INTO blocks SELECT $1, id, now() FROM other ON CONFLICT DO NOTHING",
    "every_act_of_an_operator_is_noted": "DELETE FROM operator_actions WHERE player_id = $1",
}


@pytest.mark.timeout(180)
def test_random_lives_leave_nothing_wrong_and_each_planted_fault_is_found(tmp_path: Path) -> None:
    asyncio.run(_live_and_plant(tmp_path))


@pytest.mark.parametrize(
    ("unban", "is_wrong"),
    [
        ([], True),
        ([(5, "ask"), (10, "ack")], True),  # over before the ban was sent
        ([(55, "ask"), (60, "ack")], True),  # asked for after the login was answered
        ([(5, "ask"), (25, "ack")], False),
        ([(5, "ask")], False),
        ([(35, "ask"), (38, "ack")], False),
        ([(45, "ask"), (60, "ack")], False),
    ],
)
def test_a_login_is_wrong_where_no_end_of_the_ban_may_have_come_before_it(
    unban: list[tuple[int, str]], is_wrong: bool
) -> None:
    lines: list[Operation] = [
        {"at": 30, "op": "ban", "phase": "ack", "player": 1, "sent": 20},
        {"at": 50, "op": "login", "phase": "ack", "player": 1, "sent": 40},
        {"at": 50, "op": "login", "phase": "ack", "player": 1, "sent": 29},
        *({"at": at, "op": "unban", "phase": phase, "player": 1, "unban": "one"} for at, phase in unban),
    ]
    nothing: Any = None
    wrong = asyncio.run(who_is_banned_stays_out(PlayersEvidence(lines, nothing, nothing, {}, {})))
    assert len(wrong) == is_wrong


async def _live_and_plant(folder: Path) -> None:
    log = folder / "operations.jsonl"
    async with players_world(folder) as made:
        losing = Random(3)
        for client in (*made.services, *made.operators):
            client.call = _losing(client.call, losing)  # type: ignore[method-assign]
        with OperationLog(log) as written:
            await RandomLives(made, written, seed=3).run(OPERATIONS)
        operations = read_operations(log)
        assert await judge(made, operations) == []

        store = await asyncpg.connect(made.store_url)
        cache = Redis.from_url(made.redis_url, decode_responses=True)
        try:
            evidence = await gather(made, store, cache, operations)
            victim = _busiest(evidence)
            found = {rule: await _planted(evidence, statement, victim) for rule, statement in PLANTED.items()}
            await cache.hset("{meta}:party:planted", mapping={"leader": "1", "m:2": "1,1", "limit": "4"})
            last = operations[-1]["at"]
            evidence = PlayersEvidence(
                [
                    *operations,
                    {"at": last + 10, "op": "ban", "phase": "ack", "player": victim, "sent": last + 5},
                    {"at": last + 30, "op": "login", "phase": "ack", "player": victim, "sent": last + 20},
                    {"at": last + 40, "op": "unban", "phase": "ask", "player": victim, "unban": "late"},
                    {"at": last + 50, "op": "again", "phase": "ack", "same": False},
                    {"at": last + 60, "op": "delete", "phase": "ack", "player": victim},
                    {"at": last + 70, "op": "failure", "phase": "refused", "text": "500: planted"},
                ],
                store,
                cache,
                evidence.boards,
                evidence.worn,
            )
            lines = await audit(evidence, AT_THE_END)
        finally:
            await store.close()
            await cache.aclose()
    wrong_of = {line.partition(":")[0] for line in lines}
    missed = [rule for rule, its_lines in found.items() if not its_lines]
    assert missed == []
    assert {rule.__name__ for rule in AT_THE_END} - found.keys() <= wrong_of


def _losing(call: Callable[..., Awaitable[Any]], random: Random) -> Any:
    """The call, of which some answers are lost; what was asked is done."""

    async def lossy(*arguments: Any, **more: Any) -> Any:
        answer = await call(*arguments, **more)
        if random.random() < LOST:
            raise MetaUnavailableError("planted: the answer was lost")
        return answer

    return lossy


async def _planted(evidence: PlayersEvidence, statement: str, victim: int) -> list[str]:
    """What the audit says of the rule's kind while something is planted, which is then taken back."""
    rule = next(name for name, planted in PLANTED.items() if planted == statement)
    transaction = evidence.store.transaction()
    await transaction.start()
    await evidence.store.execute("SET LOCAL session_replication_role = replica")
    await evidence.store.execute(statement, victim)
    lines = await audit(evidence)
    await transaction.rollback()
    return [line for line in lines if line.startswith(f"{rule}:")]


def _busiest(evidence: PlayersEvidence) -> int:
    """A living player who played, whom operators acted on, and who reached the first tier."""
    played: list[int] = [
        row[0]
        for line in evidence.operations
        if line["op"] == "match"
        for row in line["results"]
        if row[1] == 1
    ]
    acted = {line["player"] for line in evidence.operations if line["op"] == "action"}
    return next(player for player in played if player in evidence.living & acted)

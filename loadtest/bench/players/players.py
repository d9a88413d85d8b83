"""``players``: rounds of random operations of players, operators and game servers on real engines, each ended
by an audit.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args
from uuid import uuid4

import asyncpg
import uvloop
from redis.asyncio import Redis

from loadtest.bench.players.audit import AT_THE_END, RULES, PlayersEvidence, Rule, Standing, audit, played
from loadtest.bench.players.random_lives import RandomLives
from loadtest.bench.players.world import PlayersWorld, players_world
from loadtest.chaos.operation_log import Operation, OperationLog, read_operations
from loadtest.errors import BenchError
from meta_service.client import MetaClient, MetaRefusedError
from meta_service.messages.social import BoardName

ROUNDS = 10
OPERATIONS = 10_000
SETTLED_S = 120.0
LOOK_S = 0.1
PAGE = 100


def run(rounds: int = ROUNDS, operations: int = OPERATIONS, seed: int = 1) -> dict[str, Any]:
    """Run ``rounds`` of ``operations`` and return what is printed; ``wrong`` lines are named in full.

    ``players_left_out`` are those whom the audit does not judge, as a change of theirs was never answered.

    Raises BenchError where a service does not start, or what was done does not arrive.
    """
    figures: dict[str, Any] = uvloop.run(_run(rounds, operations, seed))
    return figures


async def _run(rounds: int, operations: int, seed: int) -> dict[str, Any]:
    wrong: list[str] = []
    refused = 0
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="launchday-bench-") as name:
        async with players_world(Path(name)) as made:
            log = Path(name) / "operations.jsonl"
            operations_done: list[Operation] = []
            for number in range(rounds):
                with OperationLog(log) as written:
                    lives = RandomLives(made, written, seed + number)
                    await lives.run(operations)
                refused += lives.refused
                operations_done = read_operations(log)
                wrong += await judge(made, operations_done)
            wrong += await judge(made, operations_done, AT_THE_END)
    acknowledged = sum(line["phase"] == "ack" for line in operations_done)
    wrong = list(dict.fromkeys(wrong))  # what was wrong in one round is so in the next
    return {
        "bench": "players",
        "rounds": rounds,
        "operations": rounds * operations,
        "acknowledged": acknowledged,
        "refused": refused,
        "players": sum(line["op"] == "open" for line in operations_done),
        "players_left_out": len({line["player"] for line in operations_done if line["op"] == "lost"}),
        "operations_per_s": round(rounds * operations / (time.monotonic() - began_s)),
        "wrong": len(wrong),
        "wrong_lines": wrong[:50],
    }


async def judge(made: PlayersWorld, operations: list[Operation], rules: Sequence[Rule] = RULES) -> list[str]:
    """Wait until everything has arrived, check everybody out once more, and audit."""
    store = await asyncpg.connect(made.store_url)
    cache = Redis.from_url(made.redis_url, decode_responses=True)
    try:
        await _settled(made, store, operations)
        if rules == AT_THE_END:
            await _swept(store)
        evidence = await gather(made, store, cache, operations)
        return await audit(evidence, rules)
    finally:
        await store.close()
        await cache.aclose()


async def gather(
    made: PlayersWorld, store: asyncpg.Connection, cache: Redis, operations: list[Operation]
) -> PlayersEvidence:
    """Collect what the rules look at, the answers that players get included."""
    empty = PlayersEvidence(operations, store, cache, {}, {})
    worn = await _worn(made, sorted(empty.living))
    await made.inner.drained()
    client = made.inner.client
    spectator = await client.login_device(f"bench-spectator-{len(operations)}")
    boards = {board: await _board(client, spectator.session_token, board) for board in get_args(BoardName)}
    return PlayersEvidence(operations, store, cache, boards, worn)


async def _settled(made: PlayersWorld, store: asyncpg.Connection, operations: list[Operation]) -> None:
    """Wait for the write-behind, rewards and deletions."""
    matches = {line["match"] for line in operations if line["op"] == "match"}
    left_out = {line["player"] for line in operations if line["op"] in ("delete", "lost")}
    kills = sum(
        kills for player, rows in played(operations).items() if player not in left_out for _, kills, _ in rows
    )
    began_s = time.monotonic()
    while time.monotonic() - began_s < SETTLED_S:
        depth = (await made.inner.client.counters()).writebehind_depth
        rated = await store.fetchval("SELECT count(*) FROM rated_matches")
        counted = await store.fetchval(
            "SELECT coalesce(sum(kills), 0) FROM progression WHERE NOT player_id = ANY($1::bigint[])",
            sorted(left_out),
        )
        left = await store.fetchval("SELECT count(*) FROM erasures WHERE finished_at IS NULL")
        if not depth and rated >= len(matches) and counted >= kills and not left:
            await asyncio.sleep(1.0)  # what was told twice is behind the last of what counts
            return
        await asyncio.sleep(LOOK_S)
    raise BenchError(
        f"not settled after {SETTLED_S:g} s: {depth} changes wait, {rated} of {len(matches)} matches rated,"
        f" {counted} of {kills} kills counted, {left} deletions open"
    )


async def _swept(store: asyncpg.Connection) -> None:
    """Wait until what was under way at a deletion was swept, a minute after it."""
    began_s = time.monotonic()
    while time.monotonic() - began_s < 2 * SETTLED_S:
        if not await store.fetchval(
            "SELECT count(*) FROM erasures WHERE swept_at IS NULL OR finished_at IS NULL"
        ):
            return
        await asyncio.sleep(LOOK_S)
    raise BenchError(f"deleted players were not swept after {2 * SETTLED_S:g} s")


async def _worn(made: PlayersWorld, players: list[int]) -> dict[int, str]:
    """Check each player out, and read which skin the game server is told of."""
    found: dict[int, str] = {}
    for start in range(0, len(players), PAGE):
        wanted = players[start : start + PAGE]
        out = await made.inner.client.check_out(uuid4(), "bench-auditor", "west-europe", 1.0, wanted)
        found |= {one.player_id: one.skin for one in out.checked_out}
    return found


async def _board(client: MetaClient, token: str, board: BoardName) -> list[Standing]:
    lines: list[Standing] = []
    while True:
        with contextlib.suppress(MetaRefusedError):
            page = await client.leaderboard(token, board, offset=len(lines), limit=PAGE)
            lines += [Standing(one.rank, one.player_id, one.score) for one in page.standings]
            if len(page.standings) < PAGE:
                return lines

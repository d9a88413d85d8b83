"""``launchday bench migrations``: each step of the schema on tables of a million rows, while others write.

Two stores are filled: one at the schema of the release before, and one at that before the steps that change
tables which are in use. Then one step after the other is made. Meanwhile a writer a table changes a row every
few milliseconds and notes how long the longest change took, and an observer looks which locks are held that
keep writers out. What writers wait for without any step is measured first: the machine's own noise.
"""

from __future__ import annotations

import asyncio
import contextlib
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from random import Random
from typing import Any

import asyncpg

from launchday.engines import EngineError, Postgres
from launchday.terminal import Terminal
from loadtest.errors import BenchError
from meta_service.store import schema

RELEASED = "r0017_event_gaps"
EARLY = "r0003_sessions"
LIMIT_MS = 100.0
WRITE_EVERY_S = 0.005
LOOK_EVERY_S = 0.004
NOISE_S = 5.0
# What keeps a writer out of a table.
EXCLUSIVE = ("ShareLock", "ShareRowExclusiveLock", "ExclusiveLock", "AccessExclusiveLock")

_LOCKS = """
SELECT c.relname AS name, l.mode FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
WHERE l.granted AND l.mode = ANY ($1) AND c.relname = ANY ($2) AND l.pid <> pg_backend_pid()
"""

# By table: the rows of `number` from 1 on, and a change of one of them.
EARLY_TABLES: dict[str, tuple[str, str]] = {
    "sessions": (
        "INSERT INTO sessions (player_id, session_id, generation, state, version)"
        " SELECT number, 'session', 1, 'live', 1 FROM generate_series(1, {rows}) AS number",
        "UPDATE sessions SET version = version + 1 WHERE player_id = $1",
    ),
    "loadouts": (
        "INSERT INTO loadouts (player_id, skin, version)"
        " SELECT number, 'recruit', 1 FROM generate_series(1, {rows}) AS number",
        "UPDATE loadouts SET version = version + 1 WHERE player_id = $1",
    ),
    "match_history": (
        "INSERT INTO match_history (player_id, fence, match_id, outcome, placement, kills, ended_at)"
        " SELECT number, number, gen_random_uuid(), 'committed', 1, 2, now()"
        " FROM generate_series(1, {rows}) AS number",
        "UPDATE match_history SET kills = kills + 1 WHERE player_id = $1",
    ),
    "ledger": (
        "INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at)"
        " SELECT md5((number / 2)::text)::uuid, number / 2, 'coins', 1 - 2 * (number % 2), 'filled', now()"
        " FROM generate_series(2, {rows} + 1) AS number",
        "INSERT INTO ledger (transfer_id, account, currency, amount, reason, booked_at)"
        " SELECT md5($1::bigint::text)::uuid, $1::bigint, 'coins', amount, 'written', now()"
        " FROM unnest(ARRAY[1, -1]) AS amount",
    ),
    "progression": (
        "INSERT INTO progression (player_id) SELECT number FROM generate_series(1, {rows}) AS number",
        "UPDATE progression SET xp = xp + 1 WHERE player_id = $1",
    ),
    "ratings": (
        "INSERT INTO ratings (player_id, mode, mu, sigma)"
        " SELECT number, 'battle_royale', 25, 8 FROM generate_series(1, {rows}) AS number",
        "UPDATE ratings SET matches = matches + 1 WHERE player_id = $1",
    ),
}
TABLES: dict[str, tuple[str, str]] = {
    **EARLY_TABLES,
    "accounts": (
        "INSERT INTO accounts (player_id, device_hash, display_name, created_at)"
        " SELECT number, int8send(number), 'player ' || number, now()"
        " FROM generate_series(1, {rows}) AS number",
        "UPDATE accounts SET created_at = now() WHERE player_id = $1",
    ),
    "wallets": (
        "INSERT INTO wallets (player_id, currency, balance)"
        " SELECT number, 'coins', 1000 FROM generate_series(1, {rows}) AS number",
        "SELECT ledger_transfer(gen_random_uuid(), $1, 0, 'coins', 1, 'written', 1.8e9, NULL)",
    ),
    "inventory": (
        "INSERT INTO inventory (player_id, item_id, quantity, acquired_at)"
        " SELECT number, 'nightfall', 1, now() FROM generate_series(1, {rows}) AS number",
        "UPDATE inventory SET acquired_at = now() WHERE player_id = $1",
    ),
    "event_inbox": (
        "INSERT INTO event_inbox (event_id, topic)"
        " SELECT gen_random_uuid(), 'player' FROM generate_series(1, {rows})",
        "INSERT INTO event_inbox (event_id, topic)"
        " SELECT gen_random_uuid(), 'player' || ($1::bigint % 2)::text",
    ),
    "idempotency": (
        "INSERT INTO idempotency (owner, key, request_hash, answer)"
        " SELECT number, 'key', '', '{{}}' FROM generate_series(1, {rows}) AS number",
        "SELECT idempotency_claim($1, gen_random_uuid()::text, '')",
    ),
    "purchases": (
        "INSERT INTO purchases (purchase_id, player_id, item_id, quantity, currency, paid, purchased_at)"
        " SELECT gen_random_uuid(), number, 'nightfall', 1, 'coins', 800, now()"
        " FROM generate_series(1, {rows}) AS number",
        "INSERT INTO purchases (purchase_id, player_id, item_id, quantity, currency, paid, purchased_at)"
        " SELECT gen_random_uuid(), $1, 'nightfall', 1, 'coins', 800, now()",
    ),
    "season_records": (
        "INSERT INTO season_records (season, player_id, matches, wins, kills)"
        " SELECT 'launch', number, 1, 1, 2 FROM generate_series(1, {rows}) AS number",
        "UPDATE season_records SET kills = kills + 1 WHERE season = 'launch' AND player_id = $1",
    ),
    "friendships": (
        "INSERT INTO friendships (low_id, high_id, asked_by, state, since)"
        " SELECT number, number + 1, number, 'friends', now() FROM generate_series(1, {rows}) AS number",
        "UPDATE friendships SET since = now() WHERE low_id = $1",
    ),
    "season_progress": (
        "INSERT INTO season_progress (player_id, season, xp, tier)"
        " SELECT number, 'launch', 5, 1 FROM generate_series(1, {rows}) AS number",
        "UPDATE season_progress SET xp = xp + 1 WHERE player_id = $1 AND season = 'launch'",
    ),
}

# By name of a store: the schema at which it is filled, the last step that is made, and its tables.
STARTS = {"early": (EARLY, RELEASED, EARLY_TABLES), "released": (RELEASED, "head", TABLES)}


def run(rows: int = 1_000_000, seed: int = 1) -> dict[str, Any]:
    """Make every step that changes tables in use; return the longest waits and locks of each.

    Args:
        rows: of each table.
        seed: of the rows that are changed.

    Raises BenchError where the store does not start.
    """
    console = Terminal(stderr=True)
    found: dict[str, Any] = {}
    noise_ms = 0.0
    with tempfile.TemporaryDirectory(prefix="launchday-migrations-") as folder:
        server = Postgres(Path(folder) / "postgres", Path(folder) / "postgres.log")
        try:
            server.start()
        except EngineError as error:
            raise BenchError(str(error)) from error
        try:
            for name, (revision, last, tables) in STARTS.items():
                address = server.address.replace("/postgres?", f"/{name}?")
                asyncio.run(_create(server.address, name))
                schema.migrate(address, revision)
                console.print(f"{rows:,} rows in each of {len(tables)} tables at {revision}")
                asyncio.run(_fill(address, tables, rows))
                writers = _Writers(address, tables, rows, Random(seed))
                steps, noise = asyncio.run(_make_steps(address, writers, last, console))
                found |= steps
                noise_ms = max(noise_ms, noise)
        finally:
            server.stop()
    write_ms = max(step["longest_write_ms"] for step in found.values())
    lock_ms = max(step["longest_lock_ms"] for step in found.values())
    return {
        "bench": "migrations",
        "rows": rows,
        "longest_write_ms": write_ms,
        "longest_lock_ms": lock_ms,
        "within_limit": write_ms <= LIMIT_MS and lock_ms <= LIMIT_MS,
        "noise_ms": noise_ms,
        "steps": found,
    }


async def _create(address: str, name: str) -> None:
    connection = await asyncpg.connect(address)
    try:
        await connection.execute(f"CREATE DATABASE {name}")
    finally:
        await connection.close()


async def _fill(address: str, tables: Mapping[str, tuple[str, str]], rows: int) -> None:
    connection = await asyncpg.connect(address)
    try:
        for statement, _ in tables.values():
            await connection.execute(statement.format(rows=rows))
        await connection.execute("VACUUM ANALYZE")
        await connection.execute("CHECKPOINT")
    finally:
        await connection.close()


class _Writers:
    """Changes rows of every table at a steady rate, and looks at the locks."""

    def __init__(
        self, address: str, tables: Mapping[str, tuple[str, str]], rows: int, random: Random
    ) -> None:
        self._address = address
        self._tables = tables
        self._rows = rows
        self._random = random
        self.writes_ms: dict[str, float] = {}
        self.locks_ms: dict[str, float] = {}
        self.count = 0

    async def during(self, work: asyncio.Future[Any]) -> dict[str, Any]:
        """Write until ``work`` is done; return what was measured. Raises what ``work`` raises."""
        self.writes_ms, self.locks_ms, self.count = {}, {}, 0
        began = time.monotonic()
        tasks = [asyncio.create_task(self._write(name, change)) for name, (_, change) in self._tables.items()]
        tasks.append(asyncio.create_task(self._look()))
        try:
            await work
        finally:
            seconds = time.monotonic() - began
            for task in tasks:
                task.cancel()
            ends = await asyncio.gather(*tasks, return_exceptions=True)
        for end in ends:
            if isinstance(end, Exception):
                raise BenchError(f"a writer failed: {end!r}") from end
        return {
            "seconds": round(seconds, 2),
            "writes": self.count,
            "longest_write_ms": round(max(self.writes_ms.values(), default=0.0), 1),
            "longest_lock_ms": round(max(self.locks_ms.values(), default=0.0), 1),
            "slow_tables": {
                name: round(took, 1) for name, took in self.writes_ms.items() if took > LIMIT_MS / 2
            },
            "locked_tables": {name: round(held, 1) for name, held in self.locks_ms.items()},
        }

    async def _write(self, name: str, change: str) -> None:
        connection = await asyncpg.connect(self._address)
        try:
            while True:
                began = time.perf_counter()
                await connection.fetch(change, self._random.randint(1, self._rows))
                took_ms = (time.perf_counter() - began) * 1e3
                self.writes_ms[name] = max(self.writes_ms.get(name, 0.0), took_ms)
                self.count += 1
                await asyncio.sleep(WRITE_EVERY_S)
        finally:
            with contextlib.suppress(OSError, asyncpg.InterfaceError):
                await connection.close(timeout=2)

    async def _look(self) -> None:
        """Note how long each lock was there in looks that followed each other: at most, not at least."""
        connection = await asyncpg.connect(self._address)
        since: dict[tuple[str, str], float] = {}
        try:
            before = time.perf_counter()
            while True:
                held = {
                    (row["name"], row["mode"])
                    for row in await connection.fetch(_LOCKS, EXCLUSIVE, list(self._tables))
                }
                now = time.perf_counter()
                since = {lock: since.get(lock, before) for lock in held}
                for (name, _), began in since.items():
                    self.locks_ms[name] = max(self.locks_ms.get(name, 0.0), (now - began) * 1e3)
                before = now
                await asyncio.sleep(LOOK_EVERY_S)
        finally:
            with contextlib.suppress(OSError, asyncpg.InterfaceError):
                await connection.close(timeout=2)


async def _make_steps(
    address: str, writers: _Writers, last: str, console: Terminal
) -> tuple[dict[str, Any], float]:
    """Make the missing steps up to ``last``, each while others write."""
    noise = await writers.during(asyncio.ensure_future(asyncio.sleep(NOISE_S)))
    found: dict[str, Any] = {}
    missing = [step.revision for step in await asyncio.to_thread(lambda: schema.status(address).missing)]
    for revision in _up_to(missing, last):
        work = asyncio.ensure_future(asyncio.to_thread(schema.migrate, address, revision))
        found[revision] = await writers.during(work)
        console.print(f"{revision}: {found[revision]}")
    return found, float(noise["longest_write_ms"])


def _up_to(revisions: Sequence[str], last: str) -> Sequence[str]:
    return revisions if last == "head" else revisions[: revisions.index(last) + 1]

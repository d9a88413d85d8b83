"""A store of one's own with a replica: what is wrong with it is told, its replica is read while it is near,
and a promotion is found by whoever knows both hosts.
"""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

import asyncpg
import pytest

from launchday.cli.doctor_engines import engine_faults
from launchday.clock import SystemClock
from launchday.engines.postgres import USER
from launchday.engines.probe import probe
from launchday.resilience import store_address, store_checks
from launchday.resilience.requirements import Fault
from launchday.resilience.store_checks import STORE_REQUIREMENTS, store_faults
from launchday.settings import Settings
from loadtest.bench.engines.postgresql.servers import Server, Standby, kill_at_once, until_streaming
from meta_service.errors import StoreUnavailableError
from meta_service.store.replica import Replica
from meta_service.store.store import Store
from rewards.consumer.store_connection import ConnectionPool
from rewards.errors import StoreUnavailableError as RewardsUnavailableError
from tests.waiting import until

WRONG = {
    "fsync": "off",
    "full_page_writes": "off",
    "synchronous_commit": "off",
    "max_connections": "12",
    "default_transaction_isolation": "repeatable read",
    "tcp_keepalives_idle": "7200",
}
IS_REPLICA = "SELECT pg_is_in_recovery()"
PAGE = "SELECT number FROM pages WHERE number < $1 ORDER BY number DESC LIMIT $2"


@dataclass
class Pair:
    primary: Server
    standby: Standby

    @property
    def both(self) -> str:
        places = f"{self.primary.place()},{self.standby.place()}"
        return f"postgresql://{USER}@{places}/postgres?sslmode=disable"


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pair]:
    folder = tmp_path_factory.mktemp("pair")
    primary = Server(folder / "primary", folder / "primary.log", WRONG)
    standby = Standby(folder / "standby", folder / "standby.log", primary)
    try:
        primary.start()
        standby.further |= {"max_connections": "12"}
        standby.start()
        asyncio.run(_prepare(primary))
        yield Pair(primary, standby)
    finally:
        kill_at_once(standby)
        kill_at_once(primary)


@pytest.fixture
async def admin(pair: Pair) -> AsyncIterator[asyncpg.Connection]:
    connection = await asyncpg.connect(pair.primary.address)
    yield connection
    await connection.close()


@contextlib.asynccontextmanager
async def reading(pair: Pair, max_behind_s: float = 60.0) -> AsyncIterator[tuple[Store, Replica]]:
    store = Store(
        pair.primary.address,
        SystemClock(),
        connections=2,
        replica_url=pair.standby.address,
        replica_behind_s=max_behind_s,
    )
    assert store._replica is not None
    try:
        yield store, store._replica
    finally:
        await store.close()


async def test_all_that_is_wrong_is_told_at_once_with_what_to_type(pair: Pair) -> None:
    faults = await store_faults(pair.primary.address, connections=30, now_s=time.time() + 3600)
    assert {fault.remedy for fault in faults} == {
        "ALTER SYSTEM SET fsync = on; SELECT pg_reload_conf()",
        "ALTER SYSTEM SET full_page_writes = on; SELECT pg_reload_conf()",
        'ALTER DATABASE "postgres" SET synchronous_commit = on',
        "ALTER SYSTEM SET synchronous_standby_names = 'ANY 1 (*)'; SELECT pg_reload_conf()",
        "ALTER DATABASE \"postgres\" SET default_transaction_isolation = 'read committed'",
        "ALTER SYSTEM SET max_connections = 100 and start it again, or lower LAUNCHDAY_STORE_CONNECTIONS",
        "set the clocks by NTP: chronyc makestep",
        "ALTER SYSTEM SET tcp_keepalives_idle = 10; ALTER SYSTEM SET tcp_keepalives_interval = 5; "
        "ALTER SYSTEM SET tcp_keepalives_count = 3; SELECT pg_reload_conf()",
    }
    assert not any(fault.refuse for fault in faults)


async def test_a_replica_is_no_store(pair: Pair) -> None:
    (fault,) = [
        each for each in await store_faults(pair.standby.address) if "replica, which takes" in each.text
    ]
    assert fault.remedy == "give its primary's address, or both: …@HOST:PORT,HOST:PORT/…"


async def test_a_replica_that_is_away_is_told(pair: Pair) -> None:
    *_, fault = await store_faults(pair.primary.address, replica_url="postgresql://user:secret@127.0.0.1:1/x")
    assert fault.remedy == "mend the address in LAUNCHDAY_STORE_REPLICA_URL, or unset it"
    assert "secret" not in str(fault)


async def test_a_read_only_database_is_told(pair: Pair, admin: asyncpg.Connection) -> None:
    await admin.execute("ALTER DATABASE postgres SET default_transaction_read_only = on")
    try:
        told = [str(fault) for fault in await store_faults(pair.primary.address)]
        with pytest.raises(asyncpg.TargetServerAttributeNotMatched):
            await store_address.connect(f"{pair.primary.address}&target_session_attrs=read-write")
    finally:
        await admin.execute("ALTER DATABASE postgres RESET default_transaction_read_only")
    assert 'the store is read-only: ALTER DATABASE "postgres" RESET default_transaction_read_only' in told


async def test_a_missing_privilege_and_encoding_and_an_old_version_refuse(
    pair: Pair, admin: asyncpg.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_checks, "OLDEST", 99)
    await admin.execute("CREATE ROLE guest LOGIN")
    await admin.execute("CREATE DATABASE old ENCODING 'SQL_ASCII' TEMPLATE template0")
    as_guest = pair.primary.address.replace(f"{USER}:{USER}@", "guest@")
    told = [str(each) for each in await store_faults(as_guest) if each.refuse]
    major = pair.primary.version().partition(".")[0]
    assert told == [
        f"the store is PostgreSQL {major}: upgrade it to PostgreSQL 99 or newer",
        "the store refuses us the table pages: "
        'GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO "guest"',
    ]
    told = [str(each) for each in await store_faults(pair.primary.address.replace("/postgres?", "/old?"))]
    assert any("encoding SQL_ASCII: CREATE DATABASE … ENCODING 'UTF8'" in each for each in told)


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        (f"{USER}:{USER}@", "plain:secret@", "add sslmode=require to the parameters of LAUNCHDAY_STORE_URL"),
        (f"{USER}:{USER}@", "asked:secret@", "mend the password in LAUNCHDAY_STORE_URL"),
        (f"{USER}:{USER}@", "nobody:secret@", "mend the user in LAUNCHDAY_STORE_URL"),
        ("/postgres?", "/nothing?", "CREATE DATABASE \"nothing\" ENCODING 'UTF8'"),
    ],
)
async def test_a_login_that_is_refused_says_what_to_do(
    pair: Pair, before: str, after: str, remedy: str
) -> None:
    url = pair.primary.address.replace(before, after)
    (fault,) = await store_faults(url)
    _, said = await probe("store", url)
    assert remedy in fault.remedy
    assert remedy in said
    assert "secret" not in said + str(fault)


def test_doctor_asks_the_same(pair: Pair) -> None:
    told = engine_faults("store", pair.primary.address, settings=Settings())
    assert {"fsync", "full_page_writes"} <= {fault.text.partition("(")[2].partition(" ")[0] for fault in told}
    assert Fault(True, *_schema_missing()) in told


def test_every_requirement_is_there_once() -> None:
    assert len({(each.setting, each.wanted) for each in STORE_REQUIREMENTS}) == len(STORE_REQUIREMENTS)


async def test_a_connection_on_which_the_store_is_read_only_is_left(pair: Pair) -> None:
    store = Store(pair.primary.address, SystemClock(), connections=2)
    try:
        await store.read("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY")
        with pytest.raises(StoreUnavailableError, match="read-only"):
            await store.change("INSERT INTO pages VALUES (-1)")
        await store.change("DELETE FROM pages WHERE number = -1")
    finally:
        await store.close()


async def test_what_does_not_change_any_more_is_read_from_a_near_replica(pair: Pair) -> None:
    async with reading(pair) as (store, replica):
        assert await store.read_settled(IS_REPLICA) == [(False,)]  # it is not known yet
        await until(lambda: _near(replica), "the replica is near")
        assert await store.read_settled(IS_REPLICA) == [(True,)]
        assert await store.read(IS_REPLICA) == [(False,)]


async def test_a_page_comes_of_the_replica_where_that_has_the_row_before(
    pair: Pair, admin: asyncpg.Connection
) -> None:
    async with reading(pair) as (store, replica):
        await until(lambda: _near(replica), "the replica is near")
        replay = await asyncpg.connect(pair.standby.address)
        await replay.execute("SELECT pg_wal_replay_pause()")
        try:
            await admin.execute("INSERT INTO pages SELECT generate_series(101, 110)")
            asked: list[tuple[int, int]] = []

            async def page(before: int) -> list[int]:
                def arguments(below: int, most: int) -> tuple[int, int]:
                    asked.append((below, most))
                    return below, most

                return [row[0] for row in await store.read_page(PAGE, arguments, "number", before, 3)]

            assert await page(2**53) == [110, 109, 108]
            assert await page(108) == [107, 106, 105]  # the replica lacks row 108
            assert await page(100) == [99, 98, 97]
        finally:
            await replay.execute("SELECT pg_wal_replay_resume()")
            await replay.close()
    assert asked == [(2**53, 3), (109, 4), (108, 3), (101, 4)]


async def test_a_replica_that_is_behind_is_not_asked(pair: Pair, admin: asyncpg.Connection) -> None:
    replay = await asyncpg.connect(pair.standby.address)
    async with reading(pair, max_behind_s=0.3) as (store, replica):
        await until(lambda: _near(replica), "the replica is near")
        await replay.execute("SELECT pg_wal_replay_pause()")
        try:
            await admin.execute("INSERT INTO pages VALUES (1000)")
            await until(lambda: _far(replica), "the replica is behind")
            assert await store.read_settled(IS_REPLICA) == [(False,)]
        finally:
            await replay.execute("SELECT pg_wal_replay_resume()")
            await replay.close()
        await until(lambda: _near(replica), "the replica is near again")


async def test_a_replica_that_is_away_costs_no_answer(pair: Pair) -> None:
    away = Store(
        pair.primary.address, SystemClock(), connections=2, replica_url="postgresql://user@127.0.0.1:1/x"
    )
    assert await away.read_settled(IS_REPLICA) == [(False,)]
    assert away._replica is not None
    away._replica._is_of = away._clock.monotonic()  # as if it had been near a moment ago
    assert await away.read_settled(IS_REPLICA) == [(False,)]
    assert not away._replica.is_near()
    await away.close()


async def test_a_promotion_is_found_and_an_old_primary_that_comes_back_is_not_taken(pair: Pair) -> None:
    """The last test of the file: there is no replica afterwards."""
    await until_streaming(pair.primary)
    store = Store(pair.both, SystemClock(), connections=2)
    rewards = ConnectionPool(pair.both)
    assert await store.change("INSERT INTO pages VALUES (2000) RETURNING number") == [(2000,)]
    async with rewards.acquire() as connection:
        assert await connection.fetchval("SELECT count(*) FROM pages WHERE number = 2000") == 1
    insert = "INSERT INTO pages VALUES ($1) ON CONFLICT (number) DO UPDATE SET number = $1 RETURNING number"
    port = pair.primary.port
    kill_at_once(pair.primary)
    await pair.standby.promote()

    async def of_rewards() -> bool:
        async with rewards.transaction() as connection:
            return bool(await connection.fetch(insert, 2002))

    try:
        await until(lambda: store.change(insert, 2001), "the new primary", ignore=StoreUnavailableError)
        await until(of_rewards, "the new primary", ignore=RewardsUnavailableError)
        await asyncio.to_thread(pair.primary.start, port)
        assert store_address.timeline(pair.both) == 2
        old = await asyncpg.connect(pair.primary.address)
        assert not await old.fetchval("SELECT pg_is_in_recovery()")  # it takes itself for the primary
        await old.close()
        for _ in range(3):  # whichever answers first
            connection = await store_address.connect(pair.both)
            assert await connection.fetchval("SELECT count(*) FROM pages WHERE number > 2000") == 2
            connection.terminate()
    finally:
        await store.close()
        await rewards.close()


async def _near(replica: Replica) -> bool:
    await replica.look()
    return replica.is_near()


async def _far(replica: Replica) -> bool:
    return not await _near(replica)


def _schema_missing() -> tuple[str, str]:
    return (
        "the store's schema is missing and this code needs r0023_growth",
        "run python -m meta_service.store.schema",
    )


async def _prepare(primary: Server) -> None:
    connection = await asyncpg.connect(primary.address)
    try:
        await connection.execute(
            "CREATE TABLE pages (number bigint PRIMARY KEY);"
            " INSERT INTO pages SELECT generate_series(1, 100);"
            " CREATE ROLE plain LOGIN; CREATE ROLE asked LOGIN PASSWORD 'another'"
        )
        rules = primary.folder / "pg_hba.conf"
        before = rules.read_text()
        rules.write_text(
            "hostnossl all plain 127.0.0.1/32 reject\nhost all asked 127.0.0.1/32 scram-sha-256\n" + before
        )
        await connection.execute("SELECT pg_reload_conf()")
    finally:
        await connection.close()

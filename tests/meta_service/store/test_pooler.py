"""PgBouncer in transaction mode between us and the store: all works where the address says so, and where it
does not, whoever starts a service is told what to set.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import pytest

from launchday.clock import SystemClock
from launchday.engines import Postgres
from launchday.resilience import store_address
from launchday.resilience.store_checks import store_faults
from launchday.settings import Settings
from loadtest.bench.engines.postgresql.servers import PgBouncer
from meta_service.errors import SchemaError, StoreUnavailableError
from meta_service.store import catalogue, schema
from meta_service.store.store import Store
from rewards.consumer.store import Store as RewardsStore
from rewards.progression import rules
from tests.dedicated_server.fleet.test_mutual_tls import make_authority, make_certificate
from tests.meta_service.conftest import Backend, Clock, drain, running
from tests.meta_service.domain.test_shop import CRATE
from tests.optional import needs
from tests.rewards.examples import NOW_S, a_death, a_kill
from tests.rewards.running import LETTERS, batch, progression

pytestmark = needs("pgbouncer")


@pytest.fixture(scope="module")
def pooler(postgres_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[PgBouncer]:
    folder = tmp_path_factory.mktemp("pooler")
    server = PgBouncer(folder / "data", folder / "log", postgres_server)
    server.start()
    yield server
    server.stop()


@pytest.fixture
def plain_url(pooler: PgBouncer, store_url: str) -> Iterator[str]:
    """The test's database through the pooler, without a word of it."""
    name = store_url.rpartition("/")[2].partition("?")[0]
    yield pooler.address.replace("/postgres?", f"/{name}?")
    asyncio.run(_leave(pooler, name))


@pytest.fixture
def pooled_url(plain_url: str) -> str:
    return f"{plain_url}&pooler=transaction"


@contextlib.asynccontextmanager
async def behind(settings: Settings, clock: Clock, url: str) -> AsyncIterator[Backend]:
    changed = {"store_url": url, "requests_per_player_s": 0.0}
    async with running(settings.model_copy(update=changed), clock) as backend:
        yield backend


async def test_players_buy_and_write_behind_stores(
    settings: Settings, clock: Clock, pooled_url: str, store: asyncpg.Connection
) -> None:
    await catalogue.put(store, [CRATE])
    async with behind(settings, clock, pooled_url) as backend:
        players = await backend.logins(12)

        async def buy(number: int) -> None:
            player = players[number]
            await backend.client.grant(f"grant-of-{number}", player.player_id, "coins", 1000, "test")
            for turn in range(3):
                await backend.client.purchase(player.session_token, f"purchase-{number}-{turn}", "crate")
            await backend.client.set_loadout(player.session_token, "scout")

        await asyncio.gather(*(buy(number) for number in range(len(players))))
        await drain(backend)
    assert await store.fetchval("SELECT count(*) FROM purchases") == 36
    assert await store.fetchval("SELECT count(*) FROM loadouts WHERE skin = 'scout'") == 12


async def test_rewards_applies_batches(pooled_url: str, store_url: str) -> None:
    store = RewardsStore(pooled_url, "rewards", rules.load(), LETTERS)
    try:
        await asyncio.gather(
            *(store.apply(batch([a_kill(1, 2), a_death(2)], first_offset=n), NOW_S) for n in (0, 10, 20))
        )
    finally:
        await store.close()
    assert (await progression(store_url))[1][0] == 300


async def test_without_the_word_the_failure_says_what_to_set(plain_url: str) -> None:
    store = Store(plain_url, SystemClock())
    try:
        answers = await asyncio.gather(
            *(store.change(f"SELECT {n % 5}, pg_sleep(0.01)") for n in range(60)), return_exceptions=True
        )
    finally:
        await store.close()
    said = {str(answer) for answer in answers if isinstance(answer, BaseException)}
    assert all(isinstance(answer, list | StoreUnavailableError) for answer in answers)
    assert any(store_address.POOLER_REMEDY in each for each in said), said


async def test_the_checks_tell_a_pooler_that_the_address_does_not(
    plain_url: str, pooled_url: str, store_url: str
) -> None:
    pooler, direct = await store_faults(plain_url)
    assert (pooler.refuse, pooler.remedy) == (True, store_address.POOLER_REMEDY)
    assert direct.remedy.startswith("LAUNCHDAY_STORE_DIRECT_URL=postgresql://")
    assert await store_faults(pooled_url) == [direct]
    assert await store_faults(pooled_url, direct_url=store_url) == []
    with pytest.raises(SchemaError, match="LAUNCHDAY_STORE_DIRECT_URL=postgresql://"):
        await asyncio.to_thread(schema.migrate, pooled_url)


@needs("openssl")
async def test_certificates_are_looked_at(postgres_server: Postgres, tmp_path: Path) -> None:
    """Of the pooler: the embedded PostgreSQL is built without TLS."""
    ours, theirs = make_authority(tmp_path, "ours"), make_authority(tmp_path, "theirs")
    certificate, key = make_certificate(tmp_path, ours, "store")
    tls = {"client_tls_sslmode": "require", "client_tls_cert_file": certificate, "client_tls_key_file": key}
    pooler = PgBouncer(tmp_path / "data", tmp_path / "log", postgres_server, tls)
    await asyncio.to_thread(pooler.start)
    secured = f"sslmode=verify-full&sslrootcert={ours}"
    url = pooler.pooled.replace("sslmode=disable", secured)
    try:
        connection = await store_address.connect(url)
        assert connection._transport.get_extra_info("ssl_object") is not None
        connection.terminate()
        assert (await asyncio.to_thread(schema.status, url)).revision is None
        (fault,) = await store_faults(url.replace(str(ours), str(theirs)))
        assert fault.remedy.startswith("add sslrootcert=FILE to the parameters of LAUNCHDAY_STORE_URL")
        (fault,) = await store_faults(pooler.pooled)
        assert fault.remedy.startswith("add sslmode=require to the parameters of LAUNCHDAY_STORE_URL")
    finally:
        pooler.stop()


async def _leave(pooler: PgBouncer, database: str) -> None:
    """End the pooler's connections to a database, which is dropped then."""
    admin = await asyncpg.connect(pooler.address.replace("/postgres?", "/pgbouncer?"), statement_cache_size=0)
    try:
        await admin.execute(f"KILL {database}")
    finally:
        admin.terminate()

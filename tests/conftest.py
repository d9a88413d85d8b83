"""What all tests share: compiled kernels, real servers, and a machine that one test may have to itself.

The servers (Valkey, PostgreSQL, a Kafka-protocol broker) start once a process of pytest, when the first test
asks for them. ``make test`` runs three processes side by side (pytest-xdist); each has servers of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import secrets
import tempfile
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import asyncpg
import hypothesis
import pytest
from pydantic import SecretStr

from launchday import kernel_cache
from launchday.engines import Broker, Postgres, Valkey
from launchday.engines.base import exchange
from launchday.launcher.kernels import ALL_PARTS, FLOOD_PARTS, compile_kernels
from launchday.settings import Settings
from loadtest.bench.engines.valkey_nodes import Cluster, running
from meta_service.store import schema
from tests.memory import in_memory
from tests.optional import REQUIRED, UNKNOWN
from tests.wheel import install_wheel

# The first example of a kernel loads it: how long that takes is no property of the code.
hypothesis.settings.register_profile("untimed", parent=hypothesis.settings(), deadline=None)
hypothesis.settings.load_profile("untimed")

TESTS = Path(__file__).parent

_compiled: set[str] = set()  # by this run: each part is looked at once

# What the tests of a folder need compiled. Compiling takes a minute or two on a fresh machine, so it is done
# before the first such test's time limit begins to run.
KERNELS_BY_FOLDER = {
    "dedicated_server": FLOOD_PARTS,
    "matchmaker": FLOOD_PARTS | {"flexmatch", "why"},
    "loadtest": ALL_PARTS,
    "end_to_end": ALL_PARTS,
}


def pytest_configure(config: pytest.Config) -> None:
    """Register our marks, and refuse a requirement that no test knows."""
    config.addinivalue_line(
        "markers",
        "serial: measures time, or fills the machine: no other test runs beside it (see tests/conftest.py)",
    )
    if UNKNOWN:
        raise pytest.UsageError(f"LAUNCHDAY_TEST_REQUIRE: nothing optional is called {', '.join(UNKNOWN)}")
    if "PYTEST_XDIST_WORKER" in os.environ:
        kernel_cache.lock_saving()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the tests that run alone last, so that the processes wait for each other once and not again and
    again.
    """
    items.sort(key=lambda item: item.get_closest_marker("serial") is not None)


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, object, object]:
    """Compile what the test needs and wait for its turn, both before its time limit begins to run."""
    if parts := _kernel_parts(item) - _compiled:
        compile_kernels(print, parts)
        _compiled.update(parts)
    with _turn(alone=item.get_closest_marker("serial") is not None):
        return (yield)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run that skipped a test although LAUNCHDAY_TEST_REQUIRE says that nothing may be missing."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if REQUIRED and reporter is not None and (skipped := reporter.stats.get("skipped")):
        reporter.write_line(f"LAUNCHDAY_TEST_REQUIRE is set, and {len(skipped)} tests were skipped", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    for file in _turn_files():  # whoever still runs is the only process left, and makes them anew
        file.unlink(missing_ok=True)


def _kernel_parts(item: pytest.Item) -> frozenset[str]:
    if "kernels" in getattr(item, "fixturenames", ()):
        return ALL_PARTS
    folder = item.path.relative_to(TESTS).parts[0] if item.path.is_relative_to(TESTS) else ""
    return KERNELS_BY_FOLDER.get(folder, frozenset())


@contextlib.contextmanager
def _turn(alone: bool) -> Iterator[None]:
    """Hold the machine together with the other processes of this run, or alone.

    A test that wants the machine alone keeps the door shut while it waits for the running ones, so that none
    slips in before it.
    """
    files = _turn_files()
    if not files:  # this is the only process
        yield
        return
    with files[0].open("a") as machine:
        with files[1].open("a") as door:
            fcntl.flock(door, fcntl.LOCK_EX)
            fcntl.flock(machine, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        yield


def _turn_files() -> list[Path]:
    """The files that the processes of this run lock: the machine, and the door to it; none in a single
    process.
    """
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID")
    folder = Path(tempfile.gettempdir())
    return [] if run is None else [folder / f"launchday-{run}.{name}" for name in ("machine", "door")]


@pytest.fixture(scope="session")
def kernels() -> None:
    """All kernels are compiled, as after ``make setup``; this process still loads those it calls, in about a
    second.

    Tests in the folders of `KERNELS_BY_FOLDER` need not ask for it.
    """


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The command ``launchday`` of an environment into which the wheel was installed: 6 s, once."""
    return install_wheel(tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="session")
def server_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with in_memory(tmp_path_factory.mktemp("servers")) as folder:
        yield folder


@pytest.fixture(scope="session")
def valkey_server(server_dir: Path) -> Iterator[Valkey]:
    server = Valkey(server_dir / "valkey", server_dir / "valkey.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def valkey_cluster(server_dir: Path) -> Iterator[Cluster]:
    """A real cluster, three primaries with a replica each; whoever changes it puts it back."""
    with running(Cluster(server_dir / "cluster", options={"cluster-require-full-coverage": "no"})) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def postgres_server(server_dir: Path) -> Iterator[Postgres]:
    server = Postgres(server_dir / "postgres", server_dir / "postgres.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def broker_server(server_dir: Path) -> Iterator[Broker]:
    server = Broker(server_dir / "broker", server_dir / "broker.log")
    server.start()
    yield server
    server.stop()


@pytest.fixture
def cache_url(valkey_server: Valkey) -> str:
    """A real, empty Valkey."""
    assert exchange(valkey_server.port, b"FLUSHALL\r\n", 5) == b"+OK\r\n"
    return valkey_server.address


@pytest.fixture(scope="session")
def migrated_database(postgres_server: Postgres) -> str:
    """The name of a database at the newest schema, to be copied: a copy takes 25 ms, a migration 500."""
    name = "template_launchday"
    asyncio.run(_execute(postgres_server.address, f"CREATE DATABASE {name}"))
    schema.migrate(_database(postgres_server, name))
    return name


@pytest.fixture
def store_url(postgres_server: Postgres, migrated_database: str) -> Iterator[str]:
    """A real PostgreSQL database of the test's own, at the newest schema."""
    name = f"test_{uuid.uuid4().hex}"
    copy = f"CREATE DATABASE {name} TEMPLATE {migrated_database} STRATEGY FILE_COPY"
    asyncio.run(_execute(postgres_server.address, copy))
    yield _database(postgres_server, name)
    asyncio.run(_execute(postgres_server.address, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
def kafka_bootstrap(broker_server: Broker) -> str:
    """A real broker; take topic names from ``settings.topic_prefix``, which is the test's own."""
    return broker_server.address


@pytest.fixture
def settings(tmp_path: Path, cache_url: str, store_url: str, kafka_bootstrap: str) -> Settings:
    """Settings that point at the real servers, with keys and names of this test's own."""
    return Settings(
        state_dir=tmp_path,
        cache_url=cache_url,
        store_url=store_url,
        kafka_bootstrap=kafka_bootstrap,
        identity_secret=SecretStr(secrets.token_hex(32)),
        fleet_key=SecretStr(secrets.token_hex(32)),
        topic_prefix=f"test-{uuid.uuid4().hex[:12]}",
    )


def _database(server: Postgres, name: str) -> str:
    return server.address.rsplit("/", 1)[0] + f"/{name}"


async def _execute(url: str, statement: str) -> None:
    connection = await asyncpg.connect(url)
    try:
        await connection.execute(statement)
    finally:
        await connection.close()

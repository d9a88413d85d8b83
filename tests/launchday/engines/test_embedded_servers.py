"""The embedded servers: they start, answer, keep their data, and are gone when their parent is gone."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import asyncpg
import psutil
import pytest
import redis

from launchday.engines import ApacheKafka, Broker, EmbeddedServer, EngineError, Postgres, Valkey, free_port
from launchday.engines.base import EPHEMERAL_RANGE
from launchday.engines.postgres import remove_foreign_lock
from tests.optional import needs

WHEELS = [Valkey, Postgres, Broker]
ALL = [*WHEELS, pytest.param(ApacheKafka, marks=needs("apache-kafka"))]

PARENT = """
import sys, time
from pathlib import Path
from launchday.engines import Broker, Postgres, Valkey
folder = Path(sys.argv[1])
for kind in (Valkey, Postgres, Broker):
    server = kind(folder / kind.__name__, folder / f"{kind.__name__}.log")
    server.start()
print("up", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("kind", ALL)
def test_a_server_starts_answers_and_stops(kind: type[EmbeddedServer], tmp_path: Path) -> None:
    server = kind(tmp_path / "data", tmp_path / "log")
    server.start()
    try:
        assert server.answers()
        assert str(server.port) in server.address
        assert kind.version()[0].isdigit()
    finally:
        server.stop()
    assert not server.answers()


def test_valkey_keeps_an_acknowledged_write_through_a_kill(tmp_path: Path) -> None:
    server = Valkey(tmp_path / "data", tmp_path / "log")
    server.start()
    with redis.Redis.from_url(server.address) as client:
        client.set("skin", "gold")
    server.kill()
    server.start()
    try:
        with redis.Redis.from_url(server.address) as client:
            assert client.get("skin") == b"gold"
    finally:
        server.stop()


async def test_postgres_keeps_a_committed_row_through_a_kill(tmp_path: Path) -> None:
    server = Postgres(tmp_path / "data", tmp_path / "log")
    server.start()
    connection = await asyncpg.connect(server.address)
    await connection.execute("CREATE TABLE wallet (coins int); INSERT INTO wallet VALUES (7)")
    await connection.close()
    server.kill()
    server.start()
    try:
        connection = await asyncpg.connect(server.address)
        assert await connection.fetchval("SELECT coins FROM wallet") == 7
        await connection.close()
    finally:
        server.stop()


def test_valkey_starts_with_a_file_whose_last_write_was_torn(tmp_path: Path) -> None:
    server = Valkey(tmp_path / "data", tmp_path / "log")
    server.start()
    with redis.Redis.from_url(server.address) as client:
        client.set("skin", "gold")
        client.set("skin", "silver")
    server.kill()
    (written,) = (tmp_path / "data").rglob("*.incr.aof")
    written.write_bytes(written.read_bytes()[:-5])
    server.start(server.port)
    try:
        with redis.Redis.from_url(server.address) as client:
            assert client.get("skin") == b"gold"
    finally:
        server.stop()


def test_postgres_starts_although_its_lock_names_a_process_that_is_somebody_elses_now(
    tmp_path: Path,
) -> None:
    """As in a container that is started again, where process ids repeat."""
    server = Postgres(tmp_path / "data", tmp_path / "log")
    server.start()
    lock = tmp_path / "data" / "postmaster.pid"
    alive = lock.read_text()
    remove_foreign_lock(server.folder)
    assert lock.read_text() == alive
    server.stop()
    with subprocess.Popen(["sleep", "60"]) as stranger:
        _, *others = alive.splitlines(keepends=True)
        lock.write_text("".join([f"{stranger.pid}\n", *others]))
        try:
            server.start()
            assert server.answers()
        finally:
            server.stop()
            stranger.kill()


def test_a_busy_port_is_said_with_the_servers_own_last_words(tmp_path: Path) -> None:
    first = Valkey(tmp_path / "first", tmp_path / "first.log")
    first.start()
    second = Valkey(tmp_path / "second", tmp_path / "second.log")
    second.answers = lambda: False  # type: ignore[method-assign]
    try:
        with pytest.raises(EngineError, match=r"Valkey ended with code 1.*second\.log"):
            second.start(first.port)
    finally:
        second.stop()
        first.stop()


@pytest.mark.parametrize("kind", WHEELS)
def test_a_missing_wheel_is_one_line_that_says_what_to_do(
    kind: type[EmbeddedServer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(EngineError, match=rf"pip install {kind.package}.*LAUNCHDAY_") as caught:
        kind.program()
    assert "\n" not in str(caught.value)


def test_nothing_outlives_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = subprocess.Popen(
        [sys.executable, "-c", PARENT, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    assert parent.stdout.readline() == "up\n"
    family = psutil.Process(parent.pid).children(recursive=True)
    assert len(family) >= 3
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    _, alive = psutil.wait_procs(family, timeout=5)
    assert alive == []


def test_a_free_port_is_never_one_that_an_outgoing_connection_could_take() -> None:
    ports = {free_port() for _ in range(50)}
    first_ephemeral = int(EPHEMERAL_RANGE.read_text().split()[0])
    assert len(ports) == 50
    assert max(ports) < first_ephemeral

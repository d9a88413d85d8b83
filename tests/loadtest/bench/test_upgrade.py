"""The parts of the benchmarks of upgrades: whole, they take minutes."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from launchday.settings import Settings
from loadtest.bench.meta import migrations
from loadtest.bench.upgrade.books import lines, lines_of_store
from loadtest.bench.upgrade.relay import Relay
from loadtest.bench.upgrade.release import Release, install
from loadtest.errors import BenchError
from meta_service.store import version


async def test_a_relay_gives_connections_in_turn_and_passes_over_who_is_away() -> None:
    async def serve(answer: bytes) -> tuple[asyncio.Server, int]:
        async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(await reader.read(1) + answer)
            writer.close()

        server = await asyncio.start_server(say, "127.0.0.1", 0)
        return server, server.sockets[0].getsockname()[1]

    async def ask(port: int) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            writer.write(b"?")
            return await reader.read()
        except ConnectionResetError:  # there was nobody to carry it to
            return b""
        finally:
            writer.close()

    (first, one), (second, two) = await serve(b"1"), await serve(b"2")
    async with first, second, Relay() as relay:
        relay.servers += [one, two]
        assert sorted([await ask(relay.port) for _ in range(4)]) == [b"?1", b"?1", b"?2", b"?2"]
        first.close()
        await first.wait_closed()
        assert [await ask(relay.port) for _ in range(2)] == [b"?2", b"?2"]
        relay.servers.clear()
        assert await ask(relay.port) == b""


async def test_counts_that_differ_are_told(store_url: str) -> None:
    queue = {"queued": 9, "matched": 8, "cancelled": 1, "expired": 0, "failed": 0, "matches": 2}
    fleet = {"matches_started": 3, "matches_taken_back": 1, "matches_ended": 2, "kills": 5}
    meta = {"checkouts": 8, "commits": 7, "writebehind_rejected": 0}
    off = {line.name: line.difference for line in lines(queue, fleet, meta, 5) if not line.balanced}
    assert off == {"check-outs": 1}
    found = {line.name: line.balanced for line in await lines_of_store(store_url, 7)}
    assert found == {"money": True, "wallets": True, "items": True, "results": False}


def test_what_is_no_release_is_told(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no-such-revision"):
        install("no-such-revision", tmp_path / "a")
    with pytest.raises(BenchError, match="there is no wheel"):
        install("no-such.whl", tmp_path / "b")
    this = Release()
    assert this.head == version.HEAD
    assert this.environment(Settings())["LAUNCHDAY_META_PORT"] == "8101"


@pytest.mark.timeout(120)
def test_each_step_of_the_schema_is_made_while_others_write(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(migrations, "NOISE_S", 0.1)
    monkeypatch.delitem(migrations.STARTS, "early")
    found = migrations.run(rows=1_000)
    assert list(found["steps"])[-1] == version.HEAD
    assert all(step["writes"] > 0 for step in found["steps"].values())
    assert found["longest_write_ms"] >= found["steps"][version.HEAD]["longest_write_ms"] > 0

"""The checks of parts, each against the real thing and against nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from launchday.engines import free_port
from launchday.resilience import parts
from launchday.resilience.health import Part


async def trouble(check: Callable[[], Awaitable[str | None]]) -> str:
    """What a check says or raises."""
    try:
        return await check() or ""
    except Exception as error:
        return repr(error)


async def test_engines_that_answer_are_well(cache_url: str, store_url: str, kafka_bootstrap: str) -> None:
    async with parts.cache_part(cache_url) as cache, parts.store_part(store_url) as store:
        broker = parts.broker_part(f"127.0.0.1:9,{kafka_bootstrap}")
        for part in (cache, store, broker):
            for _ in range(2):  # the second time over the same connection
                assert await part.check() is None, part.name
        assert cache.needed
        assert not store.needed


async def test_engines_that_are_away_are_not() -> None:
    port = free_port()
    async with (
        parts.cache_part(f"redis://127.0.0.1:{port}") as cache,
        parts.store_part(f"postgresql://u@127.0.0.1:{port}/x") as store,
    ):
        for part in (cache, store, parts.broker_part(f"127.0.0.1:{port}"), parts.broker_part("nonsense")):
            assert await trouble(part.check), part.name


async def test_a_check_is_well_again_when_its_part_is(
    store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with parts.store_part(store_url) as store:
        assert await store.check() is None
        other = await asyncpg.connect(store_url)
        await other.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        await other.close()
        await trouble(store.check)  # it may have noticed already
        assert await store.check() is None


async def test_a_service_that_answers_anything_is_there_and_one_that_speaks_no_http_is_not() -> None:
    answer = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        part = parts.http_part("fleet", f"http://127.0.0.1:{port}")
        answer = b"HTTP/1.1 404 Not Found\r\n\r\n"
        assert await part.check() is None
        answer = b"220 smtp\r\n"
        assert await trouble(part.check)
    assert await trouble(part.check)


async def test_a_disk_without_room_is_said_with_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    part: Part = parts.disk_part(tmp_path / "made" / "later")
    assert await part.check() is None
    monkeypatch.setattr(parts, "MIN_FREE_BYTES", 1 << 62)
    assert str(tmp_path) in (await part.check() or "")

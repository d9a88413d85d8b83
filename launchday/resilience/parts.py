"""The checks of parts that several processes share: cache, store, broker, another service, a folder's disk.

Each has a connection of its own: a pool that requests have emptied would make a well part look away, and
take the service out of the balance just when it is busy. What a check raises, or the words that it returns,
is read by `launchday.resilience.health`.
"""

from __future__ import annotations

import asyncio
import os
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit

from launchday.resilience import sockets, store_address
from launchday.resilience.bus import BusAddress, bus_at
from launchday.resilience.health import CHECK_S, Part

if TYPE_CHECKING:
    import asyncpg

# redis-py and asyncpg are imported inside the functions: together they cost 0.3 s.

# ApiVersions, version 0, correlation id 1, no client id: every broker answers it before anything else.
API_VERSIONS_REQUEST = struct.pack("!ihhih", 10, 18, 0, 1, -1)
MIN_FREE_BYTES = 64 * 1024 * 1024  # below this a recording or a flush of events no longer fits for sure


@asynccontextmanager
async def cache_part(url: str, *, needed: bool = True) -> AsyncIterator[Part]:
    """The part "cache": whether it answers a PING, over one connection that is closed at the end.

    Args:
        url: redis://… address.
        needed: as in `Part`.
    """
    from redis.exceptions import TimeoutError as SlowError

    client = sockets.redis_client(url, connections=1, answer_s=CHECK_S)

    async def check() -> str | None:
        try:
            await cast(Any, client).execute_command("PING")
        except SlowError as error:
            raise TimeoutError from error
        return None

    try:
        yield Part("cache", check, needed)
    finally:
        await client.aclose()


@asynccontextmanager
async def store_part(url: str, *, needed: bool = False) -> AsyncIterator[Part]:
    """The part "store": whether it answers a statement, over one connection that is closed at the end.

    Args:
        url: postgresql://… address.
        needed: as in `Part`.
    """
    connection: asyncpg.Connection | None = None

    async def check() -> str | None:
        nonlocal connection
        try:
            if connection is None or connection.is_closed():
                connection = await store_address.connect(url, timeout_s=CHECK_S)
            await connection.fetchval("SELECT 1", timeout=CHECK_S)
        except BaseException:  # its state is unknown: the next check begins with a new one
            if connection is not None:
                connection.terminate()
                connection = None
            raise
        return None

    try:
        yield Part("store", check, needed)
    finally:
        if connection is not None:
            connection.terminate()


def http_part(name: str, url: str, *, tls: ssl.SSLContext | None = None, needed: bool = False) -> Part:
    """A service of ours, or Agones' allocator: whether anything answers HTTP at its address.

    Args:
        name: of the part.
        url: the service's base URL.
        tls: for https: whom to trust, and what to show; None: the system's authorities.
        needed: as in `Part`.
    """
    address = urlsplit(url)
    encrypted = address.scheme == "https"
    port = address.port or (443 if encrypted else 80)
    host = address.hostname or ""
    request = f"GET /healthz HTTP/1.1\r\nHost: {address.netloc}\r\nConnection: close\r\n\r\n".encode()

    async def check() -> str | None:
        reader, writer = await asyncio.open_connection(host, port, ssl=(tls or True) if encrypted else None)
        try:
            writer.write(request)
            answer = await reader.readline()
        finally:
            writer.close()
        return None if answer.startswith(b"HTTP/") else f"{url} does not speak HTTP"

    return Part(name, check, needed)


def broker_part(bus: BusAddress, *, needed: bool = False) -> Part:
    """The part "broker": whether one of the addresses answers Kafka's first request.

    Args:
        bus: Kafka's, or host:port,… of it.
        needed: as in `Part`.
    """

    tls = bus_at(bus).tls

    async def check() -> str | None:
        failure = "no address is given"
        for place in str(bus).split(","):
            host, _, port = place.strip().rpartition(":")
            try:
                reader, writer = await asyncio.open_connection(host, int(port), ssl=tls)
            except (OSError, ValueError) as error:
                failure = f"{place.strip()}: {error}"
                continue
            try:
                writer.write(API_VERSIONS_REQUEST)
                if len(await reader.read(8)):
                    return None
                failure = f"{place.strip()} hangs up"
            except OSError as error:
                failure = f"{place.strip()}: {error}"
            finally:
                writer.close()
        return failure

    return Part("broker", check, needed)


def disk_part(folder: Path, *, name: str = "disk", needed: bool = False) -> Part:
    """Whether the disk of a folder has room.

    Args:
        folder: need not exist yet.
        name: of the part.
        needed: as in `Part`.
    """

    async def check() -> str | None:
        free = _free_bytes(folder)
        return None if free >= MIN_FREE_BYTES else f"{free >> 20} MB are free in {folder}: make room"

    return Part(name, check, needed)


def _free_bytes(folder: Path) -> int:
    place = folder.absolute()
    while not place.exists():
        place = place.parent
    found = os.statvfs(place)
    return found.f_bavail * found.f_frsize

"""Minimal clients of an allocator: each keeps one connection and asks again once it has its answer.

``python -m loadtest.bench.fleet.allocation_clients PORT TOKEN CALLERS ALLOCATIONS NAME FILE`` writes the
names of the servers and the milliseconds of each call to FILE, as JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import uvloop

from launchday import startup

REGION = "west-europe"
PAUSE_S = 0.0005  # after an answer that no server is Ready


@dataclass
class Calls:
    """What the callers got: names of servers, milliseconds of each call that got one, and calls that found
    none Ready.
    """

    servers: list[str] = field(default_factory=list)
    calls_ms: list[float] = field(default_factory=list)
    none_ready: int = 0


async def allocate_servers(port: int, token: str, callers: int, allocations: int, name: str) -> Calls:
    """Allocate ``allocations`` servers with ``callers`` callers at once; ``name`` begins their idempotency
    keys.

    Raises:
        OSError: the allocator cannot be reached.
        ValueError: it answers with an unexpected status.
    """
    calls, numbers = Calls(), itertools.count()

    async def ask() -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        while (number := next(numbers)) < allocations:
            request = _request(token, f"{name}-{number}")
            while True:
                began = time.perf_counter()
                writer.write(request)
                status, body = await _answer(reader)
                if status == 200:
                    calls.calls_ms.append((time.perf_counter() - began) * 1000)
                    calls.servers.append(json.loads(body)["gameServerName"])
                    break
                if status != 429:
                    raise ValueError(f"HTTP {status}: {body[:200]!r}")
                calls.none_ready += 1
                await asyncio.sleep(PAUSE_S)
        writer.close()

    await asyncio.gather(*(ask() for _ in range(callers)))
    return calls


async def one_answer(port: int, token: str, key: str) -> bytes:
    """Allocate one server, and return the answer as it came from the socket.

    Raises:
        OSError: the allocator cannot be reached.
        ValueError: it answers that it gave none.
    """
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_request(token, key))
        head, body = await _read(reader)
    finally:
        writer.close()
    if head[9:12] != b"200":
        raise ValueError(f"no server was allocated: {head!r}")
    return head + body


def _request(token: str, key: str) -> bytes:
    match = {"match_id": f"00000000-0000-4000-8000-{abs(hash(key)) % 10**12:012d}", "mode": "battle_royale"}
    body = json.dumps(
        {
            "namespace": "default",
            "gameServerSelectors": [
                {"matchLabels": {"agones.dev/fleet": REGION}, "gameServerState": "READY"}
            ],
            "scheduling": "Packed",
            "metadata": {"annotations": {"launchday.dev/match": json.dumps(match)}},
        }
    ).encode()
    head = (
        f"POST /gameserverallocation HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {token}\r\n"
        f"Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


async def _answer(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    head, body = await _read(reader)
    return int(head[9:12]), body


async def _read(reader: asyncio.StreamReader) -> tuple[bytes, bytes]:
    head = await reader.readuntil(b"\r\n\r\n")
    length = next(
        (int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:")), 0
    )
    return head, await reader.readexactly(length)


def main() -> None:
    """Allocate, and write the result to the file."""
    port, token, callers, allocations, name, path = sys.argv[1:]
    calls = uvloop.run(allocate_servers(int(port), token, int(callers), int(allocations), name))
    figures = {"servers": calls.servers, "calls_ms": calls.calls_ms, "in_vain": calls.none_ready}
    Path(path).write_text(json.dumps(figures))


if __name__ == "__main__":
    startup.prepare()
    main()

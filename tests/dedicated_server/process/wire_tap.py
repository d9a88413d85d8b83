"""A tap on the loopback: what an eavesdropper records of the fast lane, and what can be read in it."""

from __future__ import annotations

import asyncio
import math
import socket
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from uuid import UUID

PATIENCE_S = 30.0
KNOCK_S = 0.1


@dataclass(frozen=True)
class Tapped:
    """One datagram that was overheard."""

    source_port: int
    payload: bytes


class Tap:
    """Everything that UDP ``port`` of the loopback sends and receives, as tshark sees it. An async context manager."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._knocker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams: list[Tapped] = []

    async def __aenter__(self) -> Tap:
        """Return once tshark really listens: that is, once it has heard a datagram of ours."""
        self._process = await asyncio.create_subprocess_exec(
            "tshark", "-i", "lo", "-f", f"udp port {self._port}", "-l", "-n", "-Q", "--disable-protocol", "ALL",
            "--enable-protocol", "udp", "--enable-protocol", "ip", "--enable-protocol", "eth", "--enable-protocol", "frame",
            "--enable-protocol", "data", "-T", "fields", "-e", "udp.srcport", "-e", "udp.payload",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(), name="tap")
        self._knocker.bind(("127.0.0.1", 0))
        async with asyncio.timeout(PATIENCE_S):
            while not self._heard.is_set():
                self.say(b"knock")
                await asyncio.sleep(KNOCK_S)
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._process is not None
        assert self._reader is not None
        if self._process.returncode is None:
            self._process.terminate()
        await self._process.wait()
        await self._reader
        self._knocker.close()

    @property
    def knocking_port(self) -> int:
        """Where what `say` sends comes from."""
        return int(self._knocker.getsockname()[1])

    def say(self, payload: bytes) -> None:
        """Send a datagram of our own past the tap."""
        self._knocker.sendto(payload, ("127.0.0.1", self._port))

    async def until(self, enough: Callable[[], bool]) -> None:
        """Wait until ``enough`` of what was overheard."""
        async with asyncio.timeout(PATIENCE_S):
            while not enough():
                self._heard.clear()
                await self._heard.wait()

    async def _read(self) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            port, _, payload = line.decode().strip().partition("\t")
            self.datagrams.append(Tapped(int(port), bytes.fromhex(payload.replace(":", ""))))
            self._heard.set()


def forms_of_id(name: str, number: int) -> dict[str, bytes]:
    """All that an id looks like when nobody hides it."""
    return {
        f"{name}, little endian": number.to_bytes(8, "little"),
        f"{name}, big endian": number.to_bytes(8, "big"),
        f"{name}, decimal": str(number).encode(),
        f"{name}, hexadecimal": f"{number:x}".encode(),
    }


def forms_of_match(match_id: UUID) -> dict[str, bytes]:
    """All that a match id looks like."""
    return {
        "match id": match_id.bytes,
        "match id, little endian": match_id.bytes_le,
        "match id, hexadecimal": match_id.hex.encode(),
        "match id, canonical": str(match_id).encode(),
    }


def forms_of_name(name: str) -> dict[str, bytes]:
    """All that a name looks like."""
    return {
        f"name {name}": name.encode(),
        f"name {name}, UTF-16": name.encode("utf-16-le"),
        f"name {name}, backwards": name.encode()[::-1],
    }


def readable(payloads: Iterable[bytes], secrets: Mapping[str, bytes]) -> list[str]:
    """Which of the ``secrets`` stand somewhere in one of the ``payloads``."""
    joined = b"\x00\xff\x00\xff".join(payloads)
    return sorted(what for what, form in secrets.items() if form in joined or form.upper() in joined)


def entropy_bits(data: bytes) -> float:
    """Shannon entropy of the bytes of ``data``, in bits a byte."""
    total = len(data)
    return -sum(count / total * math.log2(count / total) for count in Counter(data).values())


def excess_bits(data: bytes) -> float:
    """How much less entropy ``data`` has than as many random bytes would be expected to have, in bits a byte.

    A sample of n random bytes falls short of 8 bits by 255 / (2 n ln 2) on average (Miller 1955).
    """
    return 8.0 - 255 / (2 * len(data) * math.log(2)) - entropy_bits(data)


def worst_column(bodies: list[bytes], columns: int) -> tuple[int, float]:
    """The place within the datagrams that is the most predictable, and by how many bits."""
    excess = {
        column: excess_bits(bytes(body[column] for body in bodies if len(body) > column))
        for column in range(columns)
    }
    worst = max(excess, key=excess.__getitem__)
    return worst, excess[worst]

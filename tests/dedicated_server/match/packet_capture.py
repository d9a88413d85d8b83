"""A tap on the loopback: what an eavesdropper records of the fast lane."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from dataclasses import dataclass

PATIENCE_S = 30.0
KNOCK_S = 0.1


@dataclass(frozen=True)
class CapturedPacket:
    """One datagram that was overheard."""

    source_port: int
    payload: bytes


class Capture:
    """Everything that UDP ``port`` of the loopback sends and receives, as tshark sees it. An async context
    manager.
    """

    def __init__(self, port: int) -> None:
        self._port = port
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._heard = asyncio.Event()
        self._knocker = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.datagrams: list[CapturedPacket] = []

    async def __aenter__(self) -> Capture:
        """Return once tshark really listens: that is, once it has heard a datagram of ours."""
        self._process = await asyncio.create_subprocess_exec(
            "tshark", "-i", "lo", "-f", f"udp port {self._port}", "-l", "-n", "-Q",
            "--disable-protocol", "ALL",
            "--enable-protocol", "udp", "--enable-protocol", "ip", "--enable-protocol", "eth",
            "--enable-protocol", "frame",
            "--enable-protocol", "data", "-T", "fields", "-e", "udp.srcport", "-e", "udp.payload",
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read(), name="tap")
        self._knocker.bind(("127.0.0.1", 0))
        async with asyncio.timeout(PATIENCE_S):
            while not self._heard.is_set():
                self.send(b"knock")
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
    def client_port(self) -> int:
        """Where what `say` sends comes from."""
        return int(self._knocker.getsockname()[1])

    def send(self, payload: bytes) -> None:
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
            self.datagrams.append(CapturedPacket(int(port), bytes.fromhex(payload.replace(":", ""))))
            self._heard.set()

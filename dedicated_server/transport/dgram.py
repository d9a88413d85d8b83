"""The portable transport: asyncio-dgram alone, with a bound on each of its two queues."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

import asyncio_dgram
import numpy as np
import numpy.typing as npt

from dedicated_server.native.mmsg import SocketName, pack_sockaddr, socket_name
from dedicated_server.native.socket_options import SocketBuffers, buffers_of
from dedicated_server.protocol.datagrams import ROW_BYTES
from dedicated_server.transport.base import Inbox, Traffic, bind, first_row, new_inbox

# Addresses whose other form is remembered. The bound keeps a flood from spoofed addresses from growing it.
KNOWN_ADDRESSES: Final = 4_096


class DgramTransport:
    """asyncio-dgram's stream behind the transports' interface.

    asyncio-dgram queues without bound. Here one task empties its queue as soon as anything is in it, straight
    into the inbox, and drops what finds no row; another sends from a queue that drops its oldest.
    """

    def __init__(self, stream: asyncio_dgram.DatagramServer, capacity: int) -> None:
        self.inbox: Inbox = new_inbox(capacity)
        self.traffic = Traffic()
        self._stream = stream
        self._address: SocketName = stream.sockname
        self._filled = 0
        self._sends = 0
        self._outgoing: deque[tuple[bytes, SocketName]] = deque(maxlen=capacity)
        self._something_to_send = asyncio.Event()
        self._packed: dict[SocketName, npt.NDArray[np.uint8]] = {}
        self._unpacked: dict[bytes, SocketName] = {}
        self._tasks = [
            asyncio.create_task(self._keep_receiving(), name="udp-receive"),
            asyncio.create_task(self._keep_sending(), name="udp-send"),
        ]

    @classmethod
    async def open(cls, host: str, port: int, capacity: int) -> DgramTransport:
        """Bind and start both tasks. Raises TransportError."""
        return cls(await bind(host, port), capacity)

    @property
    def buffers(self) -> SocketBuffers:
        """What the kernel keeps; what it has handed over waits in the inbox."""
        return buffers_of(self._stream.socket)

    @property
    def host(self) -> str:
        """Address it is bound to."""
        return self._address[0]

    @property
    def port(self) -> int:
        """Port it is bound to."""
        return self._address[1]

    def drain(self) -> int:
        """Hand over what the receiving task has filled in since the last drain."""
        count, self._filled = self._filled, 0
        return count

    def send(
        self,
        data: npt.NDArray[np.uint8],
        length: npt.NDArray[np.int32],
        address: npt.NDArray[np.uint8],
        count: int,
    ) -> int:
        """Queue the rows for the sending task. A full queue drops its oldest datagrams.

        Newer state replaces older.
        """
        queued = 0
        rows = np.flatnonzero(length[:count])
        first = np.searchsorted(rows, first_row(self._sends, count))
        self._sends += 1
        for row in np.roll(rows, -first):
            if len(self._outgoing) == self._outgoing.maxlen:
                self.traffic.tx_dropped += 1
            target = self._unpack(address[row].tobytes())
            self._outgoing.append((data[row, : length[row]].tobytes(), target))
            queued += 1
        self._something_to_send.set()
        return queued

    async def close(self) -> None:
        """Stop both tasks and close the socket; what is still queued is dropped."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._stream.close()
        await asyncio.sleep(0)  # the event loop closes the socket in its next turn

    async def _keep_receiving(self) -> None:
        while True:
            try:
                datagram, address = await self._stream.recv()
            except asyncio_dgram.TransportClosed:
                return
            except OSError:
                continue  # a network error reported late; nothing that a receiver could do about
            self.traffic.rx_datagrams += 1
            row = self._filled
            if row == len(self.inbox.length):
                self.traffic.rx_dropped += 1
                continue
            kept = datagram[:ROW_BYTES]
            self.inbox.data[row, : len(kept)] = np.frombuffer(kept, dtype=np.uint8)
            self.inbox.length[row] = len(kept)
            self.inbox.address[row] = self._pack(address)
            self._filled = row + 1

    async def _keep_sending(self) -> None:
        while True:
            await self._something_to_send.wait()
            self._something_to_send.clear()
            while self._outgoing:
                datagram, address = self._outgoing.popleft()
                try:
                    await self._stream.send(datagram, address)
                    _ = (
                        self._stream.exception
                    )  # asyncio-dgram keeps a refusal for the next caller: ask at once
                except asyncio_dgram.TransportClosed:
                    return
                except OSError:
                    self.traffic.tx_dropped += 1
                else:
                    self.traffic.tx_datagrams += 1

    def _pack(self, address: SocketName) -> npt.NDArray[np.uint8]:
        packed = self._packed.get(address)
        if packed is None:
            if len(self._packed) >= KNOWN_ADDRESSES:
                self._packed.clear()
            packed = np.frombuffer(pack_sockaddr(*address), dtype=np.uint8)
            self._packed[address] = packed
        return packed

    def _unpack(self, packed: bytes) -> SocketName:
        address = self._unpacked.get(packed)
        if address is None:
            if len(self._unpacked) >= KNOWN_ADDRESSES:
                self._unpacked.clear()
            address = self._unpacked[packed] = socket_name(packed)
        return address

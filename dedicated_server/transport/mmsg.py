"""The fast transport: all datagrams of a tick in one system call each way, made from compiled code.

asyncio-dgram opens and binds the socket. Its descriptor is then duplicated and the stream closed, so that the
socket lives on and no event loop reads from it. (How to take a reader away from a loop is private to each
loop.)
"""

from __future__ import annotations

import asyncio
import functools
import os
import socket
import struct
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import carray, njit

from dedicated_server.native.compilation import Words
from dedicated_server.native.memory import Arena
from dedicated_server.native.mmsg import (
    ADDRESS_BYTES,
    BASE,
    DATA_LENGTH,
    EAGAIN,
    EINTR,
    ENOBUFS,
    HEADER_BYTES,
    MSG_DONTWAIT,
    NAME,
    NAME_LENGTH,
    SIZE,
    SocketName,
    errno_location,
    message_headers,
    name_bytes,
    recvmmsg,
    row_addresses,
    sendmmsg,
)
from dedicated_server.native.socket_options import SocketBuffers, buffers_of
from dedicated_server.protocol.datagrams import ROW_BYTES
from dedicated_server.transport.base import Inbox, Traffic, bind, first_row, new_inbox

SO_MEMINFO: Final = 55
MEMINFO: Final = struct.Struct("=9I")
MEMINFO_DROPS: Final = 8
MAX_FRUITLESS: Final = 16  # calls for which there was no room, or that a signal interrupted; then it is all's


@njit(cache=True, nogil=True)
def receive(descriptor: int, headers: Words, lengths: npt.NDArray[np.int32]) -> int:
    """Fill the buffers that ``headers`` points at with the datagrams that have arrived; return how many.

    ``headers``: uint64[capacity, HEADER_WORDS], struct mmsghdr. ``lengths``: int32[≥ capacity] bytes,
    written.
    """
    count = int(
        recvmmsg(
            np.int32(descriptor),
            np.uintp(headers.ctypes.data),
            np.uint32(len(headers)),
            np.int32(MSG_DONTWAIT),
            np.uintp(0),
        )
    )
    if count < 0:
        return 0  # nothing there, or interrupted; anything else will show again in the next tick
    for row in range(count):
        lengths[row] = np.int32(headers[row, DATA_LENGTH] & np.uint64(0xFFFFFFFF))
        headers[row, NAME_LENGTH] = np.uint64(ADDRESS_BYTES)  # the kernel wrote the length that it used
    return count


@njit(cache=True, nogil=True)
def send(
    descriptor: int,
    headers: Words,
    vectors: Words,
    data: npt.NDArray[np.uint8],
    lengths: npt.NDArray[np.int32],
    addresses: npt.NDArray[np.uint8],
    count: int,
    first: int,
) -> tuple[int, int]:
    """Send rows [0, count) whose length is not zero, from row ``first`` on and then those before it.

    Return how many the kernel accepted and how many it refused.

    ``headers``, ``vectors``: room for ``count`` struct mmsghdr and iovec. ``data``: uint8[≥ count, any];
    ``lengths``: int32[≥ count] bytes; ``addresses``: uint8[≥ count, ADDRESS_BYTES].
    """
    first_data, first_address = data.ctypes.data, addresses.ctypes.data
    wanted = 0
    for turn in range(count):
        row = first + turn
        if row >= count:
            row -= count
        if lengths[row] > 0:
            vectors[wanted, BASE] = np.uint64(first_data + row * data.strides[0])
            vectors[wanted, SIZE] = np.uint64(lengths[row])
            headers[wanted, NAME] = np.uint64(first_address + row * addresses.strides[0])
            wanted += 1
    at = accepted = fruitless = 0
    while at < wanted and fruitless <= MAX_FRUITLESS:
        result = sendmmsg(
            np.int32(descriptor),
            np.uintp(headers.ctypes.data + at * HEADER_BYTES),
            np.uint32(wanted - at),
            np.int32(MSG_DONTWAIT),
        )
        if result > 0:
            at += result
            accepted += result
            continue
        reason = carray(errno_location(), (1,))[0]
        if reason == EAGAIN:
            break  # the socket's buffer is full: no room for any of the rest either
        if reason in (ENOBUFS, EINTR):
            fruitless += 1  # a full queue may be that of one peer's path
        if reason != EINTR:
            at += 1  # this target is refused; the others are not to blame
    return accepted, wanted - accepted


class MmsgTransport:
    """A socket drained and filled by ``recvmmsg`` and ``sendmmsg``."""

    def __init__(self, owned: socket.socket, capacity: int) -> None:
        self._arena = Arena()
        self._capacity = capacity
        self._traffic = Traffic()
        self._socket = owned
        self._address: SocketName = owned.getsockname()
        self._descriptor = owned.fileno()
        self._name_bytes = name_bytes(owned.family)
        self._sends = 0
        self._send_headers, self._send_vectors = message_headers(0, self._arena.zeros)

    @functools.cached_property
    def inbox(self) -> Inbox:
        """Where ``drain`` puts what arrived.

        Allocated at the first use, as an idle server needs none of its 2 MB.
        """
        capacity = self._capacity
        inbox = new_inbox(capacity, self._arena.zeros)
        headers, vectors = message_headers(capacity, self._arena.zeros)
        vectors[:, BASE] = row_addresses(inbox.data)
        vectors[:, SIZE] = ROW_BYTES
        headers[:, NAME] = row_addresses(inbox.address)
        self._receive_headers, self._receive_vectors = headers, vectors
        return inbox

    @classmethod
    async def open(cls, host: str, port: int, capacity: int) -> MmsgTransport:
        """Bind. Raises TransportError."""
        stream = await bind(host, port)
        owned = socket.socket(fileno=os.dup(stream.socket.fileno()))
        stream.close()
        await asyncio.sleep(0)  # the event loop lets go of its descriptor in its next turn
        return cls(owned, capacity)

    @property
    def host(self) -> str:
        """Address it is bound to."""
        return self._address[0]

    @property
    def port(self) -> int:
        """Port it is bound to."""
        return self._address[1]

    @property
    def buffers(self) -> SocketBuffers:
        """What the kernel keeps."""
        return buffers_of(self._socket)

    @property
    def traffic(self) -> Traffic:
        """What has passed. The kernel is asked here how much it dropped, not in the tick."""
        if self._descriptor >= 0:
            answer = self._socket.getsockopt(socket.SOL_SOCKET, SO_MEMINFO, MEMINFO.size)
            if len(answer) == MEMINFO.size:
                self._traffic.rx_dropped = MEMINFO.unpack(answer)[MEMINFO_DROPS]
        return self._traffic

    def drain(self) -> int:
        """Take what has arrived, at most the inbox; the rest waits in the socket's own bounded buffer."""
        lengths = self.inbox.length  # asked for first: it makes the headers too
        count = int(receive(self._descriptor, self._receive_headers, lengths))
        self._traffic.rx_datagrams += count
        return count

    def send(
        self,
        data: npt.NDArray[np.uint8],
        length: npt.NDArray[np.int32],
        address: npt.NDArray[np.uint8],
        count: int,
    ) -> int:
        """Hand all rows to the kernel, in one call unless it refuses one of them."""
        if count > len(self._send_headers):
            self._send_headers, self._send_vectors = message_headers(
                count, self._arena.zeros, self._name_bytes
            )
        first = first_row(self._sends, count)
        self._sends += 1
        accepted, refused = send(
            self._descriptor, self._send_headers, self._send_vectors, data, length, address, count, first
        )
        self._traffic.tx_datagrams += accepted
        self._traffic.tx_dropped += refused
        return int(accepted)

    async def close(self) -> None:
        """Close the socket."""
        self._descriptor = -1
        self._socket.close()

"""The floor: the same datagrams through ``recvmmsg`` and ``sendmmsg`` alone.

It is a control that does no work. It shares only the bindings of the two functions and the options of the
socket with the transport that it is compared with. The clock is read inside compiled code, so that nothing
but the two system calls lies between two readings.
"""

from __future__ import annotations

import socket
import sys
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types

from dedicated_server.native.mmsg import (
    BASE,
    EINTR,
    MSG_DONTWAIT,
    NAME,
    SIZE,
    SUPPORTED,
    errno_location,
    message_headers,
    name_bytes,
    recvmmsg,
    row_addresses,
    sendmmsg,
    sockaddr,
)
from dedicated_server.native.socket_options import enlarge_buffers, forbid_fragments, mark_realtime
from loadtest.errors import PlatformError

# An odd number of cache lines: rows a power of two apart would share few of the cache's sets
ROW_BYTES: Final = 1_216
CLOCK_MONOTONIC: Final = 1
SECOND_NS: Final = 1_000_000_000

_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))


@njit(cache=True, nogil=True)
def receive_and_send(
    descriptor: int,
    incoming: npt.NDArray[np.uint64],
    outgoing: npt.NDArray[np.uint64],
    count: int,
    took: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Receive what is there, then send the first ``count`` of ``outgoing``; return how many of each.

    Args:
        descriptor: a UDP socket.
        incoming, outgoing: uint64[N, 8], ``struct mmsghdr`` each.
        count: datagrams to send.
        took: int64[4]; the nanoseconds of receiving and of sending are written to its first two places.
    """
    clock = took[2:].ctypes.data
    _clock_gettime(np.int32(CLOCK_MONOTONIC), np.uintp(clock))
    begun = took[2] * SECOND_NS + took[3]
    received = recvmmsg(
        np.int32(descriptor),
        np.uintp(incoming.ctypes.data),
        np.uint32(len(incoming)),
        np.int32(MSG_DONTWAIT),
        np.uintp(0),
    )
    _clock_gettime(np.int32(CLOCK_MONOTONIC), np.uintp(clock))
    between = took[2] * SECOND_NS + took[3]
    at = sent = 0
    while at < count:
        result = sendmmsg(
            np.int32(descriptor),
            np.uintp(outgoing.ctypes.data + at * outgoing.strides[0]),
            np.uint32(count - at),
            np.int32(MSG_DONTWAIT),
        )
        if result > 0:
            at += result
            sent += result
        elif carray(errno_location(), (1,))[0] != EINTR:
            at += 1  # refused: the others may still be sent
    _clock_gettime(np.int32(CLOCK_MONOTONIC), np.uintp(clock))
    took[0] = between - begun
    took[1] = took[2] * SECOND_NS + took[3] - between
    return max(received, 0), sent


class Floor:
    """A bound UDP socket for ``capacity`` datagrams a turn.

    Raises PlatformError where there is no ``recvmmsg``.
    """

    def __init__(self, host: str, capacity: int) -> None:
        if not SUPPORTED:
            raise PlatformError(f"the floor needs recvmmsg of 64-bit Linux, this is {sys.platform}")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        enlarge_buffers(self._socket)
        forbid_fragments(self._socket)
        mark_realtime(self._socket)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self._rows = np.zeros((2, capacity, ROW_BYTES), np.uint8)
        self._addresses = np.zeros((2, capacity, len(sockaddr(host, 0))), np.uint8)
        (self._incoming, incoming), (self._outgoing, self._out_vectors) = (
            message_headers(capacity, address_bytes=name_bytes(self._socket.family)) for _ in range(2)
        )
        for rows, addresses, headers, vectors in zip(
            self._rows,
            self._addresses,
            (self._incoming, self._outgoing),
            (incoming, self._out_vectors),
            strict=True,
        ):
            vectors[:, BASE] = row_addresses(rows)
            vectors[:, SIZE] = ROW_BYTES
            headers[:, NAME] = row_addresses(addresses)
        self._in_vectors = incoming  # the headers point at them
        self._took = np.zeros(4, np.int64)

    def set_targets(self, host: str, ports: npt.NDArray[np.int32]) -> None:
        """Send the i-th datagram of every turn to the i-th of these ports: int32[N]."""
        for row, port in enumerate(ports):
            self._addresses[1, row] = sockaddr(host, int(port))

    def turn(self, lengths: npt.NDArray[np.int32]) -> tuple[int, int, int, int]:
        """Receive all, then send datagrams of these lengths (int32[N]); return how many of each, and the
        nanoseconds of each.
        """
        self._out_vectors[: len(lengths), SIZE] = lengths
        received, sent = receive_and_send(
            self._socket.fileno(), self._incoming, self._outgoing, len(lengths), self._took
        )
        return int(received), int(sent), int(self._took[0]), int(self._took[1])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()

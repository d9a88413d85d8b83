"""The floor: the same datagrams through ``recvmmsg`` and ``sendmmsg`` alone.

A control that does no work. It shares no code with the transport that it is compared to; the clock is read inside compiled code, so
that nothing but the two system calls lies between its readings.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import carray, njit, types

from loadtest.bench.errors import PlatformError

ROW_BYTES: Final = (
    1_216  # an odd number of cache lines, as rows of power-of-two strides would share few of the cache's sets
)
BUFFER_BYTES: Final = 4 << 20
SOCKADDR_IN: Final = struct.Struct("=H2s4s8x")
MSG_DONTWAIT: Final = 0x40
CLOCK_MONOTONIC: Final = 1
SECOND_NS: Final = 1_000_000_000
EINTR: Final = errno.EINTR

# struct mmsghdr and struct iovec of 64-bit Linux
HEADER: Final = np.dtype(
    [
        ("name", np.uint64),
        ("name_length", np.uint64),
        ("vector", np.uint64),
        ("vector_length", np.uint64),
        ("control", np.uint64),
        ("control_length", np.uint64),
        ("flags", np.uint64),
        ("length", np.uint64),
    ]
)
VECTOR: Final = np.dtype([("base", np.uint64), ("length", np.uint64)])

_recvmmsg = types.ExternalFunction(
    "recvmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32, types.uintp)
)
_sendmmsg = types.ExternalFunction(
    "sendmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32)
)
_clock_gettime = types.ExternalFunction("clock_gettime", types.int32(types.int32, types.uintp))
_errno_location = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())


@njit(cache=True, nogil=True)
def receive_and_send(
    descriptor: int,
    incoming: npt.NDArray[np.void],
    outgoing: npt.NDArray[np.void],
    count: int,
    took: npt.NDArray[np.int64],
) -> tuple[int, int]:
    """Receive what is there, send the first ``count`` of ``outgoing``; how many of each.

    ``took``: int64[4], the nanoseconds of receiving and of sending are written to its first two places.
    """
    clock = took[2:].ctypes.data
    _clock_gettime(np.int32(CLOCK_MONOTONIC), np.uintp(clock))
    begun = took[2] * SECOND_NS + took[3]
    received = _recvmmsg(
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
        result = _sendmmsg(
            np.int32(descriptor),
            np.uintp(outgoing.ctypes.data + at * outgoing.itemsize),
            np.uint32(count - at),
            np.int32(MSG_DONTWAIT),
        )
        if result > 0:
            at += result
            sent += result
        elif carray(_errno_location(), (1,))[0] != EINTR:
            at += 1  # refused: the rest may still go
    _clock_gettime(np.int32(CLOCK_MONOTONIC), np.uintp(clock))
    took[0] = between - begun
    took[1] = took[2] * SECOND_NS + took[3] - between
    return max(received, 0), sent


class Floor:
    """A bound UDP socket for ``capacity`` datagrams a turn. Raises PlatformError where there is no ``recvmmsg``."""

    def __init__(self, host: str, capacity: int) -> None:
        if sys.platform != "linux" or sys.maxsize <= 2**32 or sys.byteorder != "little":
            raise PlatformError(f"the floor needs recvmmsg of 64-bit Linux, this is {sys.platform}")
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self._socket.setsockopt(socket.SOL_SOCKET, option, BUFFER_BYTES)
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]
        self._rows = np.zeros((2, capacity, ROW_BYTES), np.uint8)
        self._addresses = np.zeros((2, capacity, SOCKADDR_IN.size), np.uint8)
        self._vectors = np.zeros((2, capacity), VECTOR)
        self._headers = np.zeros((2, capacity), HEADER)
        for rows, addresses, vectors, headers in zip(
            self._rows, self._addresses, self._vectors, self._headers, strict=True
        ):
            vectors["base"] = _places(rows)
            vectors["length"] = ROW_BYTES
            headers["name"] = _places(addresses)
            headers["name_length"] = SOCKADDR_IN.size
            headers["vector"] = _places(vectors)
            headers["vector_length"] = 1
        self._took = np.zeros(4, np.int64)

    def set_targets(self, host: str, ports: npt.NDArray[np.int32]) -> None:
        """Say where datagrams go: the i-th of every turn to the i-th of these ports."""
        packed = [
            SOCKADDR_IN.pack(socket.AF_INET, int(port).to_bytes(2, "big"), socket.inet_aton(host))
            for port in ports
        ]
        self._addresses[1, : len(packed)] = np.frombuffer(b"".join(packed), np.uint8).reshape(len(packed), -1)

    def turn(self, lengths: npt.NDArray[np.int32]) -> tuple[int, int, int, int]:
        """Receive all, send datagrams of these lengths: how many of each, and the nanoseconds of each."""
        self._vectors["length"][1, : len(lengths)] = lengths
        received, sent = receive_and_send(
            self._socket.fileno(), self._headers[0], self._headers[1], len(lengths), self._took
        )
        return int(received), int(sent), int(self._took[0]), int(self._took[1])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def _places(array: npt.NDArray[np.generic]) -> npt.NDArray[np.uint64]:
    """Where each row of an array lies in memory."""
    start = array.ctypes.data
    return np.arange(start, start + array.nbytes, array.strides[0], dtype=np.uint64)

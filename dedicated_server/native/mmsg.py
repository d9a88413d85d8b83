"""``recvmmsg`` and ``sendmmsg`` for compiled code, with their structs and socket addresses.

The one home of these bindings. `transport.mmsg`, the load test's sockets and the benchmarks' floor share them
and nothing
else: each has its own loop.
"""

from __future__ import annotations

import errno
import socket
import struct
import sys
from typing import Final

import numpy as np
import numpy.typing as npt
from numba import types

from dedicated_server.native.compilation import Bytes, Words
from dedicated_server.native.memory import AllocateZeros

SUPPORTED: Final = sys.platform == "linux" and sys.maxsize > 2**32 and sys.byteorder == "little"

# struct mmsghdr on 64-bit Linux as eight words; 32-bit members lie in the lower half of theirs
NAME, NAME_LENGTH, VECTOR, VECTOR_LENGTH, CONTROL, CONTROL_LENGTH, FLAGS, DATA_LENGTH = range(8)
HEADER_WORDS: Final = 8
HEADER_BYTES: Final = 64
# struct iovec as two words
BASE, SIZE = range(2)
VECTOR_WORDS: Final = 2

MSG_DONTWAIT: Final = 0x40
EINTR: Final = errno.EINTR
EAGAIN: Final = errno.EAGAIN
ENOBUFS: Final = errno.ENOBUFS

# libc is in every process already: numba finds these functions by name, and a cached kernel finds them again.
recvmmsg = types.ExternalFunction(
    "recvmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32, types.uintp)
)
sendmmsg = types.ExternalFunction(
    "sendmmsg", types.int32(types.int32, types.uintp, types.uint32, types.int32)
)
errno_location = types.ExternalFunction("__errno_location", types.CPointer(types.int32)())

# family in the host's order, port and address in the network's, 8 bytes of padding
SOCKADDR_IN: Final = struct.Struct("=H2s4s8x")
ADDRESS_BYTES: Final = SOCKADDR_IN.size


def message_headers(
    capacity: int, zeros: AllocateZeros = np.zeros, address_bytes: int = ADDRESS_BYTES
) -> tuple[Words, Words]:
    """Allocate mmsghdr (uint64[capacity, 8]) and iovec (uint64[capacity, 2]).

    Each header points at its vector.

    ``address_bytes``: room for each peer's address, as the headers say it; the caller sets NAME, BASE and
    SIZE.
    """
    headers = zeros((capacity, HEADER_WORDS), dtype=np.uint64)
    vectors = zeros((capacity, VECTOR_WORDS), dtype=np.uint64)
    headers[:, NAME_LENGTH] = address_bytes
    headers[:, VECTOR] = row_addresses(vectors)
    headers[:, VECTOR_LENGTH] = 1
    return headers, vectors


def row_addresses(rows: npt.NDArray[np.generic]) -> Words:
    """The memory address of each row of an array: uint64[rows]."""
    steps = np.arange(len(rows), dtype=np.uint64) * np.uint64(rows.strides[0])
    addresses: Words = np.uint64(rows.ctypes.data) + steps
    return addresses


def pack_sockaddr(host: str, port: int) -> bytes:
    """Write an IPv4 address as ``struct sockaddr_in``, as ``recvmmsg`` does: 16 bytes.

    Raises OSError for another address.
    """
    return SOCKADDR_IN.pack(socket.AF_INET, port.to_bytes(2, "big"), socket.inet_aton(host))


def unpack_sockaddr(packed: bytes) -> tuple[str, int]:
    """Read host and port from a ``struct sockaddr_in``."""
    _family, port, host = SOCKADDR_IN.unpack(packed)
    return socket.inet_ntoa(host), int.from_bytes(port, "big")


def sockaddr(host: str, port: int) -> Bytes:
    """`pack_sockaddr` as an array: uint8[16]."""
    return np.frombuffer(pack_sockaddr(host, port), np.uint8)

"""``recvmmsg`` and ``sendmmsg`` for compiled code, with their structs and socket addresses.

The one home of these bindings. `transport.mmsg`, the load test's sockets and the benchmarks' floor share them
and nothing
else: each has its own loop.
"""

from __future__ import annotations

import errno
import ipaddress
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
# family, port, flow label, address, scope: the interface that a link-local address belongs to
SOCKADDR_IN6: Final = struct.Struct("=H2sI16sI")
# Room for a peer's address of either family; behind a sockaddr_in the rest is zero.
ADDRESS_BYTES: Final = SOCKADDR_IN6.size
_FAMILY: Final = struct.Struct("=H")

# An address as the socket module has it: two places for IPv4, four for IPv6.
SocketName = tuple[str, int] | tuple[str, int, int, int]


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


def name_bytes(family: int) -> int:
    """How many bytes an address has for a socket of this family, AF_INET or AF_INET6."""
    return SOCKADDR_IN6.size if family == socket.AF_INET6 else SOCKADDR_IN.size


def pack_sockaddr(host: str, port: int, flow: int = 0, scope: int = 0) -> bytes:
    """Write an address as ``recvmmsg`` does: ADDRESS_BYTES of ``sockaddr_in`` or ``sockaddr_in6``.

    An IPv4 host makes the former; a socket of both families has its IPv4 peers in the latter, mapped
    (``::ffff:203.0.113.7``). Raises ValueError for what is no address.
    """
    ip = ipaddress.ip_address(host.partition("%")[0])
    network_port = port.to_bytes(2, "big")
    if ip.version == 4:
        return SOCKADDR_IN.pack(socket.AF_INET, network_port, ip.packed).ljust(ADDRESS_BYTES, b"\0")
    return SOCKADDR_IN6.pack(socket.AF_INET6, network_port, flow, ip.packed, scope)


def unpack_sockaddr(packed: bytes) -> tuple[str, int]:
    """Read host and port of either family; a mapped IPv4 address is that IPv4 address again."""
    host, port = socket_name(packed)[:2]
    ip = ipaddress.ip_address(host)
    return str(getattr(ip, "ipv4_mapped", None) or ip), port


def socket_name(packed: bytes) -> SocketName:
    """Read an address of either family as sockets of that family take it."""
    if _FAMILY.unpack_from(packed)[0] == socket.AF_INET6:
        _family, port, flow, host, scope = SOCKADDR_IN6.unpack_from(packed)
        return str(ipaddress.IPv6Address(host)), int.from_bytes(port, "big"), flow, scope
    _family, port, host = SOCKADDR_IN.unpack_from(packed)
    return socket.inet_ntoa(host), int.from_bytes(port, "big")


def sockaddr(host: str, port: int) -> Bytes:
    """`pack_sockaddr` as an array: uint8[ADDRESS_BYTES]."""
    return np.frombuffer(pack_sockaddr(host, port), np.uint8)

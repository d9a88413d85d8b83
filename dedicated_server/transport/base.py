"""The seam between the tick and the network, and what can go wrong at it.

TransportError
├── PortInUseError
└── UnsupportedTransportError
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import socket
from dataclasses import dataclass
from typing import Final, NamedTuple, Protocol

import asyncio_dgram
import numpy as np
import numpy.typing as npt

from dedicated_server.errors import DedicatedServerError
from dedicated_server.native.memory import AllocateZeros
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.native.socket_options import (
    SocketBuffers,
    enlarge_buffers,
    forbid_fragments,
    mark_realtime,
)
from dedicated_server.protocol.datagrams import ROW_BYTES

GOLDEN_SECTION: Final = (5**0.5 - 1) / 2


class TransportError(DedicatedServerError):
    """Raised when a socket cannot be opened; the message says which and why. Choose another address."""


class PortInUseError(TransportError):
    """Raised when another process has the port. Choose another."""


class UnsupportedTransportError(TransportError):
    """Raised when the platform lacks the system calls of this transport. Choose the other one."""


class Inbox(NamedTuple):
    """Datagrams as they arrived, one a row; rows beyond the count of the last drain are leftovers."""

    data: npt.NDArray[np.uint8]  # [capacity, ROW_BYTES]
    length: npt.NDArray[np.int32]  # [capacity] bytes; above MAX_DATAGRAM_BYTES: too long, and cut off
    address: npt.NDArray[np.uint8]  # [capacity, ADDRESS_BYTES] struct sockaddr_in or _in6 of the sender


@dataclass
class Traffic:
    """What has passed since the transport was opened."""

    rx_datagrams: int = 0
    tx_datagrams: int = 0
    tx_dropped: int = 0  # the socket's or the queue's buffer was full, or the system refused the address
    rx_dropped: int = 0  # arrived faster than they were drained


class Transport(Protocol):
    """A bound UDP socket. Not thread-safe; ``drain`` and ``send`` never block and never wait."""

    @property
    def inbox(self) -> Inbox:
        """Where ``drain`` puts what arrived."""

    @property
    def traffic(self) -> Traffic:
        """What has passed so far."""

    @property
    def buffers(self) -> SocketBuffers:
        """What the kernel keeps of what has not been drained, or not gone out."""

    @property
    def host(self) -> str:
        """Address it is bound to."""

    @property
    def port(self) -> int:
        """Port it is bound to."""

    def drain(self) -> int:
        """Move what has arrived into ``inbox`` and return how many; valid until the event loop runs again."""

    def send(
        self,
        data: npt.NDArray[np.uint8],
        length: npt.NDArray[np.int32],
        address: npt.NDArray[np.uint8],
        count: int,
    ) -> int:
        """Send the first ``count`` rows, leaving out those of length 0; return how many the system accepted.

        Which of them is the first to go turns (`first_row`), so that where there is no room for all, it is
        not always the same that stay.

        ``data``: uint8[≥ count, any], ``length``: int32[≥ count] bytes, ``address``: uint8[≥ count,
        ADDRESS_BYTES]. A datagram
        that finds no room is dropped and counted, never kept: the next one replaces it.
        """

    async def close(self) -> None:
        """Close the socket. Closing twice is harmless."""


def new_inbox(capacity: int, zeros: AllocateZeros = np.zeros) -> Inbox:
    """Allocate room for ``capacity`` datagrams."""
    return Inbox(
        data=zeros((capacity, ROW_BYTES), dtype=np.uint8),
        length=zeros(capacity, dtype=np.int32),
        address=zeros((capacity, ADDRESS_BYTES), dtype=np.uint8),
    )


def first_row(turn: int, count: int) -> int:
    """Return which of ``count`` rows is the first to be sent in this turn.

    Steps by the golden section: wherever the room ends, a row that stays in one turn goes in one of the next
    few, and none stays more often than another (Weyl 1916).
    """
    return int(turn * GOLDEN_SECTION % 1.0 * count)


async def bind(host: str, port: int) -> asyncio_dgram.DatagramServer:
    """Open the socket with asyncio-dgram, with the options of `socket_options`. Raises TransportError.

    It is of the family of ``host``. One of IPv6 takes IPv4 too where it is bound to ``::``, as `V6ONLY` is
    off.

    The socket is bound here and not by the event loop. The event loop would look an address up as if it were
    a name, in four
    threads that stay: they take 1 MB, and a process with threads must not fork.
    """
    family, address = await _resolved(host)
    try:
        owned = udp_socket(family)
    except OSError as error:
        raise TransportError(f"cannot open UDP {host}: {error.strerror or error}") from None
    owned.setblocking(False)
    try:
        owned.bind((address, port))
    except OSError as error:
        owned.close()
        if error.errno == errno.EADDRINUSE:
            raise PortInUseError(f"UDP port {port} of {host} is in use") from None
        raise TransportError(f"cannot open UDP {host}, port {port}: {error.strerror or error}") from None
    return await asyncio_dgram.from_socket(owned)


def udp_socket(family: int) -> socket.socket:
    """An unbound UDP socket of a family; one of IPv6 is for both. Raises OSError."""
    opened = socket.socket(family, socket.SOCK_DGRAM)
    if family == socket.AF_INET6:
        opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    enlarge_buffers(opened)
    forbid_fragments(opened)
    mark_realtime(opened)
    return opened


async def _resolved(host: str) -> tuple[int, str]:
    """The family and address of a host, IPv4 where a name has both; raises TransportError."""
    try:
        ip = ipaddress.ip_address(host)
    except ValueError:
        pass
    else:
        return (socket.AF_INET if ip.version == 4 else socket.AF_INET6), str(ip)
    try:
        found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise TransportError(f"{host} is not an IP address, nor a name of one: {error}") from None
    family, _, _, _, address = min(found, key=lambda each: each[0] != socket.AF_INET)
    return family, str(address[0])

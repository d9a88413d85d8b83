"""Datagrams of many sockets from compiled code: the C library's own ``poll``, ``recv`` and ``send``.

One socket a bot, as one address a bot is what the server tells them apart by. One ``poll`` a step asks all of them at once, so
that only sockets with something to read cost a call.
"""

from __future__ import annotations

import socket

import numpy as np
import numpy.typing as npt
from numba import njit, types

RECEIVE_BUFFER_BYTES = (
    1 << 18
)  # a quarter of a second of snapshots; a stalled generator must not look like a lossy network

# struct pollfd of poll(2): the same layout on every Linux.
POLL_DTYPE = np.dtype([("fd", np.int32), ("events", np.int16), ("revents", np.int16)])
POLLIN = 0x001
POLLERR = 0x008  # an ICMP error waits, such as "port unreachable"; recv takes it away
UNUSED = -1  # poll skips negative descriptors

_poll = types.ExternalFunction("poll", types.int32(types.uintp, types.uintp, types.int32))
_recv = types.ExternalFunction("recv", types.intp(types.int32, types.uintp, types.uintp, types.int32))
_send = types.ExternalFunction("send", types.intp(types.int32, types.uintp, types.uintp, types.int32))


def poll_table(capacity: int) -> npt.NDArray[np.void]:
    """An empty table for :func:`poll_sockets`, one row a bot."""
    table = np.zeros(capacity, POLL_DTYPE)
    table["fd"] = UNUSED
    table["events"] = POLLIN
    return table


def open_socket(host: str, port: int) -> socket.socket:
    """A non-blocking UDP socket that talks to one server only. Raises OSError."""
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )[0]
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


@njit(cache=True, nogil=True)
def poll_sockets(table: npt.NDArray[np.void]) -> int:
    """Mark in ``revents`` what can be read without waiting; returns how many rows are marked, −1 on an error."""
    return int(_poll(table.ctypes.data, len(table), 0))


@njit(cache=True, nogil=True)
def receive(descriptor: int, buffer: npt.NDArray[np.uint8]) -> int:
    """Read one datagram; its bytes, or −1 when there is none. A longer one than ``buffer`` is cut, as recv does."""
    return int(_recv(descriptor, buffer.ctypes.data, len(buffer), 0))


@njit(cache=True, nogil=True)
def send(descriptor: int, buffer: npt.NDArray[np.uint8], length: int) -> int:
    """Send one datagram; its bytes, or −1 when the system refuses it. Like the network, it never waits."""
    return int(_send(descriptor, buffer.ctypes.data, length, 0))

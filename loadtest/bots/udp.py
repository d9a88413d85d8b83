"""Datagrams of many sockets from compiled code: the C library's own ``recvmmsg`` and ``send``.

Each bot has a socket, because the server tells bots apart by their addresses. A bot's socket is read when it
is the bot's turn: everything that has arrived in one call, each datagram with the time at which the system
received it. So neither the wait for the turn nor a late generator changes when a datagram arrived.
"""

from __future__ import annotations

import socket
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from numba import types

from dedicated_server.native.compilation import STAGE, njit
from dedicated_server.native.mmsg import (
    CONTROL,
    CONTROL_LENGTH,
    DATA_LENGTH,
    HEADER_WORDS,
    MSG_DONTWAIT,
    VECTOR,
    VECTOR_LENGTH,
    recvmmsg,
)
from dedicated_server.native.socket_options import mark_realtime

RECEIVE_BUFFER_BYTES = 1 << 18  # a quarter of a second of snapshots: a stalled generator must not lose any
DATAGRAM_BYTES = 1_232  # the protocol's longest is 1,200; IPv6 never fragments 1,232 bytes of payload
MAX_BATCH_DATAGRAMS = 8  # read in one call; a server sends one a tick
UNUSED = -1  # no socket

SO_TIMESTAMPNS = 35  # of Linux; the message that comes with each datagram has the same number

# struct cmsghdr with its struct timespec as four words: length; level and type; seconds; nanoseconds
_CONTROL_WORDS, _SECONDS, _NANOSECONDS = 4, 2, 3
_CONTROL_BYTES = 8 * _CONTROL_WORDS

_recv = types.ExternalFunction("recv", types.intp(types.int32, types.uintp, types.uintp, types.int32))
_send = types.ExternalFunction("send", types.intp(types.int32, types.uintp, types.uintp, types.int32))


class Inbox(NamedTuple):
    """Where :func:`receive_batch` puts datagrams.

    Attributes:
        data: uint8[MAX_BATCH_DATAGRAMS, DATAGRAM_BYTES].
        headers: uint64[MAX_BATCH_DATAGRAMS, 8], struct mmsghdr.
        vectors: uint64[MAX_BATCH_DATAGRAMS, 2], struct iovec.
        control: int64[MAX_BATCH_DATAGRAMS, 4], the time at which the system received each.
    """

    data: npt.NDArray[np.uint8]
    headers: npt.NDArray[np.uint64]
    vectors: npt.NDArray[np.uint64]
    control: npt.NDArray[np.int64]


def new_inbox() -> Inbox:
    """Allocate, and write the addresses of the arrays into each other: they must not be copied afterwards."""
    inbox = Inbox(
        np.zeros((MAX_BATCH_DATAGRAMS, DATAGRAM_BYTES), np.uint8),
        np.zeros((MAX_BATCH_DATAGRAMS, HEADER_WORDS), np.uint64),
        np.zeros((MAX_BATCH_DATAGRAMS, 2), np.uint64),
        np.zeros((MAX_BATCH_DATAGRAMS, _CONTROL_WORDS), np.int64),
    )
    for row in range(MAX_BATCH_DATAGRAMS):
        inbox.vectors[row] = inbox.data[row].ctypes.data, DATAGRAM_BYTES
        inbox.headers[row, VECTOR] = inbox.vectors[row].ctypes.data
        inbox.headers[row, VECTOR_LENGTH] = 1
        inbox.headers[row, CONTROL] = inbox.control[row].ctypes.data
        inbox.headers[row, CONTROL_LENGTH] = _CONTROL_BYTES
    return inbox


def open_socket(host: str, port: int) -> socket.socket:
    """Open a non-blocking UDP socket that is connected to one server, from any port.

    Args:
        host, port: of the server, in digits.

    Raises:
        OSError: no socket can be opened.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )[0]
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        mark_realtime(opened)
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


def open_to_any(addresses: Iterable[tuple[str, int]]) -> socket.socket:
    """Open a socket to the first of a server's addresses that this machine has a way to.

    Args:
        addresses: host and port of each, best first; one at least.

    Raises:
        OSError: there is a way to none of them.
    """
    fault: OSError | None = None
    for host, port in addresses:
        try:
            return open_socket(host, port)
        except OSError as error:
            fault = error
    raise fault or OSError("a server without an address")


def enable_timestamps(opened: socket.socket) -> None:
    """Let the system record when it received each datagram. Raises OSError."""
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


@njit(cache=True, nogil=True, **STAGE)
def receive_batch(descriptor: int, inbox: Inbox, lengths: npt.NDArray[np.int64]) -> int:
    """Read up to MAX_BATCH_DATAGRAMS datagrams into ``inbox``.

    A datagram that is longer than its row is cut. A pending error, such as "port unreachable", is cleared and
    counts as no datagram.

    Args:
        descriptor: of the socket.
        inbox: of :func:`new_inbox`.
        lengths: int64[MAX_BATCH_DATAGRAMS], gets the bytes of each.

    Returns:
        How many were read.
    """
    headers = inbox.headers
    count = int(
        recvmmsg(
            np.int32(descriptor),
            np.uintp(headers.ctypes.data),
            np.uint32(MAX_BATCH_DATAGRAMS),
            np.int32(MSG_DONTWAIT),
            np.uintp(0),
        )
    )
    for row in range(count):
        lengths[row] = np.int64(headers[row, DATA_LENGTH] & np.uint64(0xFFFFFFFF))
        if headers[row, CONTROL_LENGTH] < np.uint64(_CONTROL_BYTES):
            inbox.control[row, _SECONDS] = 0
        headers[row, CONTROL_LENGTH] = np.uint64(_CONTROL_BYTES)  # the kernel wrote what it used
    return max(count, 0)


@njit(cache=True, nogil=True, **STAGE)
def arrival_time_s(inbox: Inbox, row: int, ahead_s: float, earliest_s: float, latest_s: float) -> float:
    """When a datagram of the last batch arrived, in seconds of the monotonic clock, within the bounds.

    A datagram without a time stamp counts as the latest. The bounds keep a step of the system's clock from
    moving a datagram before an earlier turn or into the future.

    Args:
        inbox, row: which datagram.
        ahead_s: wall clock minus monotonic clock.
        earliest_s, latest_s: the bounds, seconds of the monotonic clock.
    """
    seconds = inbox.control[row, _SECONDS]
    if seconds == 0:
        return latest_s
    at_s = (seconds - ahead_s) + inbox.control[row, _NANOSECONDS] * 1e-9
    return float(min(max(at_s, earliest_s), latest_s))


@njit(cache=True, nogil=True, **STAGE)
def receive(descriptor: int, buffer: npt.NDArray[np.uint8]) -> int:
    """Read one datagram; its bytes, or −1 when there is none.

    A longer one than ``buffer`` is cut, as recv does.
    """
    return int(_recv(descriptor, buffer.ctypes.data, len(buffer), 0))


@njit(cache=True, nogil=True, **STAGE)
def send(descriptor: int, buffer: npt.NDArray[np.uint8], length: int) -> int:
    """Send one datagram; its bytes, or −1 when the system refuses it. Like the network, it never waits."""
    return int(_send(descriptor, buffer.ctypes.data, length, 0))

"""Datagrams of many sockets from compiled code: the C library's own ``recvmmsg`` and ``send``.

One socket a bot, as one address a bot is what the server tells them apart by. A bot's socket is read when it
is the bot's turn, all that has come in one call, and each datagram with the time at which the system had it:
so it does not matter that nobody looked before, nor how late the generator is.
"""

from __future__ import annotations

import contextlib
import socket
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

RECEIVE_BUFFER_BYTES = (
    1 << 18
)  # a quarter of a second of snapshots; a stalled generator must not look like a lossy network
DATAGRAM_BYTES = (
    1_232  # room for the longest datagram of the protocol, 1,200, and for IPv6's largest that is never cut
)
MAX_BATCH_DATAGRAMS = 8  # datagrams read in one call; a server sends one a tick
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
        data: uint8[AT_ONCE, DATAGRAM_BYTES].
        headers: uint64[AT_ONCE, 8], struct mmsghdr.
        vectors: uint64[AT_ONCE, 2], struct iovec.
        control: int64[AT_ONCE, 4], the time at which the system had each.
    """

    data: npt.NDArray[np.uint8]
    headers: npt.NDArray[np.uint64]
    vectors: npt.NDArray[np.uint64]
    control: npt.NDArray[np.int64]


def new_inbox() -> Inbox:
    """Allocate, and point everything at everything; it must stay where it is."""
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


def open_socket(host: str, port: int, local_port: int = 0) -> socket.socket:
    """A non-blocking UDP socket that talks to one server only; from ``local_port``, or any where that is
    taken. Raises OSError.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_DGRAM, flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV
    )[0]
    opened = socket.socket(family, kind | socket.SOCK_NONBLOCK, protocol)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        if local_port:
            with contextlib.suppress(OSError):
                opened.bind(("", local_port))
        opened.connect(address)
    except OSError:
        opened.close()
        raise
    return opened


def enable_timestamps(opened: socket.socket) -> None:
    """Let the system note when it had each datagram. Raises OSError."""
    opened.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)


@njit(cache=True, nogil=True, **STAGE)
def receive_batch(descriptor: int, inbox: Inbox, lengths: npt.NDArray[np.int64]) -> int:
    """Read up to AT_ONCE datagrams; writes the bytes of each into ``lengths``, int64[AT_ONCE], and returns
    how many came.

    A longer one than its row is cut. An error that waits, such as "port unreachable", is taken away and
    counts as nothing.
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
    """When a datagram of the last batch came, by a clock that the system's is ``ahead_s`` ahead of; within
    the bounds.

    Without a stamp it is the latest that it can be, and someone who sets the system's clock moves no datagram
    out of its turn.
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

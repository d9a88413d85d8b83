"""Datagrams in and out, a tick's worth at a time: two transports behind one interface.

``mmsg``
    ``recvmmsg`` and ``sendmmsg`` from compiled code on the socket that asyncio-dgram opened, on 64-bit Linux.
    One call a
    tick each way: 100 datagrams cost what the kernel itself takes, 0.1 ms in and 0.3–0.5 ms out.
``asyncio``
    Plain asyncio-dgram on any platform, with bounded queues: 1–1.6 ms for the same datagrams, as each passes
    through Python.

>>> transport = await open_transport("127.0.0.1", 0)
>>> count = transport.drain()          # rows [0, count) of transport.inbox are now this tick's datagrams
>>> transport.send(out, lengths, addresses, rows)
>>> await transport.close()
"""

from __future__ import annotations

import sys
from typing import Final, Literal

from dedicated_server.native.mmsg import SUPPORTED
from dedicated_server.native.socket_options import SocketBuffers, granted_buffers
from dedicated_server.transport.base import (
    Inbox,
    PortInUseError,
    Traffic,
    Transport,
    TransportError,
    UnsupportedTransportError,
)
from dedicated_server.transport.dgram import DgramTransport
from dedicated_server.transport.mmsg import MmsgTransport

TransportKind = Literal["mmsg", "asyncio"]
DEFAULT_KIND: Final[TransportKind] = "mmsg" if SUPPORTED else "asyncio"
# Datagrams a tick: those of the largest match, and room for a flood. Only rows in use touch memory.
DEFAULT_CAPACITY: Final = 2_048


async def open_transport(
    host: str, port: int, kind: TransportKind = DEFAULT_KIND, *, capacity: int = DEFAULT_CAPACITY
) -> Transport:
    """Bind a UDP socket at ``host`` (address of either family, or name) and ``port`` (0: any free one).

    ``capacity`` bounds the datagrams taken per drain. Raises PortInUseError, UnsupportedTransportError where
    the platform has no ``mmsg``, and TransportError for any other refusal of the operating system.
    """
    if kind == "asyncio":
        return await DgramTransport.open(host, port, capacity)
    if not SUPPORTED:
        raise UnsupportedTransportError(f"mmsg needs 64-bit Linux, this is {sys.platform}; use asyncio")
    return await MmsgTransport.open(host, port, capacity)


__all__ = [
    "DEFAULT_CAPACITY",
    "DEFAULT_KIND",
    "Inbox",
    "PortInUseError",
    "SocketBuffers",
    "Traffic",
    "Transport",
    "TransportError",
    "TransportKind",
    "UnsupportedTransportError",
    "granted_buffers",
    "open_transport",
]

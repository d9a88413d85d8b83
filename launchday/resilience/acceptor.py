"""Takes new connections as fast as they come, whatever else the event loop has to do.

uvloop takes one connection a turn of its loop (libuv does since 1.49). A busy service has turns of 20 to
30 ms, so it takes fifty connections a second, and a thousand players who come at once wait for up to 20 s in
the kernel's queue, where no gate sees them: before this, the slowest of the reads that were answered at twice
the load had waited 4 s there, and no request had waited for 0.1 s behind the gate.
"""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable

import structlog

AT_ONCE = 64  # connections taken in one turn: 60 µs each, so that a storm of them leaves room for requests

log = structlog.get_logger()


class Acceptor:
    """Takes the connections of a listener, beside the loop's own server, which takes one a turn.

    Args:
        listener: the socket that the loop's server listens on; it is not closed.
        protocol: makes each connection's protocol.
        tls: of the server; None: plain TCP.
    """

    def __init__(
        self, listener: socket.socket, protocol: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._protocol = protocol
        self._tls = tls
        self._arriving: set[asyncio.Task[None]] = set()
        # A descriptor of its own: the loop allows one watcher a descriptor.
        self._listener = socket.fromfd(listener.fileno(), listener.family, listener.type)
        self._listener.setblocking(False)
        self._loop.add_reader(self._listener.fileno(), self._take)

    def close(self) -> None:
        """Take no more connections; those that were taken stay."""
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _take(self) -> None:
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptors are left: the gate's limit should have come first
                log.warning("a connection could not be taken", error=str(error))
                return
            task = self._loop.create_task(self._begin(connection))
            self._arriving.add(task)
            task.add_done_callback(self._arriving.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
        except (OSError, ssl.SSLError):  # it has gone, or its handshake failed
            connection.close()

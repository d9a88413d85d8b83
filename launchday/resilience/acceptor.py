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
from prometheus_client import Counter

from launchday.resilience.descriptor_budget import AT_ONCE, DescriptorBudget
from launchday.resilience.exhaustion import EXHAUSTED

REST_S = 0.1  # after an error of these: the connection still waits, and asking again at once would only spin
QUIET_S = 60.0  # until the log says it again

FAILURES = Counter(
    "launchday_accept_failures", "Connections that could not be taken, for want of descriptors or memory."
)
CUT_OFF = Counter("launchday_connections_cut_off", "Connections closed unheard, with the last descriptors.")

log = structlog.get_logger()


class Acceptor:
    """Takes the connections of a listener, beside the loop's own server, which takes one a turn.

    Args:
        listener: the socket that the loop's server listens on; it is not closed.
        protocol: makes each connection's protocol.
        tls: of the server; None: plain TCP.
        budget: of descriptors.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        tls: ssl.SSLContext | None,
        budget: DescriptorBudget | None = None,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._budget = budget or DescriptorBudget()
        self._resting: asyncio.TimerHandle | None = None
        self._failed_at = -QUIET_S
        self._protocol = protocol
        self._tls = tls
        self._arriving: set[asyncio.Task[None]] = set()
        # A descriptor of its own: the loop allows one watcher a descriptor.
        self._listener = socket.fromfd(listener.fileno(), listener.family, listener.type)
        self._listener.setblocking(False)
        self._listen()

    def close(self) -> None:
        """Take no more connections; those that were taken stay."""
        if self._resting is not None:
            self._resting.cancel()
        self._loop.remove_reader(self._listener.fileno())
        self._listener.close()

    def _listen(self) -> None:
        self._resting = None
        self._loop.add_reader(self._listener.fileno(), self._take)

    def _take(self) -> None:
        crowded = 0
        for _ in range(AT_ONCE):
            try:
                connection, _ = self._listener.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as error:
                self._could_not(error)
                return
            number = connection.fileno()
            if number >= self._budget.cut_from:  # before TLS, whose handshake keeps a descriptor for a minute
                CUT_OFF.inc()
                connection.close()
            else:
                self._take_in(connection)
            crowded += number >= self._budget.refuse_from
            if crowded >= self._budget.at_once:
                return

    def _could_not(self, error: OSError) -> None:
        """Say that a connection could not be taken: the budget should have come first."""
        FAILURES.inc()
        now = self._loop.time()
        if now - self._failed_at >= QUIET_S:
            self._failed_at = now
            log.warning("connections cannot be taken: raise the limits of this process", error=str(error))
        if error.errno in EXHAUSTED:
            self._loop.remove_reader(self._listener.fileno())
            self._resting = self._loop.call_later(REST_S, self._listen)

    def _take_in(self, connection: socket.socket) -> None:
        task = self._loop.create_task(self._begin(connection))
        self._arriving.add(task)
        task.add_done_callback(self._arriving.discard)

    async def _begin(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(self._protocol, connection, ssl=self._tls)
        except (OSError, ssl.SSLError):  # it has gone, or its handshake failed
            connection.close()

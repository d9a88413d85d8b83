"""A transport without a network, for warming up and for tests.

Datagrams are handed in, and what was sent is kept.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dedicated_server.native.mmsg import pack_sockaddr, unpack_sockaddr
from dedicated_server.native.socket_options import UNBOUNDED
from dedicated_server.transport.base import Inbox, Traffic, new_inbox


class MemoryTransport:
    """Behaves as a socket at ``host``:``port`` that loses nothing.

    Its inbox is bounded, as those of real sockets are.
    """

    def __init__(self, host: str = "192.0.2.1", port: int = 7_000, capacity: int = 1_024) -> None:
        self.host = host
        self.port = port
        self.inbox: Inbox = new_inbox(capacity)
        self.traffic = Traffic()
        self.buffers = UNBOUNDED
        self.sent: list[tuple[bytes, tuple[str, int]]] = []
        self._filled = 0

    def deliver(self, datagram: bytes, sender: tuple[str, int]) -> None:
        """Let a datagram arrive, to be drained by the next tick."""
        if self._filled == len(self.inbox.length):
            self.traffic.rx_dropped += 1
            return
        kept = datagram[: self.inbox.data.shape[1]]
        self.inbox.data[self._filled, : len(kept)] = np.frombuffer(kept, dtype=np.uint8)
        self.inbox.length[self._filled] = len(kept)
        self.inbox.address[self._filled] = np.frombuffer(pack_sockaddr(*sender), dtype=np.uint8)
        self._filled += 1
        self.traffic.rx_datagrams += 1

    def drain(self) -> int:
        """Hand over what was delivered since the last drain."""
        count, self._filled = self._filled, 0
        return count

    def send(
        self,
        data: npt.NDArray[np.uint8],
        length: npt.NDArray[np.int32],
        address: npt.NDArray[np.uint8],
        count: int,
    ) -> int:
        """Append the rows to ``sent``."""
        rows = np.flatnonzero(length[:count])
        for row in rows:
            self.sent.append((data[row, : length[row]].tobytes(), unpack_sockaddr(address[row].tobytes())))
        self.traffic.tx_datagrams += len(rows)
        return len(rows)

    async def close(self) -> None:
        """Nothing to close."""

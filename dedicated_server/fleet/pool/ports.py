"""Ports: the game servers' UDP ports from a range, and the sidecars' TCP ports, opened once on loopback."""

from __future__ import annotations

import socket
from collections import deque
from collections.abc import Iterable

from dedicated_server.errors import DedicatedServerError
from launchday.resilience.descriptor_budget import DescriptorBudget

CALLERS_DESCRIPTORS = 64  # directors, operators, logs, warm parents
DESCRIPTORS_A_SERVER = 4  # listener, connection, watch, headroom


class NoFreePortError(DedicatedServerError):
    """Raised when all ports of a pool are taken.

    The caller starts fewer servers, or widens the range of ports.
    """


class PortPool:
    """Ports to lend.

    A port that comes back is lent again last, so late datagrams to its old user are not the new one's.
    """

    def __init__(self, ports: Iterable[int]) -> None:
        self._free = deque(ports)

    def __len__(self) -> int:
        return len(self._free)

    def take(self) -> int:
        """Lend the port that has been free for the longest; raises NoFreePortError."""
        if not self._free:
            raise NoFreePortError("no port is free")
        return self._free.popleft()

    def give_back(self, port: int) -> None:
        """Return a port that was taken."""
        self._free.append(port)


def open_sidecar_sockets(count: int) -> list[socket.socket]:
    """Bind ``count`` TCP sockets to free loopback ports, one for each sidecar.

    All are opened at the start: a listening socket costs the kernel 2 KB, and one HTTP server then serves
    them all.
    """
    sockets = []
    for _ in range(count):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        sockets.append(listener)
    return sockets


def servers_that_fit(wanted: int, descriptors: int) -> int:
    """Return how many game servers a fleet may have, at least 1 and at most ``wanted``.

    Args:
        wanted: by the settings.
        descriptors: that the fleet may have open.
    """
    room = DescriptorBudget.of(descriptors).refuse_from - CALLERS_DESCRIPTORS
    return max(min(wanted, room // DESCRIPTORS_A_SERVER), 1)

"""Ports: the game servers' UDP ports from a range, and the sidecars' TCP ports, opened once on loopback."""

from __future__ import annotations

import resource
import socket
from collections import deque
from collections.abc import Iterable

from dedicated_server.errors import DedicatedServerError

SPARE_DESCRIPTORS = 256  # the fleet's own: its HTTP server, logs, the warm parent


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
    _allow_descriptors(SPARE_DESCRIPTORS + 4 * count)  # of each server: listener, connection, watch, headroom
    sockets = []
    for _ in range(count):
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        listener.bind(("127.0.0.1", 0))
        sockets.append(listener)
    return sockets


def _allow_descriptors(wanted: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    ceiling = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < ceiling:
        resource.setrlimit(resource.RLIMIT_NOFILE, (ceiling, hard))

"""The roster: the servers that there are, those that are gone but remembered, and their ports."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Iterable, Iterator

from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.match_index import MatchIndex
from dedicated_server.fleet.pool.ports import PortPool

MAX_GONE = 1000  # servers that are gone but still shown


class Roster:
    """Servers by name, by their sidecar's port, and by match.

    Args:
        game_ports: UDP ports for players, at least ``max_servers``.
        sdk_ports: TCP ports of the sidecars, at least as many.
        max_servers: limit on the live servers.

    Attributes:
        live: the servers that have a process, or wait for one.
        matches: which server each match was given.
        empty: set while no server is alive.

    Raises:
        ValueError: there are fewer game ports than servers.
    """

    def __init__(self, game_ports: Iterable[int], sdk_ports: Iterable[int], max_servers: int) -> None:
        self._game_ports = PortPool(game_ports)
        self._sdk_ports = PortPool(sdk_ports)
        if len(self._game_ports) < max_servers:
            raise ValueError(
                f"max_servers is {max_servers}, but there are {len(self._game_ports)} game ports: "
                "widen LAUNCHDAY_GAME_PORT_MIN to LAUNCHDAY_GAME_PORT_MAX or lower LAUNCHDAY_MAX_SERVERS"
            )
        self.live: dict[str, GameServer] = {}
        self.matches = MatchIndex()
        self.empty = asyncio.Event()
        self.empty.set()
        self._by_sdk_port: dict[int, GameServer] = {}
        self._gone: OrderedDict[str, GameServer] = OrderedDict()

    def __iter__(self) -> Iterator[GameServer]:
        """Yield every live server, then those gone, the newest first."""
        yield from self.live.values()
        yield from reversed(self._gone.values())

    def get(self, name: str) -> GameServer | None:
        """Return the server of that name, gone or not; None where there is none."""
        return self.live.get(name) or self._gone.get(name)

    def at_sdk_port(self, port: int) -> GameServer | None:
        """Return the server whose sidecar listens on a port."""
        return self._by_sdk_port.get(port)

    def take_ports(self) -> tuple[int, int]:
        """Lend a server its two ports: for players, and of its sidecar. Raises NoFreePortError."""
        return self._game_ports.take(), self._sdk_ports.take()

    def add(self, server: GameServer) -> None:
        """Add a server that has ports."""
        self.live[server.name] = server
        self._by_sdk_port[server.sdk_port] = server
        self.empty.clear()

    def remove(self, server: GameServer) -> None:
        """Take back a server's ports, and remember it among those that are gone."""
        del self.live[server.name]
        del self._by_sdk_port[server.sdk_port]
        if not self.live:
            self.empty.set()
        self._game_ports.give_back(server.port)
        self._sdk_ports.give_back(server.sdk_port)
        server.gone = True
        self._gone[server.name] = server
        if len(self._gone) > MAX_GONE:
            self.matches.forget(self._gone.popitem(last=False)[1])

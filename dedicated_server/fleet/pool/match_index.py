"""Which server each match was given, and which matches were ended and may have none any more."""

from __future__ import annotations

from collections import OrderedDict

from dedicated_server.fleet.pool.gameserver import GameServer

MAX_ENDED = 10_000  # ids, 100 bytes each: an hour of three matches given up a second


class MatchIndex:
    """Servers by the id of their match, also of those that are gone while the pool remembers them."""

    def __init__(self) -> None:
        self._servers: dict[str, GameServer] = {}
        self._ended: OrderedDict[str, None] = OrderedDict()

    def server_of(self, match_id: str) -> GameServer | None:
        """Return the server that a match was given, gone or not; None where there is none."""
        return self._servers.get(match_id)

    def given(self, server: GameServer) -> None:
        """Note that a server was given the match that it names, if it names one."""
        if server.match_id:
            self._servers[server.match_id] = server

    def forget(self, server: GameServer) -> None:
        """Forget a server, or the match that it had."""
        if self._servers.get(server.match_id) is server:
            del self._servers[server.match_id]

    def end(self, match_id: str) -> None:
        """Note that a match may have no server from now on: its allocation may still be on its way."""
        self._ended[match_id] = None
        if len(self._ended) > MAX_ENDED:
            self._ended.popitem(last=False)

    def has_ended(self, match_id: str) -> bool:
        """Whether `end` was called for a match."""
        return match_id in self._ended

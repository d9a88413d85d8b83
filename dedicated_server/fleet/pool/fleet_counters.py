"""What the fleet's matches came to, so that its figures can be held against those of the other services."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from typing import Any

from dedicated_server.fleet.pool.gameserver import GameServer

SUMMED_KEYS = {  # in the books: in a report
    "kills": "kills",
    "deaths": "deaths",
    "players_connected": "players_joined",  # ever; a report's players_connected are those of its moment
    "players_lost": "players_lost",
}
MAX_REPORTS = 2000  # about 2 KB each


class FleetCounters:
    """Counts since the fleet started. A match starts when its server is allocated, and ends or fails exactly once."""

    def __init__(self) -> None:
        self.matches_started = 0
        self.matches_ended = 0
        self.matches_failed = 0
        self.servers_started = 0
        self._finished_sums = dict.fromkeys(SUMMED_KEYS, 0)
        self._finished: deque[dict[str, Any]] = deque(maxlen=MAX_REPORTS)

    def finish(self, server: GameServer) -> bool:
        """Close the match of ``server``, by its last report: it ended if that says so (``outcome``), else it failed."""
        ended = server.report.get("outcome") == "ended"
        if ended:
            self.matches_ended += 1
        else:
            self.matches_failed += 1
        for key in SUMMED_KEYS:
            self._finished_sums[key] += _count(server, key)
        self._finished.append(_entry(server, "ended" if ended else "failed"))
        return ended

    def as_json(self, playing: Iterable[GameServer]) -> dict[str, Any]:
        """The books now; ``playing`` are the servers whose match is not settled yet."""
        playing = list(playing)
        return {
            "matches_started": self.matches_started,
            "matches_ended": self.matches_ended,
            "matches_failed": self.matches_failed,
            "servers_started": self.servers_started,
            **{
                key: settled + sum(_count(server, key) for server in playing)
                for key, settled in self._finished_sums.items()
            },
            "reports": [*self._finished, *(_entry(server, "playing") for server in playing)],
        }


def _entry(server: GameServer, outcome: str) -> dict[str, Any]:
    whose = {"server": server.name, "region": server.region, "outcome": outcome}
    return {"match_id": server.match_id, **server.report, **whose}


def _count(server: GameServer, key: str) -> int:
    value = server.report.get(SUMMED_KEYS[key], 0)
    return value if isinstance(value, int) else 0

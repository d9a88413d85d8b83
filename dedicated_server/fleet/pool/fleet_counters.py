"""What became of the fleet's matches, to be compared with the counters of the other services."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from typing import Any

from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.gameserver import GameServer

SUMMED_KEYS = {  # key of the counters: key of a match's report
    "kills": "kills",
    "deaths": "deaths",
    "players_connected": "players_joined",  # ever; a report's players_connected is of its moment
    "players_lost": "players_lost",
    "players_kicked": "players_kicked",
    "feeds_refused": "feeds_refused",  # matches that are not shown, for their folder has no room
}
# What servers told their clients, by reason: key of the counters and of a report's ``words``.
WORDS = ("refusals", "farewells", "answered", "unsealed")
MAX_REPORTS = 2000  # about 2 KB each


class FleetCounters:
    """Counts since the fleet started.

    A match starts when its server is allocated, and ends, fails or is taken back exactly once. It is taken
    back when whoever asked for it ends it, or has closed it before its players were checked out. One that
    failed before, and is given up then, counts as failed, and as given up.
    """

    def __init__(self) -> None:
        self.matches_started = 0
        self.matches_ended = 0
        self.matches_failed = 0
        self.matches_failed_given_up = 0
        self.matches_taken_back = 0
        self.servers_started = 0
        self._finished_sums = dict.fromkeys(SUMMED_KEYS, 0)
        self._finished_words: dict[str, Counter[str]] = {kind: Counter() for kind in WORDS}
        self._finished: deque[dict[str, Any]] = deque(maxlen=MAX_REPORTS)

    def finish(self, server: GameServer) -> bool:
        """Count the match of ``server`` as over; return whether it ended.

        It ended where its last report says so (``outcome``); otherwise it failed, unless it was taken back.
        """
        said = server.report.get("outcome")
        if ended := said == "ended":
            self.matches_ended += 1
            outcome = "ended"
        elif server.taken_back or said == "taken-back":
            self.matches_taken_back += 1
            outcome = "taken-back"
        else:
            self.matches_failed += 1
            outcome = "failed"
        metrics.matches_finished.labels(server.region, outcome).inc()
        for key in SUMMED_KEYS:
            self._finished_sums[key] += _count(server, key)
        for kind, counts in self._finished_words.items():
            counts += _words(server, kind)
        metrics.disk_errors.labels("spectator feed").inc(max(0, _count(server, "feeds_refused")))
        self._finished.append(_report(server, outcome))
        return ended

    def as_json(self, playing: Iterable[GameServer]) -> dict[str, Any]:
        """Return the counters; ``playing`` are the servers whose match is not over yet."""
        playing = list(playing)
        return {
            "matches_started": self.matches_started,
            "matches_ended": self.matches_ended,
            "matches_failed": self.matches_failed,
            "matches_failed_given_up": self.matches_failed_given_up,
            "matches_taken_back": self.matches_taken_back,
            "servers_started": self.servers_started,
            **{
                key: finished + sum(_count(server, key) for server in playing)
                for key, finished in self._finished_sums.items()
            },
            **{
                f"told_{kind}": dict(sum((_words(server, kind) for server in playing), finished))
                for kind, finished in self._finished_words.items()
            },
            "reports": [*self._finished, *(_report(server, "playing") for server in playing)],
        }


def _report(server: GameServer, outcome: str) -> dict[str, Any]:
    about = {"server": server.name, "region": server.region, "outcome": outcome}
    return {"match_id": server.match_id, **server.report, **about}


def _words(server: GameServer, kind: str) -> Counter[str]:
    words = server.report.get("words")
    said = words.get(kind) if isinstance(words, dict) else None
    return Counter(said if isinstance(said, dict) else {})


def _count(server: GameServer, key: str) -> int:
    value = server.report.get(SUMMED_KEYS[key], 0)
    return value if isinstance(value, int) else 0

"""The timeline of a run: once a second players by state, queues and game servers.

The report's curves are drawn from it. Players are counted in the moment of a sample; what services tell is
put into the sample of the second in which they have told it, with the time of their answer. So a slow service
leaves gaps in its own curves alone, and nothing is dated before it was known.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loadtest.flood.watching.counters import BackendCounters
from loadtest.players.player_records import PlayerRecords, PlayerState

# Queue → the service that knows how long it is, and the name of its counter.
QUEUES = {
    "tickets searching": ("matchmaker", "searching"),
    "write-behind rows": ("meta", "writebehind_depth"),
    "events not yet applied": ("rewards", "lag"),
}


def _a_list_each() -> dict[str, list[float | None]]:
    return {name: [] for name in QUEUES}


@dataclass(slots=True)
class Timeline:
    """Samples of a run: a structure of lists with one entry per sample.

    Attributes:
        at_s: seconds since the start, when the players were counted.
        players: PlayerState → players in it.
        queue: name → depth of the matchmaker's queue, the write-behind and the rewards consumer; None where
            its service told nothing in the second of the sample.
        queue_at_s: name → seconds since the start at which that was told; None likewise.
        servers: name of a game server that had a match → lists ``at_s`` (when the fleet told it), ``p50`` and
            ``p99`` (µs of a tick), ``connected`` and ``alive`` (players), ``kbit`` (kbit/s per client).
        marks: (at_s, text) of starts and ends of matches.
        faults: (at_s, text) of when each injected fault began and ended.
        fleet: Agones state → game servers in it; the last known where the fleet told nothing.
        fleet_at_s: when the fleet told it; None where it told nothing.
        unanswered: (at_s, service) of each time that a service did not answer.
    """

    at_s: list[float] = field(default_factory=list)
    players: dict[PlayerState, list[int]] = field(
        default_factory=lambda: {state: [] for state in PlayerState}
    )
    queue: dict[str, list[float | None]] = field(default_factory=_a_list_each)
    queue_at_s: dict[str, list[float | None]] = field(default_factory=_a_list_each)
    servers: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    fleet: dict[str, list[int]] = field(default_factory=dict)
    fleet_at_s: list[float | None] = field(default_factory=list)
    unanswered: list[tuple[float, str]] = field(default_factory=list)
    _phases: dict[str, str] = field(default_factory=dict)

    def sample(
        self,
        at_s: float,
        records: PlayerRecords,
        counters: BackendCounters | None,
        gameservers: Sequence[dict[str, Any]],
    ) -> None:
        """Add a sample of which everything was told at the same moment.

        Args:
            at_s: seconds of the run.
            records: of the players.
            counters: since the start of the run; None where they could not be read.
            gameservers: entries of the fleet's list.
        """
        self.begin_sample(at_s, records)
        if counters is not None:
            for service in {service for service, _ in QUEUES.values()}:
                self.add_counters(at_s, service, getattr(counters, service))
        self.add_servers(at_s, records, gameservers)

    def begin_sample(self, at_s: float, records: PlayerRecords) -> None:
        """Count the players, now; what services tell until the next sample is added to this one."""
        self.at_s.append(at_s)
        by_state = records.count_by_state()
        for state, counts in self.players.items():
            counts.append(int(by_state[state]))
        for curve in (*self.queue.values(), *self.queue_at_s.values()):
            curve.append(None)
        self.fleet_at_s.append(None)
        for servers in self.fleet.values():
            servers.append(servers[-1] if servers else 0)

    def add_counters(self, at_s: float, service: str, counters: Mapping[str, Any]) -> None:
        """Note how long the queues of a service are, as it told at ``at_s`` (seconds of the run)."""
        for name, (whose, counter) in QUEUES.items():
            if whose == service and self.at_s and name in self.queue:
                self.queue[name][-1] = counters.get(counter)
                self.queue_at_s[name][-1] = at_s

    def add_silence(self, at_s: float, service: str) -> None:
        """Note that a service was given up at ``at_s``: it had not answered."""
        self.unanswered.append((at_s, service))

    def add_servers(self, at_s: float, records: PlayerRecords, gameservers: Sequence[dict[str, Any]]) -> None:
        """Note the game servers, as the fleet told at ``at_s``; of matches, those of this run's players."""
        if not self.at_s:
            return
        self._count_servers(at_s, gameservers)
        ours = set(records.match_id)
        for server in gameservers:
            report = server.get("report") or {}
            if report.get("match_id") in ours:
                self._add_report(at_s, str(server.get("name", "?")), str(server.get("region", "?")), report)

    def _count_servers(self, at_s: float, gameservers: Sequence[dict[str, Any]]) -> None:
        counts: dict[str, int] = {}
        for server in gameservers:
            if not server.get("gone"):
                state = str(server.get("state", "?"))
                counts[state] = counts.get(state, 0) + 1
        for state in {*self.fleet, *counts}:
            curve = self.fleet.setdefault(state, [0] * len(self.at_s))
            curve[-1] = counts.get(state, 0)
        self.fleet_at_s[-1] = at_s

    def server_hours(self) -> float:
        """Hours of game servers that existed, playing or not, by the samples."""
        if len(self.at_s) < 2:
            return 0.0
        alive = np.sum(list(self.fleet.values()) or [[0] * len(self.at_s)], axis=0)
        return float(np.trapezoid(alive, self.at_s)) / 3_600

    def _add_report(self, at_s: float, name: str, region: str, report: dict[str, Any]) -> None:
        phase = str(report.get("phase", ""))
        if phase and self._phases.get(name) != phase:
            self._phases[name] = phase
            if phase != "waiting":
                words = {"playing": "starts", "over": "ends"}
                self.marks.append((at_s, f"{region}: match {words.get(phase, phase)}"))
        if phase != "playing":
            return
        curve = self.servers.setdefault(
            name, {key: [] for key in ("at_s", "p50", "p99", "connected", "alive", "kbit")}
        )
        tick_us = report.get("tick_us") or {}
        for key, value in (
            ("at_s", at_s),
            ("p50", tick_us.get("p50", 0)),
            ("p99", tick_us.get("p99", 0)),
            ("connected", report.get("players_connected", 0)),
            ("alive", report.get("players_alive", 0)),
            ("kbit", (report.get("kbit_per_client") or {}).get("p50", 0)),
        ):
            curve[key].append(float(value or 0))

"""The timeline of a run: once a second players by state, queues and game servers.

The report's curves are drawn from it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from loadtest.flood.counters import BackendCounters
from loadtest.players.player_records import PlayerRecords, PlayerState


@dataclass(slots=True)
class Timeline:
    """Samples of a run: a structure of lists with one entry per sample.

    Attributes:
        at_s: seconds since the start.
        players: PlayerState → players in it.
        queue: name → depth of the matchmaker's queue, the write-behind and the rewards consumer; None where
            the counters could not be read.
        servers: name of a game server that had a match → lists ``at_s``, ``p50`` and ``p99`` (µs of a tick),
            ``connected`` and ``alive`` (players), ``kbit`` (kbit/s per client).
        marks: (at_s, text) of starts and ends of matches.
        faults: (at_s, text) of when each injected fault began and ended.
        fleet: Agones state → game servers in it.
    """

    at_s: list[float] = field(default_factory=list)
    players: dict[PlayerState, list[int]] = field(
        default_factory=lambda: {state: [] for state in PlayerState}
    )
    queue: dict[str, list[float | None]] = field(
        default_factory=lambda: {
            "tickets searching": [],
            "write-behind rows": [],
            "events not yet applied": [],
        }
    )
    servers: dict[str, dict[str, list[float]]] = field(default_factory=dict)
    marks: list[tuple[float, str]] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    fleet: dict[str, list[int]] = field(default_factory=dict)
    _phases: dict[str, str] = field(default_factory=dict)

    def sample(
        self,
        at_s: float,
        records: PlayerRecords,
        counters: BackendCounters | None,
        gameservers: list[dict[str, Any]],
    ) -> None:
        """Add a sample.

        Args:
            at_s: seconds of the run.
            records: of the players.
            counters: since the start of the run; None where they could not be read.
            gameservers: entries of the fleet's list.
        """
        self.at_s.append(at_s)
        by_state = records.count_by_state()
        for state, counts in self.players.items():
            counts.append(int(by_state[state]))
        levels: tuple[float | None, ...] = (
            (None, None, None)
            if counters is None
            else (
                counters.matchmaker.get("searching"),
                counters.meta.get("writebehind_depth"),
                counters.rewards.get("lag"),
            )
        )
        for values, level in zip(self.queue.values(), levels, strict=True):
            values.append(level)
        self._sample_fleet(gameservers)
        ours = set(records.match_id)
        for server in gameservers:
            report = server.get("report") or {}
            if report.get("match_id") in ours:
                self._sample_server(
                    at_s, str(server.get("name", "?")), str(server.get("region", "?")), report
                )

    def _sample_fleet(self, gameservers: list[dict[str, Any]]) -> None:
        counts: dict[str, int] = {}
        for server in gameservers:
            if not server.get("gone"):
                state = str(server.get("state", "?"))
                counts[state] = counts.get(state, 0) + 1
        for state in {*self.fleet, *counts}:
            curve = self.fleet.setdefault(state, [0] * (len(self.at_s) - 1))
            curve.append(counts.get(state, 0))

    def server_hours(self) -> float:
        """Hours of game servers that existed, playing or not, by the samples."""
        if len(self.at_s) < 2:
            return 0.0
        alive = np.sum(list(self.fleet.values()) or [[0] * len(self.at_s)], axis=0)
        return float(np.trapezoid(alive, self.at_s)) / 3_600

    def _sample_server(self, at_s: float, name: str, region: str, report: dict[str, Any]) -> None:
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

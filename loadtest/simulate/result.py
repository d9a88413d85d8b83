"""The result of a run: waits, matches, servers, cost, and the scenario's objectives beside them.

All of it depends on the scenario and its seed alone.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launchday.percentiles import percentiles
from loadtest.scenario.model import Objectives
from loadtest.simulate.simulator import Run
from loadtest.simulate.world import Counter, MatchState, TicketState

Floats = NDArray[np.float64]
HOUR_S = 3_600.0
SKILL_BANDS = 5
SHARE_UNIT = "of all"  # the unit of a share of the players


@dataclass(frozen=True)
class SimulationResult:
    """The figures of a run. A player counts once for each match of the session.

    Attributes:
        run: the run.
        price_per_server_hour: in the scenario's currency.
    """

    run: Run
    price_per_server_hour: float

    @cached_property
    def matched(self) -> NDArray[np.int64]:
        """int64[N], the tickets that got a match."""
        return np.flatnonzero(self.run.world.records.state == TicketState.MATCHED)

    @cached_property
    def wait_s(self) -> Floats:
        """float64, seconds from the arrival to the assignment of each matched player."""
        return np.repeat(self.wait_of_ticket_s, self.run.world.tickets.size[self.matched])

    @cached_property
    def wait_of_ticket_s(self) -> Floats:
        """float64[N], the same of each ticket of ``matched``."""
        world = self.run.world
        return world.records.assigned_s[self.matched] - world.tickets.arrives_s[self.matched]

    def players_in(self, state: TicketState) -> int:
        """Return how many players have a ticket in that state."""
        world = self.run.world
        return int(world.tickets.size[world.records.state == state].sum())

    @property
    def lost(self) -> int:
        """How many players were in matches whose server died."""
        matches = self.run.world.matches
        return int(matches.players[matches.state == MatchState.CRASHED].sum())

    @property
    def count(self) -> int:
        """How many players the scenario has."""
        tickets = self.run.world.tickets
        return int(tickets.size[: int(tickets.independent_count[0])].sum())

    @property
    def abandoned_share(self) -> float:
        """Share of the arrived players who gave up waiting."""
        came = int(self.run.world.counters[Counter.ARRIVED_PLAYERS])
        return self.players_in(TicketState.ABANDONED) / came if came else 0.0

    @property
    def server_hours(self) -> float:
        """Hours of all servers, from their start to their end."""
        return float(self.run.world.fleet.server_s.sum()) / HOUR_S

    @property
    def cost(self) -> float:
        """What the servers cost."""
        return self.server_hours * self.price_per_server_hour

    @cached_property
    def skill_spread(self) -> Floats:
        """float64[M], standard deviation of the true skills in each match."""
        setup, records = self.run.setup, self.run.world.records
        match, count = records.match[self.matched], int(self.run.world.counters[Counter.MATCHES])
        players = self.run.world.matches.players[:count]
        mean = np.bincount(match, setup.skill_sum[self.matched], count) / players
        squares = np.bincount(match, setup.skill_squares[self.matched], count) / players
        return np.sqrt(np.maximum(squares - mean * mean, 0.0))

    @cached_property
    def latency_ms(self) -> NDArray[np.float32]:
        """float32, round trip in milliseconds of each matched player to the server; in a party, the longest
        of the party.
        """
        world = self.run.world
        region = world.matches.region[world.records.match[self.matched]]
        latency: NDArray[np.float32] = (
            world.tickets.rtt_ms[world.tickets.location[self.matched], region]
            + world.tickets.access_ms[self.matched]
        )
        return np.repeat(latency, world.tickets.size[self.matched])

    def waits_by_region(self) -> dict[str, Floats]:
        """Return the waits of players in seconds, by the region of the match."""
        world = self.run.world
        region = world.matches.region[world.records.match[self.matched]]
        size = world.tickets.size[self.matched]
        return {
            name: np.repeat(self.wait_of_ticket_s[region == index], size[region == index])
            for index, name in enumerate(self.run.setup.regions)
        }

    def waits_by_skill(self) -> list[tuple[str, Floats]]:
        """Return label and waits of SKILL_BANDS bands of skill with as many tickets in each, the least
        skilled first.
        """
        skill = self.run.world.tickets.skill[self.matched]
        order = np.argsort(skill, kind="stable")
        return [
            (f"{skill[rows[0]]:.0f} to {skill[rows[-1]]:.0f}", self.wait_of_ticket_s[rows])
            for rows in np.array_split(order, SKILL_BANDS)
            if len(rows)
        ]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of the state of every ticket, match, sample and server: two runs with one digest were the
        same run.
        """
        world = self.run.world
        state = hashlib.sha256()
        for array in (*world.records, *world.matches, *world.samples, *world.fleet, world.counters):
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    def figures(self) -> dict[str, Any]:
        """Return the figures as JSON. The same scenario and seed give the same."""
        world = self.run.world
        counters, fleet = world.counters, world.fleet
        matches = int(counters[Counter.MATCHES])
        idle_s, server_s = float(fleet.idle_s.sum()), float(fleet.server_s.sum())
        mean_wait = round(float(self.wait_s.mean()), 3) if len(self.wait_s) else None
        return {
            "players": self.count,
            "virtual_s": round(self.run.virtual_s, 3),
            "wait_s": percentiles(self.wait_s, 50, 95, 99, 100) | {"mean": mean_wait},
            "matched": self.players_in(TicketState.MATCHED),
            "abandoned": self.players_in(TicketState.ABANDONED),
            "abandoned_share": round(self.abandoned_share, 6),
            "refused": self.players_in(TicketState.REFUSED),
            "lost": self.lost,
            "matches": matches,
            "players_per_match": round(float(world.matches.players[:matches].mean()), 2) if matches else None,
            "skill_spread": percentiles(self.skill_spread, 50, 95),
            "latency_ms": percentiles(self.latency_ms.astype(np.float64), 50, 95),
            "servers_peak": int(counters[Counter.PEAK]),
            "servers_peak_by_region": dict(zip(self.run.setup.regions, map(int, fleet.peak), strict=True)),
            "servers_started": int(fleet.started.sum()),
            "servers_died": int(fleet.died.sum()),
            "server_hours": round(self.server_hours, 3),
            "idle_share": round(idle_s / server_s, 4) if server_s else 0.0,
            "cost": round(self.cost, 4),
            "matching_cycles": int(counters[Counter.CYCLES]),
            "matching_cycles_capped": int(counters[Counter.CAPPED]),
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective.

    ``measured`` is None where the run gave nothing to measure; the objective is missed then.
    """

    name: str
    unit: str
    limit: float
    measured: float | None

    @property
    def met(self) -> bool:
        """Whether the measured value is within the limit."""
        return self.measured is not None and self.measured <= self.limit

    def as_json(self) -> dict[str, Any]:
        """Return the objective as JSON."""
        return {
            "name": self.name,
            "unit": self.unit,
            "limit": self.limit,
            "measured": self.measured,
            "met": self.met,
        }


def objectives(asked: Objectives, figures: Mapping[str, Any]) -> list[Objective]:
    """Return the scenario's objectives that a simulation can measure, beside the figures of a run.

    Nothing ticks in virtual time, so objectives about ticks are left out.
    """
    rows = (
        ("wait p95", "s", asked.wait_p95_s, figures["wait_s"]["p95"]),
        ("abandoned", SHARE_UNIT, asked.abandoned_share, figures["abandoned_share"]),
        ("players lost", "", asked.players_lost, float(figures["lost"])),
        ("cost", "", asked.cost, figures["cost"]),
    )
    return [
        Objective(name, unit, float(limit), measured)
        for name, unit, limit, measured in rows
        if limit is not None
    ]

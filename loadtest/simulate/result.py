"""What a run came to: waits, matches, servers and money, in numbers that depend on the scenario and its seed alone."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.simulator import Run
from loadtest.simulate.world import Counter, MatchState, TicketState

Floats = NDArray[np.float64]
HOUR_S = 3_600.0
SKILL_BANDS = 5


def quantiles(values: Floats, *points: float, digits: int = 3) -> dict[str, float | None]:
    """Percentiles by name; 100 is ``max``. Of nothing, all are None."""
    names = ["max" if point == 100 else f"p{point:g}" for point in points]
    if not len(values):
        return dict.fromkeys(names)
    found: Any = np.percentile(values, points)
    return {name: round(float(value), digits) for name, value in zip(names, found, strict=True)}


@dataclass(frozen=True)
class SimulationResult:
    """The figures of a run. Everything a player is counted for, a session's later matches count again.

    Attributes:
        run: the run.
        price_per_server_hour: money.
    """

    run: Run
    price_per_server_hour: float

    @cached_property
    def matched(self) -> NDArray[np.int64]:
        """The tickets that got a match."""
        return np.flatnonzero(self.run.world.records.state == TicketState.MATCHED)

    @cached_property
    def wait_s(self) -> Floats:
        """From the arrival to the assignment, of each player who was matched."""
        return np.repeat(self.wait_of_ticket_s, self.run.world.tickets.size[self.matched])

    @cached_property
    def wait_of_ticket_s(self) -> Floats:
        """The same, a ticket of ``matched``."""
        world = self.run.world
        return world.records.assigned_s[self.matched] - world.tickets.arrives_s[self.matched]

    def players_in(self, fate: TicketState) -> int:
        """Players whose tickets came to that."""
        world = self.run.world
        return int(world.tickets.size[world.records.state == fate].sum())

    @property
    def lost(self) -> int:
        """Players in matches whose server died."""
        matches = self.run.world.matches
        return int(matches.players[matches.state == MatchState.CRASHED].sum())

    @property
    def count(self) -> int:
        """Players of the scenario."""
        crowd = self.run.world.tickets
        return int(crowd.size[: int(crowd.independent_count[0])].sum())

    @property
    def abandoned_share(self) -> float:
        """Players who gave up, of all who came."""
        came = int(self.run.world.counters[Counter.ARRIVED_PLAYERS])
        return self.players_in(TicketState.ABANDONED) / came if came else 0.0

    @property
    def server_hours(self) -> float:
        """Hours of servers, from their start to their end."""
        return float(self.run.world.fleet.server_s.sum()) / HOUR_S

    @property
    def cost(self) -> float:
        """Money for the servers."""
        return self.server_hours * self.price_per_server_hour

    @cached_property
    def skill_spread(self) -> Floats:
        """Standard deviation of the true skills in each match."""
        setup, fates = self.run.setup, self.run.world.records
        match, count = fates.match[self.matched], int(self.run.world.counters[Counter.MATCHES])
        players = self.run.world.matches.players[:count]
        mean = np.bincount(match, setup.skill_sum[self.matched], count) / players
        squares = np.bincount(match, setup.skill_squares[self.matched], count) / players
        return np.sqrt(np.maximum(squares - mean * mean, 0.0))

    @cached_property
    def latency_ms(self) -> NDArray[np.float32]:
        """Round trip to the server of each player who was matched; of a party the longest."""
        world = self.run.world
        region = world.matches.region[world.records.match[self.matched]]
        latency: NDArray[np.float32] = (
            world.tickets.rtt_ms[world.tickets.location[self.matched], region]
            + world.tickets.access_ms[self.matched]
        )
        return np.repeat(latency, world.tickets.size[self.matched])

    def waits_by_region(self) -> dict[str, Floats]:
        """Waits by the region of the match."""
        world = self.run.world
        region = world.matches.region[world.records.match[self.matched]]
        size = world.tickets.size[self.matched]
        return {
            name: np.repeat(self.wait_of_ticket_s[region == index], size[region == index])
            for index, name in enumerate(self.run.setup.regions)
        }

    def waits_by_skill(self) -> list[tuple[str, Floats]]:
        """Waits of five bands of skill, from the least skilled to the best, as many tickets in each."""
        skill = self.run.world.tickets.skill[self.matched]
        order = np.argsort(skill, kind="stable")
        return [
            (f"{skill[rows[0]]:.0f} to {skill[rows[-1]]:.0f}", self.wait_of_ticket_s[rows])
            for rows in np.array_split(order, SKILL_BANDS)
            if len(rows)
        ]

    @cached_property
    def digest(self) -> str:
        """SHA-256 of what became of every ticket, match and server: one character differs, and so did the run."""
        world = self.run.world
        state = hashlib.sha256()
        for array in (*world.records, *world.matches, *world.samples, *world.fleet, world.counters):
            state.update(np.ascontiguousarray(array).tobytes())
        return state.hexdigest()

    def figures(self) -> dict[str, Any]:
        """The run in numbers, ready for JSON. The same scenario and seed give the same."""
        world = self.run.world
        now, fleet = world.counters, world.fleet
        matches = int(now[Counter.MATCHES])
        idle_s, server_s = float(fleet.idle_s.sum()), float(fleet.server_s.sum())
        mean_wait = round(float(self.wait_s.mean()), 3) if len(self.wait_s) else None
        return {
            "players": self.count,
            "virtual_s": round(self.run.virtual_s, 3),
            "wait_s": quantiles(self.wait_s, 50, 95, 99, 100) | {"mean": mean_wait},
            "matched": self.players_in(TicketState.MATCHED),
            "abandoned": self.players_in(TicketState.ABANDONED),
            "abandoned_share": round(self.abandoned_share, 6),
            "refused": self.players_in(TicketState.REFUSED),
            "lost": self.lost,
            "matches": matches,
            "players_per_match": round(float(world.matches.players[:matches].mean()), 2) if matches else None,
            "skill_spread": quantiles(self.skill_spread, 50, 95),
            "latency_ms": quantiles(self.latency_ms.astype(np.float64), 50, 95),
            "servers_peak": int(now[Counter.PEAK]),
            "servers_peak_by_region": dict(zip(self.run.setup.regions, map(int, fleet.peak), strict=True)),
            "servers_started": int(fleet.started.sum()),
            "servers_died": int(fleet.died.sum()),
            "server_hours": round(self.server_hours, 3),
            "idle_share": round(idle_s / server_s, 4) if server_s else 0.0,
            "cost": round(self.cost, 4),
            "matching_cycles": int(now[Counter.CYCLES]),
            "matching_cycles_capped": int(now[Counter.CAPPED]),
            "digest": self.digest,
        }

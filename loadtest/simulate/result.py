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

from launchday.percentiles import at_least, percentiles
from loadtest.scenario.model import Objectives
from loadtest.simulate.simulator import Run
from loadtest.simulate.world import Counter, MatchState, TicketState

Floats = NDArray[np.float64]
HOUR_S = 3_600.0
SKILL_BANDS = 5
SHARE_UNIT = "of all"  # the unit of a share of the players
WAIT_POINTS = (50, 95, 99, 100)  # the percentiles of waits
WAITED_STATES = (TicketState.MATCHED, TicketState.ABANDONED, TicketState.WAITING)


@dataclass(frozen=True)
class SimulationResult:
    """The figures of a run. A player counts once for each wait: for each match of the session, and again
    after a server's death.

    Whoever got no match counts in the waits with the time waited at least: without them, the fewer players
    get a match the shorter the waits would look.

    Attributes:
        run: the run.
        price_per_server_hour: in the scenario's currency.
        window: only waits that began from the first to the second are counted, and servers meanwhile; None:
            all. Costs and losses are always those of the whole run.
    """

    run: Run
    price_per_server_hour: float
    window: tuple[float, float] | None = None

    @cached_property
    def arrived(self) -> NDArray[np.bool_]:
        """bool[T], the tickets whose players came, of the whole run."""
        came: NDArray[np.bool_] = self.run.world.records.state != TicketState.NOT_ARRIVED
        return came

    @cached_property
    def counted(self) -> NDArray[np.bool_]:
        """bool[T], those of ``arrived`` that arrived in the window."""
        return self.arrived & self._within(self.run.world.tickets.arrives_s)

    @cached_property
    def matched(self) -> NDArray[np.int64]:
        """int64[N], the counted tickets that got a match."""
        return np.flatnonzero(self.counted & (self.run.world.records.state == TicketState.MATCHED))

    @cached_property
    def waited(self) -> NDArray[np.int64]:
        """int64[W], the counted tickets that waited, with a match in the end or without."""
        state = self.run.world.records.state
        return np.flatnonzero(self.counted & np.isin(state, WAITED_STATES))

    @cached_property
    def wait_of_waited_s(self) -> Floats:
        """float64[W], seconds that each ticket of ``waited`` waited; at least, where it got no match."""
        world, rows = self.run.world, self.waited
        arrives_s, state = world.tickets.arrives_s[rows], world.records.state[rows]
        patience_s = world.tickets.patience_s[rows].astype(np.float64)
        gave_up_s = np.minimum(patience_s, self.run.setup.parameters.give_up_at_s - arrives_s)
        return np.select(
            [state == TicketState.MATCHED, state == TicketState.ABANDONED],
            [world.records.assigned_s[rows] - arrives_s, gave_up_s],
            self.run.virtual_s - arrives_s,
        )

    @cached_property
    def wait_s(self) -> Floats:
        """float64, seconds of each wait of a player, from the arrival to the assignment; who got no match
        counts with the time waited at least.
        """
        return np.repeat(self.wait_of_waited_s, self.run.world.tickets.size[self.waited])

    @cached_property
    def wait_censored(self) -> NDArray[np.bool_]:
        """bool, for each of ``wait_s`` whether it ended without a match."""
        return self._waits_in(TicketState.ABANDONED) | self._waits_in(TicketState.WAITING)

    @cached_property
    def wait_of_ticket_s(self) -> Floats:
        """float64[N], seconds from the arrival to the assignment of each ticket of ``matched``."""
        world = self.run.world
        return world.records.assigned_s[self.matched] - world.tickets.arrives_s[self.matched]

    def _waits_in(self, state: TicketState) -> NDArray[np.bool_]:
        """bool, for each of ``wait_s`` whether the ticket ended in that state."""
        rows = self.waited
        return np.repeat(self.run.world.records.state[rows] == state, self.run.world.tickets.size[rows])

    def _within(self, at_s: Floats) -> NDArray[np.bool_]:
        """bool, which times are in the window."""
        if self.window is None:
            return np.ones(len(at_s), np.bool_)
        return (at_s >= self.window[0]) & (at_s <= self.window[1])

    def players_in(self, state: TicketState) -> int:
        """Return how many players have a counted ticket in that state."""
        world = self.run.world
        return int(world.tickets.size[self.counted & (world.records.state == state)].sum())

    @property
    def lost(self) -> int:
        """How many players lost their match or never got one, by their own count or by that of the servers
        that played on without them: the larger, as in a flood.
        """
        world = self.run.world
        deserted = world.matches.players[world.matches.state == MatchState.DESERTED]
        return max(int(world.counters[Counter.LOST]), int(deserted.sum()))

    @property
    def queued_again(self) -> int:
        """How many times players queued again because they had lost a match."""
        world = self.run.world
        drawn, again = int(world.tickets.drawn_count[0]), int(world.counters[Counter.REQUEUED])
        return int(world.tickets.size[drawn : drawn + again].sum())

    @property
    def count(self) -> int:
        """How many players the scenario has."""
        return int(self._independent_sizes.sum())

    @property
    def came(self) -> int:
        """How many players arrived by themselves, in the window."""
        return int(self._independent_sizes[self.counted[: len(self._independent_sizes)]].sum())

    @property
    def never_queued(self) -> int:
        """How many players of the scenario never waited: no region was near enough, or the run ended
        first.
        """
        state = self.run.world.records.state[: len(self._independent_sizes)]
        never = np.isin(state, (TicketState.NOT_ARRIVED, TicketState.REFUSED))
        return int(self._independent_sizes[never].sum())

    @property
    def _independent_sizes(self) -> NDArray[np.int32]:
        tickets = self.run.world.tickets
        return tickets.size[: int(tickets.independent_count[0])]

    @property
    def abandoned_share(self) -> float:
        """Share of the players who came and gave up waiting. Whoever gives up ends the session."""
        return self.players_in(TicketState.ABANDONED) / self.came if self.came else 0.0

    @cached_property
    def last_arrival_s(self) -> float:
        """When the last player who comes by themselves arrived, of the whole run; 0 where nobody came."""
        independent = len(self._independent_sizes)
        arrives_s = self.run.world.tickets.arrives_s[:independent][self.arrived[:independent]]
        return float(arrives_s.max()) if len(arrives_s) else 0.0

    @cached_property
    def peak_tickets_per_s(self) -> int:
        """Tickets that arrived in the fullest second of the whole run.

        Services have no capacity in virtual time: compare it with what theirs can take.
        """
        arrives_s = self.run.world.tickets.arrives_s[self.arrived]
        if not len(arrives_s):
            return 0
        _, counts = np.unique(np.floor(arrives_s), return_counts=True)
        return int(counts.max())

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
        world = self.run.world
        rows = np.flatnonzero(world.records.state == TicketState.MATCHED)
        match, count = world.records.match[rows], int(world.counters[Counter.MATCHES])
        players = world.matches.players[:count]
        mean = np.bincount(match, self.run.skill_sums[0][rows], count) / players
        squares = np.bincount(match, self.run.skill_sums[1][rows], count) / players
        return np.sqrt(np.maximum(squares - mean * mean, 0.0))[self.formed]

    @cached_property
    def formed(self) -> NDArray[np.int64]:
        """int64[M], the matches that got their server in the window."""
        matches = int(self.run.world.counters[Counter.MATCHES])
        return np.flatnonzero(self._within(self.run.world.matches.formed_s[:matches]))

    def servers(self) -> dict[str, Any]:
        """Return the servers in the window: mean with a match, share of the ready ones, and the peak."""
        world = self.run.world
        count = int(world.counters[Counter.SAMPLES])
        rows = np.flatnonzero(self._within(world.samples.at_s[:count]))
        states = [
            values[rows].sum(axis=1).astype(np.float64)
            for values in (world.samples.allocated, world.samples.ready, world.samples.starting)
        ]
        passed_s = np.diff(world.samples.at_s[rows])
        allocated, ready, starting = (float((values[:-1] * passed_s).sum()) for values in states)
        live = allocated + ready + starting
        lasted_s = float(passed_s.sum())
        return {
            "in_use": round(allocated / lasted_s, 3) if lasted_s else 0.0,
            "idle_share": round(ready / live, 4) if live else 0.0,
            "peak": int(np.sum(states, axis=0).max()) if len(rows) else 0,
        }

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
        """Return label and waits of SKILL_BANDS bands of true skill with as many tickets in each, the least
        skilled first.

        True, because the matchmaker takes new players for alike.
        """
        size = self.run.world.tickets.size[self.matched]
        skill = self.run.skill_sums[0][self.matched] / size
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
        world, servers = self.run.world, self.servers()
        counters, fleet = world.counters, world.fleet
        waits_s, matches = self.wait_s, len(self.formed)
        mean_wait = round(float(waits_s.mean()), 3) if len(waits_s) else None
        mean_players = float(world.matches.players[self.formed].mean()) if matches else None
        whole = self.window is None
        idle_s, server_s = float(fleet.idle_s.sum()), float(fleet.server_s.sum())
        return {
            "players": self.count,
            "virtual_s": round(self.run.virtual_s, 3),
            "players_came": self.came,
            "never_queued": self.never_queued,
            "peak_tickets_per_s": self.peak_tickets_per_s,
            "wait_s": percentiles(waits_s, *WAIT_POINTS) | {"mean": mean_wait},
            "wait_at_least": at_least(waits_s, self.wait_censored, *WAIT_POINTS),
            "wait_cut_off": at_least(waits_s, self._waits_in(TicketState.WAITING), *WAIT_POINTS),
            "tickets": sum(
                self.players_in(state)
                for state in (TicketState.WAITING, TicketState.MATCHED, TicketState.ABANDONED)
            ),
            "queued_again": self.queued_again,
            "matched": self.players_in(TicketState.MATCHED),
            "abandoned": self.players_in(TicketState.ABANDONED),
            "abandoned_share": round(self.abandoned_share, 6),
            "waiting": self.players_in(TicketState.WAITING),
            "refused": self.players_in(TicketState.REFUSED),
            "lost": self.lost,
            "matches": matches,
            "players_per_match": None if mean_players is None else round(mean_players, 2),
            "skill_spread": percentiles(self.skill_spread, 50, 95),
            "latency_ms": percentiles(self.latency_ms.astype(np.float64), 50, 95),
            "servers_in_use": servers["in_use"],
            "servers_peak": int(counters[Counter.PEAK]) if whole else servers["peak"],
            "servers_peak_by_region": dict(zip(self.run.setup.regions, map(int, fleet.peak), strict=True)),
            "servers_started": int(fleet.started.sum()),
            "servers_died": int(fleet.died.sum()),
            "server_hours": round(self.server_hours, 6),
            "idle_share": (round(idle_s / server_s, 4) if server_s else 0.0)
            if whole
            else servers["idle_share"],
            "cost": round(self.cost, 6),
            "matching_cycles": int(counters[Counter.CYCLES]),
            "matching_cycles_capped": int(counters[Counter.CAPPED]),
            "digest": self.digest,
        }


@dataclass(frozen=True, slots=True)
class Objective:
    """One objective.

    ``measured`` is None where the run gave nothing to measure; the objective is missed then. ``at_least``
    says that it is a lower limit: it falls on a wait without a match.
    """

    name: str
    unit: str
    limit: float
    measured: float | None
    at_least: bool = False

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
            "at_least": self.at_least,
            "met": self.met,
        }


def objectives(asked: Objectives, figures: Mapping[str, Any]) -> list[Objective]:
    """Return the scenario's objectives that a simulation can measure, beside the figures of a run.

    Nothing ticks in virtual time, so objectives about ticks are left out.
    """
    # A wait that the end of the run cut off might have become longer: within the limit it is not known.
    wait = figures["wait_s"]["p95"]
    if wait is not None and "p95" in figures["wait_cut_off"] and wait <= (asked.wait_p95_s or 0.0):
        wait = None
    rows = (
        ("wait p95", "s", asked.wait_p95_s, wait),
        ("gave up waiting", SHARE_UNIT, asked.abandoned_share, figures["abandoned_share"]),
        ("players lost", "", asked.players_lost, float(figures["lost"])),
        ("cost", "", asked.cost, figures["cost"]),
    )
    at_least = wait is not None and "p95" in figures["wait_at_least"]
    return [
        Objective(name, unit, float(limit), measured, at_least and name == "wait p95")
        for name, unit, limit, measured in rows
        if limit is not None
    ]

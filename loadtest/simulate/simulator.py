"""One run in virtual time: what it is given, its timetable, and what it returns.

``simulate`` lets time pass and stops only where the fleet's policy decides, an incident happens, or the
arrays are full.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.failures.outages import RETRY_S, cut_region, kill_servers
from loadtest.simulate.matching_cycle import RuleTable
from loadtest.simulate.planned_modes import PlannedMode
from loadtest.simulate.policy import Policy
from loadtest.simulate.room import grown, new_world
from loadtest.simulate.time_advance import (
    FULL,
    OVER,
    PLANNED,
    advance,
    spare_tickets,
    spare_wanted,
    take_sample,
)
from loadtest.simulate.warm_pool import (
    CLOSED,
    OPEN,
    PAUSED,
    count_server_seconds,
    fill,
    retarget,
)
from loadtest.simulate.world import (
    Counter,
    ModeTable,
    Parameters,
    SimulatedWorld,
    Tickets,
    session_of,
)

STREAMS = 5  # random streams of a run: start-ups, match lengths, deaths of servers, rests, whom a fault kills


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens to the fleet from outside.

    Attributes:
        at_s: when.
        effect: "kill": servers die whose matches are played; while there are too few, as soon as there are.
            "cut": players cannot reach the servers of a region for a while; "mend": they can again. "close":
            the region takes no match and starts no server. "pause": it takes no match. "open": it does both
            again. "note": no effect on waits or servers.
        region: a column of the round trips, or -1 for all.
        count: servers to kill.
        text: for the page; empty: no mark on the curves.
        for_s: how long a cut lasts.
    """

    at_s: float
    effect: Literal["kill", "cut", "mend", "close", "pause", "open", "note"]
    region: int
    count: int
    text: str
    for_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Setup:
    """Everything that a run needs. One run uses it up: it changes the arrivals of later matches.

    Attributes:
        regions: the fleet's regions, the columns of the round trips.
        mode_names: the modes.
        ready: int64[R], servers at the start.
        max_servers: int64[R], limit of each region.
        startup_s: float64[R], from the start of a server until it is ready.
        skill_sum, skill_squares: float64[T], sums over each ticket's players of the true skill and of its
            square.
        incidents: in order of time.
        until_s: when the run ends, even if somebody still plays.
        seed: of what is drawn during the run: start-ups, match lengths, deaths, rests.
        planned: the modes whose matches a plan forms, by their numbers.
    """

    tickets: Tickets
    modes: ModeTable
    parameters: Parameters
    rules: RuleTable
    policy: Policy
    regions: tuple[str, ...]
    mode_names: tuple[str, ...]
    ready: NDArray[np.int64]
    max_servers: NDArray[np.int64]
    startup_s: NDArray[np.float64]
    skill_sum: NDArray[np.float64]
    skill_squares: NDArray[np.float64]
    incidents: tuple[Incident, ...]
    until_s: float
    seed: int
    planned: Mapping[int, PlannedMode] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """A finished run.

    Attributes:
        setup: what it was given.
        world: its state at the end; the tickets of players who queued again are among its tickets.
        virtual_s: when it ended, in seconds of virtual time.
    """

    setup: Setup
    world: SimulatedWorld
    virtual_s: float

    @cached_property
    def skill_sums(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Two float64[T]: as ``skill_sum`` and ``skill_squares`` of the setup, of the tickets at the end.

        Of one player of a party nothing else is known than the mean of all.
        """
        setup, world = self.setup, self.world
        if not world.counters[Counter.REQUEUED]:
            return setup.skill_sum, setup.skill_squares
        first, size = session_of(world), world.tickets.size
        first = np.where(first < len(setup.skill_sum), first, 0)  # a spare one that is not in use
        share = size / np.maximum(size[first], 1)
        return setup.skill_sum[first] * share, setup.skill_squares[first] * share


def simulate(setup: Setup) -> Run:
    """Run from the start until nobody waits, plays or will return, or to ``setup.until_s``.

    The same setup gives the same run, bit for bit.
    """
    parameters, policy = setup.parameters, setup.policy
    world = new_world(
        setup.tickets,
        setup.modes,
        parameters,
        ready=setup.ready,
        target=setup.ready,
        max_servers=setup.max_servers,
        startup_s=setup.startup_s,
        streams=np.random.SeedSequence(setup.seed).generate_state(STREAMS, np.uint64).astype(np.uint64),
    )
    incidents = list(setup.incidents)
    now_s, decides_s = 0.0, 0.0
    stopped = FULL
    while stopped != OVER and now_s < setup.until_s:
        if now_s >= decides_s:
            policy.decide(world, parameters, now_s)
            retarget(world, parameters, now_s)
            decides_s = now_s + policy.sync_s
        while incidents and incidents[0].at_s <= now_s:
            incident = incidents.pop(0)
            world = _with_room(world, incident)
            if (later := _apply_incident(world, setup, incident, now_s)) is not None:
                insort(incidents, later, key=lambda each: each.at_s)
        next_s = min([decides_s, setup.until_s, *(each.at_s for each in incidents[:1])])
        while (stopped := advance(world, parameters, setup.rules, next_s)) in (FULL, PLANNED):
            if stopped == FULL:
                world = grown(world, int(spare_wanted(world)))
            else:
                mode = int(world.counters[Counter.PLANNED]) - 1
                at_s = float(world.counters[Counter.CYCLE]) * parameters.period_s
                setup.planned[mode].cycle(world, parameters, at_s)
        now_s = next_s
    if stopped != OVER:
        count_server_seconds(world, now_s)
        take_sample(world, parameters, now_s)
    return Run(setup, world, float(world.samples.at_s[world.counters[Counter.SAMPLES] - 1]))


def _with_room(world: SimulatedWorld, incident: Incident) -> SimulatedWorld:
    """A world with as many spare tickets as there are players who may lose their match in an incident."""
    if incident.effect not in ("kill", "cut"):
        return world
    losers = int(world.counters[Counter.PLAYING])
    if incident.effect == "kill":
        losers = min(losers, incident.count * int(world.modes.players.max()))
    return world if spare_tickets(world) >= losers else grown(world, losers)


def _apply_incident(world: SimulatedWorld, setup: Setup, incident: Incident, now_s: float) -> Incident | None:
    """Let an incident happen; return what of it is left to do, and when."""
    if incident.effect == "kill":
        killed = kill_servers(world, setup.parameters, incident.region, incident.count, now_s)
        left = incident.count - killed
        return replace(incident, at_s=now_s + RETRY_S, count=left, text="") if left else None
    if incident.effect == "cut":
        cut_region(world, setup.parameters, incident.region, incident.for_s, now_s)
        return None
    state = {"close": CLOSED, "pause": PAUSED, "open": OPEN}.get(incident.effect)
    if state is not None:
        where = slice(None) if incident.region < 0 else incident.region
        world.fleet.closed[where] = state
        count_server_seconds(world, now_s)
        fill(world, setup.parameters, now_s)
    return None

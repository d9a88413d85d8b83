"""One run in virtual time: what it is given, its timetable, and what it returns.

``simulate`` lets time pass and stops only where the fleet's policy decides or an incident happens.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.matching_cycle import RuleTable
from loadtest.simulate.policy import Policy
from loadtest.simulate.time_advance import advance, take_sample
from loadtest.simulate.warm_pool import (
    CLOSED,
    OPEN,
    PAUSED,
    count_server_seconds,
    fill,
    kill_servers,
    retarget,
)
from loadtest.simulate.world import Counter, ModeTable, Parameters, SimulatedWorld, Tickets, new_world

STREAMS = 4  # random streams of a run: start-ups, match lengths, deaths of servers, rests


@dataclass(frozen=True, slots=True)
class Incident:
    """Something that happens to the fleet from outside.

    Attributes:
        at_s: when.
        effect: "kill": allocated servers die. "close": the region takes no match and starts no server.
            "pause": it takes no match. "open": it does both again. "note": no effect on waits or servers.
        region: a column of the round trips, or -1 for all.
        count: servers to kill.
        text: for the page; empty: no mark on the curves.
    """

    at_s: float
    effect: Literal["kill", "close", "pause", "open", "note"]
    region: int
    count: int
    text: str


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


@dataclass(frozen=True, slots=True)
class Run:
    """A finished run: its setup, its state at the end, and when it ended, in seconds of virtual time."""

    setup: Setup
    world: SimulatedWorld
    virtual_s: float


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
    over = False
    while not over and now_s < setup.until_s:
        if now_s >= decides_s:
            policy.decide(world, parameters, now_s)
            retarget(world, parameters, now_s)
            decides_s = now_s + policy.sync_s
        while incidents and incidents[0].at_s <= now_s:
            _apply_incident(world, setup, incidents.pop(0), now_s)
        next_s = min([decides_s, setup.until_s, *(each.at_s for each in incidents[:1])])
        over = advance(world, parameters, setup.rules, next_s)
        now_s = next_s
    if not over:
        count_server_seconds(world, now_s)
        take_sample(world, parameters, now_s)
    return Run(setup, world, float(world.samples.at_s[world.counters[Counter.SAMPLES] - 1]))


def _apply_incident(world: SimulatedWorld, setup: Setup, incident: Incident, now_s: float) -> None:
    if incident.effect == "kill":
        kill_servers(world, setup.parameters, incident.region, incident.count, now_s)
        return
    state = {"close": CLOSED, "pause": PAUSED, "open": OPEN}.get(incident.effect)
    if state is not None:
        where = slice(None) if incident.region < 0 else incident.region
        world.fleet.closed[where] = state
        count_server_seconds(world, now_s)
        fill(world, setup.parameters, now_s)

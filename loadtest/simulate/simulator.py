"""One run in virtual time. This file is its timetable: let time pass, and stop only where somebody has to decide or something breaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadtest.simulate.samples import take_sample
from loadtest.simulate.setup import Incident, Setup
from loadtest.simulate.time_advance import advance
from loadtest.simulate.warm_pool import (
    CLOSED,
    OPEN,
    PAUSED,
    count_server_seconds,
    fill,
    kill_servers,
    retarget,
)
from loadtest.simulate.world import Counter, SimulatedWorld, new_world

STREAMS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over: how it was set up, what became of everything, and when it ended (seconds of virtual time)."""

    setup: Setup
    world: SimulatedWorld
    virtual_s: float


def simulate(setup: Setup) -> Run:
    """Run from the first arrival until the last player is home, or to ``setup.until_s``."""
    terms, policy = setup.parameters, setup.policy
    world = new_world(
        setup.tickets,
        setup.modes,
        terms,
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
            policy.decide(world, terms, now_s)
            retarget(world, terms, now_s)
            decides_s = now_s + policy.sync_s
        while incidents and incidents[0].at_s <= now_s:
            _apply_incident(world, setup, incidents.pop(0), now_s)
        next_s = min([decides_s, setup.until_s, *(each.at_s for each in incidents[:1])])
        over = advance(world, terms, setup.rules, next_s)
        now_s = next_s
    if not over:
        count_server_seconds(world, now_s)
        take_sample(world, terms, now_s)
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

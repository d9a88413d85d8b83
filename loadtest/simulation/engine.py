"""One run in virtual time. This file is its timetable: let time pass, and stop only where somebody has to decide or something breaks."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from loadtest.simulation.clock import advance
from loadtest.simulation.samples import take_sample
from loadtest.simulation.setup import Incident, Setup
from loadtest.simulation.warm_pool import (
    CLOSED,
    OPEN,
    PAUSED,
    count_server_seconds,
    fill,
    kill_servers,
    retarget,
)
from loadtest.simulation.world import At, World, new_world

STREAMS = 4


@dataclass(frozen=True, slots=True)
class Run:
    """A run that is over: how it was set up, what became of everything, and when it ended (seconds of virtual time)."""

    setup: Setup
    world: World
    virtual_s: float


def simulate(setup: Setup) -> Run:
    """Run from the first arrival until the last player is home, or to ``setup.until_s``."""
    terms, policy = setup.terms, setup.policy
    world = new_world(
        setup.crowd,
        setup.modes,
        terms,
        ready=setup.ready,
        target=setup.ready,
        most=setup.most,
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
            _befall(world, setup, incidents.pop(0), now_s)
        next_s = min([decides_s, setup.until_s, *(each.at_s for each in incidents[:1])])
        over = advance(world, terms, setup.rules, next_s)
        now_s = next_s
    if not over:
        count_server_seconds(world, now_s)
        take_sample(world, terms, now_s)
    return Run(setup, world, float(world.samples.at_s[world.now[At.SAMPLES] - 1]))


def _befall(world: World, setup: Setup, incident: Incident, now_s: float) -> None:
    if incident.does == "kill":
        kill_servers(world, setup.terms, incident.region, incident.count, now_s)
        return
    state = {"close": CLOSED, "pause": PAUSED, "open": OPEN}.get(incident.does)
    if state is not None:
        where = slice(None) if incident.region < 0 else incident.region
        world.fleet.closed[where] = state
        count_server_seconds(world, now_s)
        fill(world, setup.terms, now_s)

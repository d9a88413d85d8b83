"""Small worlds of which theory knows the answer: one region, players who come alone, memoryless where theory wants it."""

from __future__ import annotations

import math

import numpy as np

from loadtest.simulate.durations import CONSTANT, EXPONENTIAL
from loadtest.simulate.kernel_rules import rule_table
from loadtest.simulate.policy import FixedBuffer, Policy
from loadtest.simulate.setup import Setup
from loadtest.simulate.world import ModeTable, Parameters, Tickets
from matchmaker.rules.rules import Rules

FOREVER_S = 1e12


def queueing_model(
    *,
    arrivals: int,
    per_s: float,
    seed: int,
    players: int = 1,
    fill_s: float = FOREVER_S,
    patience_s: float = FOREVER_S,
    servers: int = 1_000_000,
    policy: Policy | None = None,
    startup_s: float = 0.0,
    startup_shape: int = CONSTANT,
    match_s: float = 100.0,
    match_shape: int = EXPONENTIAL,
    period_s: float = 0.25,
    sample_s: float = 60.0,
) -> Setup:
    """A run of one region whose players come by a Poisson process of ``per_s`` and fill matches of ``players``.

    Args:
        servers: at most; they are ready at the start, and without a ``policy`` as many are kept.
        period_s: between two matching cycles; waits end on one, half of it late on average.
    """
    rng = np.random.default_rng([seed, 1])
    skill = rng.normal(16.35, 7.2, arrivals).astype(np.float32)
    rules = Rules("laboratory", players, players, fill_s, 250.0, match_s)
    policy = policy or FixedBuffer(servers)
    return Setup(
        tickets=Tickets(
            arrives_s=np.cumsum(rng.exponential(1.0 / per_s, arrivals)),
            patience_s=np.full(arrivals, patience_s, np.float32),
            skill=skill,
            size=np.ones(arrivals, np.int32),
            mode=np.zeros(arrivals, np.int8),
            group=np.zeros(arrivals, np.int32),
            platform=np.full(arrivals, -1, np.int32),
            location=np.zeros(arrivals, np.int16),
            access_ms=np.zeros(arrivals, np.float32),
            next_ticket=np.full(arrivals, -1, np.int32),
            rtt_ms=np.full((1, 1), 10.0, np.float32),
            home=np.zeros(1, np.int16),
            independent_count=np.array([arrivals]),
        ),
        modes=ModeTable(
            players=np.array([players]),
            min_players=np.array([players]),
            max_latency_ms=np.array([250.0]),
            match_s=np.array([match_s]),
            spread=np.array([0.0]),
            shape=np.array([match_shape]),
        ),
        parameters=Parameters(
            groups=1,
            period_s=period_s,
            retry_s=0.0,
            window=100_000,
            join_s=0.0,
            linger_s=0.0,
            startup_spread=0.0,
            startup_shape=startup_shape,
            think_s=0.0,
            crash_per_s=0.0,
            max_servers=servers,
            max_starting=servers,
            sample_s=sample_s,
            give_up_at_s=math.inf,
        ),
        rules=rule_table([rules]),
        policy=policy,
        regions=("here",),
        mode_names=("laboratory",),
        ready=np.array([servers]),
        max_servers=np.array([servers]),
        startup_s=np.array([startup_s]),
        skill_sum=skill.astype(np.float64),
        skill_squares=skill.astype(np.float64) ** 2,
        incidents=(),
        until_s=math.inf,
        seed=seed,
    )

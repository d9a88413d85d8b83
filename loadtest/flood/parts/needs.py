"""What a flood will need of the machine that generates it, estimated from its scenario before it starts.

Measured on one core of 2026: 200 players at once, who play our own game over UDP, took 0.12 to 0.16 cores and
1,000 took 0.46, at 60 frames a second and player; their login, ticket and match took about 4 ms of processor
time a player. A target that speaks HTTP alone takes as much as its requests do (``launchday bench
http-target``: 3,000 a second and core at least).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from launchday import startup
from loadtest.flood import capacity
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.population import Population, draw_population

IDLE_CORES = 0.05
CORES_A_PLAYER = 0.0004  # who plays our own game
CORE_S_AN_ARRIVAL = 0.004
REQUESTS_A_CORE = 3_000.0
REQUESTS_AN_ARRIVAL = 6.0  # to a target: log in, queue, connect, leave, and two while waiting
POLLS_S = 1.0  # of each player who is there, at most
MB, MB_A_PLAYER, MB_AT_ONCE = 250.0, 0.01, 0.1
MAX_CORES = 0.8  # of one generator, whose players and sockets share a thread each
GOOD_CORES = 0.6  # that a part is suggested to have
WAIT_S = 10.0  # expected, where no objective says otherwise


@dataclass(frozen=True, slots=True)
class Needs:
    """What a generator needs, about.

    Attributes:
        players: in all.
        at_once: players who are there at the same time, at the most.
        arrivals_s: players who arrive in the busiest second.
        cores: of the processor, in the busiest second.
        megabytes: of memory.
        descriptors: sockets and files that are open at the same time.
    """

    players: int
    at_once: int
    arrivals_s: int
    cores: float
    megabytes: float
    descriptors: int

    @property
    def sentence(self) -> str:
        """The needs in one line."""
        return (
            f"this generator needs about {self.cores:.2g} cores, {self.megabytes:,.0f} MB and "
            f"{self.descriptors:,} descriptors: {self.at_once:,} of {self.players:,} players at once, "
            f"{self.arrivals_s:,} in the busiest second"
        )

    def too_much(self) -> str | None:
        """Why one generator is too few, and how many parts would do; None where one is enough."""
        parts = [
            *([math.ceil(self.cores / GOOD_CORES)] if self.cores > MAX_CORES else []),
            *([math.ceil(self.at_once / fit)] if self.at_once > (fit := max(1, _players_that_fit())) else []),
        ]
        if not parts:
            return None
        return (
            f"that is more than one generator can be: its figures will be the generator's own. Flood in "
            f"{max(parts)} parts from as many machines: --part 1/{max(parts)} and so on, with --running or "
            "--target"
        )


def needs_of(scenario: Scenario, part: Part | None = None, *, http_alone: bool = False) -> Needs:
    """Estimate what a flood needs.

    Args:
        scenario: that is to be flooded.
        part: which part of it; None: all of it.
        http_alone: whether the target speaks HTTP alone, so that nobody computes bots or sends datagrams.
    """
    whole = draw_population(scenario)
    population = whole if part is None else part.players(whole)
    at_once, arrivals_s = _at_once(scenario, population), _busiest_second(population)
    if http_alone:
        requests_s = arrivals_s * REQUESTS_AN_ARRIVAL + at_once * POLLS_S
        cores = IDLE_CORES + requests_s / REQUESTS_A_CORE
    else:
        cores = IDLE_CORES + at_once * CORES_A_PLAYER + arrivals_s * CORE_S_AN_ARRIVAL
    return Needs(
        players=len(population),
        at_once=at_once,
        arrivals_s=arrivals_s,
        cores=cores,
        megabytes=MB + MB_A_PLAYER * len(population) + MB_AT_ONCE * at_once,
        descriptors=capacity.descriptors_needed(at_once),
    )


def _players_that_fit() -> int:
    return min(capacity.players_that_fit(startup.descriptors().soft), capacity.players_by_ports())


def _at_once(scenario: Scenario, population: Population) -> int:
    """Players who are there at once, if each waits as long as an objective allows, and plays to the end."""
    behaviours, objective_s = scenario.behaviours, scenario.objectives.wait_p95_s
    wait_s = min(behaviours.patience_s, WAIT_S if objective_s is None else objective_s)
    match_s = np.array([scenario.modes[name].duration_s for name in population.modes])
    sessions_s = behaviours.matches * (wait_s + match_s) + (behaviours.matches - 1.0) * behaviours.think_s
    arrives_s = population.arrives_s
    leaves_s = np.sort(arrives_s + sessions_s[population.mode])
    here = np.arange(1, len(arrives_s) + 1) - np.searchsorted(leaves_s, np.sort(arrives_s), side="right")
    return int(here.max(initial=0))


def _busiest_second(population: Population) -> int:
    arrives_s = np.sort(population.arrives_s)
    within = np.searchsorted(arrives_s, arrives_s + 1.0, side="right") - np.arange(len(arrives_s))
    return int(within.max(initial=0))

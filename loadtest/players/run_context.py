"""What all players of one run share, and the random draws of their journeys."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from loadtest.players.drops import ConnectionDrops
from loadtest.players.parties import BotParties
from loadtest.players.player_links import PlayerLinks
from loadtest.players.player_records import PlayerRecords
from loadtest.players.requests import RequestLog
from loadtest.scenario.behaviour_profiles import BehaviourProfile
from loadtest.scenario.model import Scenario
from loadtest.scenario.players import ModeSection
from loadtest.scenario.population import Population
from loadtest.target import Player, Target

OVERTIME_S = 60.0  # a match that is still not over this long after its time has hung


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all players of a run have in common.

    Attributes:
        target: the backend that they play on.
        links: how far the players are from each region.
        clock: seconds since the start of the run.
        device_id: the device id of a bot by its number.
        parties: who queues together.
        rng: source of every random draw of the journeys.
        requests: what was asked over HTTP, and how long the answers took.
        ended_matches: ids of the matches that are over, as a player or a game server said.
        drops: of all connections at once.
        connects_by_request: whether connecting and leaving are requests, measured and repeated as the others.
            They are on a target; our own game servers speak UDP.
    """

    scenario: Scenario
    population: Population
    records: PlayerRecords
    target: Target
    links: PlayerLinks
    clock: Callable[[], float]
    device_id: Callable[[int], str]
    parties: BotParties
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    requests: RequestLog = field(default_factory=RequestLog)
    ended_matches: set[str] = field(default_factory=set)
    drops: ConnectionDrops = field(default_factory=ConnectionDrops)
    connects_by_request: bool = False

    def uniform(self) -> float:
        """The next random number in [0, 1)."""
        return float(self.rng.random())

    def exponential_s(self, mean_s: float) -> float:
        """An exponentially distributed time in seconds; infinite where the mean is 0."""
        return float(self.rng.exponential(mean_s)) if mean_s > 0 else math.inf

    def mode_of(self, bot: int) -> str:
        """The name of the mode that a player plays."""
        modes: tuple[str, ...] = self.population.modes
        return modes[int(self.population.mode[bot])]

    def mode_section_of(self, bot: int) -> ModeSection:
        """What the scenario says about the mode that a player plays."""
        return self.scenario.modes[self.mode_of(bot)]

    def max_match_s(self, bot: int) -> float:
        """Seconds after which the match of a player has hung."""
        return self.mode_section_of(bot).duration_s + OVERTIME_S

    def behaviour_of(self, bot: int) -> BehaviourProfile:
        """The kind of player that a bot is."""
        return self.scenario.behaviours.profile(self.population.behaviours[self.population.behaviour[bot]])

    def player(self, bot: int) -> Player:
        """A player as the target gets to know them."""
        population = self.population
        return Player(
            number=bot,
            device_id=self.device_id(bot),
            mode=self.mode_of(bot),
            location=population.locations[population.location[bot]],
            latencies_ms=self.links.latencies_of(bot),
            skill=float(population.skill[bot]),
            platform=population.platforms[population.platform[bot]],
            cross_play=bool(population.cross_play[bot]),
            behaviour=population.behaviours[population.behaviour[bot]],
        )

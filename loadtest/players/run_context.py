"""What all players of one run share, and the random draws of their journeys."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from loadtest.bots.session import PlayerLink, SessionStatistics, SessionStatus
from loadtest.players.backend_client import BackendClient
from loadtest.players.parties import BotParties
from loadtest.players.player_records import PlayerRecords
from loadtest.players.requests import RequestLog
from loadtest.scenario.behaviour_profiles import BehaviourProfile
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.model import Scenario
from loadtest.scenario.players import ModeSection
from loadtest.scenario.population import Population


class FastLane(Protocol):
    """What a journey needs of the UDP side of the bots."""

    async def join(self, bot: int, connect_token: bytes, link: PlayerLink) -> SessionStatus:
        """Start the handshake with a game server.

        Raises:
            ConnectTokenError: the token is none.
            OSError: no socket can be opened.
            SwarmError: the bots' thread has ended.
        """
        ...

    async def leave(self, bot: int, *, silently: bool = False) -> SessionStatistics:
        """Say good-bye, or vanish without one. Raises SwarmError."""
        ...


@dataclass(frozen=True, slots=True)
class RunContext:
    """What all players of a run have in common.

    Attributes:
        latencies_ms: for each of the population's locations: region → round trip in ms, without the own link.
        clock: seconds since the start of the run.
        device_id: the device id of a bot by its number.
        parties: who queues together.
        rng: source of every random draw of the journeys.
        requests: what was asked over HTTP, and how long the answers took.
        ended_matches: ids of the matches that are over, as a player or a game server said.
    """

    scenario: Scenario
    population: Population
    records: PlayerRecords
    backend: BackendClient
    swarm: FastLane
    latencies_ms: list[dict[str, float]]
    clock: Callable[[], float]
    device_id: Callable[[int], str]
    parties: BotParties
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    requests: RequestLog = field(default_factory=RequestLog)
    ended_matches: set[str] = field(default_factory=set)

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

    def link_profile_of(self, bot: int) -> LinkProfile:
        """The kind of link that a player has."""
        return self.scenario.links.profile(self.population.link_kinds[self.population.link_kind[bot]])

    def behaviour_of(self, bot: int) -> BehaviourProfile:
        """The kind of player that a bot is."""
        return self.scenario.behaviours.profile(self.population.behaviours[self.population.behaviour[bot]])

    def latencies_of(self, bot: int) -> dict[str, float]:
        """Region → round trip in ms that a player's client measures, its own link included."""
        own_ms = self.link_profile_of(bot).latency_ms
        return {
            region: rtt_ms + own_ms
            for region, rtt_ms in self.latencies_ms[self.population.location[bot]].items()
        }

    def link_to(self, bot: int, region: str) -> PlayerLink:
        """The link between a player and the game servers of a region."""
        latencies_ms = self.latencies_of(bot)
        rtt_ms = latencies_ms.get(region, max(latencies_ms.values()))
        return PlayerLink(rtt_ms=rtt_ms, profile=self.link_profile_of(bot), region=region)

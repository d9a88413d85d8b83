"""The links between the players of a run and the fleet's regions."""

from __future__ import annotations

from dataclasses import dataclass

from loadtest.bots.session import PlayerLink
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import Population


@dataclass(frozen=True, slots=True)
class PlayerLinks:
    """How far each player is from each region.

    Attributes:
        latencies_ms: for each of the population's locations: region → round trip in ms, without the own link.
    """

    scenario: Scenario
    population: Population
    latencies_ms: list[dict[str, float]]

    def profile_of(self, bot: int) -> LinkProfile:
        """The kind of link that a player has."""
        return self.scenario.links.profile(self.population.link_kinds[self.population.link_kind[bot]])

    def latencies_of(self, bot: int) -> dict[str, float]:
        """Region → round trip in ms that a player's client measures, its own link included."""
        own_ms = self.profile_of(bot).latency_ms
        return {
            region: rtt_ms + own_ms
            for region, rtt_ms in self.latencies_ms[self.population.location[bot]].items()
        }

    def link_to(self, bot: int, region: str) -> PlayerLink:
        """The link between a player and the game servers of a region."""
        latencies_ms = self.latencies_of(bot)
        rtt_ms = latencies_ms.get(region, max(latencies_ms.values()))
        return PlayerLink(rtt_ms=rtt_ms, profile=self.profile_of(bot), region=region)

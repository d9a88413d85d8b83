"""The players of a scenario, drawn before anything starts: when each arrives, where each lives, how good each is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.scenario import Arrivals, Scenario

# Ratings are cut off here: OpenSkill's scale has no use for one of −20.
SKILL_LIMITS = (0.0, 60.0)


@dataclass(frozen=True, slots=True)
class Population:
    """All players of a run, a structure of arrays, in order of arrival.

    Attributes:
        arrives_s: float64[n], seconds after the start at which the player means to press Play.
        location: int64[n], index into ``locations``.
        skill: float64[n], true skill on OpenSkill's scale.
        locations: the scenario's locations.
        behaviour_seed: uint64[n], seeds of the bots' own random streams.
        link_seed: uint64[n, 2], seeds of their links' random streams, towards the server and back.
    """

    arrives_s: npt.NDArray[np.float64]
    location: npt.NDArray[np.int64]
    skill: npt.NDArray[np.float64]
    locations: tuple[str, ...]
    behaviour_seed: npt.NDArray[np.uint64]
    link_seed: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.arrives_s)


def draw(scenario: Scenario) -> Population:
    """Draw the players of a scenario. The same scenario gives the same players.

    Each property has its own random stream, so that a change of one curve leaves the others as they were.
    """
    count = scenario.players.count
    arrivals, places, skills, behaviours, links = (
        np.random.default_rng(child) for child in np.random.SeedSequence(scenario.seed).spawn(5)
    )
    shares = scenario.players.locations
    location = np.repeat(np.arange(len(shares)), exact_shares(count, list(shares.values())))
    skill = scenario.players.skill
    return Population(
        arrives_s=arrival_times_s(scenario.arrivals, count, arrivals),
        location=places.permutation(location),
        skill=np.clip(skills.normal(skill.mean, skill.deviation, count), *SKILL_LIMITS),
        locations=tuple(shares),
        behaviour_seed=behaviours.integers(1, 2**64, count, dtype=np.uint64),
        link_seed=links.integers(1, 2**64, (count, 2), dtype=np.uint64),
    )


def exact_shares(count: int, shares: Sequence[float]) -> list[int]:
    """Split ``count`` by ``shares`` so that the parts sum to it and none is off by one or more (largest remainders)."""
    quotas = [count * share for share in shares]
    parts = [math.floor(quota + 1e-9) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda index: parts[index] - quotas[index])
    for index in by_remainder[: count - sum(parts)]:
        parts[index] += 1
    return parts


def arrival_times_s(arrivals: Arrivals, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Seconds after the start at which ``count`` independent players arrive, in order.

    A Poisson process that is known to have brought ``count`` players by its end has placed them independently, by its rate.
    """
    uniform = np.sort(rng.random(count))
    match arrivals.curve:
        case "constant":
            return arrivals.over_s * uniform
        case "ramp":
            return arrivals.over_s * np.sqrt(
                uniform
            )  # the inverse of the share arrived by then, (t / over_s)²

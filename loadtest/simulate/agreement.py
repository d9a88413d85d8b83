"""The simulator against reality: one scenario flooded over real sockets and simulated, with the same players
in both.

Both draw the same population, so only the backend differs: compared are waits, servers in use over time, and
the quality of the matches. In a flood every player is new, so the simulated matchmaker does not know the
players' skill either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launchday.percentiles import percentiles
from loadtest.players.player_records import PlayerRecords
from loadtest.scenario.arrivals import rescaled
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import Population, draw_population
from loadtest.scenario.regions import regions
from loadtest.simulate.plan import LINGER_S, PLACE_S, plan
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.simulator import simulate
from loadtest.simulate.world import Counter

TOLERANCE = 0.15  # share of the real figure
STEP_S = 1.0  # of the curve of servers in use
SMOOTHING_S = (
    15  # the curve is averaged over it before it is compared: a single player decides when a match begins
)

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class RunFigures:
    """What players and servers of one run did, the flood or the simulation.

    Attributes:
        wait_s: float64, of each matched player.
        in_use: float64, servers with a match, every ``STEP_S`` from the start.
        skill_spread: float64[M], standard deviation of the true skill in each match.
        latency_ms: float64, of each matched player to the server.
        matches: M.
    """

    wait_s: Floats
    in_use: Floats
    skill_spread: Floats
    latency_ms: Floats
    matches: int

    def figures(self) -> dict[str, Any]:
        """Return the figures that are compared."""
        return {
            "wait_s": percentiles(self.wait_s, 50, 95),
            "servers_in_use": {
                "mean": round(float(self.in_use.mean()), 3),
                "max": round(float(smoothed(self.in_use).max()), 3),
            },
            "skill_spread": percentiles(self.skill_spread, 50),
            "latency_ms": percentiles(self.latency_ms, 50, 95),
            "players_per_match": round(len(self.wait_s) / max(1, self.matches), 2),
            "matches": self.matches,
        }


@dataclass(frozen=True, slots=True)
class Comparison:
    """A flood and a simulation of one scenario."""

    scenario: Scenario
    real: RunFigures
    simulated: RunFigures

    def differences(self) -> dict[str, float]:
        """Return how far each simulated figure is from the real one, as a share of the real one."""
        real, other = self.real.figures(), self.simulated.figures()
        found = {
            f"{group}_{name}": _share(other[group][name], real[group][name])
            for group, names in (
                ("wait_s", ("p50", "p95")),
                ("servers_in_use", ("mean", "max")),
                ("skill_spread", ("p50",)),
                ("latency_ms", ("p50", "p95")),
            )
            for name in names
        }
        found["players_per_match"] = _share(other["players_per_match"], real["players_per_match"])
        found["servers_over_time"] = curve_difference(self.real.in_use, self.simulated.in_use)
        return found

    @property
    def agrees(self) -> bool:
        """Whether every difference is within TOLERANCE."""
        return all(abs(share) <= TOLERANCE for share in self.differences().values())

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as JSON."""
        return {
            "scenario": self.scenario.name,
            "players": self.scenario.players.count,
            "seed": self.scenario.seed,
            "real": self.real.figures(),
            "simulated": self.simulated.figures(),
            "differences": self.differences(),
            "within": TOLERANCE,
            "agrees": self.agrees,
        }


def shortened(scenario: Scenario, over_s: float) -> Scenario:
    """Return the scenario with its arrivals in ``over_s`` seconds, and as many players a second as before."""
    factor = over_s / scenario.arrivals_s
    return scenario.model_copy(
        update={
            "players": scenario.players.model_copy(
                update={"count": max(2, round(scenario.players.count * factor))}
            ),
            "arrivals": rescaled(scenario.arrivals, factor),
        }
    )


def simulated_figures(scenario: Scenario) -> RunFigures:
    """Simulate the scenario."""
    run = simulate(plan(scenario, rated=False))
    result = SimulationResult(run, scenario.fleet.price_per_server_hour)
    count = int(run.world.counters[Counter.MATCHES])
    matches = run.world.matches
    return RunFigures(
        wait_s=result.wait_s,
        in_use=in_use(matches.formed_s[:count] + PLACE_S, matches.ends_s[:count] - LINGER_S),
        skill_spread=result.skill_spread,
        latency_ms=result.latency_ms.astype(np.float64),
        matches=count,
    )


def real_figures(scenario: Scenario, records: PlayerRecords) -> RunFigures:
    """Return the figures of a flood from the records of its players."""
    population = draw_population(scenario)
    numbers: dict[str, int] = {}
    match = np.array(
        [numbers.setdefault(name, len(numbers)) if name else -1 for name in records.match_id], np.int64
    )
    played = np.flatnonzero(match >= 0)
    begins, ends = np.full(len(numbers), np.inf), np.zeros(len(numbers))
    np.minimum.at(begins, match[played], records.assigned_s[played])
    np.maximum.at(ends, match[played], records.ended_s[played])
    return RunFigures(
        wait_s=records.wait_times_s(),
        in_use=in_use(begins, ends),
        skill_spread=np.array(
            [population.skill[played[match[played] == number]].std() for number in range(len(numbers))]
        ),
        latency_ms=_latencies(scenario, population, records, played),
        matches=len(numbers),
    )


def in_use(begins_s: Floats, ends_s: Floats) -> Floats:
    """Count how many spans overlap at each ``STEP_S`` from 0 to the end of the last.

    Args:
        begins_s, ends_s: float64[M], seconds; each sorted or not.
    """
    if not len(begins_s):
        return np.zeros(1)
    at_s = np.arange(0.0, float(ends_s.max()) + STEP_S, STEP_S)
    begun = np.searchsorted(np.sort(begins_s), at_s, side="right")
    ended = np.searchsorted(np.sort(ends_s), at_s, side="right")
    return (begun - ended).astype(np.float64)


def smoothed(curve: Floats) -> Floats:
    """The curve averaged over ``SMOOTH_S``."""
    width = min(SMOOTHING_S, len(curve))
    return np.convolve(curve, np.full(width, 1.0 / width), mode="same")


def curve_difference(real: Floats, other: Floats) -> float:
    """Return the area between two smoothed curves, as a share of the area under the real one."""
    length = max(len(real), len(other))
    padded = [smoothed(np.pad(curve, (0, length - len(curve)))) for curve in (real, other)]
    area = float(padded[0].sum())
    return round(float(np.abs(padded[0] - padded[1]).sum()) / area, 4) if area else float(other.any())


def _latencies(
    scenario: Scenario, population: Population, records: PlayerRecords, played: NDArray[np.int64]
) -> Floats:
    """Return the round trips in milliseconds of those who played, from the table that clients report."""
    profiles = [scenario.links.profile(name) for name in population.link_kinds]
    access_ms = np.array([each.latency_ms for each in profiles])
    found = np.empty(len(played))
    for index, player in enumerate(played):
        location = population.locations[population.location[player]]
        rtt_ms = regions().rtt_between_ms(location, records.region[player])
        found[index] = (np.nan if rtt_ms is None else rtt_ms) + access_ms[population.link_kind[player]]
    return found


def _share(other: float | None, real: float | None) -> float:
    if not real or other is None:
        return 0.0 if real == other else 1.0
    return round(other / real - 1.0, 4)

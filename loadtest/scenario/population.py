"""The players of a scenario, drawn before a run: when each arrives, where each lives, how good each is, and
more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from loadtest.errors import UnknownRegionError
from loadtest.scenario.arrivals import (
    Constant,
    Curve,
    Daily,
    LaunchSpike,
    Ramp,
    Recorded,
    read_trace,
)
from loadtest.scenario.model import Scenario
from loadtest.scenario.regions import regions

# Ratings are cut off here: OpenSkill's scale has no use for one of −20.
SKILL_LIMITS = (0.0, 60.0)
CURVE_POINTS = 4_096  # of a curve without an inverse in closed form: resolves a launch of an hour to a second
CURVE_POINTS_A_DAY = 1_440


@dataclass(frozen=True, slots=True)
class Population:
    """All players of a run: a structure of arrays in the order of arrival; members of a party are neighbours.

    Attributes:
        arrives_s: float64[n], seconds after the start at which the player means to queue.
        location: int64[n], index into ``locations``.
        skill: float64[n], true skill on OpenSkill's scale.
        party: int64[n], the number of the player's party, from 0 in order of arrival.
        mode, link_kind, behaviour, platform: int8[n], index into ``modes``, ``link_kinds``, ``behaviours``,
            ``platforms``.
        cross_play: bool[n], whether the player meets other platforms.
        locations, modes, link_kinds, behaviours, platforms: the scenario's names.
        behaviour_seed: uint64[n], seeds of the bots' own random streams.
        link_seed: uint64[n, 2], seeds of their links' random streams, towards the server and back.
    """

    arrives_s: npt.NDArray[np.float64]
    location: npt.NDArray[np.int64]
    skill: npt.NDArray[np.float64]
    party: npt.NDArray[np.int64]
    mode: npt.NDArray[np.int8]
    link_kind: npt.NDArray[np.int8]
    behaviour: npt.NDArray[np.int8]
    platform: npt.NDArray[np.int8]
    cross_play: npt.NDArray[np.bool_]
    locations: tuple[str, ...]
    modes: tuple[str, ...]
    link_kinds: tuple[str, ...]
    behaviours: tuple[str, ...]
    platforms: tuple[str, ...]
    behaviour_seed: npt.NDArray[np.uint64]
    link_seed: npt.NDArray[np.uint64]

    def __len__(self) -> int:
        return len(self.arrives_s)


def draw_population(scenario: Scenario) -> Population:
    """Draw the players of a scenario. The same scenario gives the same players.

    Each property has its own random stream, so that a change of one curve leaves the others as they were.
    Where a party lives, when it arrives, what it plays, on which platform and with whom is drawn once for all
    its members.
    """
    count = scenario.players.count
    streams = [np.random.default_rng(child) for child in np.random.SeedSequence(scenario.seed).spawn(11)]
    arrivals, places, skills, seeds, links, parties, modes, lines, behaviours, platforms, meets = streams
    sizes = party_sizes(count, scenario.players.parties, parties)
    shares = scenario.players.locations
    where = _dealt(len(sizes), list(shares.values()), places)
    where, arrives_s = _arrivals(scenario, where, arrivals)
    mean, deviation = scenario.players.skill.parameters
    cross_play = scenario.players.cross_play
    mode_shares = {name: mode.share for name, mode in scenario.modes.items()}
    return Population(
        arrives_s=np.repeat(arrives_s, sizes),
        location=np.repeat(where, sizes),
        skill=np.clip(skills.normal(mean, deviation, count), *SKILL_LIMITS),
        party=np.repeat(np.arange(len(sizes)), sizes),
        mode=np.repeat(_dealt(len(sizes), list(mode_shares.values()), modes).astype(np.int8), sizes),
        link_kind=_dealt(count, list(scenario.links.shares.values()), lines).astype(np.int8),
        behaviour=_dealt(count, list(scenario.behaviours.shares.values()), behaviours).astype(np.int8),
        platform=np.repeat(
            _dealt(len(sizes), list(scenario.players.platforms.values()), platforms).astype(np.int8), sizes
        ),
        cross_play=np.repeat(_dealt(len(sizes), [1.0 - cross_play, cross_play], meets) == 1, sizes),
        locations=tuple(shares),
        modes=tuple(mode_shares),
        link_kinds=tuple(scenario.links.shares),
        behaviours=tuple(scenario.behaviours.shares),
        platforms=tuple(scenario.players.platforms),
        behaviour_seed=seeds.integers(1, 2**64, count, dtype=np.uint64),
        link_seed=links.integers(1, 2**64, (count, 2), dtype=np.uint64),
    )


def party_sizes(count: int, shares: dict[int, float], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Sizes of the parties of ``count`` players, shuffled; players who do not fill a party of their size are
    alone.

    Args:
        shares: size of a party → share of the players.
    """
    sizes: list[npt.NDArray[np.int64]] = []
    alone = 0
    for size, players in zip(shares, exact_shares(count, list(shares.values())), strict=True):
        sizes.append(np.full(players // size, size, np.int64))
        alone += players % size
    sizes.append(np.ones(alone, np.int64))
    return rng.permutation(np.concatenate(sizes))


def exact_shares(count: int, shares: Sequence[float]) -> list[int]:
    """Split ``count`` by ``shares``: the parts sum to it, and each is less than one away from its share
    (largest remainders).
    """
    quotas = [count * share for share in shares]
    parts = [math.floor(quota + 1e-9) for quota in quotas]
    by_remainder = sorted(range(len(shares)), key=lambda index: parts[index] - quotas[index])
    for index in by_remainder[: count - sum(parts)]:
        parts[index] += 1
    return parts


def _dealt(count: int, shares: Sequence[float], rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """int64[count]: the index of a share for each, in exactly these shares, shuffled."""
    total = math.fsum(shares)
    parts = exact_shares(count, [share / total for share in shares])
    return rng.permutation(np.repeat(np.arange(len(shares)), parts))


def _arrivals(
    scenario: Scenario, where: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float64]]:
    """The location and the arrival of each party, in order of arrival.

    Args:
        where: int64[n], their locations in any order, as indices into players.locations.
        rng: of the arrivals. With a curve a location each has a stream of its own.
    """
    if not isinstance(scenario.arrivals, dict):
        return where, arrival_times_s(scenario.arrivals, len(where), rng)
    arrives_s = np.empty(len(where))
    for index, (location, stream) in enumerate(
        zip(scenario.players.locations, rng.spawn(len(scenario.players.locations)), strict=True)
    ):
        here = where == index
        arrives_s[here] = arrival_times_s(scenario.arrivals[location], int(here.sum()), stream)
    order = np.argsort(arrives_s, kind="stable")
    return where[order], arrives_s[order]


def arrival_times_s(curve: Curve, count: int, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Seconds after the start at which ``count`` independent players arrive, in order.

    The arrivals of a Poisson process, given their number, are independent with a density in proportion to its
    rate: each is the inverse of the cumulative share at a uniform number.
    """
    uniform = np.sort(rng.random(count))
    match curve:
        case Constant(over_s=over_s):
            return over_s * uniform
        case Ramp(over_s=over_s):
            return over_s * np.sqrt(uniform)  # of (t / over_s)²
        case LaunchSpike(over_s=over_s, peak_s=peak_s):
            at_s = np.linspace(0.0, over_s, CURVE_POINTS)
            return _inverse(at_s, 1.0 - (1.0 + at_s / peak_s) * np.exp(-at_s / peak_s), uniform)
        case Daily(over_s=over_s, peak_s=peak_s, swing=swing, day_s=day_s):
            at_s = np.linspace(0.0, over_s, CURVE_POINTS + round(over_s / day_s * CURVE_POINTS_A_DAY))
            turn = 2.0 * math.pi / day_s
            tide = np.sin(turn * (at_s - peak_s)) + math.sin(turn * peak_s)
            return _inverse(at_s, at_s + swing / turn * tide, uniform)
        case Recorded(over_s=over_s) as recorded:
            trace = read_trace(
                recorded.file, recorded.column, recorded.meaning, recorded.session_s, recorded.zone
            )
            return _inverse(trace.at_s * (over_s / trace.at_s[-1]), trace.share, uniform)


def _inverse(
    at_s: npt.NDArray[np.float64], arrived: npt.NDArray[np.float64], uniform: npt.NDArray[np.float64]
) -> npt.NDArray[np.float64]:
    """The times at which these shares have arrived, from a table of the cumulative arrivals."""
    if arrived[-1] <= 0.0:  # all at once
        return np.zeros(len(uniform))
    return np.interp(uniform, arrived / arrived[-1], at_s)


def region_latencies_ms(scenario: Scenario, fleet_regions: tuple[str, ...]) -> list[dict[str, float]]:
    """The distances between the scenario's locations and the fleet's regions.

    Args:
        scenario: whose locations are meant.
        fleet_regions: names as in region_rtt.csv.

    Returns:
        For each location, in the scenario's order: fleet region → round trip in ms, without the player's own
        link. A region to which nothing is published is missing.

    Raises:
        UnknownRegionError: for a fleet region that the table does not hold, and for a location that reaches
            none.
    """
    found: list[dict[str, float]] = []
    for location in scenario.players.locations:
        rtts_ms = {region: regions().rtt_between_ms(location, region) for region in fleet_regions}
        reachable = {region: rtt_ms for region, rtt_ms in rtts_ms.items() if rtt_ms is not None}
        if not reachable:
            raise UnknownRegionError(
                f"no round trip is published between players.locations.{location} and any fleet region "
                f"({', '.join(fleet_regions)}): choose another location, or set LAUNCHDAY_REGIONS"
            )
        found.append(reachable)
    return found


def max_one_way_ms(scenario: Scenario, latencies_ms: list[dict[str, float]]) -> float:
    """The longest that a datagram may take one way on any link of the scenario, but for one in some
    thousands.

    Args:
        latencies_ms: of :func:`region_latencies_ms`.
    """
    links = [scenario.links.profile(name) for name in scenario.links.shares]
    rtt_ms = max(max(by_region.values()) for by_region in latencies_ms)
    return max((rtt_ms + link.latency_ms) / 2 + link.max_extra_ms for link in links)

"""The steady part of a run: which arrivals are left when warm-up and cool-down are cut off.

A run begins with an empty queue and fresh servers, and ends when nobody comes any more. Where arrivals are
even, what lies between is the steady state: the figures of a long day are those of the players who arrived in
it.

The warm-up is cut off by MSER-5 (White, Cobb and Spratt, "A comparison of five steady-state truncation
heuristics for simulation", WSC 2000), which has nothing to tune: of all cuts it takes the one after which the
mean is known best, on batches of five. It is applied to the waits in order of arrival and to the servers in
use over time, of which the longer cut counts; and to the waits from the end backwards for the cool-down, when
a lobby no longer fills. By the same authors a cut beyond half of a run says that the run has no steady state,
or that it is too short for one.

Arrivals by the day have a steady state too: every day is like the one before. There whole days are counted,
from the second.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.scenario.arrivals import Constant, Daily, Recorded
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.world import Counter

BATCH = 5
MIN_BATCHES = 20  # with fewer a single batch decides
LAST_BATCHES = 5  # the variance of so few says nothing (Franklin and White, WSC 2008)
MAX_CUT = 0.5  # share of the run, of both cuts together
UNEVEN = 1.628  # of Kolmogorov's distribution, the 1 % point: even arrivals exceed it once in a hundred runs
PART_S = 1e-9  # arrivals at the very end of the part belong to it

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class SteadyPart:
    """The arrivals that are counted.

    Attributes:
        from_s, to_s: seconds of virtual time, of the whole run where ``found`` is false.
        arrivals_s: up to when players arrived, in all.
        found: whether there is a steady part.
        sentence: what was cut off, or why there is nothing to count.
    """

    from_s: float
    to_s: float
    arrivals_s: float
    found: bool
    sentence: str

    @property
    def window(self) -> tuple[float, float] | None:
        """``from_s`` and ``to_s`` for `SimulationResult`; None: the whole run."""
        return (self.from_s, self.to_s) if self.found else None

    def as_json(self) -> dict[str, Any]:
        """Return the part as JSON."""
        return {
            "found": self.found,
            "from_s": round(self.from_s, 3),
            "to_s": round(self.to_s, 3),
            "sentence": self.sentence,
        }


def mser5(series: Floats) -> int:
    """Return how many values to cut off at the beginning of a series, by MSER-5; a multiple of five.

    Args:
        series: float64[N], in order of time; at least ``BATCH * MIN_BATCHES``.
    """
    count = len(series) // BATCH
    means = series[: count * BATCH].reshape(count, BATCH).mean(axis=1)
    means = means - means.mean()  # the sums of squares below would lose digits
    left = np.arange(count, 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum((means**2)[::-1])[::-1]
    error = np.maximum(squares - sums**2 / left, 0.0) / left.astype(np.float64) ** 2
    return int(np.argmin(error[: count - LAST_BATCHES])) * BATCH


def steady_part(result: SimulationResult, curves: Sequence[Any]) -> SteadyPart:
    """Return the steady part of a run.

    Args:
        result: of the whole run.
        curves: the scenario's arrivals, a curve for all players or one for each location.
    """
    last_s = result.last_arrival_s
    arrives_s, waits_s = _waits(result, last_s)

    def none(why: str) -> SteadyPart:
        return SteadyPart(
            0.0, last_s, last_s, False, f"no steady state: {why}; the figures are of the whole run"
        )

    if last_s <= 0.0:
        return none("everybody arrives at once")
    days = {curve.day_s for curve in curves if isinstance(curve, Daily)}
    if days:
        if len(days) > 1 or not all(isinstance(curve, Daily) for curve in curves):
            return none("the locations have arrivals of different kinds")
        return _whole_days(days.pop(), last_s, none)
    uneven = sorted(
        {curve.curve.replace("_", " ") for curve in curves if not isinstance(curve, Constant | Recorded)}
    )
    if uneven:
        return none(f"the arrivals are a {' and a '.join(uneven)}, which is never even")
    if len(waits_s) < BATCH * MIN_BATCHES:
        return none(f"{len(waits_s)} waits are too few to tell one")
    at_s, in_use = _servers_in_use(result, last_s)
    from_s = float(arrives_s[mser5(waits_s)])
    if len(in_use) >= BATCH * MIN_BATCHES:
        from_s = max(from_s, float(at_s[mser5(in_use)]))
    to_s = float(arrives_s[len(arrives_s) - 1 - mser5(waits_s[::-1])])
    if to_s - from_s < (1.0 - MAX_CUT) * last_s:
        return none(
            f"waits or servers settle so late that more than half of the {last_s:,.0f} s of arrivals would "
            "be cut off: the run is too short, or its load is more than the servers can take"
        )
    by_file = all(isinstance(curve, Constant) for curve in curves)
    by_file = by_file and len({curve.over_s for curve in curves}) == 1
    if not by_file and not _even(result, from_s, to_s):
        return none("the arrivals are not even")
    return SteadyPart(
        from_s,
        to_s,
        last_s,
        True,
        f"players who arrived from {from_s:,.1f} to {to_s:,.1f} s of {last_s:,.1f} s are counted; cut off by "
        "MSER-5",
    )


def _whole_days(day_s: float, last_s: float, none: Callable[[str], SteadyPart]) -> SteadyPart:
    days = math.floor(last_s / day_s + 0.01)  # the last player of a day comes a little before its end
    if days < 2:
        return none(
            f"{last_s / day_s:.1f} days of arrivals are too few; it takes two, of which the first is cut off"
        )
    to_s = days * day_s
    return SteadyPart(
        day_s,
        to_s,
        last_s,
        True,
        f"players who arrived on days 2 to {days} are counted, from {day_s:,.0f} to {to_s:,.0f} s; the first "
        "day, which begins empty, is cut off",
    )


def _waits(result: SimulationResult, last_s: float) -> tuple[Floats, Floats]:
    """Return when the tickets arrived that waited, in order up to ``last_s``, and how long each waited."""
    arrives_s = result.run.world.tickets.arrives_s[result.waited]
    order = np.argsort(arrives_s, kind="stable")
    order = order[arrives_s[order] <= last_s]  # not the later matches of a session, when nobody else comes
    return arrives_s[order], result.wait_of_waited_s[order]


def _servers_in_use(result: SimulationResult, last_s: float) -> tuple[Floats, Floats]:
    """Return when samples were taken while players arrived, and the servers with a match at each."""
    world = result.run.world
    count = int(world.counters[Counter.SAMPLES])
    at_s = world.samples.at_s[:count]
    rows = at_s <= last_s
    return at_s[rows], world.samples.allocated[:count][rows].sum(axis=1).astype(np.float64)


def _even(result: SimulationResult, from_s: float, to_s: float) -> bool:
    """Whether the tickets that arrive by themselves come evenly: Kolmogorov's test of a Poisson process."""
    tickets = result.run.world.tickets
    arrives_s = tickets.arrives_s[: int(tickets.independent_count[0])]
    arrives_s = np.sort(arrives_s[(arrives_s >= from_s) & (arrives_s <= to_s + PART_S)])
    count = len(arrives_s)
    if count < 2 or to_s <= from_s:
        return False
    share = (arrives_s - from_s) / (to_s - from_s)
    steps = np.arange(count + 1) / count
    distance = max(float((steps[1:] - share).max()), float((share - steps[:-1]).max()))
    return distance * math.sqrt(count) <= UNEVEN

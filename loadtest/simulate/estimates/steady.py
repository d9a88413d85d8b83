"""The steady part of a run: which arrivals are left when warm-up and cool-down are cut off.

A run begins with an empty queue and fresh servers, and ends when nobody comes any more. Where arrivals are
even, what lies between is the steady state: the figures of a long day are those of the players who arrived in
it.

The warm-up is cut off by MSER-5 (White, Cobb and Spratt, "A comparison of five steady-state truncation
heuristics for simulation", WSC 2000), which has nothing to tune: of all cuts in the first half it takes the
one after which the mean is known best, on batches of five. The series is the number of players who wait or
play, at the samples: waits themselves come in long calm and short busy times, of which it would choose a calm
one. A cut at the half says that the run has no steady state or is too short for one; so does a trend in what
is left (Mann, "Nonparametric tests against trend", 1945), as of a queue that grows to the end.

The cool-down begins with the first player who still waits when the last one comes: whoever came before was
served while others still arrived.

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
MIN_SAMPLES = 100  # with fewer a single batch decides
TREND_BATCHES = 20
TREND = 2.576  # of the normal distribution, the 1 % point: a run without a trend exceeds it once in a hundred
MAX_CUT = 0.5  # share of the arrivals' time, of warm-up and cool-down together
UNEVEN = 1.628  # of Kolmogorov's distribution, the 1 % point
ROUNDING_S = 1e-9  # a player at the very end of the part belongs to it

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


def mser5(series: Floats) -> int | None:
    """Return how many values to cut off at the beginning of a series, by MSER-5: a multiple of five.

    None where the best cut of the first half is at its end: there is no steady state, or too little of it.

    Args:
        series: float64[N], in order of time; at least four batches.
    """
    means = batch_means(series, len(series) // BATCH)
    count = len(means)
    means = means - means.mean()  # the sums of squares below would lose digits
    left = np.arange(count, 0, -1)
    sums = np.cumsum(means[::-1])[::-1]
    squares = np.cumsum((means**2)[::-1])[::-1]
    error = np.maximum(squares - sums**2 / left, 0.0) / left.astype(np.float64) ** 2
    best = int(np.argmin(error[: count // 2 + 1]))
    return None if best == count // 2 else best * BATCH


def has_trend(series: Floats) -> bool:
    """Whether a series rises or falls: Mann's test on the means of TREND_BATCHES batches."""
    means = batch_means(series, TREND_BATCHES)
    count = len(means)
    rising = sum(float(np.sign(means[place + 1 :] - means[place]).sum()) for place in range(count - 1))
    return abs(rising) / math.sqrt(count * (count - 1) * (2 * count + 5) / 18.0) > TREND


def batch_means(series: Floats, count: int) -> Floats:
    """Return the means of ``count`` equal batches; a rest at the end is left out."""
    size = len(series) // count
    means: Floats = series[: size * count].reshape(count, size).mean(axis=1)
    return means


def steady_part(result: SimulationResult, curves: Sequence[Any]) -> SteadyPart:
    """Return the steady part of a run.

    Args:
        result: of the whole run.
        curves: the scenario's arrivals, a curve for all players or one for each location.
    """
    last_s = result.last_arrival_s

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
    at_s, present = _players_present(result, last_s)
    if len(present) < MIN_SAMPLES:
        return none(f"{last_s:,.1f} s of arrivals are too short to tell one")
    cut = mser5(present)
    to_s = _cool_down_s(result, last_s)
    from_s = last_s if cut is None else float(at_s[cut])
    if cut is None or to_s - from_s < (1.0 - MAX_CUT) * last_s:
        return none(f"more than half of the {last_s:,.0f} s of arrivals would be cut off")
    if has_trend(present[cut:]):
        return none("the number of players in the queue and in matches rises or falls all the time")
    by_file = all(isinstance(curve, Constant) for curve in curves)
    by_file = by_file and len({curve.over_s for curve in curves}) == 1
    if not by_file and not _even(result, from_s, to_s):
        return none("the arrivals are not even")
    return SteadyPart(
        from_s,
        to_s,
        last_s,
        True,
        f"steady part: who arrived from {from_s:,.1f} to {to_s:,.1f} s of {last_s:,.1f} s is counted; the "
        "warm-up before is cut off by MSER-5",
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
        f"steady part: who arrived on days 2 to {days} is counted, from {day_s:,.0f} to {to_s:,.0f} s; the "
        "first day, which begins empty, is cut off",
    )


def _players_present(result: SimulationResult, last_s: float) -> tuple[Floats, Floats]:
    """Return when samples were taken while players arrived, and how many players waited or played then."""
    world = result.run.world
    count = int(world.counters[Counter.SAMPLES])
    rows = world.samples.at_s[:count] <= last_s
    present = world.samples.waiting[:count].sum(axis=1) + world.samples.playing[:count]
    return world.samples.at_s[:count][rows], present[rows].astype(np.float64)


def _cool_down_s(result: SimulationResult, last_s: float) -> float:
    """Return when the first of those arrived who still waited when the last player came."""
    arrives_s = result.run.world.tickets.arrives_s[result.waited]
    still = (arrives_s <= last_s) & (arrives_s + result.wait_of_waited_s >= last_s)
    return float(arrives_s[still].min()) if still.any() else last_s


def _even(result: SimulationResult, from_s: float, to_s: float) -> bool:
    """Whether the tickets that arrive by themselves come evenly: Kolmogorov's test of a Poisson process."""
    tickets = result.run.world.tickets
    arrives_s = tickets.arrives_s[: int(tickets.independent_count[0])]
    arrives_s = np.sort(arrives_s[(arrives_s >= from_s) & (arrives_s <= to_s + ROUNDING_S)])
    count = len(arrives_s)
    if count < 2 or to_s <= from_s:
        return False
    share = (arrives_s - from_s) / (to_s - from_s)
    steps = np.arange(count + 1) / count
    distance = max(float((steps[1:] - share).max()), float((share - steps[:-1]).max()))
    return distance * math.sqrt(count) <= UNEVEN

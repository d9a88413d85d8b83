"""``matching``: one matching cycle over a whole pool, and the quality of its matches, beside two simpler
matchers.

The pool: parties of one to four, eight regions of which one is rare, three platforms (one player in five
plays only with their own), skills spread normally with one in a hundred far out in the tails, exponential
waits. The figures on top are those of the rule set that does worse; ``rule_sets`` has each of them, and in
each ``baselines`` the other matchers on the same pool.
"""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from dedicated_server.cards import shipped_cards
from loadtest.bench.harness.statistics import fitted_exponent, percentiles
from loadtest.bench.matchmaker.baseline_matchers import first_come_first_served, nearest_in_skill
from matchmaker.matching.arrays import UNMATCHED, FormedMatches, Tickets, limits_of, make_tickets
from matchmaker.matching.kernel import match_tickets
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.modes import shipped_rule_set
from matchmaker.rules.rules import Rules, rules_of

NOW: Final = 1_000_000.0
REGIONS: Final = 8
REGION_SHARES: Final = (0.28, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05, 0.02)
PLATFORM_SHARES: Final = (0.5, 0.3, 0.2)
PARTY_SHARES: Final = (0.6, 0.22, 0.1, 0.08)  # of one, two, three and four players
BETA: Final = 25.0 / 6.0  # OpenSkill's spread of a player's performance
MIN_POOL: Final = 1_000  # tickets of the smallest pool over which growth is fitted
MIN_CYCLES: Final = 5  # measured at least; more while they fit into the budget
MAX_CYCLES: Final = 200
BUDGET_MS: Final = 2_000.0


def run(tickets: int, seed: int = 1) -> dict[str, Any]:
    """Measure a pool of ``tickets`` tickets with each shipped rule set that the fast kernel takes, and return
    what is printed.
    """
    found = {mode: _rule_set(rules, tickets, seed) for mode, rules in _fast_rules().items()}
    slower = max(found.values(), key=lambda each: float(each["cycle_ms"]["p50"]))
    return {
        "bench": "matching",
        "tickets": tickets,
        "cycle_ms": slower["cycle_ms"],
        "growth_exponent": max(each["growth_exponent"] or 0.0 for each in found.values()) or None,
        "matched": min(each["matched"] for each in found.values()),
        "skill_spread": max((each["skill_spread"] for each in found.values()), key=lambda each: each["p50"]),
        "win_probability_error": found["teams_of_five"]["win_probability_error"],
        "latency_ms": max((each["latency_ms"] for each in found.values()), key=lambda each: each["p50"]),
        "players_per_match": {mode: each["players_per_match"] for mode, each in found.items()},
        "rule_sets": found,
    }


def _fast_rules() -> dict[str, Rules]:
    """Return the rules of the shipped modes that the fast kernel takes; other matchers have the rest."""
    found: dict[str, Rules] = {}
    for mode in shipped_cards():
        with contextlib.suppress(DocumentError):
            found[mode] = rules_of(shipped_rule_set(mode), 250.0, 60.0)
    return found


def make_pool(count: int, seed: int) -> tuple[Tickets, NDArray[np.float64]]:
    """Return a pool of ``count`` tickets, and float64[T], the root mean square deviation of each ticket's
    ratings.
    """
    rng = np.random.default_rng(seed)
    home = rng.choice(REGIONS, count, p=REGION_SHARES)
    latency_ms = rng.uniform(70.0, 240.0, (count, REGIONS)).astype(np.float32)
    latency_ms[np.arange(count), home] = rng.gamma(4.0, 8.0, count)
    platform = rng.choice(len(PLATFORM_SHARES), count, p=PLATFORM_SHARES).astype(np.int32)
    keeps_to_it = rng.random(count) < 0.2
    skill = rng.normal(25.0, 6.0, count)
    tail = rng.random(count) < 0.01
    skill[tail] += rng.choice((-20.0, 20.0), int(tail.sum()))
    pool = make_tickets(
        latency_ms,
        skill.astype(np.float32),
        NOW - np.minimum(rng.exponential(4.0, count), 40.0),
        np.where(keeps_to_it, 1 + platform, 0).astype(np.int32),
        rng.permutation(count).astype(np.int64),
        rng.choice((1, 2, 3, 4), count, p=PARTY_SHARES).astype(np.int32),
        platform,
    )
    return pool, rng.uniform(2.0, BETA * 2, count)


def quality(
    rules: Rules, pool: Tickets, deviation: NDArray[np.float64], formed: FormedMatches
) -> dict[str, Any]:
    """Return the quality of the matches: share of matched players, spread of skill, balance of teams,
    latency.

    ``deviation`` is float64[T], of each ticket's ratings.
    """
    rows = np.flatnonzero(formed.match_of != UNMATCHED)
    rows = rows[np.argsort(formed.match_of[rows], kind="stable")]
    match, size = formed.match_of[rows], pool.size[rows].astype(np.float64)
    matches = len(formed.region_of)
    players = np.bincount(match, size, matches)
    first = np.searchsorted(match, np.arange(matches))
    skill = pool.skill[rows].astype(np.float64)
    spread = np.maximum.reduceat(skill, first) - np.minimum.reduceat(skill, first) if matches else skill
    latency_ms = np.repeat(pool.latency_ms[rows, formed.region_of[match]], pool.size[rows])
    found: dict[str, Any] = {
        "matched": round(float(size.sum() / pool.size.sum()), 4),
        "matches": matches,
        "skill_spread": percentiles(spread, 50, 95, digits=2),
        "win_probability_error": None,
        "latency_ms": percentiles(latency_ms, 50, 95),
        "players_per_match": round(float(players.mean()), 1) if matches else 0.0,
    }
    if rules.teams == 2:
        sign = np.where(formed.team_of[rows] == 0, 1.0, -1.0)
        apart = np.bincount(match, sign * skill * size, matches)
        variance = 2 * BETA**2 + np.bincount(match, size * deviation[rows] ** 2, matches)
        found["win_probability_error"] = percentiles(
            np.abs(win_probability(np.asarray(apart, np.float64), np.asarray(variance, np.float64)) - 0.5),
            50,
            95,
            digits=4,
        )
    return found


def win_probability(apart: NDArray[np.float64], variance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return OpenSkill's predicted probability that the first of two teams wins.

    Args:
        apart: float64[M], difference of the teams' summed means.
        variance: float64[M], of both teams' ratings, and twice the square of BETA.
    """
    return np.array([0.5 * (1 + math.erf(z)) for z in (apart / np.sqrt(2 * variance)).tolist()])


def _rule_set(rules: Rules, count: int, seed: int) -> dict[str, Any]:
    sizes = [size for size in (MIN_POOL, 10 * MIN_POOL, 100 * MIN_POOL) if size < count] + [count]
    costs_ms: list[float] = []
    growth: list[float] = []
    for size in sizes:
        pool, deviation = make_pool(size, seed)
        costs_ms, formed = _timed(partial(match_tickets, rules, NOW, pool, seed))
        growth.append(float(np.median(costs_ms)))
    baselines = {}
    for matcher in (first_come_first_served, nearest_in_skill):
        others_ms, other = _timed(partial(_formed_by, matcher, rules, pool))
        baselines[matcher.__name__] = {"cycle_ms": percentiles(others_ms, 50, 99, digits=3)} | quality(
            rules, pool, deviation, other
        )
    return {
        "cycle_ms": percentiles(costs_ms, 50, 99, digits=3),
        "growth_exponent": fitted_exponent(sizes, growth) if len(sizes) > 1 else None,
        **quality(rules, pool, deviation, formed),
        "baselines": baselines,
    }


def _timed(cycle: Callable[[], FormedMatches]) -> tuple[list[float], FormedMatches]:
    """Return the milliseconds of several cycles after a warm-up, and what the last one formed."""
    formed = cycle()
    costs_ms: list[float] = []
    while len(costs_ms) < MIN_CYCLES or (len(costs_ms) < MAX_CYCLES and sum(costs_ms) < BUDGET_MS):
        begun = time.perf_counter()
        formed = cycle()
        costs_ms.append((time.perf_counter() - begun) * 1e3)
    return costs_ms, formed


def _formed_by(matcher: Any, rules: Rules, pool: Tickets) -> FormedMatches:
    """Return the matches that one of the baseline matchers forms of the pool."""
    count = len(pool.skill)
    none, zero = np.full(count, UNMATCHED, np.int32), np.zeros(count, np.int32)
    matches = FormedMatches(none, none.copy(), zero, zero.copy())
    formed = matcher(pool, int(pool.group.max()) + 1, limits_of(rules, NOW), matches)
    return matches._replace(region_of=matches.region_of[:formed])

"""A mode's rules as the kernels read them: numbers, and limits that widen with waiting."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from matchmaker.rules.rules import Rules, Steps

BACKFILL_FIRST, BACKFILL_BETWEEN, BACKFILL_LAST = (
    -1,
    0,
    1,
)  # when running matches are filled: before full ones are formed, after them, last

SKILL, LATENCY, TEAM_GAP, MIN_PLAYERS = range(4)


class Limits(NamedTuple):
    """The rules of a cycle; units as in Rules.

    Attributes:
        now: Unix seconds.
        teams, team_size: of a full match.
        roam_s, horizon_s: see Rules.
        thin: how many times faster limits widen at most.
        backfill: FIRST, BETWEEN or LAST.
        wait_s, value: float64[4, S], the steps of SKILL, LATENCY, FAIR and FEWEST; unused places wait for ever.
    """

    now: float
    teams: int
    team_size: int
    region_expansion_s: float
    fully_relaxed_s: float
    max_low_population_factor: float
    backfill: int
    wait_s: NDArray[np.float64]
    value: NDArray[np.float64]


def limits_of(rules: Rules, now: float) -> Limits:
    """The limits of ``rules`` for a cycle at ``now`` (Unix seconds)."""
    largest: Steps = ((0.0, math.inf),)
    tables = (
        rules.skill or largest,
        rules.latency or ((0.0, rules.max_latency_ms),),
        rules.team_gap or largest,
        rules.min_players_by_wait or ((0.0, rules.players), (rules.fill_s, rules.min_players)),
    )
    width = max(map(len, tables))
    wait_s, value = np.full((4, width), np.inf), np.zeros((4, width))
    for row, steps in enumerate(tables):
        for place, (wait, limit) in enumerate(steps):
            wait_s[row, place], value[row, place] = wait, limit
    backfill = {"high": BACKFILL_FIRST, "normal": BACKFILL_BETWEEN, "low": BACKFILL_LAST}[rules.backfill]
    return Limits(
        now,
        rules.teams,
        rules.team_size,
        rules.region_expansion_s,
        rules.fully_relaxed_s,
        rules.max_low_population_factor,
        backfill,
        wait_s,
        value,
    )


@njit(cache=True, nogil=True)
def limit_at(limits: Limits, which: int, waited_s: float) -> float:
    """One of the limits after ``waited_s``."""
    value = limits.value[which, 0]
    for step in range(1, limits.wait_s.shape[1]):
        if limits.wait_s[which, step] <= waited_s:
            value = limits.value[which, step]
    return float(value)


@njit(cache=True, nogil=True)
def low_population_factor(limits: Limits, players: int, within_s: float, waited_s: float) -> float:
    """How many times faster a ticket's limits widen, from 1 to ``thin``.

    ``players`` like it have come within ``within_s``. If at that rate the match is full before everything has widened, the clock alone
    decides; the longer it would take beyond that, the sooner the limits widen.
    """
    missing = limits.teams * limits.team_size - players
    if missing <= 0 or limits.fully_relaxed_s <= 0.0:
        return 1.0
    full_after_s = waited_s + missing * max(within_s, 1.0) / max(players, 1)
    return float(min(max(full_after_s / limits.fully_relaxed_s, 1.0), limits.max_low_population_factor))

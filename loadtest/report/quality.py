"""Match quality, and kills by skill, from the players' true skills, which the backend does not know."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import numpy.typing as npt

from loadtest.flood.outcome import RunOutcome

BANDS = 4  # of skill, a quarter of the players each


def skill_bands(skill: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Which band each player is in, int64[n], and the bands' names from the weakest to the strongest."""
    edges = np.quantile(skill, np.linspace(0, 1, BANDS + 1)[1:-1]) if len(skill) else np.zeros(BANDS - 1)
    limits = [0.0, *edges.tolist(), 60.0]
    names = [f"rating {low:.0f}–{high:.0f}" for low, high in itertools.pairwise(limits)]
    return np.searchsorted(edges, skill, side="right"), names


def quality_by_match(outcome: RunOutcome) -> list[dict[str, Any]]:
    """For each match: players, the deviation of their skills and of all skills, and their round trips."""
    population, records = outcome.population, outcome.records
    if population is None:
        return []
    everybody = float(population.skill.std())
    members: dict[str, list[int]] = {}
    for bot, match_id in enumerate(records.match_id):
        if match_id:
            members.setdefault(match_id, []).append(bot)
    found = []
    for match_id, bots in members.items():
        rtt_ms = records.rtt_ms[bots]
        finite = rtt_ms[np.isfinite(rtt_ms)]
        found.append(
            {
                "match_id": match_id,
                "region": records.region[bots[0]],
                "players": len(bots),
                "skill_deviation": round(float(population.skill[bots].std()), 2),
                "skill_deviation_of_all": round(everybody, 2),
                "rtt_ms": round(float(np.median(finite)), 1) if len(finite) else None,
                "rtt_ms_worst": round(float(finite.max()), 1) if len(finite) else None,
            }
        )
    return found


def kills_by_skill(outcome: RunOutcome) -> tuple[list[str], list[float], float | None]:
    """Mean kills of each band of skill, and the rank correlation of skill and kills over all who played.

    The bots' aim follows their skill. Where kills did not, ratings would have nothing to converge to.
    """
    population, records = outcome.population, outcome.records
    played = np.isfinite(records.connected_s)
    if population is None or not outcome.kills_by_player or not played.any():
        return [], [], None
    kills = np.array([outcome.kills_by_player.get(int(player), 0) for player in records.player_id], float)
    skill = population.skill
    band, names = skill_bands(skill[played])
    means = [float(kills[played][band == number].mean()) for number in range(len(names))]
    return names, [round(mean, 3) for mean in means], spearman(skill[played], kills[played])


def spearman(x: npt.NDArray[np.float64], y: npt.NDArray[np.float64]) -> float | None:
    """Spearman's rank correlation, ties by their mean rank; None where one of them does not vary."""
    first, second = _ranks(x), _ranks(y)
    if float(first.std()) == 0.0 or float(second.std()) == 0.0:
        return None
    return round(float(np.corrcoef(first, second)[0, 1]), 4)


def _ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)
    return ((last - (counts - 1) / 2.0) - 1.0)[inverse]

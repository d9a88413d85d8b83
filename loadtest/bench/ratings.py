"""Ratings of players whose skill is known: the error of what they tell, match by match."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

from loadtest.simulate.convergence import LUCK, Point, converge

SHOWN = (0, 1, 2, 5, 10, 20, 50, 100, 200, 500)


def run(
    players: int = 400,
    match_players: int = 100,
    matches: int = 100,
    seed: int = 1,
    report: Path | None = None,
) -> dict[str, Any]:
    """Let everybody play so many matches.

    Args:
        report: where the page with the curve goes.
    """
    points = list(converge(players, match_players, matches, seed))
    if report is not None:
        from loadtest.simulate.command import write_whole_file
        from loadtest.simulate.pages.convergence_page import render_convergence

        write_whole_file(report, render_convergence(points, players, match_players, seed))
    return {
        "bench": "ratings",
        "players": players,
        "match_players": match_players,
        "seed": seed,
        "luck": LUCK,
        "points": [points[at].as_json() for at in sorted({*SHOWN, matches}) if at < len(points)],
        "error_before": round(points[0].error, 3),
        "error_after": round(points[-1].error, 3),
        "falls": falls(points),
    }


def falls(points: list[Point]) -> bool:
    """Whether each doubling of the matches played lessens the error."""
    marks = [points[0]] + [
        points[1 << power] for power in range(len(points).bit_length()) if 1 << power < len(points)
    ]
    return all(later.error < earlier.error for earlier, later in itertools.pairwise(marks))

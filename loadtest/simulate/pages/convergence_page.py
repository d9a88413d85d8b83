"""The page of a convergence: the error of ratings, match by match."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from loadtest.report.chart_style import blank_figure
from loadtest.report.html import Verdict, plot_card, render_page
from loadtest.report.palette import BLUE, ORANGE
from loadtest.simulate.convergence import Point


def render_convergence(points: Sequence[Point], players: int, match_players: int, seed: int) -> str:
    """Return the page of some ``points`` as HTML; the other arguments are those of ``converge``."""
    first, last = points[0], points[-1]
    falls = last.error < first.error
    return render_page(
        title="Ratings · launchday",
        heading="How soon ratings converge to skill",
        subheading=f"{players:,} new players of known skill, matches of {match_players} formed by the real "
        "kernel and rated "
        f"by the real ratings; seed {seed}.",
        verdict=Verdict(
            "passed" if falls else "failed",
            "Ratings converge" if falls else "Ratings do not converge",
            f"After {last.matches:.0f} matches each, the skill predicted from the rating is "
            f"{last.error:.2f} points off; "
            f"before the first match it was {first.error:.2f} points off.",
        ),
        figures=[
            (f"{first.error:.2f}", "points off before the first match"),
            (f"{last.error:.2f}", f"points off after {last.matches:.0f} matches"),
            (f"{last.rank_correlation:.2f}", "rank correlation of rating and skill"),
        ],
        cards=[
            plot_card(
                "error",
                "Error of the rating",
                "Root mean square of the skill minus its prediction from the rating, and the uncertainty "
                "that the ratings "
                "state.",
                _curve(points),
                wide=True,
            )
        ],
        repeat_note="The same seed gives the same ratings.",
        repeat=f"launchday bench ratings --players {players} --match-players {match_players} "
        f"--matches {len(points) - 1} --seed {seed}",
    )


def _curve(points: Sequence[Point]) -> go.Figure:
    """The error of the ratings and the uncertainty that they state, over matches played."""
    figure = blank_figure(
        "matches that each has played", "points of skill", hover="x unified", from_zero=True
    )
    matches = [round(point.matches, 2) for point in points]
    for name, values, colour, dash in (
        ("error of the rating", [point.error for point in points], BLUE, "solid"),
        ("uncertainty that it states", [point.sigma for point in points], ORANGE, "dash"),
    ):
        figure.add_scatter(
            x=matches,
            y=[round(value, 4) for value in values],
            name=name,
            mode="lines",
            line={"width": 2, "color": colour, "dash": dash},
        )
    return figure

"""The page of a convergence: how far off ratings are, match by match."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from loadtest.report.chart_style import BLUE, ORANGE
from loadtest.simulate.convergence import Point
from loadtest.simulate.pages import page
from loadtest.simulate.pages.charts import blank


def render_convergence(points: Sequence[Point], players: int, match_players: int, seed: int) -> str:
    """The page of players of known skill and what their ratings tell of it, match by match."""
    first, last = points[0], points[-1]
    falls = last.error < first.error
    return page.render(
        title="Ratings · launchday",
        heading="How soon ratings know how good players are",
        subheading=f"{players:,} new players of known skill, matches of {match_players} made by the real kernel and rated by the real "
        f"ratings; seed {seed}.",
        passed=falls,
        verdict_word="Ratings converge" if falls else "Ratings do not converge",
        verdict=f"After {last.matches:.0f} matches each, what a rating tells of the skill is {last.error:.2f} points off, and was "
        f"{first.error:.2f} before the first.",
        figures=[
            (f"{first.error:.2f}", "points off before the first match"),
            (f"{last.error:.2f}", f"points off after {last.matches:.0f} matches"),
            (f"{last.rank_correlation:.2f}", "rank correlation of rating and skill"),
        ],
        cards=[
            page.plot_card(
                "error",
                "Error of the rating",
                "Root mean square of the skill minus what the rating tells of it, and the uncertainty that the ratings admit.",
                wide=True,
            )
        ],
        plots={"error": _curve(points)},
        repeat_note="The same seed gives the same ratings.",
        repeat=f"launchday bench ratings --players {players} --match-players {match_players} --matches {len(points) - 1} --seed {seed}",
    )


def _curve(points: Sequence[Point]) -> go.Figure:
    """What is off in the ratings, and what they admit, by matches played."""
    figure = blank("matches that each has played", "points of skill", hover="x unified")
    matches = [round(point.matches, 2) for point in points]
    for name, values, colour, dash in (
        ("error of the rating", [point.error for point in points], BLUE, "solid"),
        ("uncertainty that it admits", [point.sigma for point in points], ORANGE, "dash"),
    ):
        figure.add_scatter(
            x=matches,
            y=[round(value, 4) for value in values],
            name=name,
            mode="lines",
            line={"width": 2, "color": colour, "dash": dash},
        )
    figure.update_yaxes(rangemode="tozero")
    return figure

"""The curves of the report about game servers: the fleet's states, and ticks by stage."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.outcome import RunOutcome
from loadtest.report.charts import BLUE, BY_NUMBER, GREEN, GREY, ORANGE, RED, blank_figure

STATES = {  # Agones' names, from the ones that earn to the ones that only cost
    "Allocated": GREEN,
    "Reserved": ORANGE,
    "Ready": BLUE,
    "Shutdown": GREY,
    "Unhealthy": RED,
}
FIRST_EDGE_US = 1.0
EDGES_A_DOUBLING = 2


def fleet(outcome: RunOutcome) -> go.Figure | None:
    """Game servers by state over time, stacked; None where the fleet was never seen."""
    timeline = outcome.timeline
    if not timeline.fleet:
        return None
    figure = blank_figure("seconds since the start", "game servers")
    known = [state for state in STATES if state in timeline.fleet]
    for state in [*known, *sorted(set(timeline.fleet) - set(known))]:
        colour = STATES.get(state, BY_NUMBER[len(state) % len(BY_NUMBER)])
        figure.add_scatter(
            x=timeline.at_s,
            y=timeline.fleet[state],
            name=state,
            stackgroup="servers",
            mode="lines",
            line={"width": 0.5, "color": colour, "shape": "hv"},
            fillcolor=colour,
        )
    return figure


def stage_histograms(outcome: RunOutcome) -> go.Figure | None:
    """How long ticks and each of their stages took, all ticks of all matches; None where servers do not say."""
    told = [report["histograms"] for report in outcome.reports if report.get("histograms")]
    if not told:
        return None
    totals = {name: np.sum([each[name] for each in told if name in each], axis=0) for name in told[0]}
    used = np.flatnonzero(np.sum(list(totals.values()), axis=0))
    if not len(used):
        return None
    edges_us = FIRST_EDGE_US * 2 ** (np.arange(used[-1] + 2) / EDGES_A_DOUBLING)
    centres_us = np.sqrt(edges_us[:-1] * edges_us[1:])
    figure = blank_figure("microseconds, logarithmic", "share of ticks, %")
    for number, (name, counts) in enumerate(totals.items()):
        shares = 100.0 * counts[: used[-1] + 1] / max(1, counts.sum())
        figure.add_scatter(
            x=centres_us.round(1).tolist(),
            y=shares.round(3).tolist(),
            name=f"whole {name}" if name == "tick" else name,
            mode="lines",
            line={
                "color": BY_NUMBER[(number - 1) % len(BY_NUMBER)] if number else GREY,
                "width": 3 if not number else 1.8,
                "shape": "hvh",
            },
            hovertemplate="%{y:.1f} % around %{x:.0f} µs<extra>" + name + "</extra>",
        )
    figure.update_xaxes(type="log", dtick=1, tickformat="~s")
    return figure

"""Charts of the report about game servers: the fleet by state, tick time, and tick time by stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.outcome import TICK_US, RunOutcome
from loadtest.report import palette
from loadtest.report.chart_style import blank_figure, label, objective_line
from loadtest.report.charts import region_colours
from loadtest.report.palette import GREY

FIRST_EDGE_US = 1.0
EDGES_A_DOUBLING = 2
NAMED_SERVERS = 3  # more names than these push the curves out of a narrow page
BAR_PX = 24


def fleet(outcome: RunOutcome) -> go.Figure | None:
    """Game servers by state over time, stacked; None where the fleet was never seen."""
    timeline = outcome.timeline
    if not timeline.fleet:
        return None
    figure = blank_figure("seconds since the start", "game servers")
    known = [state for state in palette.SERVERS if state in timeline.fleet]
    for state in [*known, *sorted(set(timeline.fleet) - set(known))]:
        colour = palette.colour_of(state, palette.SERVERS)
        figure.add_scatter(
            x=timeline.at_s,
            y=timeline.fleet[state],
            name=label(state),
            stackgroup="servers",
            mode="lines",
            line={"width": 0.5, "color": colour, "shape": "hv"},
            fillcolor=colour,
        )
    return figure.update_layout(showlegend=True)  # one state alone has its name, too


def stage_histograms(outcome: RunOutcome) -> go.Figure | None:
    """How long ticks and their stages took, over all ticks of all matches; None where servers do not report
    it.
    """
    measured = [report["histograms"] for report in outcome.reports if report.get("histograms")]
    if not measured:
        return None
    totals = {name: np.sum([each[name] for each in measured if name in each], axis=0) for name in measured[0]}
    used = np.flatnonzero(np.sum(list(totals.values()), axis=0))
    if not len(used):
        return None
    edges_us = FIRST_EDGE_US * 2 ** (np.arange(used[-1] + 2) / EDGES_A_DOUBLING)
    centres_us = np.sqrt(edges_us[:-1] * edges_us[1:])
    figure = blank_figure("microseconds, logarithmic", "share of ticks, %")
    for name, counts in totals.items():
        shares = 100.0 * counts[: used[-1] + 1] / max(1, counts.sum())
        figure.add_scatter(
            x=centres_us.round(1).tolist(),
            y=shares.round(3).tolist(),
            name=f"whole {name}" if name == "tick" else label(name),
            mode="lines",
            line={
                "color": palette.colour_of(name, palette.STAGES),
                "width": 3 if name == "tick" else 1.8,
                "shape": "hvh",
            },
            hovertemplate="%{y:.1f} % around %{x:.0f} µs<extra>" + label(name) + "</extra>",
        )
    figure.update_xaxes(type="log", dtick=1, tickformat="~s")
    return figure


def ticks(outcome: RunOutcome) -> go.Figure | None:
    """Tick time of each game server, p50 and p99 of each report, and the budget of one tick; None where no
    server told of one.
    """
    if not outcome.timeline.servers:
        return None
    figure = blank_figure("seconds since the start", "milliseconds per tick", log=True)
    timeline = outcome.timeline
    dashes = (("p99", "solid"), ("p50", "dot"))
    regions = region_colours(outcome)
    many = len(timeline.servers) > NAMED_SERVERS
    for key, dash in dashes if many else ():
        line = {"color": GREY, "dash": dash, "width": 2}
        figure.add_scatter(x=[None], y=[None], name=f"{key}, one line per server", mode="lines", line=line)
    for number, (name, curve) in enumerate(sorted(timeline.servers.items())):
        colour = palette.colour_of_server(name, regions, number)
        for key, dash in dashes:
            figure.add_scatter(
                x=curve["at_s"],
                y=[value / 1e3 if value > 0 else None for value in curve[key]],
                name=f"{label(name)} {key}",
                mode="lines",
                showlegend=not many,
                line={"color": colour, "dash": dash, "width": 2},
            )
    # A curve rather than a shape: shapes do not stretch a logarithmic axis, and have no place in the legend.
    ends = [min(curve["at_s"][0] for curve in timeline.servers.values()), timeline.at_s[-1]]
    return objective_line(figure, ends, TICK_US / 1e3, "one tick at 60 Hz")


def stages(outcome: RunOutcome) -> go.Figure | None:
    """Median time of each stage of a tick, one bar per server; None where servers do not report stages."""
    named = [report for report in outcome.reports if report.get("stages_us")]
    if not named:
        return None
    figure = blank_figure("microseconds, p50", "")
    labels = [label(str(report.get("match_id", ""))[:8]) for report in named]
    for stage in named[0]["stages_us"]:
        values = [_p50(report["stages_us"].get(stage, 0)) for report in named]
        figure.add_bar(
            y=labels,
            x=values,
            name=label(stage),
            orientation="h",
            marker={"color": palette.colour_of(stage, palette.STAGES)},
            customdata=[label(report.get("region", "?")) for report in named],
            hovertemplate="%{x:.1f} µs<extra>" + label(stage) + ", %{customdata} %{y}</extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=200 + BAR_PX * len(named),
        yaxis={"type": "category"},
        legend={"entrywidth": 72, "traceorder": "normal"},
    )
    return figure


def _p50(stage: Any) -> float:
    return float(stage.get("p50", 0) if isinstance(stage, dict) else stage)

"""The curves of the report, as plotly figures. Colours of text and grid come from the page, which knows day from night."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.outcome import TICK_US, RunOutcome
from loadtest.players.player_records import PlayerState

# Okabe and Ito's palette: told apart by the colour-blind, and legible on white and on near-black.
BLUE, ORANGE, GREEN, RED, PINK, SKY, GOLD, GREY = (
    "#0072b2",
    "#e69f00",
    "#009e73",
    "#d55e00",
    "#cc79a7",
    "#56b4e9",
    "#b8a800",
    "#8a8f98",
)
BY_NUMBER = (SKY, ORANGE, GREEN, PINK, GOLD, BLUE, RED, GREY)

STATE_STYLES = {
    PlayerState.LOGGING_IN: ("logging in", GOLD),
    PlayerState.SHOPPING: ("shopping", "#7a5195"),
    PlayerState.THINKING: ("between matches", "#b5a28f"),
    PlayerState.QUEUED: ("queued", ORANGE),
    PlayerState.CONNECTING: ("connecting", PINK),
    PlayerState.PLAYING: ("playing", GREEN),
    PlayerState.WATCHING: ("dead, watching", BLUE),
    PlayerState.DONE: ("gone home", GREY),
    PlayerState.CANCELLED: ("cancelled", "#5b6170"),
    PlayerState.UNMATCHED: ("not matched", "#a0522d"),
    PlayerState.LOST: ("lost", RED),
}
HISTOGRAM_BINS = 40
NAMED_SERVERS = 3  # more names than these push the curves out of a narrow page
BAR_PX = 24


def players(outcome: RunOutcome) -> go.Figure:
    """Players by state over time, stacked, with what happened to the matches."""
    figure = blank_figure("seconds since the start", "players")
    timeline = outcome.timeline
    for state, (name, colour) in STATE_STYLES.items():
        counts = timeline.players[state]
        if any(counts):
            figure.add_scatter(
                x=timeline.at_s,
                y=counts,
                name=name,
                stackgroup="players",
                mode="lines",
                line={"width": 0.5, "color": colour},
                fillcolor=colour,
            )
    for happening in outcome.fault_records:
        if happening.began_s is not None:
            over_s = happening.ended_s if happening.ended_s is not None else timeline.at_s[-1]
            figure.add_vrect(
                x0=happening.began_s,
                x1=max(over_s, happening.began_s + 0.4),
                fillcolor=RED,
                opacity=0.25,
                line={"width": 0},
                annotation={
                    "text": happening.what,
                    "textangle": -90,
                    "font": {"size": 11, "color": "#8c1d18"},
                    "bgcolor": "rgba(255,255,255,0.88)",
                    "borderpad": 2,
                    "xanchor": "right",
                    "yanchor": "top",
                    "opacity": 1,
                },
                annotation_position="top left",
            )
    marks: dict[float, list[str]] = {}
    for at_s, text in timeline.marks:
        marks.setdefault(round(at_s), []).append(text)
    for at_s, texts in marks.items():
        figure.add_vline(x=at_s, line={"width": 1, "dash": "dot", "color": GREY})
        figure.add_scatter(
            x=[at_s],
            y=[len(outcome.records) * 1.04],
            mode="markers",
            marker={"symbol": "triangle-down", "size": 10, "color": GREY},
            hovertext="<br>".join(texts),
            hoverinfo="text+x",
            showlegend=False,
        )
    return figure


def waits(outcome: RunOutcome) -> go.Figure:
    """How long players waited for a match, by the region they were sent to."""
    figure = blank_figure("seconds to the assignment", "players")
    fates = outcome.records
    wait_s = fates.assigned_s - fates.intended_s
    return histogram(
        figure, {region: wait_s[is_region(fates.region, region)] for region in regions(outcome)}, "s"
    )


def ticks(outcome: RunOutcome) -> go.Figure:
    """Tick time of each game server, p50 and p99 of each report, under the budget of one tick."""
    figure = blank_figure("seconds since the start", "milliseconds a tick", log=True)
    timeline = outcome.timeline
    dashes = (("p99", "solid"), ("p50", "dot"))
    many = len(timeline.servers) > NAMED_SERVERS
    for key, dash in dashes if many else ():
        line = {"color": GREY, "dash": dash, "width": 2}
        figure.add_scatter(x=[None], y=[None], name=f"{key}, a line a server", mode="lines", line=line)
    for number, (name, curve) in enumerate(sorted(timeline.servers.items())):
        colour = BY_NUMBER[number % len(BY_NUMBER)]
        for key, dash in dashes:
            figure.add_scatter(
                x=curve["at_s"],
                y=[value / 1e3 if value > 0 else None for value in curve[key]],
                name=f"{name} {key}",
                mode="lines",
                showlegend=not many,
                line={"color": colour, "dash": dash, "width": 2},
            )
    if timeline.servers:
        # A curve rather than a shape: shapes do not stretch a logarithmic axis, and have no place in the legend.
        ends = [min(curve["at_s"][0] for curve in timeline.servers.values()), timeline.at_s[-1]]
        figure.add_scatter(
            x=ends,
            y=[TICK_US / 1e3] * 2,
            name="one tick at 60 Hz",
            mode="lines",
            line={"color": RED, "width": 2, "dash": "dash"},
        )
    return figure


def stages(outcome: RunOutcome) -> go.Figure | None:
    """Where a tick's time goes: median of each stage, a bar a server; None where servers do not report stages."""
    named = [report for report in outcome.reports if report.get("stages_us")]
    if not named:
        return None
    figure = blank_figure("microseconds, p50", "")
    labels = [str(report.get("match_id", ""))[:8] for report in named]
    for number, stage in enumerate(named[0]["stages_us"]):
        values = [_p50(report["stages_us"].get(stage, 0)) for report in named]
        figure.add_bar(
            y=labels,
            x=values,
            name=stage,
            orientation="h",
            marker={"color": BY_NUMBER[number % len(BY_NUMBER)]},
            customdata=[report.get("region", "?") for report in named],
            hovertemplate="%{x:.1f} µs<extra>" + stage + ", %{customdata} %{y}</extra>",
        )
    figure.update_layout(
        barmode="stack",
        height=200 + BAR_PX * len(named),
        yaxis={"type": "category"},
        legend={"entrywidth": 72, "traceorder": "normal"},
    )
    return figure


def bandwidth(outcome: RunOutcome) -> go.Figure:
    """What each player's client received and sent, UDP payload, averaged over its time in the match."""
    figure = blank_figure("kbit/s a player", "players")
    return histogram(
        figure, {"received": outcome.records.received_kbit_s, "sent": outcome.records.sent_kbit_s}, "kbit/s"
    )


def round_trips(outcome: RunOutcome) -> go.Figure:
    """Round trip that each client measured, by the region of its match."""
    figure = blank_figure("milliseconds, as the client measures it", "players")
    fates = outcome.records
    return histogram(
        figure, {region: fates.rtt_ms[is_region(fates.region, region)] for region in regions(outcome)}, "ms"
    )


def queues(outcome: RunOutcome) -> go.Figure:
    """What waits inside the backend: tickets, rows to write behind, events to apply."""
    figure = blank_figure("seconds since the start", "waiting")
    for number, (name, values) in enumerate(outcome.timeline.queue.items()):
        figure.add_scatter(
            x=outcome.timeline.at_s,
            y=values,
            name=name,
            mode="lines",
            line={"color": BY_NUMBER[number], "width": 2, "shape": "hv"},
        )
    return figure


def blank_figure(x_title: str, y_title: str, *, log: bool = False) -> go.Figure:
    """A figure without curves, in the report's looks."""
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": GREY},
            "margin": {"l": 52, "r": 12, "t": 34, "b": 44},
            "height": 320,
            "hovermode": "x unified" if "start" in x_title else "closest",
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "xaxis": {"title": {"text": x_title, "standoff": 8}, "zeroline": False, "automargin": True},
            "yaxis": {
                "title": {"text": y_title, "standoff": 6},
                "zeroline": False,
                "automargin": True,
                "type": "log" if log else "-",
                "dtick": 1 if log else None,
                "tickformat": "~g" if log else None,
            },
        }
    )


def histogram(figure: go.Figure, groups: dict[str, Any], unit: str) -> go.Figure:
    """Bars of one bin width for all groups, stacked. Binned here: the page then holds bins, not players."""
    kept = {name: values[np.isfinite(values)] for name, values in groups.items()}
    everything = np.concatenate([*kept.values(), np.zeros(0)])
    if not len(everything):
        return figure.add_annotation(text="no measurements", showarrow=False, font={"size": 16})
    edges = np.linspace(0, max(float(everything.max()) * 1.02, 1e-6), HISTOGRAM_BINS + 1)
    centres, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    for number, (name, values) in enumerate(kept.items()):
        figure.add_bar(
            x=centres.round(4).tolist(),
            y=np.histogram(values, edges)[0].tolist(),
            width=float(width) * 0.96,
            name=name,
            marker={"color": BY_NUMBER[number % len(BY_NUMBER)]},
            hovertemplate=f"%{{y}} players around %{{x:.3g}} {unit}<extra>{name}</extra>",
        )
    return figure.update_layout(barmode="stack")


def regions(outcome: RunOutcome) -> list[str]:
    """The regions that matches were in."""
    return sorted({region for region in outcome.records.region if region})


def is_region(regions: list[str], region: str) -> Any:
    """bool[n]: which of the regions it is."""
    return np.array([name == region for name in regions], bool)


def _p50(stage: Any) -> float:
    return float(stage.get("p50", 0) if isinstance(stage, dict) else stage)

"""Charts of the report about players and their matches, as plotly figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerState
from loadtest.report import quality
from loadtest.report.chart_style import (
    BLUE,
    BY_NUMBER,
    GOLD,
    GREEN,
    GREY,
    ORANGE,
    PINK,
    RED,
    blank_figure,
    histogram,
    label,
)

STATE_COLOURS = {
    PlayerState.LOGGING_IN: GOLD,
    PlayerState.SHOPPING: "#7a5195",
    PlayerState.THINKING: "#b5a28f",
    PlayerState.QUEUED: ORANGE,
    PlayerState.CONNECTING: PINK,
    PlayerState.PLAYING: GREEN,
    PlayerState.WATCHING: BLUE,
    PlayerState.DONE: GREY,
    PlayerState.CANCELLED: "#5b6170",
    PlayerState.UNMATCHED: "#a0522d",
    PlayerState.LOST: RED,
}


def players(outcome: RunOutcome) -> go.Figure:
    """Players by state over time, stacked, with starts and ends of matches and the injected faults."""
    figure = blank_figure("seconds since the start", "players")
    timeline = outcome.timeline
    for state, colour in STATE_COLOURS.items():
        counts = timeline.players[state]
        if any(counts):
            figure.add_scatter(
                x=timeline.at_s,
                y=counts,
                name=state.label,
                stackgroup="players",
                mode="lines",
                line={"width": 0.5, "color": colour},
                fillcolor=colour,
            )
    for record in outcome.fault_records:
        if record.began_s is not None:
            over_s = record.ended_s if record.ended_s is not None else timeline.at_s[-1]
            figure.add_vrect(
                x0=record.began_s,
                x1=max(over_s, record.began_s + 0.4),
                fillcolor=RED,
                opacity=0.25,
                line={"width": 0},
                annotation={
                    "text": label(record.what),
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
            hovertext="<br>".join(map(label, texts)),
            hoverinfo="text+x",
            showlegend=False,
        )
    return figure


def waits(outcome: RunOutcome) -> go.Figure:
    """How long players waited for a match, by the region of the match."""
    figure = blank_figure("seconds to the assignment", "players")
    records = outcome.records
    wait_s = records.assigned_s - records.intended_s
    return histogram(
        figure, {region: wait_s[is_region(records.region, region)] for region in regions(outcome)}, "s"
    )


def bandwidth(outcome: RunOutcome) -> go.Figure:
    """What each client received and sent, UDP payload, averaged over the time in the match."""
    figure = blank_figure("kbit/s per player", "players")
    return histogram(
        figure, {"received": outcome.records.received_kbit_s, "sent": outcome.records.sent_kbit_s}, "kbit/s"
    )


def round_trips(outcome: RunOutcome) -> go.Figure:
    """Round context that each client measured, by the region of its match."""
    figure = blank_figure("milliseconds, as the client measures it", "players")
    records = outcome.records
    return histogram(
        figure,
        {region: records.rtt_ms[is_region(records.region, region)] for region in regions(outcome)},
        "ms",
    )


def queues(outcome: RunOutcome) -> go.Figure:
    """Queues inside the backend: tickets, rows to write behind, events to apply."""
    figure = blank_figure("seconds since the start", "waiting")
    for number, (name, values) in enumerate(outcome.timeline.queue.items()):
        figure.add_scatter(
            x=outcome.timeline.at_s,
            y=values,
            name=label(name),
            mode="lines",
            line={"color": BY_NUMBER[number], "width": 2, "shape": "hv"},
        )
    return figure


def regions(outcome: RunOutcome) -> list[str]:
    """The regions of the matches, sorted."""
    return sorted({region for region in outcome.records.region if region})


def is_region(regions: list[str], region: str) -> Any:
    """bool[n]: which of the regions it is."""
    return np.array([name == region for name in regions], bool)


def waits_by_band(outcome: RunOutcome) -> go.Figure | None:
    """Median and 95th percentile of the wait, by region of the match and band of skill; None where nobody
    waited.
    """
    if outcome.population is None or not outcome.records.waits:
        return None
    band, names = quality.skill_bands(outcome.population.skill)
    bots = np.array([wait.bot for wait in outcome.records.waits])
    wait_s = np.array([wait.seconds for wait in outcome.records.waits])
    where = np.array([wait.region for wait in outcome.records.waits])
    figure = blank_figure("", "seconds to the assignment")
    for number, name in enumerate(names):
        mine = band[bots] == number
        regions = sorted({*where[mine].tolist()})
        chosen = [wait_s[mine & (where == region)] for region in regions]
        p50 = [round(float(np.percentile(values, 50)), 3) for values in chosen]
        p95 = [round(float(np.percentile(values, 95)), 3) for values in chosen]
        figure.add_bar(
            x=[label(region) for region in regions],
            y=p50,
            name=label(name),
            marker={"color": BY_NUMBER[number % len(BY_NUMBER)]},
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - low for high, low in zip(p95, p50, strict=True)],
                "arrayminus": [0.0] * len(p50),
                "color": GREY,
                "thickness": 1.5,
                "width": 4,
            },
            hovertemplate="p50 %{y:.2f} s<extra>" + label(name) + "</extra>",
        )
    return figure.update_layout(barmode="group", xaxis={"type": "category"})


def match_quality(outcome: RunOutcome) -> go.Figure | None:
    """Each match by the spread of its skills and its median round trip; None where there was none."""
    found = [match for match in quality.quality_by_match(outcome) if match["rtt_ms"] is not None]
    if not found:
        return None
    figure = blank_figure("median round trip, ms", "deviation of skill within a match")
    for number, region in enumerate(sorted({match["region"] for match in found})):
        mine = [match for match in found if match["region"] == region]
        figure.add_scatter(
            x=[match["rtt_ms"] for match in mine],
            y=[match["skill_deviation"] for match in mine],
            name=label(region),
            mode="markers",
            marker={
                "color": BY_NUMBER[number % len(BY_NUMBER)],
                "size": [
                    7 + 10 * match["players"] / max(each["players"] for each in found) for match in mine
                ],
                "opacity": 0.85,
            },
            text=[label(f"{match['match_id'][:8]}, {match['players']} players") for match in mine],
            hovertemplate="%{text}<br>%{x:.0f} ms, deviation %{y:.1f}<extra></extra>",
        )
    everybody = found[0]["skill_deviation_of_all"]
    figure.add_hline(
        y=everybody,
        line={"dash": "dash", "width": 1.5, "color": GREY},
        annotation={"text": "all players", "font": {"size": 11, "color": GREY}},
    )
    return figure.update_layout(yaxis={"rangemode": "tozero"})


def skill_and_kills(outcome: RunOutcome) -> go.Figure | None:
    """Mean kills per player by band of skill; None where nobody killed."""
    names, means, _ = quality.kills_by_skill(outcome)
    if not names:
        return None
    figure = blank_figure("", "mean kills per player")
    figure.add_bar(
        x=names, y=means, marker={"color": [BLUE, GREEN, ORANGE, BY_NUMBER[4]][: len(names)]}, width=0.6
    )
    return figure

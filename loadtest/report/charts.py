"""Charts of the report about players and their matches, as plotly figures."""

from __future__ import annotations

from typing import Any

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.outcome import RunOutcome
from loadtest.report import palette, quality
from loadtest.report.cards.wait_curve import Waits, cumulative_waits
from loadtest.report.chart_style import blank_figure, histogram, label
from loadtest.report.palette import GREY

UNKNOWN_REGION = "region not told"  # by a target that does not say where its matches are


def players(outcome: RunOutcome) -> go.Figure:
    """Players by state over time, stacked, with starts and ends of matches and the injected faults."""
    figure = blank_figure("seconds since the start", "players")
    timeline = outcome.timeline
    for state, colour in palette.PLAYERS.items():
        counts = timeline.players.get(state, [])
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
                fillcolor=palette.FAULT,
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
    """Which share of the waits had ended in a match within x seconds, and the objective."""
    records = outcome.records
    matched_s = np.array([wait.seconds for wait in records.waits], np.float64)
    everybody = Waits(matched_s, len(records.vain_waits), palette.EVERYBODY)
    return cumulative_waits({"all players": everybody}, outcome.scenario.objectives.wait_p95_s)


def waits_note(outcome: RunOutcome) -> str:
    """What is in the curve of waits, and who counts as not yet."""
    records = outcome.records
    matched, in_vain = len(records.waits), len(records.vain_waits)
    said = "From when a player meant to queue to the assignment."
    if in_vain:
        said += f" {in_vain:,} of {matched + in_vain:,} waits ended without a match: they count as not yet."
    else:
        said += f" Each of the {matched:,} waits ended in a match."
    return said + (f" {records.never_queued:,} players never queued." if records.never_queued else "")


def waits_by_region(outcome: RunOutcome) -> go.Figure | None:
    """How long those waited who got a match, by its region; None where nobody did, or no region is known."""
    found: dict[str, list[float]] = {}
    for wait in outcome.records.waits:
        found.setdefault(wait.region or UNKNOWN_REGION, []).append(wait.seconds)
    if not {*found} - {UNKNOWN_REGION}:
        return None
    figure = blank_figure("seconds to the assignment", "players")
    groups = {region: np.array(found[region], np.float64) for region in sorted(found)}
    return histogram(figure, groups, "s", region_colours(outcome))


def bandwidth(outcome: RunOutcome) -> go.Figure | None:
    """What each client received and sent, UDP payload, averaged over the time in the match; None where nobody
    had a link.
    """
    if not np.isfinite(outcome.records.received_kbit_s).any():
        return None
    figure = blank_figure("kbit/s per player", "players")
    groups = {"received": outcome.records.received_kbit_s, "sent": outcome.records.sent_kbit_s}
    return histogram(figure, groups, "kbit/s", palette.DIRECTIONS)


def round_trips(outcome: RunOutcome) -> go.Figure | None:
    """Round trip that each client measured, by the region of its match; None where nobody measured one."""
    records = outcome.records
    if not np.isfinite(records.rtt_ms).any():
        return None
    figure = blank_figure("milliseconds, as the client measures it", "players")
    return histogram(
        figure,
        {region: records.rtt_ms[is_region(records.region, region)] for region in regions(outcome)},
        "ms",
        region_colours(outcome),
    )


def queues(outcome: RunOutcome) -> go.Figure | None:
    """Queues inside the backend: tickets, rows to write behind, events to apply; None where none is known."""
    if not any(value is not None for values in outcome.timeline.queue.values() for value in values):
        return None
    figure = blank_figure("seconds since the start", "waiting", from_zero=True)
    at = outcome.timeline.at_s
    for name, values in outcome.timeline.queue.items():
        figure.add_scatter(
            x=[told_s or at_s for told_s, at_s in zip(outcome.timeline.queue_at_s[name], at, strict=True)],
            y=values,
            name=label(name),
            mode="lines",
            line={"color": palette.colour_of(name, palette.QUEUES), "width": 2, "shape": "hv"},
        )
    return figure


def regions(outcome: RunOutcome) -> list[str]:
    """The regions of the matches, sorted."""
    return sorted({region for region in outcome.records.region if region})


def region_colours(outcome: RunOutcome) -> dict[str, str]:
    """The colour of each region of the scenario and of the run."""
    seen = {wait.region or UNKNOWN_REGION for wait in outcome.records.waits}
    return palette.region_colours({*outcome.scenario.fleet.regions, *regions(outcome), *seen})


def is_region(regions: list[str], region: str) -> Any:
    """bool[n]: which of the regions it is."""
    return np.array([name == region for name in regions], bool)


def waits_by_band(outcome: RunOutcome) -> go.Figure | None:
    """Median and 95th percentile of the wait of those who got a match, by its region and by band of skill;
    None where nobody did.
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
            x=[label(region or UNKNOWN_REGION) for region in regions],
            y=p50,
            name=label(name),
            marker={"color": palette.SKILL_BANDS[number % len(palette.SKILL_BANDS)]},
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
    figure = blank_figure("median round trip, ms", "deviation of skill within a match", from_zero=True)
    colours = region_colours(outcome)
    for region in sorted({match["region"] for match in found}):
        mine = [match for match in found if match["region"] == region]
        figure.add_scatter(
            x=[match["rtt_ms"] for match in mine],
            y=[match["skill_deviation"] for match in mine],
            name=label(region),
            mode="markers",
            marker={
                "color": colours[region],
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
    # Round trips from zero on as well: an axis of a tenth of a millisecond would make one of two alike.
    farthest = max(match["rtt_ms"] for match in found)
    return figure.update_layout(xaxis={"range": [0, max(1.0, farthest * 1.15)]})


def skill_and_kills(outcome: RunOutcome) -> go.Figure | None:
    """Mean kills per player by band of skill; None where nobody killed."""
    names, means, _ = quality.kills_by_skill(outcome)
    if not names:
        return None
    figure = blank_figure("", "mean kills per player")
    figure.add_bar(x=names, y=means, marker={"color": list(palette.SKILL_BANDS[: len(names)])}, width=0.6)
    return figure

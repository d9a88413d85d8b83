"""The curves of the report about players and their matches: waits by region and skill, match quality, what skill came to."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.outcome import RunOutcome
from loadtest.report import quality
from loadtest.report.charts import BLUE, BY_NUMBER, GREEN, GREY, ORANGE, blank_figure


def waits_by_band(outcome: RunOutcome) -> go.Figure | None:
    """Median and 95th percentile of the wait, by region of the match and band of skill; None where nobody waited."""
    if outcome.population is None or not outcome.records.waits:
        return None
    band, names = quality.skill_bands(outcome.population.skill)
    bots = np.array([bot for bot, _, _ in outcome.records.waits])
    wait_s = np.array([seconds for _, seconds, _ in outcome.records.waits])
    where = np.array([region for _, _, region in outcome.records.waits])
    figure = blank_figure("", "seconds to the assignment")
    for number, name in enumerate(names):
        mine = band[bots] == number
        regions = sorted({*where[mine].tolist()})
        chosen = [wait_s[mine & (where == region)] for region in regions]
        p50 = [round(float(np.percentile(values, 50)), 3) for values in chosen]
        p95 = [round(float(np.percentile(values, 95)), 3) for values in chosen]
        figure.add_bar(
            x=regions,
            y=p50,
            name=name,
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
            hovertemplate="p50 %{y:.2f} s<extra>" + name + "</extra>",
        )
    return figure.update_layout(barmode="group")


def match_quality(outcome: RunOutcome) -> go.Figure | None:
    """Each match by the spread of its players' skills and their median round trip; None where there was none."""
    found = [match for match in quality.quality_by_match(outcome) if match["rtt_ms"] is not None]
    if not found:
        return None
    figure = blank_figure("median round trip, ms", "deviation of skill within the match")
    for number, region in enumerate(sorted({match["region"] for match in found})):
        mine = [match for match in found if match["region"] == region]
        figure.add_scatter(
            x=[match["rtt_ms"] for match in mine],
            y=[match["skill_deviation"] for match in mine],
            name=region,
            mode="markers",
            marker={
                "color": BY_NUMBER[number % len(BY_NUMBER)],
                "size": [
                    7 + 10 * match["players"] / max(each["players"] for each in found) for match in mine
                ],
                "opacity": 0.85,
            },
            text=[f"{match['match_id'][:8]}, {match['players']} players" for match in mine],
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
    """Mean kills a player of each band of skill; None where nobody killed."""
    names, means, _ = quality.kills_by_skill(outcome)
    if not names:
        return None
    figure = blank_figure("", "kills a player, mean")
    figure.add_bar(
        x=names, y=means, marker={"color": [BLUE, GREEN, ORANGE, BY_NUMBER[4]][: len(names)]}, width=0.6
    )
    return figure

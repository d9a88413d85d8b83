"""The curves of sweeps and of several seeds, as plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import plotly.graph_objects as go

from loadtest.report import palette
from loadtest.report.chart_style import blank_figure, label, objective_line
from loadtest.report.palette import BY_NUMBER, GREEN, P50, P95
from loadtest.simulate.estimates.replications import Replications
from loadtest.simulate.sweep import Setting, Sweep

COST_AXIS = "cost of a run, unit of the price"

_axes = partial(blank_figure, from_zero=True)


def wait_against_money(found: Sweep) -> go.Figure:
    """A point for each setting: cost and p95 wait with 95 % intervals; a line for each value of what varies
    beside the first.
    """
    figure = _axes(COST_AXIS, "wait p95, seconds", height=420).update_xaxes(exponentformat="none")
    for number, (line, settings) in enumerate(_lines(found).items()):
        colour = BY_NUMBER[number % len(BY_NUMBER)]
        known = [one for one in settings if one.estimate("wait_p95_s").mean is not None]
        cost = [one.estimate("cost") for one in known]
        wait = [one.estimate("wait_p95_s") for one in known]
        _band(figure, [each.mean for each in cost], wait, colour, line)
        figure.add_scatter(
            x=[each.mean for each in cost],
            y=[each.mean for each in wait],
            name=line,
            mode="lines+markers",
            showlegend=bool(line),
            legendgroup=line,
            line={"width": 2, "color": colour},
            marker={
                "size": [11 if one.meets else 8 for one in known],
                "symbol": ["circle" if one.meets else "circle-open" for one in known],
                "color": colour,
            },
            error_x={
                "type": "data",
                "array": [each.half_width for each in cost],
                "thickness": 1,
                "width": 3,
                "color": colour,
            },
            text=[_named(one.values) for one in known],
            hovertemplate="%{text}<br>%{y:.2f} s for %{x:,.2f}<extra></extra>",
        )
    _limit(figure, found)
    best = [one for one in map(found.cheapest_in, found.circumstances) if one is not None]
    if best:
        figure.add_scatter(
            x=[one.estimate("cost").mean for one in best],
            y=[one.estimate("wait_p95_s").mean for one in best],
            name="cheapest that meets the objectives",
            mode="markers",
            marker={"symbol": "circle-open", "size": 22, "color": GREEN, "line": {"width": 3}},
            hoverinfo="skip",
        )
    return figure


def waits_by_seed(found: Replications) -> go.Figure:
    """Median and p95 wait with each seed, and the objective."""
    figure = _axes("seed", "seconds of wait")
    seeds = [str(seed) for seed in found.seeds]
    for name, colour in (("p95", P95), ("p50", P50)):
        figure.add_scatter(
            x=seeds,
            y=[run["wait_s"][name] for run in found.runs],
            name=name,
            mode="markers",
            marker={"size": 10, "color": colour},
        )
    limit_s = found.scenario.objectives.wait_p95_s
    if limit_s is not None:
        objective_line(figure, (seeds[0], seeds[-1]), limit_s, f"objective: p95 {limit_s:g} s")
    return figure.update_layout(xaxis={"type": "category"})


def over_setting(found: Sweep, measure: str, title: str) -> go.Figure:
    """A measure over the values of the first variation, with its 95 % band."""
    first = found.variations[0]
    numeric = all(isinstance(value, int | float) for value in first.values)
    figure = _axes(label(first.path), title).update_yaxes(exponentformat="none")
    for number, (line, settings) in enumerate(_lines(found).items()):
        colour = BY_NUMBER[number % len(BY_NUMBER)]
        known = [one for one in settings if one.estimate(measure).mean is not None]
        x = [one.values[first.path] if numeric else label(one.values[first.path]) for one in known]
        values = [one.estimate(measure) for one in known]
        if numeric:
            _band(figure, x, values, colour, line)
        figure.add_scatter(
            x=x,
            y=[each.mean for each in values],
            name=line,
            legendgroup=line,
            showlegend=bool(line),
            mode="lines+markers",
            line={"width": 2, "color": colour},
            error_y=None
            if numeric
            else {"type": "data", "array": [each.half_width for each in values], "color": colour},
            hovertemplate=f"{label(first.path)} %{{x}}: %{{y:.4g}}<extra>{line}</extra>",
        )
    if not numeric:
        figure.update_layout(xaxis={"type": "category"})
    return figure


def _lines(found: Sweep) -> dict[str, list[Setting]]:
    """Return the settings grouped by all varied values but the first."""
    lines: dict[str, list[Setting]] = {}
    for setting in found.settings:
        rest = dict(list(setting.values.items())[1:])
        lines.setdefault(_named(rest), []).append(setting)
    return lines


def _named(values: Mapping[str, Any]) -> str:
    return label(", ".join(f"{path.rsplit('.', 1)[-1]} {value}" for path, value in values.items()))


def _band(figure: go.Figure, x: Sequence[Any], values: Sequence[Any], colour: str, line: str) -> None:
    """Add the 95 % interval of a curve, as an area."""
    lows = [max(0.0, each.low) for each in values]
    highs = [each.high for each in values]
    red, green, blue = (int(colour[place : place + 2], 16) for place in (1, 3, 5))
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*highs, *reversed(lows)],
        fill="toself",
        fillcolor=f"rgba({red},{green},{blue},0.18)",
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
        legendgroup=line,
    )


def _limit(figure: go.Figure, found: Sweep) -> None:
    """Add the wait and the cost that the scenario allows, as lines, so that the legend names them."""
    asked = found.scenario.objectives
    known = [one for one in found.settings if one.estimate("wait_p95_s").mean is not None]
    if not known:
        return
    costs = [one.estimate("cost").mean or 0.0 for one in known]
    waits_s = [one.estimate("wait_p95_s").high or 0.0 for one in known]
    if asked.wait_p95_s is not None:
        ends = (min(costs), max([*costs, asked.cost or 0.0]))
        objective_line(figure, ends, asked.wait_p95_s, f"objective: {asked.wait_p95_s:g} s")
    if asked.cost is not None:
        figure.add_scatter(
            x=[asked.cost] * 2,
            y=[0.0, max([*waits_s, asked.wait_p95_s or 0.0])],
            name=f"objective: cost {asked.cost:g}",
            mode="lines",
            line={"width": 2, "dash": "dot", "color": palette.OBJECTIVE},
            hoverinfo="skip",
        )

"""A card for each address of ``--metrics``: what its process told of itself while the run played."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import plotly.graph_objects as go

from loadtest.flood.metrics.findings import CPU, OPEN_FDS
from loadtest.flood.metrics.history import ERROR_WORDS, PROCESS, MetricsHistory, Series
from loadtest.flood.outcome import RunOutcome
from loadtest.report.chart_style import blank_figure, label
from loadtest.report.html import Card, plot_card
from loadtest.report.palette import BY_NUMBER

MEMORY = "process_resident_memory_bytes"
MB = 1e6
LINES = 6  # of one panel: more are not told apart; the table of figures has them all
PANEL_PX, GAP = 150, 0.07
SHOWN_NAME = 46  # characters of a name in a legend


class _Panel(NamedTuple):
    """Curves with one axis.

    Attributes:
        axis: its title, with the unit.
        lines: name → values.
    """

    axis: str
    lines: dict[str, Sequence[float | None]]


def metric_cards(outcome: RunOutcome) -> list[Card]:
    """A card for each address, in the order in which they were given; none where none was."""
    return [
        plot_card(
            f"metrics{number}",
            f"Metrics of {history.address}",
            _note(history),
            _figure(history),
            wide=True,
        )
        for number, history in enumerate(outcome.metrics)
    ]


def _note(history: MetricsHistory) -> str:
    silent = f" It did not answer {history.gaps:,} times." if history.gaps else ""
    left_out = f" {len(history.left_out):,} more names moved and have no curve." if history.left_out else ""
    return (
        f"As the process told it, in {len(history.at_s):,} samples; the CSV has {len(history.series):,} "
        f"curves.{silent}{left_out}"
    )


def _figure(history: MetricsHistory) -> go.Figure:
    """Panels with one axis of time: cores, memory, descriptors, rates, means, levels, errors."""
    panels = [panel for panel in _panels(history) if panel.lines]
    figure = blank_figure("seconds since the start", "", height=90 + PANEL_PX * max(1, len(panels)))
    if not panels:
        return figure.add_annotation(text="nothing moved", showarrow=False, font={"size": 16})
    axis = figure.layout.yaxis.to_plotly_json()
    height = 1.0 / len(panels)
    colour = 0
    for number, panel in enumerate(panels):
        name = "y" if not number else f"y{number + 1}"
        top = 1.0 - number * height
        given: dict[str, Any] = axis | {
            "title": {"text": panel.axis, "standoff": 6},
            "domain": [max(0.0, top - height * (1.0 - GAP * len(panels) / 2)), top],
            "rangemode": "tozero",
        }
        figure.update_layout({"yaxis" if not number else f"yaxis{number + 1}": given})
        for text, values in panel.lines.items():
            figure.add_scatter(
                x=history.at_s,
                y=values,
                yaxis=name,
                name=label(text if len(text) <= SHOWN_NAME else f"{text[: SHOWN_NAME - 1]}…"),
                mode="lines",
                line={"color": BY_NUMBER[colour % len(BY_NUMBER)], "width": 2},
                hovertemplate=f"%{{y:,.4g}} {label(text)}<extra></extra>",
            )
            colour += 1
    figure.update_layout(xaxis={"anchor": "y" if len(panels) == 1 else f"y{len(panels)}"})
    return figure


def _panels(history: MetricsHistory) -> Iterator[_Panel]:
    yield _Panel("cores", _named({"processor cores": history.curve(CPU, "rate")}))
    yield _Panel("MB", _named({"resident memory": _scaled(history.curve(MEMORY, "gauge"), 1 / MB)}))
    yield _Panel("descriptors", _named({"open descriptors": history.curve(OPEN_FDS, "gauge")}))
    others = [series for series in history.series.values() if not series.name.startswith(PROCESS)]
    errors = [series for series in others if ERROR_WORDS.search(series.name)]
    rest = [series for series in others if series not in errors]
    yield _Panel("a second", _largest([series for series in rest if series.kind == "rate"]))
    yield _Panel("mean", _largest([series for series in rest if series.kind == "mean"]))
    yield _Panel("levels", _largest([series for series in rest if series.kind == "gauge"]))
    yield _Panel("errors a second", _largest([series for series in errors if series.kind == "rate"]))


def _named(lines: dict[str, Sequence[float | None]]) -> dict[str, Sequence[float | None]]:
    return {name: values for name, values in lines.items() if any(value is not None for value in values)}


def _scaled(values: Sequence[float | None], factor: float) -> list[float | None]:
    return [None if value is None else value * factor for value in values]


def _largest(series: list[Series]) -> dict[str, Sequence[float | None]]:
    """The largest by their mean; what runtimes tell of their own memory comes last."""

    def rank(one: Series) -> tuple[bool, float]:
        known = [value for value in one.values if value is not None]
        return one.name.startswith(("python_", "go_")), -float(np.mean(known)) if known else 0.0

    return {one.name: one.values for one in sorted(series, key=rank)[:LINES]}

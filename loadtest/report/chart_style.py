"""What the charts of every page have in common: an empty figure, a stacked histogram, an objective's line."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from launchday.escapes import escaped
from loadtest.report.palette import GREY, OBJECTIVE

HISTOGRAM_BINS = 40


def label(name: object) -> str:
    """Return somebody's name as text for a plot, where plotly would read tags, entities and ``%{…}``."""
    return html.escape(escaped(str(name)), quote=False).replace("%{", "&#37;{")


def blank_figure(
    x_title: str,
    y_title: str,
    *,
    log: bool = False,
    hover: str | None = None,
    from_zero: bool = False,
    height: int = 320,
) -> go.Figure:
    """A figure without curves, in the style of the pages.

    Args:
        x_title, y_title: what is on the axes, with the unit.
        log: whether the y axis is logarithmic.
        hover: plotly's hovermode; by default "x unified" over time ("… since the start"), else "closest".
        from_zero: whether the y axis begins at 0.
        height: in pixels.
    """
    axis: dict[str, Any] = {"zeroline": False, "automargin": True}
    y_axis = axis | {"title": {"text": y_title, "standoff": 6}}
    if log:
        y_axis |= {"type": "log", "dtick": 1, "tickformat": "~g"}
    if from_zero:
        y_axis |= {"rangemode": "tozero"}
    return go.Figure(
        layout={
            "template": "none",
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "font": {"family": "system-ui, sans-serif", "size": 13, "color": GREY},
            "margin": {"l": 52, "r": 12, "t": 34, "b": 44},
            "height": height,
            "hovermode": hover or ("x unified" if "since the start" in x_title else "closest"),
            "legend": {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
            "xaxis": axis | {"title": {"text": x_title, "standoff": 8}},
            "yaxis": y_axis,
        }
    )


def histogram(
    figure: go.Figure,
    groups: Mapping[str, npt.NDArray[np.float64]],
    unit: str,
    colours: Mapping[str, str],
) -> go.Figure:
    """Add stacked bars of one bin width for all groups, and return the figure.

    The values are counted here, so that the page holds bins and not players.

    Args:
        figure: of :func:`blank_figure`.
        groups: float64[n] by name; what is not finite is left out.
        unit: of the values, for the text under the pointer.
        colours: of the groups.
    """
    kept = {name: values[np.isfinite(values)] for name, values in groups.items()}
    everything = np.concatenate([*kept.values(), np.zeros(0)])
    if not len(everything):
        return figure.add_annotation(text="no measurements", showarrow=False, font={"size": 16})
    edges = np.linspace(0, max(float(everything.max()) * 1.02, 1e-6), HISTOGRAM_BINS + 1)
    centres, width = (edges[:-1] + edges[1:]) / 2, edges[1] - edges[0]
    for name, values in kept.items():
        figure.add_bar(
            x=centres.round(4).tolist(),
            y=np.histogram(values, edges)[0].tolist(),
            width=float(width) * 0.96,
            name=label(name),
            marker={"color": colours[name]},
            hovertemplate=f"%{{y}} players around %{{x:.3g}} {unit}<extra>{label(name)}</extra>",
        )
    return figure.update_layout(barmode="stack")


def objective_line(figure: go.Figure, across: Sequence[Any], limit: float, text: str) -> go.Figure:
    """Add what an objective allows as a dashed curve, so that the legend names it and the axis reaches it.

    Args:
        figure: whose y axis has the objective's unit.
        across: the ends of the line on the x axis.
        limit: its height.
        text: for the legend.
    """
    return figure.add_scatter(
        x=list(across),
        y=[limit] * len(across),
        name=text,
        mode="lines",
        line={"width": 2, "dash": "dash", "color": OBJECTIVE},
        hoverinfo="skip",
    )

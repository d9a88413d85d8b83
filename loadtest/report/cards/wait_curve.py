"""The cumulative curve of waits: which share of the players had a match within x seconds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import plotly.graph_objects as go

from loadtest.report.chart_style import blank_figure, label
from loadtest.report.palette import OBJECTIVE

CURVE_POINTS = 240  # of a cumulative curve, and as many again for its last hundredth
LOG_BELOW = 0.03  # a median below this share of the axis leaves a linear axis empty but for its edge
SHORTEST_S = 0.01  # of a logarithmic axis of seconds: what is shorter is at its left edge
OBJECTIVE_SHARE = 95.0  # objectives of waits are 95th percentiles


class Waits(NamedTuple):
    """The waits of one group of players.

    Attributes:
        matched_s: float64[n], seconds of each wait that ended in a match, in any order.
        in_vain: how many ended without one.
        colour: of the curve.
    """

    matched_s: npt.NDArray[np.float64]
    in_vain: int
    colour: str

    @property
    def matched_share(self) -> float:
        """Which share of the waits ended in a match, in per cent; 0 where there were none."""
        return 100.0 * len(self.matched_s) / max(1, len(self.matched_s) + self.in_vain)


def cumulative_waits(groups: Mapping[str, Waits], limit_s: float | None) -> go.Figure:
    """Which share of the players had a match within x seconds, and the objective's corner.

    Who never had a match counts as not yet, so a curve ends below 100 % where somebody gave up. The objective
    is met where the first curve passes above and to the left of its corner. The axis is logarithmic where
    most waits are so short that a linear one would show an edge and nothing else.

    Args:
        groups: by name, all players first.
        limit_s: the objective: 95 % of the players within so many seconds; None without one.
    """
    figure = blank_figure("seconds of wait", "players with a match, %", hover="x unified", from_zero=True)
    kept = {name: waits for name, waits in groups.items() if len(waits.matched_s) + waits.in_vain}
    if not kept:
        return figure.add_annotation(text="nobody queued", showarrow=False, font={"size": 16})
    everything = np.concatenate([waits.matched_s for waits in kept.values()])
    right_s = max(float(everything.max(initial=0.0)), limit_s or 0.0, SHORTEST_S) * 1.05
    log = bool(len(everything)) and float(np.median(everything)) < LOG_BELOW * right_s
    left_s = SHORTEST_S if log else 0.0
    for number, (name, waits) in enumerate(kept.items()):
        at_s, share = _reached(waits, left_s, right_s)
        figure.add_scatter(
            x=at_s.round(4).tolist(),
            y=share.round(3).tolist(),
            name=f"{label(name)}: {_per_cent(waits.matched_share)}",
            mode="lines",
            line={
                "width": 1.8 if number else 3,
                "color": waits.colour,
                "shape": "hv" if len(waits.matched_s) <= CURVE_POINTS else "linear",
            },
            hovertemplate=f"%{{y:.1f}} %<extra>{label(name)}</extra>",
        )
    if limit_s is not None:
        figure.add_scatter(
            x=[left_s, limit_s, limit_s],
            y=[OBJECTIVE_SHARE, OBJECTIVE_SHARE, 0.0],
            name=f"objective: {OBJECTIVE_SHARE:g} % within {limit_s:g} s",
            mode="lines",
            line={"width": 2, "dash": "dash", "color": OBJECTIVE},
            hoverinfo="skip",
        )
    figure.update_layout(yaxis={"range": [0, 103]}, showlegend=True)
    if log:
        ticks = _ticks(left_s, right_s)
        figure.update_layout(
            xaxis={
                "type": "log",
                "range": [float(np.log10(left_s)), float(np.log10(right_s))],
                "tickvals": ticks,
                "ticktext": [f"≤ {tick:g}" if tick <= SHORTEST_S else f"{tick:g}" for tick in ticks],
            }
        )
    else:
        figure.update_layout(xaxis={"range": [0, right_s]})
    return figure


def _reached(
    waits: Waits, left_s: float, right_s: float
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Seconds, and per cent of all waits that had ended in a match by then, from one edge to the other."""
    count = len(waits.matched_s)
    if not count:
        return np.array([left_s, right_s]), np.zeros(2)
    ordered = np.sort(waits.matched_s)
    # The exact values at some ranks: all of a small run, and of a large one more where its tail is.
    spread, tail = np.linspace(0, count - 1, CURVE_POINTS), np.linspace(0.99 * count, count - 1, CURVE_POINTS)
    ranks = np.unique(np.concatenate([spread, tail]).clip(0, count - 1).astype(np.int64))
    at_s = np.maximum(ordered[ranks], left_s)
    share = 100.0 * (ranks + 1) / (count + waits.in_vain)
    return np.concatenate([[left_s], at_s, [right_s]]), np.concatenate([[0.0], share, share[-1:]])


def _ticks(left: float, right: float) -> list[float]:
    """1, 2 and 5 of each power of ten between two limits; 1 alone where those would crowd."""
    powers = range(int(np.floor(np.log10(left))), int(np.ceil(np.log10(right))) + 1)
    leading = (1, 2, 5) if len(powers) <= 3 else (1,)
    found = [round(digit * 10.0**power, 9) for power in powers for digit in leading]
    return [each for each in found if left <= each <= right]


def _per_cent(share: float) -> str:
    """A share without more digits than it needs, and 100 only where it is all."""
    if share >= 100.0:
        return "100 %"
    return f"{min(share, 99.99):.2f} %" if share > 99.0 else f"{share:.3g} %"

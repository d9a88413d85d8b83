"""The curves of a simulation, as plotly figures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray

from loadtest.players.player_records import PlayerState
from loadtest.report import palette
from loadtest.report.cards.wait_curve import Waits, cumulative_waits
from loadtest.report.chart_style import blank_figure, label, objective_line
from loadtest.report.palette import FLOODED, P50, P95, SIMULATED
from loadtest.simulate.result import HOUR_S, SimulationResult
from loadtest.simulate.world import Counter, SimulatedWorld, TicketState

Floats = NDArray[np.float64]
BINS = 48
INTERVALS = 60  # of the arrivals, in the plot of waits over time
MAX_POINTS = 600  # of a curve: more than a screen shows
LONG_S = 2 * HOUR_S  # from this length on the time axis is in hours

# Prices have the unit that whoever wrote the scenario had in mind, and it names none.
PRICE_UNIT = "In the unit of the scenario's price"
COST_AXIS = "cost so far, unit of the price"

_axes = partial(blank_figure, from_zero=True)


class TimeAxis:
    """The time axis of a run: in seconds, or in hours where it is long."""

    def __init__(self, virtual_s: float) -> None:
        self.unit_s = HOUR_S if virtual_s > LONG_S else 1.0
        self.title = "hours since the start" if self.unit_s > 1.0 else "seconds since the start"

    def positions(self, at_s: Any) -> list[float]:
        """Return times in seconds as positions on the axis."""
        return [round(float(at) / self.unit_s, 4) for at in at_s]


def players(result: SimulationResult) -> go.Figure:
    """Waiting, playing and abandoned players over time."""
    world, axis = result.run.world, TimeAxis(result.run.virtual_s)
    at, rows = _samples(world)
    figure = _axes(axis.title, "players")
    samples = world.samples
    for state, name, values in (
        (PlayerState.QUEUED, "queued", samples.waiting[rows].sum(axis=1)),
        (PlayerState.PLAYING, "playing", samples.playing[rows]),
        (PlayerState.CANCELLED, "gave up so far", samples.abandoned[rows]),
    ):
        colour = palette.PLAYERS[state]
        figure.add_scatter(
            x=axis.positions(at),
            y=values.tolist(),
            name=name,
            stackgroup="players",
            mode="lines",
            line={"width": 0.5, "color": colour},
            fillcolor=colour,
        )
    return _marked(figure, result, axis)


def servers(result: SimulationResult) -> go.Figure:
    """The servers of all regions by state, stacked, over time."""
    world, axis = result.run.world, TimeAxis(result.run.virtual_s)
    at, rows = _samples(world)
    figure = _axes(axis.title, "servers")
    for name, values in (
        ("Allocated", world.samples.allocated),
        ("Ready", world.samples.ready),
        ("Starting", world.samples.starting),
    ):
        colour = palette.SERVERS[name]
        figure.add_scatter(
            x=axis.positions(at),
            y=values[rows].sum(axis=1).tolist(),
            name=name,
            stackgroup="servers",
            mode="lines",
            line={"width": 0.5, "color": colour},
            fillcolor=colour,
        )
    return _marked(figure, result, axis)


def regions(result: SimulationResult) -> go.Figure:
    """Waiting players over time, by their nearest region."""
    world, axis = result.run.world, TimeAxis(result.run.virtual_s)
    at, rows = _samples(world)
    figure = _axes(axis.title, "players queued")
    colours = region_colours(result)
    for index, name in enumerate(result.run.setup.regions):
        figure.add_scatter(
            x=axis.positions(at),
            y=world.samples.waiting[rows, index].tolist(),
            name=label(name),
            mode="lines",
            line={"width": 2, "color": colours[name]},
        )
    return figure


def region_colours(result: SimulationResult) -> dict[str, str]:
    """The colour of each region of the fleet."""
    return palette.region_colours(result.run.setup.regions)


def waits_over_time(result: SimulationResult) -> go.Figure:
    """Median and p95 wait by the time of arrival."""
    world, axis = result.run.world, TimeAxis(result.run.virtual_s)
    figure = _axes(f"{axis.title}, when they arrived", "seconds of wait")
    arrived_s = world.tickets.arrives_s[result.matched]
    if not len(arrived_s):
        return figure
    edges = np.linspace(0.0, float(arrived_s.max()) * (1 + 1e-9) + 1e-9, INTERVALS + 1)
    order = np.argsort(arrived_s, kind="stable")
    cuts = np.searchsorted(arrived_s[order], edges)
    middles, median, high = [], [], []
    for begin, end, left, right in zip(cuts[:-1], cuts[1:], edges[:-1], edges[1:], strict=True):
        if end > begin:
            p50, p95 = np.percentile(result.wait_of_ticket_s[order[begin:end]], (50, 95))
            middles.append((left + right) / 2)
            median.append(round(float(p50), 3))
            high.append(round(float(p95), 3))
    for name, values, colour in (("p95", high, P95), ("p50", median, P50)):
        figure.add_scatter(
            x=axis.positions(middles), y=values, name=name, mode="lines", line={"width": 2, "color": colour}
        )
    return figure


def waits(result: SimulationResult, limit_s: float | None) -> go.Figure:
    """Which share of the players had a match within x seconds, all together and by their nearest region.

    Args:
        result: of the run.
        limit_s: the objective: 95 % of the players within so many seconds; None without one.
    """
    tickets = result.run.world.tickets
    colours, home = region_colours(result), tickets.home[tickets.location]
    groups = {"all players": _waits_of(result, np.ones(len(home), bool), palette.EVERYBODY)}
    if len(result.run.setup.regions) > 1:
        for index, name in enumerate(result.run.setup.regions):
            groups[name] = _waits_of(result, home == index, colours[name])
    return cumulative_waits(groups, limit_s)


def skill_bands(result: SimulationResult) -> go.Figure:
    """Median and p95 wait in five bands of true skill."""
    figure = _axes("true skill", "seconds of wait")
    bands = [(name, values) for name, values in result.waits_by_skill() if len(values)]
    if len({name for name, _ in bands}) < len(bands):  # alike names would be one bar
        bands = [(f"{number}: {name}", values) for number, (name, values) in enumerate(bands, 1)]
    for name, point, colour in (("p50", 50, P50), ("p95", 95, P95)):
        figure.add_bar(
            x=[band for band, _ in bands],
            y=[round(float(np.percentile(values, point)), 3) for _, values in bands],
            name=name,
            marker={"color": colour},
        )
    return figure.update_layout(barmode="group", xaxis={"type": "category"})


def quality(result: SimulationResult) -> go.Figure:
    """Histogram of the spread of skill in a match."""
    title = "standard deviation of skill in a match"
    return tail_histogram({"": result.skill_spread}, title, "matches", "", {"": palette.EVERYBODY})


def latencies(result: SimulationResult) -> go.Figure:
    """Histogram of round trips to the servers, by region."""
    world = result.run.world
    region = np.repeat(
        world.matches.region[world.records.match[result.matched]], world.tickets.size[result.matched]
    )
    latency = result.latency_ms.astype(np.float64)
    groups = {name: latency[region == index] for index, name in enumerate(result.run.setup.regions)}
    return tail_histogram(groups, "milliseconds to the server", "players", "ms", region_colours(result))


def money(result: SimulationResult, budget: float | None) -> go.Figure:
    """The cost of the servers so far, over time, and what the scenario allows; None: it does not say."""
    world, axis = result.run.world, TimeAxis(result.run.virtual_s)
    at, rows = _samples(world)
    figure = _axes(axis.title, COST_AXIS).update_yaxes(exponentformat="none")  # no millionths by a letter
    across = axis.positions(at)
    figure.add_scatter(
        x=across,
        y=(world.samples.server_s[rows] / HOUR_S * result.price_per_server_hour).round(8).tolist(),
        name="all servers",
        mode="lines",
        line={"width": 2, "color": palette.COST},
        showlegend=budget is not None,
    )
    if budget is not None and across:
        objective_line(figure, (across[0], across[-1]), budget, f"objective: at most {budget:g}")
    return figure


def tail_histogram(
    groups: Mapping[str, Any], x_title: str, y_title: str, unit: str, colours: Mapping[str, str]
) -> go.Figure:
    """Stacked bars of one bin width for all groups; the longest half per cent is in the last bar."""
    figure = _axes(x_title, y_title)
    filled = {name: values for name, values in groups.items() if len(values)}
    if not filled:
        return figure.add_annotation(text="nobody", showarrow=False, font={"size": 16})
    # The end of a long tail would press all else into one bar, so it goes into the last bar.
    top = max(float(np.percentile(values, 99.5)) for values in filled.values())
    edges = np.linspace(0.0, max(top * 1.02, 1e-6), BINS + 1)
    middles, width = (edges[:-1] + edges[1:]) / 2, float(edges[1] - edges[0])
    for name, values in filled.items():
        counts, _ = np.histogram(np.minimum(values, edges[-1]), edges)
        figure.add_bar(
            x=middles.round(4).tolist(),
            y=counts.tolist(),
            width=width * 0.96,
            name=label(name),
            showlegend=bool(name),
            marker={"color": colours[name]},
            hovertemplate=f"%{{y:,}} around %{{x:.3g}} {unit}<extra>{label(name)}</extra>",
        )
    return figure.update_layout(barmode="stack")


def real_and_simulated(curves: Sequence[tuple[str, Floats]], step_s: float, y_title: str) -> go.Figure:
    """A real curve and its simulation, a point every ``step_s`` from the start."""
    figure = _axes("seconds since the start", y_title)
    for (name, values), colour, dash in zip(curves, (FLOODED, SIMULATED), ("solid", "dash"), strict=True):
        figure.add_scatter(
            x=(np.arange(len(values)) * step_s).tolist(),
            y=values.tolist(),
            name=name,
            mode="lines",
            line={"width": 2, "color": colour, "dash": dash, "shape": "hv"},
        )
    return figure


def cumulative_shares(groups: Sequence[tuple[str, Floats]], x_title: str) -> go.Figure:
    """Cumulative shares of real and simulated values: two alike distributions have one curve."""
    figure = _axes(x_title, "share")
    points = np.linspace(0.0, 100.0, 201)
    for (name, values), colour, dash in zip(groups, (FLOODED, SIMULATED), ("solid", "dash"), strict=True):
        if len(values):
            figure.add_scatter(
                x=np.percentile(values, points).round(4).tolist(),
                y=(points / 100.0).tolist(),
                name=name,
                mode="lines",
                line={"width": 2, "color": colour, "dash": dash},
            )
    return figure


def _waits_of(result: SimulationResult, chosen: NDArray[np.bool_], colour: str) -> Waits:
    """The waits of the players of some tickets, bool[T]."""
    world = result.run.world
    mine = chosen[result.waited]
    rows, wait_s = result.waited[mine], result.wait_of_waited_s[mine]
    size, matched = world.tickets.size[rows], world.records.state[rows] == TicketState.MATCHED
    return Waits(np.repeat(wait_s[matched], size[matched]), int(size[~matched].sum()), colour)


def _samples(world: SimulatedWorld) -> tuple[Floats, NDArray[np.int64]]:
    """Return times and rows of the samples, at most MAX_POINTS of them."""
    count = int(world.counters[Counter.SAMPLES])
    rows = np.unique(np.linspace(0, count - 1, min(count, MAX_POINTS)).astype(np.int64))
    return world.samples.at_s[rows], rows


def _marked(figure: go.Figure, result: SimulationResult, axis: TimeAxis) -> go.Figure:
    """Add a line for each incident."""
    for incident in result.run.setup.incidents:
        if incident.text:
            figure.add_vline(
                x=incident.at_s / axis.unit_s,
                line={"width": 1, "dash": "dot", "color": palette.FAULT},
                annotation={
                    "text": label(incident.text),
                    "font": {"size": 11},
                    "textangle": -90,
                    "yanchor": "top",
                },
            )
    return figure

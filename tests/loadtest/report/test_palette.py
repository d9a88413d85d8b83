"""One colour a thing, whatever the page; and no two things of one colour on one chart."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import combinations

import plotly.graph_objects as go
import pytest

from dedicated_server.fleet.console import overview
from dedicated_server.fleet.pool.states import State
from loadtest.players.player_records import PlayerState
from loadtest.report import charts, palette, server_charts
from loadtest.simulate.pages import charts as simulated
from loadtest.simulate.plan import plan
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.simulator import simulate
from tests.loadtest.sample_run import sample_outcome

# Drawn by the simulator under other names than the flood's.
SAME = {"gave up so far": PlayerState.CANCELLED.label}


def colours_of(figure: go.Figure) -> dict[str, str]:
    """Name → colour of each curve and bar that the legend shows."""
    found = {}
    for trace in figure.data:
        if trace.name and trace.showlegend is not False:
            look = trace.line if trace.type == "scatter" and trace.mode != "markers" else trace.marker
            name = trace.name.partition(":")[0]
            found[SAME.get(name, name)] = look.color
    return found


def contradictions(figures: Iterable[go.Figure]) -> list[str]:
    """What has two colours on some pages, and what has the colour of something else on its own chart."""
    seen: dict[str, str] = {}
    wrong = []
    for figure in figures:
        found = colours_of(figure)
        wrong += [f"{a} looks like {b}" for a, b in combinations(found, 2) if found[a] == found[b]]
        wrong += [f"{name} has two colours" for name in found if seen.get(name, found[name]) != found[name]]
        seen |= found
    return wrong


@pytest.fixture(scope="module")
def figures() -> list[go.Figure]:
    run = sample_outcome()
    result = SimulationResult(simulate(plan(run.scenario)), 0.05)
    flooded = [
        charts.players(run),
        charts.waits(run),
        charts.waits_by_region(run),
        charts.round_trips(run),
        charts.queues(run),
        charts.bandwidth(run),
        server_charts.fleet(run),
        server_charts.stages(run),
    ]
    in_virtual_time = [
        simulated.players(result),
        simulated.servers(result),
        simulated.regions(result),
        simulated.waits(result, 20.0),
        simulated.waits_over_time(result),
        simulated.latencies(result),
    ]
    return [figure for figure in flooded + in_virtual_time if figure is not None]


def test_a_thing_has_one_colour_on_all_pages(figures: list[go.Figure]) -> None:
    assert contradictions(figures) == []
    assert {"west-europe", "east-us", "queued", "all players"} <= {
        name for figure in figures for name in colours_of(figure)
    }


def test_a_second_colour_is_found(figures: list[go.Figure]) -> None:
    other = go.Figure().add_scatter(x=[0], y=[1], name="west-europe", mode="lines", line={"color": "#123456"})
    assert contradictions([*figures, other]) == ["west-europe has two colours"]
    alike = go.Figure()
    for name in ("one", "other"):
        alike.add_bar(x=[0], y=[1], name=name, marker={"color": "#123456"})
    assert contradictions([*figures, alike]) == ["one looks like other"]


def test_servers_have_the_colours_of_the_console() -> None:
    console = {key: colour for key, _, colour in (*overview.SERIES, *overview.QUEUE)}
    for key, name in (("allocated", "Allocated"), ("ready", "Ready"), ("starting", "Starting")):
        assert console[key] == palette.SERVERS[name]
    assert console["queued"] == palette.PLAYERS[PlayerState.QUEUED]


def test_every_state_has_a_colour_of_its_own() -> None:
    assert {*palette.SERVERS} == {str(state) for state in State}
    assert {*palette.PLAYERS} == {*PlayerState} - {PlayerState.AWAY}
    for colours in (palette.SERVERS, palette.PLAYERS, palette.QUEUES, palette.STAGES, palette.REGIONS):
        assert len({*colours.values()}) == len(colours)


def test_a_region_keeps_its_colour_beside_others_and_shares_it_with_none() -> None:
    few = palette.region_colours(["west-europe", "uk-south"])
    many = palette.region_colours(
        ["japan-east", "uk-south", "west-europe", "east-us", "southeast-asia", "brazil-south"]
    )
    assert few["west-europe"] == many["west-europe"] == palette.REGIONS["west-europe"]
    assert len({*many.values()}) == len(many)
    assert palette.region_colours(reversed([*many])) == many
    assert len(palette.region_colours(f"region-{number}" for number in range(40))) == 40

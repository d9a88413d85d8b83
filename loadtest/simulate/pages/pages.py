"""The pages of a simulation and of a sweep: one HTML file each, for somebody who was not there."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import plotly.graph_objects as go
import yaml

from loadtest.scenario.model import Scenario
from loadtest.simulate.agreement import STEP_S, TOLERANCE, Comparison
from loadtest.simulate.objectives import SHARE, Objective
from loadtest.simulate.pages import charts, page
from loadtest.simulate.result import SimulationResult
from loadtest.simulate.sweep import Setting, Sweep
from loadtest.simulate.world import Counter


def render_run(
    scenario: Scenario, result: SimulationResult, figures: dict[str, Any], asked: Sequence[Objective]
) -> str:
    """The page of one simulation. The same scenario and seed give the same bytes."""
    plots: list[tuple[str, str, str, go.Figure, bool]] = [
        ("players", "Players", "Who waits, who plays, who has given up; red lines: what went wrong.", charts.players(result), True),
        ("servers", "Servers", "All regions together, by state.", charts.servers(result), True),
        ("over_time", "Wait by arrival", "Of those who came at that time and got a match.", charts.waits_over_time(result), False),
        ("regions", "Queue by region", "Players by their nearest region.", charts.regions(result), False),
        ("waits", "Wait for a match", "By the region of the match; the longest half percent is in the last bar.", charts.waits(result), False),
        ("bands", "Wait by skill", "Five bands with as many tickets in each, from the least skilled to the best.", charts.skill_bands(result), False),
        ("quality", "Match quality", "How far apart in skill the players of a match are; all players: "
         f"{_population_spread(result):.2f}.", charts.quality(result), False),
        ("latency", "Round trip", "To the server of the match, the player's own line included.", charts.latencies(result), False),
        ("money", "Money", f"At {scenario.fleet.price_per_server_hour:g} an hour and server, from start to end.", charts.money(result), False),
    ]  # fmt: skip
    cards = [
        page.text_card("Objectives", _objectives(asked), wide=False),
        page.text_card(
            "What broke first", f'<p class="sentence">{html.escape(first_bottleneck(result, asked))}</p>'
        ),
        *(page.plot_card(name, title, note, wide=wide) for name, title, note, _, wide in plots),
        page.text_card("Regions", _regions(result), wide=False),
    ]
    passed = all(one.met for one in asked)
    return page.render(
        title=f"{scenario.name} simulated · launchday",
        heading=f"{scenario.name} in virtual time · {figures['players']:,} players",
        subheading=f"{scenario.description} {_duration(figures['virtual_s'])} of virtual time, seed {scenario.seed}.".strip(),
        passed=passed,
        verdict_word="Objectives met" if passed else "Objectives missed",
        verdict=run_sentence(figures),
        figures=run_tiles(figures),
        cards=cards,
        plots={name: figure for name, _, _, figure, _ in plots},
        repeat_note="The same file and seed give the same run, byte for byte. Save it, and run launchday simulate FILE.",
        repeat=_yaml(scenario),
    )


def render_sweep(found: Sweep) -> str:
    """The page of a sweep."""
    first = found.variations[0].path
    plots: list[tuple[str, str, str, go.Figure, bool]] = [
        ("against", "Wait against money", "Each point a setting, with the 95 % intervals of its seeds; filled: meets every objective under every seed.", charts.wait_against_money(found), True),
        ("wait", "Wait", f"p95 over {first}, with its 95 % band.", charts.over_setting(found, "wait_p95_s", "wait p95, seconds"), False),
        ("cost", "Money", f"Over {first}, with its 95 % band.", charts.over_setting(found, "cost", "cost"), False),
        ("abandoned", "Given up", f"Share of the players who gave up waiting, over {first}.", charts.over_setting(found, "abandoned_share", "share of players"), False),
        ("peak", "Servers", f"The most there were at once, over {first}.", charts.over_setting(found, "servers_peak", "servers"), False),
    ]  # fmt: skip
    best = found.cheapest
    tiles = [
        (f"{len(found.settings):,}", "settings"),
        (f"{len(found.seeds):,}", "seeds each"),
        (f"{found.scenario.players.count * len(found.settings) * len(found.seeds):,}", "players simulated"),
        (f"{sum(setting.meets for setting in found.settings):,}", "settings that meet the objectives"),
    ]
    return page.render(
        title=f"{found.scenario.name} swept · launchday",
        heading=f"{found.scenario.name}: {' and '.join(vary.path for vary in found.variations)}",
        subheading=f"{found.scenario.description} Simulated in virtual time, {len(found.seeds)} seeds from {found.seeds[0]}.".strip(),
        passed=best is not None,
        verdict_word="A setting meets the objectives" if best else "No setting meets the objectives",
        verdict=found.sentence,
        figures=tiles,
        cards=[
            page.plot_card(*plots[0][:3], wide=True),
            page.text_card(
                "Settings", _settings(found), "Mean of the seeds ± half the 95 % interval.", wide=True
            ),
            *(page.plot_card(name, title, note, wide=wide) for name, title, note, _, wide in plots[1:]),
        ],
        plots={name: figure for name, _, _, figure, _ in plots},
        repeat_note="Save it, and run launchday sweep FILE "
        + " ".join(f"--vary {vary.path}={','.join(map(str, vary.values))}" for vary in found.variations)
        + f" --seeds {len(found.seeds)}",
        repeat=_yaml(found.scenario),
    )


def render_agreement(found: Comparison) -> str:
    """The page of a rehearsal: a flood and its simulation, side by side."""
    real, simulated = found.real.figures(), found.simulated.figures()
    differences = found.differences()
    names = {
        "wait_s_p50": ("wait, p50", "s", ("wait_s", "p50")),
        "wait_s_p95": ("wait, p95", "s", ("wait_s", "p95")),
        "servers_in_use_mean": ("servers in use, mean", "", ("servers_in_use", "mean")),
        "servers_in_use_max": ("servers in use, most", "", ("servers_in_use", "max")),
        "skill_spread_p50": ("skill spread in a match, p50", "", ("skill_spread", "p50")),
        "latency_ms_p50": ("round trip, p50", "ms", ("latency_ms", "p50")),
        "latency_ms_p95": ("round trip, p95", "ms", ("latency_ms", "p95")),
    }
    rows = []
    for name, share in differences.items():
        good = page.mark(abs(share) <= TOLERANCE, f"{share:+.1%}", f"{share:+.1%}")
        if name in names:
            label, unit, (group, key) = names[name]
            values = [f"{_number(side[group][key])} {unit}".strip() for side in (real, simulated)]
        elif name == "players_per_match":
            label, values = "players a match", [_number(side[name]) for side in (real, simulated)]
        else:
            label, values = "servers over time: area between the curves", ["", ""]
        rows.append((label, *values, good))
    plots = {
        "servers": charts.real_and_simulated(
            [("flooded for real", found.real.in_use), ("simulated", found.simulated.in_use)],
            STEP_S,
            "servers in use",
        ),
        "waits": charts.cumulative_shares(
            [("flooded for real", found.real.wait_s), ("simulated", found.simulated.wait_s)],
            "seconds of wait",
        ),
        "quality": charts.cumulative_shares(
            [("flooded for real", found.real.skill_spread), ("simulated", found.simulated.skill_spread)],
            "standard deviation of skill in a match",
        ),
    }
    worst = max(differences.values(), key=abs)
    return page.render(
        title=f"{found.scenario.name}: real and simulated · launchday",
        heading=f"{found.scenario.name}: the flood and its simulation",
        subheading=f"{found.scenario.players.count:,} players over real sockets, and the same players in virtual time; seed {found.scenario.seed}.",
        passed=found.agrees,
        verdict_word="The simulation agrees with reality" if found.agrees else "The simulation is off",
        verdict=f"Every figure should be within {TOLERANCE:.0%} of the real one; the farthest is {worst:+.1%} off.",
        figures=[
            (f"{real['matches']} / {simulated['matches']}", "matches, real / simulated"),
            (
                f"{_number(real['wait_s']['p50'])} / {_number(simulated['wait_s']['p50'])} s",
                "wait p50, real / simulated",
            ),
            (
                f"{_number(real['wait_s']['p95'])} / {_number(simulated['wait_s']['p95'])} s",
                "wait p95, real / simulated",
            ),
            (f"{differences['servers_over_time']:.1%}", "between the servers' curves"),
        ],
        cards=[
            page.plot_card(
                "servers",
                "Servers in use",
                "A match from its first assignment until its last player has left.",
                wide=True,
            ),
            page.text_card(
                "Figures",
                page.table(("", "real", "simulated", "difference"), rows, numbers=(1, 2, 3)),
                wide=True,
            ),
            page.plot_card("waits", "Waits", "Share of the players who waited at most so long."),
            page.plot_card(
                "quality", "Match quality", "Share of the matches that are at most so mixed in skill."
            ),
        ],
        plots=plots,
        repeat_note="launchday bench rehearsal; the scenario:",
        repeat=_yaml(found.scenario),
    )


def run_sentence(figures: dict[str, Any]) -> str:
    """What happened, in one sentence or two."""
    wait = figures["wait_s"]
    if wait["p50"] is None:
        return f"Of {figures['players']:,} players nobody got a match."
    share = figures["abandoned_share"]
    return (
        f"Half of the players had a match within {wait['p50']:.1f} s, 95 % within {wait['p95']:.1f} s; "
        f"{share:.2%} gave up. It took {figures['servers_peak']:,} servers at most and {figures['cost']:,.2f} in money, "
        f"{figures['idle_share']:.0%} of it for servers that were ready and waited."
    )


def run_tiles(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """The eight figures at the top of the page."""
    wait, spread, latency = figures["wait_s"], figures["skill_spread"], figures["latency_ms"]
    return [
        (f"{figures['matched']:,}", "players matched"),
        (f"{figures['matches']:,}", "matches"),
        (f"{_number(wait['p50'])} / {_number(wait['p95'])} s", "wait, p50 / p95"),
        (f"{figures['abandoned']:,}", "players gave up"),
        (f"{figures['servers_peak']:,}", "servers at most"),
        (f"{figures['cost']:,.2f}", "money"),
        (_number(spread["p50"]), "skill spread in a match, p50"),
        (f"{_number(latency['p50'])} / {_number(latency['p95'])} ms", "round trip, p50 / p95"),
    ]


def first_bottleneck(result: SimulationResult, asked: Sequence[Objective]) -> str:
    """What ran out first, where and when, and what was missed for it."""
    world, setup = result.run.world, result.run.setup
    count = int(world.counters[Counter.SAMPLES])
    samples = world.samples
    seats = int(setup.modes.players.min())
    empty = (samples.ready[:count] == 0) & (samples.waiting[:count] >= seats)
    missed = [one.name for one in asked if not one.met]
    end = f" Missed: {', '.join(missed)}." if missed else " Every objective was met all the same."
    first_fault = next((incident for incident in setup.incidents if incident.text), None)
    if not empty.any():
        nothing = "Nothing: no region ran out of ready servers while a full match waited."
        if first_fault is not None:
            nothing = f"What was broken on purpose, {first_fault.text} at {first_fault.at_s:,.0f} s. No region ran out of ready servers."
        return nothing + (f" Missed: {', '.join(missed)}." if missed else "")
    at = int(np.argmax(empty.any(axis=1)))
    region = int(np.argmax(empty[at]))
    dry_s = float(np.diff(samples.at_s[:count])[empty[:-1, region]].sum())
    worst = int(samples.waiting[:count, region].max())
    return (
        f"Ready servers in {setup.regions[region]}, {samples.at_s[at]:,.0f} s after the start: from then on matches waited for "
        f"servers to start, {dry_s:,.0f} s in all, with up to {worst:,} players in its queue.{end}"
    )


def _objectives(asked: Sequence[Objective]) -> str:
    if not asked:
        return '<p class="quiet">The scenario asks for nothing that virtual time can measure.</p>'
    rows = [
        (
            one.name,
            _measured(one, one.measured),
            f"≤ {_measured(one, one.limit)}",
            page.mark(one.met, "met", "missed"),
        )
        for one in asked
    ]
    return page.table(("objective", "measured", "limit", ""), rows, numbers=(1, 2))


def _regions(result: SimulationResult) -> str:
    world, names = result.run.world, result.run.setup.regions
    fleet = world.fleet
    waits = result.waits_by_region()
    rows = []
    for index, name in enumerate(names):
        values = waits[name]
        p95 = float(np.percentile(values, 95)) if len(values) else None
        idle = fleet.idle_s[index] / fleet.server_s[index] if fleet.server_s[index] else 0.0
        rows.append(
            (
                name,
                f"{int(fleet.matches[index]):,}",
                _number(p95),
                f"{int(fleet.peak[index]):,}",
                f"{idle:.0%}",
            )
        )
    return page.table(("region", "matches", "wait p95, s", "servers", "idle"), rows, numbers=range(1, 5))


def _settings(found: Sweep) -> str:
    best = found.cheapest
    headings = [vary.path for vary in found.variations]
    headings += [
        "wait p50, s",
        "wait p95, s",
        "wait p99, s",
        "given up",
        "servers",
        "idle",
        "cost",
        "objectives",
    ]
    rows, classes = [], []
    for setting in found.settings:
        rows.append(
            (
                *(f"{value}" for value in setting.values.values()),
                *(_pair(setting, name, 1) for name in ("wait_p50_s", "wait_p95_s", "wait_p99_s")),
                f"{setting.estimate('abandoned_share').mean:.2%}",
                f"{setting.estimate('servers_peak').mean:,.0f}",
                f"{setting.estimate('idle_share').mean:.0%}",
                _pair(setting, "cost", 2),
                "cheapest"
                if setting is best
                else "met"
                if setting.meets
                else f"met under {setting.met} of {len(setting.runs)}",
            )
        )
        classes.append("best" if setting is best else "" if setting.meets else "missed")
    return page.table(headings, rows, numbers=range(len(headings) - 1), classes=classes)


def _pair(setting: Setting, name: str, digits: int) -> str:
    found = setting.estimate(name)
    return "–" if found.mean is None else f"{found.mean:,.{digits}f} ± {found.half_width:.{digits}f}"


def _population_spread(result: SimulationResult) -> float:
    """Standard deviation of the true skills of all players."""
    setup = result.run.setup
    tickets = int(setup.tickets.independent_count[0])
    players = max(1, result.count)
    mean = float(setup.skill_sum[:tickets].sum()) / players
    return float(np.sqrt(max(0.0, float(setup.skill_squares[:tickets].sum()) / players - mean**2)))


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    return f"{seconds / 60:.0f} minutes" if seconds < 7_200 else f"{seconds / 3_600:.1f} hours"


def _yaml(scenario: Scenario) -> str:
    return yaml.safe_dump(scenario.model_dump(exclude_defaults=True), sort_keys=False, allow_unicode=True)


def _measured(one: Objective, value: float | None) -> str:
    if one.unit == SHARE:
        return "–" if value is None else f"{value:.3%}"
    return f"{_number(value)} {one.unit}".strip()


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1_000 else f"{value:,.0f}"

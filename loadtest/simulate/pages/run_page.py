"""The page of one simulation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from loadtest.report.html import (
    Verdict,
    left_out_card,
    mark,
    paragraph,
    plot_card,
    render_page,
    table,
    text_card,
)
from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.intervals import format_share
from loadtest.simulate.pages import charts
from loadtest.simulate.pages.text import LEFT_OUT, format_duration, format_number, scenario_yaml
from loadtest.simulate.result import SHARE_UNIT, Objective, SimulationResult
from loadtest.simulate.world import Counter


def render_run(
    scenario: Scenario, result: SimulationResult, figures: dict[str, Any], asked: Sequence[Objective]
) -> str:
    """Return the page of a run as HTML. The same scenario and seed give the same bytes.

    Args:
        scenario: that was simulated.
        result: of the run.
        figures: of the run, as ``command.figures_of`` returns them.
        asked: the scenario's objectives.
    """
    passed = all(one.met for one in asked)
    price = scenario.fleet.price_per_server_hour
    return render_page(
        title=f"{scenario.name} simulated · launchday",
        heading=f"{scenario.name} in virtual time · {figures['players']:,} players",
        subheading=(
            f"{scenario.description} {format_duration(figures['virtual_s'])} of virtual time, seed "
            f"{scenario.seed}."
        ).strip(),
        verdict=Verdict(
            "passed" if passed else "failed",
            "Objectives met" if passed else "Objectives missed",
            run_sentence(figures),
        ),
        figures=run_tiles(figures),
        cards=[
            text_card("Objectives", _objectives(asked)),
            text_card("What broke first", paragraph(first_bottleneck(result, asked), "sentence")),
            *left_out_card(figures["left_out"], LEFT_OUT),
            plot_card(
                "players",
                "Players",
                "Who is queued, who plays, and who has given up so far; red lines: incidents.",
                charts.players(result),
                wide=True,
            ),
            plot_card(
                "servers", "Servers", "All regions together, by state.", charts.servers(result), wide=True
            ),
            plot_card(
                "over_time",
                "Wait by arrival",
                "Of the players who arrived at that time and got a match.",
                charts.waits_over_time(result),
            ),
            plot_card(
                "regions", "Queue by region", "Players by their nearest region.", charts.regions(result)
            ),
            plot_card(
                "waits",
                "Wait for a match",
                waits_note(result),
                charts.waits(result, scenario.objectives.wait_p95_s),
            ),
            plot_card(
                "bands",
                "Wait by skill",
                "Of those who got a match, in five bands with as many tickets in each, from the least "
                "skilled to the best. The matchmaker knows ratings alone.",
                charts.skill_bands(result),
            ),
            plot_card(
                "quality",
                "Match quality",
                "Standard deviation of the skill in a match; that of all players is "
                f"{_population_spread(result):.2f}.",
                charts.quality(result),
            ),
            plot_card(
                "latency",
                "Round trip",
                "To the server of the match, the player's access link included.",
                charts.latencies(result),
            ),
            plot_card(
                "money",
                "Cost",
                f"{charts.PRICE_UNIT}: {price:g} for each hour of a server, from its start to its end.",
                charts.money(result, scenario.objectives.cost),
            ),
            text_card("Regions", _regions(result)),
        ],
        repeat_note="The same file and seed give the same run, byte for byte. Save it, and run launchday "
        "simulate FILE.",
        repeat=scenario_yaml(scenario),
    )


def waits_note(result: SimulationResult) -> str:
    """What is in the curve of waits, and who counts as not yet."""
    in_vain = int(result.wait_censored.sum())
    said = "From the arrival to the assignment; regions: the nearest of the player."
    if in_vain:
        said += f" {in_vain:,} of {len(result.wait_s):,} waits ended without a match: they count as not yet."
    else:
        said += f" Each of the {len(result.wait_s):,} waits ended in a match."
    return said + (f" {result.never_queued:,} players never queued." if result.never_queued else "")


def run_sentence(figures: dict[str, Any]) -> str:
    """Return what happened in two sentences, from the figures of a run."""
    if not figures["matched"]:
        return f"None of the {figures['players']:,} players got a match."
    share, peak = figures["abandoned_share"], figures["servers_peak"]
    return (
        f"{_waits_in_words(figures)}; {share:.2%} gave up. The fleet had {peak:,} server{'s' * (peak != 1)} "
        f"at its peak and cost {format_number(figures['cost'])}, "
        f"{figures['idle_share']:.0%} of it for ready servers without a match."
    )


def _waits_in_words(figures: dict[str, Any]) -> str:
    """How soon players had a match, or that so many had none that a percentile is not known."""
    wait, limits = figures["wait_s"], figures["wait_at_least"]
    if "p50" in limits:
        return f"More than half of the players had no match after {wait['p50']:.1f} s"
    half = f"Half of the players had a match within {wait['p50']:.1f} s"
    if "p95" in limits:
        return f"{half}, more than 5 % had none after {wait['p95']:.1f} s"
    return f"{half}, 95 % within {wait['p95']:.1f} s"


def run_tiles(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Return value and label of the eight figures at the top of the page."""
    spread, latency = figures["skill_spread"], figures["latency_ms"]
    return [
        (f"{figures['matched']:,}", "waits that ended in a match"),
        (f"{figures['matches']:,}", "matches"),
        (f"{_limit(figures, 'p50')} / {_limit(figures, 'p95')} s", "wait, p50 / p95"),
        (f"{figures['abandoned']:,}", "players gave up"),
        (f"{figures['servers_peak']:,}", "servers at the peak"),
        (format_number(figures["cost"]), "cost"),
        (format_number(spread["p50"]), "skill spread in a match, p50"),
        (f"{format_number(latency['p50'])} / {format_number(latency['p95'])} ms", "round trip, p50 / p95"),
    ]


def _limit(figures: dict[str, Any], point: str) -> str:
    """A percentile of the wait, with ≥ where it falls on a wait that ended without a match."""
    return ("≥ " if point in figures["wait_at_least"] else "") + format_number(figures["wait_s"][point])


def first_bottleneck(result: SimulationResult, asked: Sequence[Objective]) -> str:
    """Return which region ran out of ready servers first, when, and which objectives were missed."""
    world, setup = result.run.world, result.run.setup
    count = int(world.counters[Counter.SAMPLES])
    samples = world.samples
    seats = int(setup.modes.players.min())
    empty = (samples.ready[:count] == 0) & (samples.waiting[:count] >= seats)
    missed = [one.name for one in asked if not one.met]
    end = f" Missed: {', '.join(missed)}." if missed else " Every objective was met nevertheless."
    first_fault = next((each for each in setup.incidents if each.text and each.effect != "note"), None)
    if not empty.any():
        nothing = "Nothing: no region ran out of ready servers while a full match waited."
        if first_fault is not None:
            nothing = (
                f"Only what was planned: {first_fault.text} at {first_fault.at_s:,.0f} s. "
                "No region ran out of ready servers."
            )
        return nothing + (f" Missed: {', '.join(missed)}." if missed else "")
    at = int(np.argmax(empty.any(axis=1)))
    region = int(np.argmax(empty[at]))
    dry_s = float(np.diff(samples.at_s[:count])[empty[:-1, region]].sum())
    worst = int(samples.waiting[:count, region].max())
    return (
        f"{setup.regions[region]} ran out of ready servers {samples.at_s[at]:,.0f} s after the start. "
        "Matches there waited for "
        f"servers to start, {dry_s:,.0f} s in all, with up to {worst:,} players in the queue.{end}"
    )


def _objectives(asked: Sequence[Objective]) -> Markup:
    if not asked:
        return paragraph("The scenario has no objective that virtual time can measure.", "quiet")
    rows = [
        (
            one.name,
            ("≥ " if one.at_least else "") + _measured(one, one.measured),
            f"≤ {_measured(one, one.limit)}",
            mark(one.met, "met", "missed"),
        )
        for one in asked
    ]
    return table(("objective", "measured", "limit", ""), rows, numbers=(1, 2), outcome=True)


def _regions(result: SimulationResult) -> Markup:
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
                format_number(p95),
                f"{int(fleet.peak[index]):,}",
                f"{idle:.0%}",
            )
        )
    return table(("region", "matches", "wait p95, s", "servers", "idle"), rows, numbers=range(1, 5))


def _population_spread(result: SimulationResult) -> float:
    """Return the standard deviation of the true skills of all players."""
    setup = result.run.setup
    tickets = int(setup.tickets.independent_count[0])
    players = max(1, result.count)
    mean = float(setup.skill_sum[:tickets].sum()) / players
    return float(np.sqrt(max(0.0, float(setup.skill_squares[:tickets].sum()) / players - mean**2)))


def _measured(one: Objective, value: float | None) -> str:
    if one.unit == SHARE_UNIT:
        return format_share(value)
    return f"{format_number(value)} {one.unit}".strip()

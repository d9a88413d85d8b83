"""The tables that simulate and sweep print."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from rich.text import Text

from launchday.terminal import Terminal, table
from loadtest.scenario.model import Scenario
from loadtest.simulate.estimates.intervals import Estimate, format_estimate, format_figure, format_share
from loadtest.simulate.estimates.replications import Replications
from loadtest.simulate.result import SHARE_UNIT, Objective
from loadtest.simulate.sweep import Decision, Setting, Sweep, named

WAIT_NAMES = ("p50", "p95", "p99", "max")


def show_run(
    scenario: Scenario,
    figures: dict[str, Any],
    asked: Sequence[Objective],
    resources: dict[str, float],
    console: Terminal,
) -> None:
    """Print one run as a table.

    Args:
        scenario: that was simulated.
        figures: of ``estimates.runs.figures_of``.
        asked: the scenario's objectives.
        resources: time and memory that the run took.
        console: of standard output.
    """
    heading = f"{scenario.name}, seed {scenario.seed}, in virtual time"
    shown = table("figure", "value", title=heading, header=False)
    spread, latency = figures["skill_spread"], figures["latency_ms"]
    idle = f"{figures['idle_share']:.1%} of them idle"
    rows = (
        ("players", f"{figures['players']:,}, in {figures['virtual_s']:,.0f} s of virtual time"),
        (
            "matched",
            f"{figures['matched']:,} in {figures['matches']:,} matches; {figures['abandoned']:,} abandoned, "
            f"{figures['refused']:,} refused, {figures['lost']:,} lost",
        ),
        ("wait", wait_line(figures)),
        ("skill spread", f"p50 {format_figure(spread['p50'])}  p95 {format_figure(spread['p95'])}"),
        ("latency", f"p50 {format_figure(latency['p50'])} ms  p95 {format_figure(latency['p95'])} ms"),
        (
            "servers",
            f"{figures['servers_peak']:,} at the peak, {figures['servers_in_use']:,.1f} with a match on "
            f"average, {format_figure(figures['server_hours'])} hours, {idle}",
        ),
        ("cost", format_figure(figures["cost"])),
        (
            "load",
            f"{figures['peak_tickets_per_s']:,} tickets in the fullest second; services have no limit here",
        ),
        (
            "took",
            f"{resources['wall_s']:.2f} s, after {resources['warm_up_s']:.1f} s for the kernels; "
            f"{resources['peak_rss_mb']:,.0f} MB",
        ),
    )
    for row in rows:
        shown.add_row(*row)
    _add_left_out(shown, figures["left_out"])
    for one in asked:
        mark = Text("met", "green") if one.met else Text("missed", "red")
        shown.add_row(one.name, Text(f"{_measured(one)} of at most {_limit(one.unit, one.limit)}: ") + mark)
    console.print(shown)
    if figures["steady"] is not None:
        console.print(figures["steady"]["sentence"])


def wait_line(figures: dict[str, Any]) -> str:
    """Return the percentiles of the waits, and who is in them or not without having had a match."""
    wait, at_least = figures["wait_s"], figures["wait_at_least"]
    parts = [_points((name, _seconds(wait[name]), name in at_least) for name in WAIT_NAMES)]
    if figures["abandoned"]:
        parts.append(f"{figures['abandoned']:,} gave up and count with what they waited")
    if figures["waiting"]:
        parts.append(f"{figures['waiting']:,} still waited at the end and count likewise")
    if figures["never_queued"]:
        parts.append(f"{figures['never_queued']:,} never queued")
    return "; ".join(parts)


def show_seeds(found: Replications, resources: dict[str, float], console: Terminal) -> None:
    """Print a scenario under several seeds: means and half the widths of their 95 % intervals."""
    first, last = found.seeds[0], found.seeds[-1]
    heading = (
        f"{found.scenario.name}, seeds {first} to {last}, in virtual time: mean ± half the 95 % interval"
    )
    shown = table("figure", "value", title=heading, header=False)

    def mean(*path: str) -> str:
        return format_estimate(found.estimate(*path))

    waits = [(name, f"{mean('wait_s', name)} s", name in found.at_least) for name in (*WAIT_NAMES, "mean")]
    rows = (
        ("players", f"{mean('players')}, in {mean('virtual_s')} s of virtual time"),
        ("matched", f"{mean('matched')} in {mean('matches')} matches"),
        (
            "not matched",
            f"{mean('abandoned')} abandoned, {mean('refused')} refused, {mean('lost')} lost",
        ),
        ("wait", _points(waits)),
        ("skill spread", f"p50 {mean('skill_spread', 'p50')}  p95 {mean('skill_spread', 'p95')}"),
        ("latency", f"p50 {mean('latency_ms', 'p50')} ms  p95 {mean('latency_ms', 'p95')} ms"),
        (
            "servers",
            f"{mean('servers_peak')} at the peak, {mean('servers_in_use')} with a match on average, "
            f"{mean('server_hours')} hours",
        ),
        ("cost", mean("cost")),
        ("load", f"{mean('peak_tickets_per_s')} tickets in the fullest second; services have no limit here"),
        ("took", f"{resources['wall_s']:.2f} s, after {resources['warm_up_s']:.1f} s for the kernels"),
    )
    for row in rows:
        shown.add_row(*row)
    _add_left_out(shown, found.runs[0]["left_out"])
    for one in found.objectives:
        met = one.met == one.seeds
        words = "met by all" if met else f"met by {one.met} of {one.seeds}"
        text = f"{_estimated(one.unit, one.measured)} of at most {_limit(one.unit, one.limit)}: "
        shown.add_row(one.name, Text(text) + Text(words, "green" if met else "red"))
    console.print(shown)
    for seed, run in zip(found.seeds, found.runs, strict=True):
        if run["steady"] is not None:
            console.print(f"seed {seed}: {run['steady']['sentence']}")


def show_sweep(found: Sweep, console: Terminal) -> None:
    """Print a sweep: a row for each setting, by circumstance, and what to choose."""
    given = [vary.path for vary in found.given]
    headings = [*given, *(vary.path for vary in found.variations)]
    headings += ["wait p50", "wait p95", "wait p99", "abandoned", "servers", "idle", "cost", "objectives"]
    title = f"{found.scenario.name}, {len(found.seeds)} seeds a setting"
    shown = table(*headings, title=title, right=headings)
    for circumstance in found.circumstances:
        best = found.cheapest_in(circumstance)
        for setting in found.settings_in(circumstance):
            shown.add_row(
                *_words(setting.given.values()),
                *_words(setting.decision.values()),
                *(_estimate(setting, name) for name in ("wait_p50_s", "wait_p95_s", "wait_p99_s")),
                format_share(setting.estimate("abandoned_share").mean),
                f"{setting.estimate('servers_peak').mean:,.0f}",
                f"{setting.estimate('idle_share').mean:.0%}",
                _estimate(setting, "cost"),
                _verdict(setting, best),
                style="bold green" if setting is best else None if setting.meets else "dim",
            )
        shown.add_section()
    console.print(shown)
    if found.given:
        _show_decisions(found, console)
    for sentence in (*found.sentences, found.sentence):
        console.print(sentence)


def _show_decisions(found: Sweep, console: Terminal) -> None:
    """Print each decision with the number of circumstances in which it holds."""
    paths = [vary.path for vary in found.variations]
    headings = [*paths, "cost, mean", "holds in"]
    shown = table(*headings, title="in all circumstances", right=headings)
    robust = found.robust
    for decision in found.decisions:
        best = robust is not None and decision.values == robust.values
        shown.add_row(
            *_words(decision.values.values()),
            format_estimate(decision.cost),
            _holds(decision, best),
            style="bold green" if best else None if decision.meets else "dim",
        )
    console.print(shown)


def _holds(decision: Decision, best: bool) -> str:
    if best:
        return "all, cheapest"
    return "all" if decision.meets else f"{decision.met} of {len(decision.settings)}"


def _verdict(setting: Setting, best: Setting | None) -> str:
    if setting is best:
        return f"cheapest given {named(setting.given)}" if setting.given else "cheapest"
    return "met" if setting.meets else f"{setting.met} of {len(setting.runs)}"


def _add_left_out(shown: Any, left_out: Sequence[str]) -> None:
    if left_out:
        shown.add_row("left out", "; ".join(left_out))


def _points(points: Iterable[tuple[str, str, bool]]) -> str:
    """Join names and values; one that is a lower limit has ``≥``."""
    return "  ".join(f"{name} {'≥ ' if at_least else ''}{value}" for name, value, at_least in points)


def _measured(one: Objective) -> str:
    if one.measured is None:
        return "not known"
    if one.unit == SHARE_UNIT:
        return format_share(one.measured)
    return f"{'≥ ' if one.at_least else ''}{_united(one.measured, one.unit)}"


def _estimated(unit: str, found: Estimate) -> str:
    if found.mean is None:
        return "not known"
    if unit == SHARE_UNIT:
        return f"{format_estimate(Estimate(found.mean * 100, found.half_width * 100))} %"
    return f"{format_estimate(found)} {unit}".rstrip()


def _limit(unit: str, limit: float) -> str:
    return format_share(limit) if unit == SHARE_UNIT else _united(limit, unit)


def _united(value: float, unit: str) -> str:
    return f"{format_figure(value)} {unit}".rstrip()


def _words(values: Iterable[Any]) -> list[str]:
    return [f"{value}" for value in values]


def _estimate(setting: Setting, name: str) -> str:
    return format_estimate(setting.estimate(name))


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{format_figure(value)} s"

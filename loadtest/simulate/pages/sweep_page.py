"""The page of a sweep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from markupsafe import Markup

from loadtest.report.html import (
    Card,
    Verdict,
    left_out_card,
    own_words,
    part,
    plot_card,
    render_page,
    table,
    text_card,
)
from loadtest.scenario.left_out import not_in_simulation
from loadtest.simulate.estimates.intervals import format_estimate, format_share
from loadtest.simulate.pages import sweep_charts
from loadtest.simulate.pages.text import LEFT_OUT, scenario_yaml
from loadtest.simulate.sweep import Setting, Sweep, named
from loadtest.simulate.variation import Variation

DECISIONS = (
    "What is decided, in all circumstances; the cost is their mean, each as likely as the others. Green: the "
    "cheapest that meets every objective in all of them with every seed."
)


def render_sweep(found: Sweep) -> str:
    """Return the page of a sweep as HTML."""
    scenario = found.scenario
    return render_page(
        title=f"{scenario.name} swept · launchday",
        heading=f"{scenario.name}: {_paths(found.variations)}"
        + (f", given {_paths(found.given)}" if found.given else ""),
        subheading=(
            f"{_players(found)} players in virtual time, {_seeds(found)} from {found.seeds[0]} a setting. "
            f"{own_words(scenario)}"
        ).strip(),
        verdict=Verdict(
            "passed" if found.passed else "failed",
            _verdict(found),
            found.sentence,
        ),
        figures=[
            (f"{len(found.settings):,}", "settings"),
            (f"{len(found.seeds):,}", "seeds each"),
            (f"{sum(sum(_counts(setting)) for setting in found.settings):,}", "players simulated"),
            (f"{sum(setting.meets for setting in found.settings):,}", "settings that meet the objectives"),
        ],
        cards=[
            plot_card(
                "against",
                "Wait against cost",
                "A point for each setting, with the 95 % intervals of its seeds; filled: meets every "
                "objective with every seed.",
                sweep_charts.wait_against_money(found),
                wide=True,
            ),
            *(_circumstances(found) if found.given else []),
            *_settings(found),
            *_measures(found),
            *left_out_card(not_in_simulation(scenario), LEFT_OUT),
        ],
        repeat_note=f"Save it, and run launchday sweep FILE {_options(found)}",
        repeat=scenario_yaml(scenario),
    )


def _verdict(found: Sweep) -> str:
    if found.given:
        return "A decision holds in all circumstances" if found.passed else "No decision holds everywhere"
    return "A setting meets the objectives" if found.passed else "No setting meets the objectives"


def _options(found: Sweep) -> str:
    """The options that repeat a sweep."""
    said = [
        f"{option} {each.path}={','.join(map(str, each.values))}"
        for option, variations in (("--vary", found.variations), ("--given", found.given))
        for each in variations
    ]
    return " ".join([*said, f"--seeds {len(found.seeds)}"])


def _paths(variations: Sequence[Variation]) -> str:
    return " and ".join(each.path for each in variations)


def _seeds(found: Sweep) -> str:
    return f"{len(found.seeds):,} seed{'s' if len(found.seeds) > 1 else ''}"


def _measures(found: Sweep) -> list[Card]:
    """Return a card for each measure that is shown over the first variation."""
    first = found.variations[0].path
    shown = (
        ("wait", "Wait", "p95 wait", "wait_p95_s", "wait p95, seconds"),
        ("cost", "Cost", "Cost", "cost", sweep_charts.COST_AXIS),
        (
            "abandoned",
            "Abandoned",
            "Share of the players who gave up waiting",
            "abandoned_share",
            "share of players",
        ),
        ("peak", "Servers", "Servers at the peak", "servers_peak", "servers"),
    )
    return [
        plot_card(
            name,
            title,
            f"{text} over {first}, with its 95 % band.",
            sweep_charts.over_setting(found, measure, axis),
        )
        for name, title, text, measure, axis in shown
    ]


def _circumstances(found: Sweep) -> list[Card]:
    return [
        text_card("Cheapest in each circumstance", part("items", found.sentences), wide=True),
        text_card("Decisions", _decisions(found), DECISIONS, wide=True),
    ]


def _decisions(found: Sweep) -> Markup:
    """Every choice in all circumstances: what it costs, and where it holds."""
    count, robust = len(found.circumstances), found.robust
    rows, classes = [], []
    for decision in found.decisions:
        best = robust is not None and decision.values == robust.values
        held = f"met in {decision.met} of {count}"
        rows.append(
            (
                *(f"{value}" for value in decision.values.values()),
                format_estimate(decision.cost),
                "cheapest that holds in all" if best else held,
            )
        )
        classes.append("best" if best else "" if decision.meets else "missed")
    headings = (*(vary.path for vary in found.variations), "cost, mean", "circumstances")
    numbers = range(len(headings) - 1)
    return table(headings, rows, numbers=numbers, classes=classes, keys=len(found.variations), outcome=True)


def _settings(found: Sweep) -> Iterator[Card]:
    """A card with a table for each circumstance."""
    for circumstance in found.circumstances:
        title = f"Settings, given {named(circumstance)}" if circumstance else "Settings"
        yield text_card(title, _table(found, circumstance), _settings_note(found), wide=True)


def _settings_note(found: Sweep) -> str:
    means = (
        "Mean of the seeds ± half the 95 % interval" if len(found.seeds) > 1 else "One seed, so no interval"
    )
    return (
        f"{means}; cost in the unit of the scenario's price. Green: the cheapest that meets every objective "
        "with every seed; grey: misses one."
    )


def _table(found: Sweep, circumstance: dict[str, Any]) -> Markup:
    best = found.cheapest_in(circumstance)
    headings = [vary.path for vary in found.variations]
    headings += [
        "wait p50, s",
        "wait p95, s",
        "wait p99, s",
        "gave up",
        "servers",
        "idle",
        "cost",
        "objectives",
    ]
    rows, classes = [], []
    for setting in found.settings_in(circumstance):
        rows.append(
            (
                *(f"{value}" for value in setting.decision.values()),
                *(_wait(setting, point) for point in ("p50", "p95", "p99")),
                format_share(setting.estimate("abandoned_share").mean),
                f"{setting.estimate('servers_peak').mean:,.0f}",
                f"{setting.estimate('idle_share').mean:.0%}",
                format_estimate(setting.estimate("cost")),
                "cheapest"
                if setting is best
                else "met"
                if setting.meets
                else f"met under {setting.met} of {len(setting.runs)}",
            )
        )
        classes.append("best" if setting is best else "" if setting.meets else "missed")
    numbers = range(len(headings) - 1)
    return table(headings, rows, numbers=numbers, classes=classes, keys=len(found.variations), outcome=True)


def _wait(setting: Setting, point: str) -> str:
    """A percentile of the wait, with ≥ where it falls, with some seed, on a wait in vain."""
    limit = any(point in run["wait_at_least"] for run in setting.runs)
    return ("≥ " if limit else "") + format_estimate(setting.estimate(f"wait_{point}_s"))


def _counts(setting: Setting) -> list[int]:
    """How many players each simulation of a setting had."""
    return [int(run["players"]) for run in setting.runs]


def _players(found: Sweep) -> str:
    """How many players a simulation had: the number in force, whatever the file's own words say."""
    counts = [count for setting in found.settings for count in _counts(setting)]
    few, many = min(counts), max(counts)
    return f"{few:,}" if few == many else f"{few:,} to {many:,}"

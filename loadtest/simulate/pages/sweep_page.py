"""The page of a sweep."""

from __future__ import annotations

from markupsafe import Markup

from loadtest.report.html import Card, Verdict, plot_card, render_page, table, text_card
from loadtest.simulate.estimates.intervals import format_estimate
from loadtest.simulate.pages import charts
from loadtest.simulate.pages.text import scenario_yaml
from loadtest.simulate.sweep import Setting, Sweep


def render_sweep(found: Sweep) -> str:
    """Return the page of a sweep as HTML."""
    scenario, best = found.scenario, found.cheapest
    seeds, settings = len(found.seeds), len(found.settings)
    variations = " ".join(
        f"--vary {each.path}={','.join(map(str, each.values))}" for each in found.variations
    )
    return render_page(
        title=f"{scenario.name} swept · launchday",
        heading=f"{scenario.name}: {' and '.join(each.path for each in found.variations)}",
        subheading=(
            f"{_players(found)} players in virtual time, {seeds} seeds from {found.seeds[0]} a setting. "
            f"{_file_says(scenario.description)}"
        ).strip(),
        verdict=Verdict(
            "passed" if best else "failed",
            "A setting meets the objectives" if best else "No setting meets the objectives",
            found.sentence,
        ),
        figures=[
            (f"{settings:,}", "settings"),
            (f"{seeds:,}", "seeds each"),
            (f"{sum(sum(_counts(setting)) for setting in found.settings):,}", "players simulated"),
            (f"{sum(setting.meets for setting in found.settings):,}", "settings that meet the objectives"),
        ],
        cards=[
            plot_card(
                "against",
                "Wait against cost",
                "A point for each setting, with the 95 % intervals of its seeds; filled: meets every "
                "objective "
                "with every seed.",
                charts.wait_against_money(found),
                wide=True,
            ),
            text_card(
                "Settings",
                _settings(found),
                "Mean of the seeds ± half the 95 % interval; cost in the unit of the scenario's price. "
                "Green: the cheapest that meets every objective with every seed; grey: misses one.",
                wide=True,
            ),
            *_measures(found),
        ],
        repeat_note=f"Save it, and run launchday sweep FILE {variations} --seeds {seeds}",
        repeat=scenario_yaml(scenario),
    )


def _measures(found: Sweep) -> list[Card]:
    """Return a card for each measure that is shown over the first variation."""
    first = found.variations[0].path
    shown = (
        ("wait", "Wait", "p95 wait", "wait_p95_s", "wait p95, seconds"),
        ("cost", "Cost", "Cost", "cost", "cost of a run, unit of the price"),
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
            charts.over_setting(found, measure, axis),
        )
        for name, title, text, measure, axis in shown
    ]


def _settings(found: Sweep) -> Markup:
    best = found.cheapest
    headings = [vary.path for vary in found.variations]
    headings += [
        "wait p50, s",
        "wait p95, s",
        "wait p99, s",
        "abandoned",
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
                *(_pair(setting, name) for name in ("wait_p50_s", "wait_p95_s", "wait_p99_s")),
                f"{setting.estimate('abandoned_share').mean:.2%}",
                f"{setting.estimate('servers_peak').mean:,.0f}",
                f"{setting.estimate('idle_share').mean:.0%}",
                _pair(setting, "cost"),
                "cheapest"
                if setting is best
                else "met"
                if setting.meets
                else f"met under {setting.met} of {len(setting.runs)}",
            )
        )
        classes.append("best" if setting is best else "" if setting.meets else "missed")
    return table(
        headings,
        rows,
        numbers=range(len(headings) - 1),
        classes=classes,
        keys=len(found.variations),
        outcome=True,
    )


def _counts(setting: Setting) -> list[int]:
    """How many players each simulation of a setting had."""
    return [int(run["players"]) for run in setting.runs]


def _players(found: Sweep) -> str:
    """How many players a simulation had: the number in force, whatever the file's own words say."""
    counts = [count for setting in found.settings for count in _counts(setting)]
    few, many = min(counts), max(counts)
    return f"{few:,}" if few == many else f"{few:,} to {many:,}"


def _file_says(description: str) -> str:
    """The description of the file, which does not know of what a sweep varies."""
    return f"The scenario's own words: {description}" if description else ""


def _pair(setting: Setting, name: str) -> str:
    return format_estimate(setting.estimate(name))

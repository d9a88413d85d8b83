"""The page of one scenario under several seeds."""

from __future__ import annotations

from markupsafe import Markup

from loadtest.report.html import Verdict, left_out_card, mark, plot_card, render_page, table, text_card
from loadtest.scenario.left_out import not_in_simulation
from loadtest.simulate.estimates.intervals import format_estimate, format_figure, format_share
from loadtest.simulate.estimates.replications import Replications
from loadtest.simulate.pages import sweep_charts
from loadtest.simulate.pages.text import LEFT_OUT, scenario_yaml
from loadtest.simulate.result import SHARE_UNIT

FIGURES = (
    ("wait p50, s", ("wait_s", "p50")),
    ("wait p95, s", ("wait_s", "p95")),
    ("wait p99, s", ("wait_s", "p99")),
    ("wait, mean, s", ("wait_s", "mean")),
    ("players matched", ("matched",)),
    ("players who gave up", ("abandoned",)),
    ("players lost", ("lost",)),
    ("matches", ("matches",)),
    ("skill spread in a match, p50", ("skill_spread", "p50")),
    ("round trip, p95, ms", ("latency_ms", "p95")),
    ("servers with a match, mean", ("servers_in_use",)),
    ("servers at the peak", ("servers_peak",)),
    ("server-hours", ("server_hours",)),
    ("cost", ("cost",)),
)


def render_seeds(found: Replications) -> str:
    """Return the page as HTML. The same scenario and seeds give the same bytes."""
    scenario, seeds = found.scenario, len(found.seeds)
    return render_page(
        title=f"{scenario.name}, {seeds} seeds · launchday",
        heading=f"{scenario.name} in virtual time · {scenario.players.count:,} players, {seeds} seeds",
        subheading=f"{scenario.description} Seeds {found.seeds[0]} to {found.seeds[-1]}.".strip(),
        verdict=Verdict(
            "passed" if found.passed else "failed",
            "Objectives met with every seed"
            if found.passed
            else f"Objectives met with {found.met} of {seeds} seeds",
            _waits_in_words(found),
        ),
        figures=[
            (f"{_estimated(found, ('wait_s', 'p50'))} s", "wait, p50"),
            (f"{_estimated(found, ('wait_s', 'p95'))} s", "wait, p95"),
            (format_estimate(found.estimate("servers_peak")), "servers at the peak"),
            (format_estimate(found.estimate("cost")), "cost, unit of the scenario's price"),
        ],
        cards=[
            text_card("Objectives", _objectives(found)),
            *left_out_card(not_in_simulation(scenario), LEFT_OUT),
            text_card("Figures", _figures(found), "Mean of the seeds ± half the 95 % interval."),
            plot_card(
                "waits",
                "Wait by seed",
                "Of the same scenario with other players: how far one simulation may be from the next.",
                sweep_charts.waits_by_seed(found),
                wide=True,
            ),
            text_card("Seeds", _seeds(found), "Each seed draws other players.", wide=True),
        ],
        repeat_note=f"Save it, and run launchday simulate FILE --seeds {seeds}",
        repeat=scenario_yaml(scenario),
    )


def _waits_in_words(found: Replications) -> str:
    wait = format_estimate(found.estimate("wait_s", "p95"))
    if any("p95" in run["wait_at_least"] for run in found.runs):
        return f"With some seeds more than 5 % of the players had no match: the p95 is at least {wait} s."
    return f"95 % of the players had a match within {wait} s."


def _objectives(found: Replications) -> Markup:
    rows = []
    for one in found.objectives:
        share = one.unit == SHARE_UNIT
        limit = format_share(one.limit) if share else f"{format_figure(one.limit)} {one.unit}".rstrip()
        mean = format_share(one.measured.mean) if share else format_estimate(one.measured)
        if one.name == "wait p95":
            mean = _estimated(found, ("wait_s", "p95"))
        words = f"{one.met} of {one.seeds}"
        rows.append((one.name, mean, f"≤ {limit}", mark(one.met == one.seeds, words, words)))
    return table(("objective", "measured", "limit", "met by"), rows, numbers=(1, 2), outcome=True)


def _estimated(found: Replications, path: tuple[str, ...]) -> str:
    """A figure over the seeds; with ≥ where it is a wait that falls, with some seed, on one in vain."""
    limit = path[0] == "wait_s" and any(path[1] in run["wait_at_least"] for run in found.runs)
    return ("≥ " if limit else "") + format_estimate(found.estimate(*path))


def _figures(found: Replications) -> Markup:
    rows = [(name, _estimated(found, path)) for name, path in FIGURES]
    return table(("figure", "mean"), rows, numbers=(1,))


def _seeds(found: Replications) -> Markup:
    rows = [
        (
            f"{seed}",
            *(format_figure(run["wait_s"][name]) for name in ("p50", "p95", "p99")),
            f"{run['abandoned']:,}",
            f"{run['matches']:,}",
            f"{run['servers_peak']:,}",
            format_figure(run["cost"]),
            mark(run["passed"], "met", "missed"),
        )
        for seed, run in zip(found.seeds, found.runs, strict=True)
    ]
    headings = ("seed", "wait p50, s", "wait p95, s", "wait p99, s", "gave up", "matches", "servers", "cost")
    return table((*headings, "objectives"), rows, numbers=range(8), outcome=True)

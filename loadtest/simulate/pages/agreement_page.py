"""The page of an agreement: a flood and its simulation, side by side."""

from __future__ import annotations

from loadtest.report.html import Verdict, mark, plot_card, render_page, table, text_card
from loadtest.simulate.agreement import STEP_S, TOLERANCE, Comparison
from loadtest.simulate.pages import charts
from loadtest.simulate.pages.text import format_number, scenario_yaml

# Name of a difference → label, unit, and where both values are among the figures.
LABELS = {
    "wait_s_p50": ("wait, p50", "s", ("wait_s", "p50")),
    "wait_s_p95": ("wait, p95", "s", ("wait_s", "p95")),
    "servers_in_use_mean": ("servers in use, mean", "", ("servers_in_use", "mean")),
    "servers_in_use_max": ("servers in use, peak", "", ("servers_in_use", "max")),
    "skill_spread_p50": ("skill spread in a match, p50", "", ("skill_spread", "p50")),
    "latency_ms_p50": ("round trip, p50", "ms", ("latency_ms", "p50")),
    "latency_ms_p95": ("round trip, p95", "ms", ("latency_ms", "p95")),
}


def render_agreement(found: Comparison) -> str:
    """Return the page of a flood and its simulation as HTML."""
    real, simulated = found.real.figures(), found.simulated.figures()
    differences = found.differences()
    worst = max(differences.values(), key=abs)
    scenario = found.scenario
    return render_page(
        title=f"{scenario.name}: real and simulated · launchday",
        heading=f"{scenario.name}: the flood and its simulation",
        subheading=f"{scenario.players.count:,} players over real sockets, and the same players in virtual "
        "time; "
        f"seed {scenario.seed}.",
        verdict=Verdict(
            "passed" if found.agrees else "failed",
            "The simulation agrees with reality" if found.agrees else "The simulation is off",
            f"Every figure should be within {TOLERANCE:.0%} of the real one; the farthest is {worst:+.1%} "
            "off.",
        ),
        figures=[
            (f"{real['matches']} / {simulated['matches']}", "matches, real / simulated"),
            *(
                (
                    f"{format_number(real['wait_s'][point])} / {format_number(simulated['wait_s'][point])} s",
                    f"wait {point}, real / simulated",
                )
                for point in ("p50", "p95")
            ),
            (f"{differences['servers_over_time']:.1%}", "between the servers' curves"),
        ],
        cards=[
            plot_card(
                "servers",
                "Servers in use",
                "A match from its first assignment until its last player has left.",
                charts.real_and_simulated(
                    [("flooded for real", found.real.in_use), ("simulated", found.simulated.in_use)],
                    STEP_S,
                    "servers in use",
                ),
                wide=True,
            ),
            text_card(
                "Figures",
                table(
                    ("figure", "real", "simulated", "difference"),
                    _rows(found),
                    numbers=(1, 2, 3),
                    outcome=True,
                    folds=True,
                ),
                wide=True,
            ),
            plot_card(
                "waits",
                "Waits",
                "Share of the players who waited at most this long.",
                charts.cumulative_shares(
                    [("flooded for real", found.real.wait_s), ("simulated", found.simulated.wait_s)],
                    "seconds of wait",
                ),
            ),
            plot_card(
                "quality",
                "Match quality",
                "Share of the matches whose spread of skill is at most this.",
                charts.cumulative_shares(
                    [
                        ("flooded for real", found.real.skill_spread),
                        ("simulated", found.simulated.skill_spread),
                    ],
                    "standard deviation of skill in a match",
                ),
            ),
        ],
        repeat_note="launchday bench agreement; the scenario:",
        repeat=scenario_yaml(scenario),
    )


def _rows(found: Comparison) -> list[tuple[str, ...]]:
    """Return label, real value, simulated value and difference of each compared figure."""
    sides = (found.real.figures(), found.simulated.figures())
    rows: list[tuple[str, ...]] = []
    for name, share in found.differences().items():
        if name in LABELS:
            label, unit, (group, key) = LABELS[name]
            values = [f"{format_number(side[group][key])} {unit}".strip() for side in sides]
        elif name == "players_per_match":
            label, values = "players per match", [format_number(side[name]) for side in sides]
        else:
            label, values = "servers over time: area between the curves", ["", ""]
        rows.append((label, *values, mark(abs(share) <= TOLERANCE, f"{share:+.1%}", f"{share:+.1%}")))
    return rows

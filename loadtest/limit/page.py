"""The page of a search for the limit: every trial by its rate and wait, and what broke at the knee."""

from __future__ import annotations

import datetime

import plotly.graph_objects as go
from markupsafe import Markup

from loadtest.limit.search import Limit
from loadtest.report.chart_style import blank_figure, objective_line
from loadtest.report.html import (
    Card,
    Verdict,
    mark,
    own_words,
    paragraph,
    plot_card,
    render_page,
    scenario_yaml,
    table,
    text_card,
)
from loadtest.report.palette import GREEN, GREY, RED
from loadtest.scenario.model import Scenario

REPEAT_NOTE = "Save it as a file and run launchday flood FILE --find-limit."
FLOODS = "In their order; a rate is too much where it broke twice."
WHOSE = {"": "held", "backend": "broke", "generator": "the generator did not keep up"}
COLOURS = {"": GREEN, "backend": RED, "generator": GREY}
SYMBOLS = {"": "circle", "backend": "x", "generator": "triangle-up"}


def render_limit(scenario: Scenario, limit: Limit, started_at: float, step_s: float) -> str:
    """The page of a search as HTML.

    Args:
        scenario: whose players came at the rates.
        limit: that was found.
        started_at: Unix seconds.
        step_s: seconds in which the players of one step arrived.
    """
    started = datetime.datetime.fromtimestamp(started_at, datetime.UTC)
    return render_page(
        title=f"{scenario.name}: its limit · launchday",
        heading=f"{scenario.name} · how many players a second",
        subheading=(
            f"{started:%Y-%m-%d %H:%M:%S} UTC, steps of {step_s:g} seconds. {own_words(scenario)}"
        ).strip(),
        verdict=_verdict(limit),
        figures=[
            (_rate(limit.held), "players a second held"),
            (_rate(None if limit.broke is None else limit.broke.rate), "players a second broke"),
            (f"{len(limit.trials):,}", "floods"),
        ],
        cards=_cards(scenario, limit),
        repeat_note=REPEAT_NOTE,
        repeat=scenario_yaml(scenario),
    )


def _verdict(limit: Limit) -> Verdict:
    if limit.found:
        return Verdict("passed", "A limit was found", limit.sentence)
    return Verdict("interrupted" if limit.stopped else "failed", "No limit was found", limit.sentence)


def _cards(scenario: Scenario, limit: Limit) -> list[Card]:
    broke = limit.broke
    why = "Nothing broke." if broke is None else f"{'; '.join(broke.reasons)}. {broke.first}".rstrip()
    return [
        plot_card(
            "limit",
            "Wait by rate",
            "A mark for each flood, by the players who were to arrive a second and the p95 of their waits.",
            _figure(scenario, limit),
            wide=True,
        ),
        text_card("What broke there", paragraph(why, "" if limit.found else "quiet"), wide=True),
        text_card(
            "Floods",
            _table(limit),
            " ".join(said for said in (FLOODS, limit.busy_sentence) if said),
            wide=True,
        ),
    ]


def _figure(scenario: Scenario, limit: Limit) -> go.Figure:
    figure = blank_figure("players a second", "wait p95, seconds", from_zero=True)
    for whose, words in WHOSE.items():
        mine = [trial for trial in limit.trials if trial.whose == whose and trial.wait_p95_s is not None]
        if mine:
            figure.add_scatter(
                x=[trial.rate for trial in mine],
                y=[trial.wait_p95_s for trial in mine],
                name=words,
                mode="markers",
                marker={"color": COLOURS[whose], "symbol": SYMBOLS[whose], "size": 11},
                hovertemplate="%{x:.4g} players/s: p95 %{y:.3g} s<extra></extra>",
            )
    if not figure.data:
        return figure.add_annotation(text="no measurements", showarrow=False, font={"size": 16})
    objective_s = scenario.objectives.wait_p95_s
    if objective_s is not None:
        rates = [trial.rate for trial in limit.trials]
        objective_line(figure, [min(rates), max(rates)], objective_s, f"objective: {objective_s:g} s")
    return figure


def _table(limit: Limit) -> Markup:
    rows = [
        (
            f"{number}",
            _rate(trial.rate),
            f"{trial.players:,}",
            "–" if trial.wait_p95_s is None else f"{trial.wait_p95_s:.3g}",
            "; ".join(trial.reasons),
            mark(trial.held, WHOSE[""], WHOSE[trial.whose]),
        )
        for number, trial in enumerate(limit.trials, start=1)
    ]
    headings = ("flood", "players/s", "players", "wait p95, s", "what broke", "")
    return table(headings, rows, numbers=(0, 1, 2, 3), keys=2, outcome=True)


def _rate(rate: float | None) -> str:
    return "–" if rate is None else f"{rate:,.4g}"

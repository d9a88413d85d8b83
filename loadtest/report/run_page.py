"""The report of a run: one HTML file that needs nothing else, neither a network nor a folder beside it."""

from __future__ import annotations

import datetime
import html
import json
import string
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import plotly.graph_objects as go
import yaml
from plotly.offline import get_plotlyjs

from loadtest import quality_charts
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerRecords, PlayerState, percentiles
from loadtest.report import charts, incidents, quality, server_charts

TEMPLATE = Path(__file__).parent / "page.html"


def write_report(outcome: RunOutcome, path: Path) -> None:
    """Write the report to ``path``."""
    path.write_text(render_report(outcome), encoding="utf-8")


def render_report(outcome: RunOutcome) -> str:
    """The report as HTML."""
    plots: list[tuple[str, str, str, go.Figure | None, bool]] = [
        ("players", "Players by state", "Dotted lines: matches start and end. Red: what the scenario let go wrong.", charts.players(outcome), True),
        ("waits", "Wait for a match", "From the intended arrival to the assignment, by region of the match.", charts.waits(outcome), False),
        ("bands", "Waits by region and skill", "Bars: the median; whiskers: up to the 95th percentile.", quality_charts.waits_by_band(outcome), False),
        ("quality", "Match quality", "A dot a match: low is even, left is near.", quality_charts.match_quality(outcome), False),
        ("skill", "What skill came to", _skill_note(outcome), quality_charts.skill_and_kills(outcome), False),
        ("fleet", "Game servers, and their price", _money(outcome), server_charts.fleet(outcome), True),
        ("rtt", "Round-trip time", "Includes the waits for the server's tick and the client's frame.", charts.round_trips(outcome), False),
        ("ticks", "Tick time", "Each server's own report, once a second; logarithmic.", charts.ticks(outcome), False),
        ("bandwidth", "Bandwidth a player", "UDP payload, mean over the match.", charts.bandwidth(outcome), False),
        ("stages", "Where a tick goes", "Median of each stage.", charts.stages(outcome), False),
        ("histograms", "Ticks by stage", "All ticks of all matches, by how long each stage took.", server_charts.stage_histograms(outcome), True),
        ("queues", "Inside the backend", "Tickets that wait, changes not yet in the store, events not yet applied.", charts.queues(outcome), True),
    ]  # fmt: skip
    drawn = [plot for plot in plots if plot[3] is not None]
    scenario = outcome.scenario
    started = datetime.datetime.fromtimestamp(outcome.started_at, datetime.UTC)
    if outcome.interrupted:
        verdict_class, word = "interrupted", "Interrupted"
    else:
        verdict_class, word = ("passed", "Passed") if outcome.passed else ("failed", "Failed")
    return string.Template(TEMPLATE.read_text(encoding="utf-8")).substitute(
        title=_text(f"{scenario.name}: {word.lower()} · launchday"),
        plotly_js=get_plotlyjs(),
        heading=_text(f"{scenario.name} · {len(outcome.records):,} players"),
        subheading=_text(
            f"{scenario.description} {started:%Y-%m-%d %H:%M:%S} UTC, {outcome.wall_s:.0f} seconds.".strip()
        ),
        verdict_class=verdict_class,
        verdict_word=word,
        verdict=_text(_capital(outcome.verdict.split(": ", 1)[-1])),
        figures=_figures(outcome),
        objectives=_objectives(outcome),
        ledger_note=_text(_ledger_note(outcome)),
        ledger=_ledger(outcome),
        breaks=_breaks(outcome),
        breaks_note=_text(incidents.describe_first(outcome)),
        requests=_requests(outcome),
        plots="".join(_plot_card(*plot[:3], wide=plot[4]) for plot in drawn),
        plot_data=_script_json({name: figure for name, _, _, figure, _ in drawn}),
        matches=_matches(outcome),
        generator=_generator(outcome),
        repeat_note="The same file and seed give the same players, arrivals and links. Save it, and run launchday flood FILE.",
        repeat=_text(
            yaml.safe_dump(scenario.model_dump(exclude_defaults=True), sort_keys=False, allow_unicode=True)
        ),
    )


def _figures(outcome: RunOutcome) -> str:
    fates, tick = outcome.records, outcome.tick_us
    wait = percentiles(fates.wait_times_s(), 50, 95)
    shown = [
        (f"{fates.count(PlayerState.DONE):,} of {len(fates):,}", "players played"),
        (f"{outcome.players_lost:,}", "players lost"),
        *([_requeues(fates)] if fates.requeues.any() else []),
        (f"{len(fates.match_ids()):,}", "matches"),
        (f"{sum(int(report.get('kills', 0)) for report in outcome.reports):,}", "kills"),
        (f"{_number(wait['p50'])} / {_number(wait['p95'])} s", "wait, p50 / p95"),
        (f"{_ms(tick['p50'])} / {_ms(tick['p99'])} ms", "tick, p50 / p99"),
        (f"{_number(percentiles(fates.received_kbit_s, 50)['p50'])} kbit/s", "received a player, p50"),
        (f"{_number(percentiles(fates.rtt_ms, 50)['p50'])} ms", "round trip, p50"),
    ]
    return "".join(
        f'<div class="figure"><b>{_text(value)}</b><span>{_text(label)}</span></div>'
        for value, label in shown
    )


def _requeues(fates: PlayerRecords) -> tuple[str, str]:
    return (
        f"{int(fates.requeues_with_age.sum()):,} of {int(fates.requeues.sum()):,}",
        "queued again with their age",
    )


def _objectives(outcome: RunOutcome) -> str:
    rows = [
        (
            objective.name,
            f"{_number(objective.measured)} {objective.unit}".strip(),
            f"≤ {objective.limit:g} {objective.unit}".strip(),
            _mark(objective.met, "met", "missed"),
        )
        for objective in outcome.objectives
    ]
    return _table(("objective", "measured", "limit", ""), rows, numbers=(1, 2))


def _breaks(outcome: RunOutcome) -> str:
    rows = [
        (f"{each.at_s:.1f} s", _Raw(f'<span class="{"quiet" if each.planned else "bad"}" style="white-space:normal">{_text(each.what)}</span>'),
         "planned" if each.planned else "")
        for each in incidents.find_incidents(outcome)
    ]  # fmt: skip
    return _table(("", "", ""), rows, numbers=(0,)) if rows else ""


def _requests(outcome: RunOutcome) -> str:
    rows = [
        (
            kind,
            f"{told['answered']:,}",
            *(_number(told["ms"][point]) for point in ("p50", "p95", "p99", "max")),
            f"{told['retries']:,}",
            f"{told['given_up']:,}",
        )
        for kind, told in outcome.requests.as_json().items()
    ]
    if not rows:
        return "<p class='quiet'>No player asked for anything.</p>"
    headings = ("request", "answered", "ms, p50", "p95", "p99", "max", "asked again", "given up")
    return _table(headings, rows, numbers=range(1, 8))


def _money(outcome: RunOutcome) -> str:
    return (
        f"{outcome.server_hours:.2f} server-hours at {outcome.scenario.fleet.price_per_server_hour:g} come to {outcome.cost:.4g}; "
        f"{outcome.servers_peak} had a match at once at most."
    )


def _skill_note(outcome: RunOutcome) -> str:
    correlation = quality.kills_by_skill(outcome)[2]
    said = "" if correlation is None else f" Rank correlation of skill and kills: {correlation:.2f}."
    return f"The bots' aim follows their skill; the backend is never told.{said}"


def _ledger_note(outcome: RunOutcome) -> str:
    if outcome.settled_s is None:
        return "Counts kept by services that do not ask each other. They had not come together when the run ended."
    return (
        "Counts kept by services that do not ask each other; each line must be equal. "
        f"They came together {outcome.settled_s:.1f} s after the last player left."
    )


def _ledger(outcome: RunOutcome) -> str:
    rows = []
    for line in outcome.ledger.lines:
        entries = "".join(
            f'<span class="entry"><b>{entry.count:,}</b> {_text(entry.label)}'
            + (f' <span class="quiet">({_text(entry.detail)})</span>' if entry.detail else "")
            + "</span>"
            for entry in line.entries
        )
        rows.append(
            (line.name, _Raw(entries), _mark(line.balanced, "balanced", f"off by {line.difference:,}"))
        )
    return _table(("", "", ""), rows)


def _matches(outcome: RunOutcome) -> str:
    rows = []
    for report in outcome.reports:
        tick = report.get("tick_us") or {}
        rows.append(
            (
                str(report.get("match_id", ""))[:8],
                str(report.get("region", "?")),
                f"{outcome.players_in(str(report.get('match_id'))):,}",
                f"{report.get('players_lost', 0):,}",
                f"{report.get('kills', 0):,}",
                f"{report.get('shots', 0):,}",
                f"{report.get('tick', 0):,}",
                f"{report.get('missed_ticks', 0):,}",
                f"{_ms(tick.get('p50'))} / {_ms(tick.get('p99'))} / {_ms(tick.get('max'))}",
            )
        )
    if not rows:
        return "<p class='quiet'>No game server reported a match of this run.</p>"
    return _table(
        (
            "match",
            "region",
            "players",
            "lost",
            "kills",
            "shots",
            "ticks",
            "missed",
            "tick ms, p50 / p99 / max",
        ),
        rows,
        numbers=range(2, 9),
    )


def _generator(outcome: RunOutcome) -> str:
    generator = outcome.generator
    late = generator.step_late_us
    said = (
        "It kept up, so the figures are the backend's."
        if not generator.saturated
        else "Saturated: "
        + "; ".join(generator.saturation_reasons)
        + ". The figures are its own, not the backend's."
    )
    details = (
        f"Steps of the swarm began {_ms(late.get('p50'))} ms late (p50), {_ms(late.get('p99'))} ms (p99); "
        f"{generator.steps_missed_share:.2%} were skipped. Players were sent on their way "
        f"{_number(generator.arrival_late_ms.get('p99'))} ms late (p99). Processor cores: {_cores(outcome)}."
    )
    reasons = "".join(
        f"<li>{count:,} × {_text(reason)}</li>" for reason, count in outcome.records.count_reasons().items()
    )
    lost = f"<p>Players lost or not matched:</p><ul>{reasons}</ul>" if reasons else ""
    return (
        f'<p class="{"bad" if generator.saturated else ""}" style="white-space:normal">{_text(said)}</p>'
        f'<p class="quiet">{_text(details)}</p>{lost}'
    )


def _cores(outcome: RunOutcome) -> str:
    return ", ".join(f"{kind} {cores:.2f}" for kind, cores in outcome.cpu_cores.items())


def _plot_card(name: str, title: str, note: str, *, wide: bool) -> str:
    return (
        f'<section class="card{" wide" if wide else ""}"><h2>{_text(title)}</h2>'
        f'<p class="quiet"><small>{_text(note)}</small></p><div class="plot" id="{name}"></div></section>'
    )


class _Raw(str):
    """HTML that is already escaped."""


def _table(headings: Sequence[str], rows: Iterable[Sequence[str]], numbers: Iterable[int] = ()) -> str:
    right = set(numbers)
    head = "".join(
        f"<th{' class=number' if at in right else ''}>{_text(text)}</th>" for at, text in enumerate(headings)
    )
    body = "".join(
        "<tr>"
        + "".join(
            f"<td{' class=number' if at in right else ''}>{cell if isinstance(cell, _Raw) else _text(cell)}</td>"
            for at, cell in enumerate(row)
        )
        + "</tr>"
        for row in rows
    )
    return f"<table>{f'<tr>{head}</tr>' if any(headings) else ''}{body}</table>"


def _mark(good: bool, yes: str, no: str) -> _Raw:
    return _Raw(
        f'<span class="good">✓ {_text(yes)}</span>' if good else f'<span class="bad">✗ {_text(no)}</span>'
    )


def _script_json(figures: dict[str, Any]) -> str:
    """Figures as JSON that cannot end the script element it stands in."""
    plain = {name: json.loads(figure.to_json()) for name, figure in figures.items()}
    return json.dumps(plain, separators=(",", ":")).replace("<", "\\u003c")


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _text(text: str) -> str:
    return html.escape(text)


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _ms(micros: float | None) -> str:
    return "–" if micros is None else f"{micros / 1e3:.2f}"

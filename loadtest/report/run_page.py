"""The report of a flood: one HTML file that needs nothing else, neither a network nor a folder beside it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from launchday.outputs import write_whole
from launchday.percentiles import percentiles
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerState
from loadtest.report import charts, incidents, quality, server_charts
from loadtest.report.html import (
    Card,
    Verdict,
    mark,
    paragraph,
    part,
    plot_card,
    render_page,
    scenario_yaml,
    table,
    text_card,
)

REPEAT_NOTE = (
    "The same file and seed give the same players, arrivals and links. "
    "Save it as a file and run launchday flood FILE."
)


def write_report(outcome: RunOutcome, path: Path) -> None:
    """Write the report of a run to ``path``, as UTF-8. Raises OutputError."""
    write_whole(path, render_report(outcome))


def render_report(outcome: RunOutcome) -> str:
    """The report of a run as HTML, about 5 MB."""
    scenario = outcome.scenario
    started = datetime.datetime.fromtimestamp(outcome.started_at, datetime.UTC)
    verdict = _verdict(outcome)
    return render_page(
        title=f"{scenario.name}: {verdict.word.lower()} · launchday",
        heading=f"{scenario.name} · {len(outcome.records):,} players",
        subheading=(
            f"{scenario.description} {started:%Y-%m-%d %H:%M:%S} UTC, {outcome.wall_s:.0f} seconds."
        ).strip(),
        verdict=verdict,
        figures=_figures(outcome),
        cards=[
            text_card("Objectives", _objectives(outcome)),
            text_card("Ledger", _ledger(outcome), _ledger_note(outcome)),
            text_card("What broke first", _incidents(outcome), wide=True),
            *_plots(outcome),
            text_card(
                "Requests", _requests(outcome), "Over HTTP, from the first try to the answer.", wide=True
            ),
            text_card("Matches", _matches(outcome), wide=True),
            text_card("The load generator", _generator(outcome), wide=True),
        ],
        repeat_note=REPEAT_NOTE,
        repeat=scenario_yaml(scenario),
    )


def _verdict(outcome: RunOutcome) -> Verdict:
    sentence = outcome.verdict.split(": ", 1)[-1]
    sentence = sentence[:1].upper() + sentence[1:]
    if outcome.interrupted:
        return Verdict("interrupted", "Interrupted", sentence)
    return Verdict("passed", "Passed", sentence) if outcome.passed else Verdict("failed", "Failed", sentence)


def _plots(outcome: RunOutcome) -> Iterator[Card]:
    """The plots in their order; one that has nothing to show is left out."""
    for name, title, note, figure, wide in (
        (
            "players",
            "Players by state",
            "Dotted lines: matches start and end. Red: faults that the scenario injected.",
            charts.players(outcome),
            True,
        ),
        (
            "waits",
            "Wait for a match",
            "From the intended arrival to the assignment, by region of the match.",
            charts.waits(outcome),
            False,
        ),
        (
            "bands",
            "Waits by region and skill",
            "Bars: the median; whiskers: up to the 95th percentile.",
            charts.waits_by_band(outcome),
            False,
        ),
        (
            "quality",
            "Match quality",
            "One dot per match: lower is more even, further left is nearer.",
            charts.match_quality(outcome),
            False,
        ),
        ("skill", "Kills by skill", _skill_note(outcome), charts.skill_and_kills(outcome), False),
        ("fleet", "Game servers and their cost", _cost_note(outcome), server_charts.fleet(outcome), True),
        (
            "rtt",
            "Round-trip time",
            "Includes the waits for the server's tick and the client's frame.",
            charts.round_trips(outcome),
            False,
        ),
        (
            "ticks",
            "Tick time",
            "Each server's own report, once a second; logarithmic.",
            server_charts.ticks(outcome),
            False,
        ),
        (
            "bandwidth",
            "Bandwidth per player",
            "UDP payload, mean over the match.",
            charts.bandwidth(outcome),
            False,
        ),
        ("stages", "Tick time by stage", "Median of each stage.", server_charts.stages(outcome), False),
        (
            "histograms",
            "Distribution of tick times by stage",
            "All ticks of all matches, by how long each stage took.",
            server_charts.stage_histograms(outcome),
            True,
        ),
        (
            "queues",
            "Queues inside the backend",
            "Tickets that wait, changes not yet in the store, events not yet applied.",
            charts.queues(outcome),
            True,
        ),
    ):
        if figure is not None:
            yield plot_card(name, title, note, figure, wide=wide)


def _figures(outcome: RunOutcome) -> list[tuple[str, str]]:
    records, tick = outcome.records, outcome.tick_us
    wait = percentiles(records.wait_times_s(), 50, 95)
    kills = sum(int(report.get("kills", 0)) for report in outcome.reports)
    shown = [
        (f"{records.count(PlayerState.DONE):,} of {len(records):,}", "players finished"),
        (f"{outcome.players_lost:,}", "players lost"),
        (f"{len(records.match_ids()):,}", "matches"),
        *([(f"{outcome.matches.taken_back:,}", "matches taken back")] if outcome.matches.taken_back else []),
        (f"{kills:,}", "kills"),
        (f"{_number(wait['p50'])} / {_number(wait['p95'])} s", "wait, p50 / p95"),
        (f"{_ms(tick['p50'])} / {_ms(tick['p99'])} ms", "tick, p50 / p99"),
        (f"{_number(percentiles(records.received_kbit_s, 50)['p50'])} kbit/s", "received per player, p50"),
        (f"{_number(percentiles(records.rtt_ms, 50)['p50'])} ms", "round trip, p50"),
    ]
    if records.requeues.any():
        requeues, with_age = int(records.requeues.sum()), int(records.requeues_with_age.sum())
        shown.insert(2, (f"{with_age:,} of {requeues:,}", "requeues that kept their queue time"))
    return shown


def _objectives(outcome: RunOutcome) -> Markup:
    rows = [
        (
            objective.name,
            f"{_number(objective.measured)} {objective.unit}".strip(),
            f"≤ {objective.limit:g} {objective.unit}".strip(),
            mark(objective.met, "met", "missed"),
        )
        for objective in outcome.objectives
    ]
    return table(("objective", "measured", "limit", ""), rows, numbers=(1, 2))


def _ledger(outcome: RunOutcome) -> Markup:
    rows = [
        (
            line.name,
            part("ledger_entries", line.entries),
            mark(line.balanced, "balanced", f"off by {line.difference:,}"),
        )
        for line in outcome.ledger.lines
    ]
    return table(("", "", ""), rows)


def _ledger_note(outcome: RunOutcome) -> str:
    if outcome.settled_s is None:
        return "Counts kept by services that do not ask each other. They still differed when the run ended."
    return (
        "Counts kept by services that do not ask each other; each line must be equal. "
        f"They were equal {outcome.settled_s:.1f} s after the last player left."
    )


def _incidents(outcome: RunOutcome) -> Markup:
    rows = [
        (f"{each.at_s:.1f} s", part("incident", each.what, each.planned), "planned" if each.planned else "")
        for each in incidents.find_incidents(outcome)
    ]
    first = paragraph(incidents.describe_first(outcome))
    return first + table(("", "", ""), rows, numbers=(0,)) if rows else first


def _requests(outcome: RunOutcome) -> Markup:
    rows = [
        (
            kind,
            f"{found['answered']:,}",
            *(_number(found["ms"][point]) for point in ("p50", "p95", "p99", "max")),
            f"{found['retries']:,}",
            f"{found['refusals']:,}",
            f"{found['given_up']:,}",
        )
        for kind, found in outcome.requests.as_json().items()
    ]
    if not rows:
        return paragraph("No player sent a request.", "quiet")
    headings = ("request", "answered", "ms, p50", "p95", "p99", "max", "retries", "refused", "given up")
    return table(headings, rows, numbers=range(1, 9))


def _matches(outcome: RunOutcome) -> Markup:
    rows = []
    for report in outcome.reports:
        tick = report.get("tick_us") or {}
        counts = ("players_lost", "kills", "shots", "tick", "missed_ticks")
        rows.append(
            (
                str(report.get("match_id", ""))[:8],
                str(report.get("region", "?")),
                f"{outcome.players_in(str(report.get('match_id'))):,}",
                *(f"{report.get(name, 0):,}" for name in counts),
                " / ".join(_ms(tick.get(point)) for point in ("p50", "p99", "max")),
            )
        )
    if not rows:
        return paragraph("No game server reported a match of this run.", "quiet")
    headings = ("match", "region", "players", "lost", "kills", "shots", "ticks", "missed")
    return table((*headings, "tick ms, p50 / p99 / max"), rows, numbers=range(2, 9))


def _generator(outcome: RunOutcome) -> Markup:
    generator = outcome.generator
    late = generator.step_late_us
    sentence = (
        "It kept up, so the figures are the backend's."
        if not generator.saturated
        else f"Saturated: {'; '.join(generator.saturation_reasons)}. "
        "The figures are the generator's own, not the backend's."
    )
    cores = ", ".join(f"{kind} {cores:.2f}" for kind, cores in outcome.cpu_cores.items())
    details = (
        f"Steps of the bots began {_ms(late.get('p50'))} ms late (p50), {_ms(late.get('p99'))} ms (p99); "
        f"{generator.steps_missed_share:.2%} were skipped. Players started "
        f"{_number(generator.arrival_late_ms.get('p99'))} ms late (p99). Processor cores: {cores}."
    )
    return part("generator", generator.saturated, sentence, details, outcome.records.count_reasons())


def _cost_note(outcome: RunOutcome) -> str:
    price = outcome.scenario.fleet.price_per_server_hour
    return (
        f"{outcome.server_hours:.2f} server-hours at {price:g} each cost {outcome.cost:.4g}. "
        f"At most {outcome.servers_peak} servers had a match at the same time."
    )


def _skill_note(outcome: RunOutcome) -> str:
    correlation = quality.kills_by_skill(outcome)[2]
    found = "" if correlation is None else f" Rank correlation of skill and kills: {correlation:.2f}."
    return f"The bots' aim follows their skill, which the backend does not know.{found}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _ms(micros: float | None) -> str:
    return "–" if micros is None else f"{micros / 1e3:.2f}"

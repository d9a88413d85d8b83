"""The report of a flood: one HTML file that needs nothing else, neither a network nor a folder beside it."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path

from markupsafe import Markup

from launchday.outputs import write_whole
from launchday.percentiles import at_least, percentiles
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerState
from loadtest.report import charts, incidents, quality, server_charts
from loadtest.report.cards.metrics import metric_cards
from loadtest.report.cards.modes import mode_cards
from loadtest.report.cards.requests import request_cards
from loadtest.report.html import (
    Card,
    Verdict,
    left_out_card,
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
        heading=f"{scenario.name} · {len(outcome.records):,} players"
        + (f" on {outcome.target}" if outcome.target else ""),
        subheading=(
            f"{scenario.description} {started:%Y-%m-%d %H:%M:%S} UTC, {outcome.wall_s:.0f} seconds."
        ).strip(),
        verdict=verdict,
        figures=_figures(outcome),
        cards=[
            text_card("Objectives", _objectives(outcome)),
            _ledger(outcome),
            text_card("What broke first", _incidents(outcome), wide=True),
            *left_out_card(outcome.left_out, "this run did not do or could not measure"),
            *mode_cards(outcome),
            *_plots(outcome),
            *metric_cards(outcome),
            *request_cards(outcome),
            *_matches(outcome),
            text_card("The load generator", _generator(outcome), wide=True),
        ],
        repeat_note=REPEAT_NOTE
        if not outcome.target
        else REPEAT_NOTE.replace("FILE", f"FILE --target {outcome.target}"),
        repeat=scenario_yaml(scenario),
    )


def _verdict(outcome: RunOutcome) -> Verdict:
    """Amber where the run was interrupted, or passed on a machine that others took."""
    sentence = outcome.verdict.split(": ", 1)[-1]
    sentence = sentence[:1].upper() + sentence[1:]
    if outcome.interrupted:
        return Verdict("interrupted", "Interrupted", sentence)
    if not outcome.passed:
        return Verdict("failed", "Failed", sentence)
    return Verdict("interrupted" if outcome.machine.busy else "passed", "Passed", sentence)


def _plots(outcome: RunOutcome) -> Iterator[Card]:
    """The plots in their order; one that has nothing to show is left out."""
    for name, title, note, figure, wide in (
        (
            "players",
            "Players by state",
            _players_note(outcome),
            charts.players(outcome),
            True,
        ),
        ("waits", "Wait for a match", charts.waits_note(outcome), charts.waits(outcome), False),
        (
            "waits_by_region",
            "Waits by region",
            "Of those who got a match, by its region.",
            charts.waits_by_region(outcome),
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
            "Each server's own report, once a second, in the colour of its region; logarithmic.",
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


def _players_note(outcome: RunOutcome) -> str:
    said = ["Dotted lines: matches start and end."] if outcome.timeline.marks else []
    said += ["Red: faults that the scenario injected."] if outcome.fault_records else []
    return " ".join(said)


def _figures(outcome: RunOutcome) -> list[tuple[str, str]]:
    records, tick = outcome.records, outcome.tick_us
    wait_s = records.wait_times_s()
    wait = percentiles(wait_s, 50, 95)
    limits = at_least(wait_s, ~records.waits_ended(), 50, 95)
    gave_up = records.count(PlayerState.CANCELLED)
    kills = sum(int(report.get("kills", 0)) for report in outcome.reports)
    received, rtt = percentiles(records.received_kbit_s, 50)["p50"], percentiles(records.rtt_ms, 50)["p50"]
    bounded = {name: ("≥ " if name in limits else "") + _number(found) for name, found in wait.items()}
    shown = [
        (f"{records.count(PlayerState.DONE):,} of {len(records):,}", "players finished"),
        (f"{outcome.players_lost:,}", "players lost"),
        *([(f"{gave_up:,}", "players gave up waiting")] if gave_up else []),
        (f"{len(records.match_ids()):,}", "matches"),
        *([(f"{outcome.matches.taken_back:,}", "matches taken back")] if outcome.matches.taken_back else []),
        *([(f"{kills:,}", "kills")] if outcome.reports else []),
        (f"{bounded['p50']} / {bounded['p95']} s", "wait, p50 / p95"),
    ]
    # Not every backend has ticks, links or a meter.
    if tick["p50"] is not None:
        shown.append((f"{_ms(tick['p50'])} / {_ms(tick['p99'])} ms", "tick, p50 / p99"))
    if received is not None:
        shown.append((f"{_number(received)} kbit/s", "received per player, p50"))
    if rtt is not None:
        shown.append((f"{_number(rtt)} ms", "round trip, p50"))
    if records.requeues.any():
        requeues, with_age = int(records.requeues.sum()), int(records.requeues_with_age.sum())
        shown.insert(2, (f"{with_age:,} of {requeues:,}", "requeues that kept their queue time"))
    return shown


def _objectives(outcome: RunOutcome) -> Markup:
    rows = [
        (
            objective.name,
            "–" if objective.measured is None else objective.figure,
            f"≤ {objective.limit:g} {objective.unit}".strip(),
            mark(objective.met, "met", "missed"),
        )
        for objective in outcome.objectives
    ]
    return table(("objective", "measured", "limit", ""), rows, numbers=(1, 2), outcome=True)


def _ledger(outcome: RunOutcome) -> Card:
    rows = [
        (
            line.name,
            part("ledger_entries", line.entries),
            mark(line.balanced, "balanced", f"off by {line.difference:,}"),
        )
        for line in outcome.ledger.lines
    ]
    if not rows:
        nothing = "Nobody counted but the load test itself, so there is nothing to hold its figures against."
        return text_card("Ledger", paragraph(nothing, "quiet"))
    note = "Counts kept by services that do not ask each other"
    if outcome.settled_s is None:
        note += ". They still differed when the run ended."
    else:
        note += (
            "; each line must be equal. "
            f"They were equal {outcome.settled_s:.1f} s after the last player left."
        )
    return text_card("Ledger", table(("", "", ""), rows, outcome=True), note)


def _incidents(outcome: RunOutcome) -> Markup:
    rows = [
        (f"{each.at_s:.1f} s", part("incident", each.what, each.planned), "planned" if each.planned else "")
        for each in incidents.find_incidents(outcome)
    ]
    first = paragraph(incidents.describe_first(outcome))
    return first + table(("", "", ""), rows, numbers=(0,)) if rows else first


def _matches(outcome: RunOutcome) -> Iterator[Card]:
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
    if rows:
        headings = ("match", "region", "players", "lost", "kills", "shots", "ticks", "missed")
        shown = table((*headings, "tick ms, p50 / p99 / max"), rows, numbers=range(2, 9))
        yield text_card("Matches", shown, wide=True)
    elif not outcome.target:
        quiet = paragraph("No game server reported a match of this run.", "quiet")
        yield text_card("Matches", quiet, wide=True)


def _generator(outcome: RunOutcome) -> Markup:
    generator, rate = outcome.generator, outcome.rate
    late = generator.step_late_us
    said = []
    if late.get("p50") is not None:
        said.append(
            f"Steps of the bots began {_ms(late.get('p50'))} ms late (p50), {_ms(late.get('p99'))} ms (p99); "
            f"{generator.steps_missed_share:.2%} were skipped."
        )
    said.append(
        f"{rate.arrived:,} of {rate.due:,} players came, {rate.reached_per_s:.3g} a second of "
        f"{rate.intended_per_s:.3g} that were to come, "
        f"{_number(generator.arrival_late_ms.get('p99'))} ms late (p99)."
    )
    cores = ", ".join(f"{kind} {cores:.2f}" for kind, cores in outcome.cpu_cores.items())
    said.append(f"Processor cores: {cores}.")
    doubtful = generator.saturated or not rate.reached or outcome.machine.busy
    reasons = outcome.records.count_reasons()
    return part("generator", doubtful, outcome.generator_sentence, " ".join(said), reasons)


def _cost_note(outcome: RunOutcome) -> str:
    price, allowed = outcome.scenario.fleet.price_per_server_hour, outcome.scenario.objectives.cost
    budget = "" if allowed is None else f", of at most {allowed:g}"
    return (
        f"{outcome.server_hours:.2f} server-hours at {price:g} each cost {outcome.cost:.4g}, in the unit of "
        f"the scenario's price{budget}. At most {outcome.servers_peak} servers had a match at the same time."
    )


def _skill_note(outcome: RunOutcome) -> str:
    correlation = quality.kills_by_skill(outcome)[2]
    found = "" if correlation is None else f" Rank correlation of skill and kills: {correlation:.2f}."
    return f"The bots' aim follows their skill, which the backend does not know.{found}"


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def _ms(micros: float | None) -> str:
    return "–" if micros is None else f"{micros / 1e3:.2f}"

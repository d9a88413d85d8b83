"""The summary of a run in the terminal: figures, matches, ledger, objectives, verdict.

The report has the same numbers.
"""

from __future__ import annotations

from rich.table import Table
from rich.text import Text

from launchday.percentiles import percentiles
from launchday.terminal import Terminal, table
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.report import incidents


def print_summary(outcome: RunOutcome, console: Terminal) -> None:
    """Print the summary of a run."""
    console.print()
    console.print(_figures(outcome))
    if outcome.reports:
        console.print(_matches(outcome))
    console.print(_ledger(outcome))
    console.print(_objectives(outcome))
    console.print(incidents.describe_first(outcome))
    for reason, count in outcome.records.count_reasons().items():
        console.print(f"{count:,} × {reason}", style="yellow")
    if outcome.generator.saturated:
        reasons = "; ".join(outcome.generator.saturation_reasons)
        console.print(
            f"The load generator was saturated: {reasons}. "
            "The figures are the generator's own, not the backend's.",
            style="bold red",
        )
    colour = "yellow" if outcome.interrupted else "green" if outcome.passed else "red"
    console.print(outcome.verdict, style=f"bold {colour}")


def _figures(outcome: RunOutcome) -> Table:
    records, tick = outcome.records, outcome.tick_us
    wait, rtt = percentiles(records.wait_times_s(), 50, 95, 100), percentiles(records.rtt_ms, 50, 95)
    received, sent = percentiles(records.received_kbit_s, 50, 100), percentiles(records.sent_kbit_s, 50)
    missed = outcome.missed_tick_share
    heading = f"{outcome.scenario.name}, seed {outcome.scenario.seed}, {outcome.wall_s:.0f} s"
    shown = table("figure", "value", title=heading, header=False, boxed=False)
    states = ", ".join(f"{count:,} {state.label}" for state in PlayerState if (count := records.count(state)))
    for name, value in (
        ("players", f"{len(records):,}: {states}; lost {outcome.players_lost:,}"),
        ("wait", f"p50 {_s(wait['p50'])}  p95 {_s(wait['p95'])}  max {_s(wait['max'])}"),
        (
            "requeued",
            f"{int(records.requeues.sum()):,} after server loss ({int(records.requeues_with_age.sum()):,} "
            "kept their queue time)",
        ),
        ("matches", match_sentence(outcome)),
        *(
            [("expired", f"{int(records.tokens_expired.sum()):,} connect tokens, by the servers' clocks")]
            if records.tokens_expired.any()
            else []
        ),
        *([("came back", _came_back(records))] if records.crashes.any() else []),
        *(
            [("refused", f"{outcome.requests.refusals:,} requests, to be sent again later")]
            if outcome.requests.refusals
            else []
        ),
        (
            "tick",
            f"p50 {_ms(tick['p50'])}  p99 {_ms(tick['p99'])}  max {_ms(tick['max'])}  "
            f"missed {missed or 0:.2%}",
        ),
        ("round trip", f"p50 {_unit(rtt['p50'], 'ms')}  p95 {_unit(rtt['p95'], 'ms')}"),
        (
            "bandwidth",
            f"received p50 {_unit(received['p50'], 'kbit/s')}  max {_unit(received['max'], 'kbit/s')}  "
            f"sent p50 {_unit(sent['p50'], 'kbit/s')}",
        ),
        ("cores", "  ".join(f"{kind} {cores:.2f}" for kind, cores in outcome.cpu_cores.items())),
        ("cost", f"{outcome.cost:.4g} for {outcome.server_hours:.2f} server-hours"),
        (
            "generator",
            f"step delay p50 {_ms(outcome.generator.step_late_us.get('p50'))}  "
            f"p99 {_ms(outcome.generator.step_late_us.get('p99'))}",
        ),
    ):
        shown.add_row(name, value)
    return shown


def match_sentence(outcome: RunOutcome) -> str:
    """What became of the matches, and why those were given up or failed that were."""
    counts = outcome.matches
    said = (
        f"{counts.formed:,} formed, {counts.started:,} started on {counts.servers_used:,} servers, "
        f"{counts.ended:,} ended"
    )
    if counts.taken_back:
        said += f", {counts.taken_back:,} taken back"
    if counts.failed:
        said += f", {counts.failed:,} failed"
    if counts.given_up:
        reasons = ", ".join(f"{count:,} × {reason}" for reason, count in counts.given_up.items())
        said += f"; given up: {reasons}"
    return said


def _came_back(records: PlayerRecords) -> str:
    back = percentiles(records.back_s, 50, 95)
    return (
        f"{len(records.back_s):,} of {int(records.crashes.sum()):,} crashed clients, "
        f"p50 {_s(back['p50'])}  p95 {_s(back['p95'])}"
    )


def _matches(outcome: RunOutcome) -> Table:
    numbers = ("players", "lost", "kills", "ticks", "missed", "tick p50", "tick p99")
    shown = table("match", "region", *numbers, title="matches", right=numbers, boxed=False)
    for report in outcome.reports:
        tick = report.get("tick_us") or {}
        shown.add_row(
            str(report.get("match_id", ""))[:8],
            str(report.get("region", "?")),
            f"{outcome.players_in(str(report.get('match_id'))):,}",
            *(f"{report.get(key, 0):,}" for key in ("players_lost", "kills", "tick", "missed_ticks")),
            _ms(tick.get("p50")),
            _ms(tick.get("p99")),
        )
    return shown


def _ledger(outcome: RunOutcome) -> Table:
    settled = (
        ""
        if outcome.settled_s is None
        else f", balanced {outcome.settled_s:.1f} s after the last player left"
    )
    shown = table("line", "counts", "", title=f"ledger{settled}", header=False, boxed=False)
    for line in outcome.ledger.lines:
        between = " = " if line.balanced else " | "
        shown.add_row(
            line.name,
            between.join(
                f"{entry.count:,} {entry.label}" + (f" ({entry.detail})" if entry.detail else "")
                for entry in line.entries
            ),
            Text("balanced", "green") if line.balanced else Text(f"off by {line.difference:,}", "bold red"),
        )
    return shown


def _objectives(outcome: RunOutcome) -> Table:
    numbers = ("measured", "limit")
    shown = table("objective", *numbers, "", title="objectives", right=numbers, header=False, boxed=False)
    for objective in outcome.objectives:
        shown.add_row(
            objective.name,
            _unit(objective.measured, objective.unit),
            f"≤ {objective.limit:g} {objective.unit}".rstrip(),
            Text("met", "green") if objective.met else Text("missed", "bold red"),
        )
    return shown


def _unit(value: float | None, unit: str) -> str:
    return "–" if value is None else f"{value:,.3g} {unit}".rstrip()


def _s(value: float | None) -> str:
    return "–" if value is None else f"{value:.2f} s"


def _ms(micros: float | None) -> str:
    return "–" if micros is None else f"{micros / 1e3:.2f} ms"

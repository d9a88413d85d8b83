"""The summary of a run in the terminal: figures, matches, ledger, objectives, verdict.

The report has the same numbers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from rich.table import Table
from rich.text import Text

from launchday.percentiles import at_least, percentiles
from launchday.terminal import Terminal, table
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerRecords, PlayerState, WaitEnd
from loadtest.report import incidents, modes, request_counts

WAIT_POINTS = (50, 95, 100)
VAIN_WORDS = {
    WaitEnd.GAVE_UP: "gave up",
    WaitEnd.NO_MATCH: "lost their ticket",
    WaitEnd.LOST: "were lost",
    WaitEnd.CUT_OFF: "were cut off by the end",
}
SERVICE_KINDS = 6  # that the terminal names; the report has all


def print_summary(outcome: RunOutcome, console: Terminal) -> None:
    """Print the summary of a run."""
    console.print()
    console.print(_figures(outcome))
    if outcome.reports:
        console.print(_matches(outcome))
    if outcome.ledger.lines:
        console.print(_ledger(outcome))
    console.print(_objectives(outcome))
    console.print(incidents.describe_first(outcome))
    for reason, count in outcome.records.count_reasons().items():
        console.print(f"{count:,} × {reason}", style="yellow")
    if outcome.left_out:
        console.print(f"left out: {'; '.join(outcome.left_out)}", style="yellow")
    if outcome.generator.saturated:
        console.print(outcome.generator_sentence, style="bold red")
    certain = outcome.passed and not outcome.machine.busy
    colour = "green" if certain else "yellow" if outcome.passed or outcome.interrupted else "red"
    console.print(outcome.verdict, style=f"bold {colour}")


def _figures(outcome: RunOutcome) -> Table:
    heading = f"{outcome.scenario.name}, seed {outcome.scenario.seed}, {outcome.wall_s:.0f} s"
    shown = table("figure", "value", title=heading, header=False, boxed=False)
    for name, value in (*_of_players(outcome), *_of_requests(outcome), *_of_machines(outcome)):
        shown.add_row(name, value)
    return shown


def _of_players(outcome: RunOutcome) -> Iterator[tuple[str, str]]:
    records, rate = outcome.records, outcome.rate
    states = ", ".join(f"{count:,} {state.label}" for state in PlayerState if (count := records.count(state)))
    yield "players", f"{len(records):,}: {states}; lost {outcome.players_lost:,}"
    yield "arrivals", f"{rate.reached_per_s:.3g} of {rate.intended_per_s:.3g} players/s"
    yield "wait", wait_sentence(records)
    yield (
        "requeued",
        f"{int(records.requeues.sum()):,} after server loss ({int(records.requeues_with_age.sum()):,} "
        "kept their queue time)",
    )
    yield "matches", match_sentence(outcome)
    for figures in modes.figures_by_mode(outcome):
        yield figures.mode, figures.sentence
    if records.tokens_expired.any():
        yield "expired", f"{int(records.tokens_expired.sum()):,} connect tokens, by the servers' clocks"
    if told := records.told():
        yield "told", ", ".join(f"{count:,} × {name}" for name, count in told.items())
    if records.crashes.any():
        yield "came back", _came_back(records)
    if records.roams.any():
        yield "roamed", _roamed(records)


def _of_requests(outcome: RunOutcome) -> Iterator[tuple[str, str]]:
    if outcome.requests.refusals:
        yield "refused", f"{outcome.requests.refusals:,} requests, to be sent again later"
    rows = request_counts.request_rows(outcome)
    by_players = [row for row in rows if row.asked_by == request_counts.PLAYERS and row.per_player]
    if by_players:
        yield "a player", ", ".join(f"{row.per_player:.3g} × {row.kind}" for row in by_players)
    among = [row for row in rows if row.asked_by == request_counts.SERVICES and row.per_match]
    if among:
        rest = sum(row.per_match or 0.0 for row in among[SERVICE_KINDS:])
        said = [f"{row.per_match:.3g} × {row.kind}" for row in among[:SERVICE_KINDS]]
        yield "a match", ", ".join([*said, *([f"{rest:.3g} others"] if rest else [])])
    if missing := request_counts.missing_sentence(outcome):
        yield "", missing


def _of_machines(outcome: RunOutcome) -> Iterator[tuple[str, str]]:
    """Ticks, links and processors: what was measured of them, for not every backend has all of it."""
    records, tick, missed = outcome.records, outcome.tick_us, outcome.missed_tick_share
    late_us = outcome.generator.step_late_us
    if outcome.reports:
        yield (
            "tick",
            f"p50 {_ms(tick['p50'])}  p99 {_ms(tick['p99'])}  max {_ms(tick['max'])}  "
            f"missed {missed or 0:.2%}",
        )
    rtt = percentiles(records.rtt_ms, 50, 95)
    if rtt["p50"] is not None:
        yield "round trip", f"p50 {_unit(rtt['p50'], 'ms')}  p95 {_unit(rtt['p95'], 'ms')}"
    received, sent = percentiles(records.received_kbit_s, 50, 100), percentiles(records.sent_kbit_s, 50)
    if received["p50"] is not None:
        yield (
            "bandwidth",
            f"received p50 {_unit(received['p50'], 'kbit/s')}  max {_unit(received['max'], 'kbit/s')}  "
            f"sent p50 {_unit(sent['p50'], 'kbit/s')}",
        )
    yield "cores", "  ".join(f"{kind} {cores:.2f}" for kind, cores in outcome.cpu_cores.items())
    if outcome.server_hours:
        yield "cost", f"{outcome.cost:.4g} for {outcome.server_hours:.2f} server-hours"
    if late_us.get("p50") is not None:
        yield "generator", f"step delay p50 {_ms(late_us.get('p50'))}  p99 {_ms(late_us.get('p99'))}"


def wait_sentence(records: PlayerRecords) -> str:
    """How long players waited for a match: those who got one, and those who did not, as long as they did."""
    waits_s = records.wait_times_s()
    bounds = at_least(waits_s, ~records.waits_ended(), *WAIT_POINTS)
    said = "  ".join(
        f"{name} {'≥ ' if name in bounds else ''}{_s(value)}"
        for name, value in percentiles(waits_s, *WAIT_POINTS).items()
    )
    vain = Counter(wait.end for wait in records.vain_waits)
    counted = [f"{vain[end]:,} {words}" for end, words in VAIN_WORDS.items() if vain[end]]
    if counted:
        said += f"; {', '.join(counted)} and count with what they waited"
    if records.never_queued:
        said += f"; {records.never_queued:,} never queued"
    return said


def match_sentence(outcome: RunOutcome) -> str:
    """What became of the matches, and why those were given up or failed that were."""
    counts = outcome.matches
    if outcome.target:  # of somebody else's backend nothing is known but what the players saw
        return f"{counts.formed:,} seen by the players of {outcome.target}"
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


def _roamed(records: PlayerRecords) -> str:
    back = percentiles(records.roam_back_s, 50, 95)
    return (
        f"{len(records.roam_back_s):,} of {int(records.roams.sum()):,} times heard at another address, "
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
            "–" if objective.measured is None else objective.figure,
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

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import run_scenario
from loadtest.errors import BackendRefusedError, BackendUnavailableError
from loadtest.flood.conditions import ArrivalRate, MachineUse
from loadtest.flood.ledger import Ledger
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import Objective, RunOutcome
from loadtest.flood.watching.counters import RequestCounts, parse_request_counts
from loadtest.players.player_records import PlayerRecords, PlayerState, Wait, WaitEnd
from loadtest.players.requests import RequestLog
from loadtest.report import incidents, request_counts, summary
from loadtest.report.run_json import run_as_json
from loadtest.scenario.model import Objectives
from loadtest.scenario.players import Retries
from loadtest.scenario.reader import parse_scenario
from loadtest.target import Match, PlayEnd, Player, QueueRequest
from tests.loadtest.sample_run import sample_outcome


def asked(run: RunOutcome, **objectives: Any) -> RunOutcome:
    changed = run.scenario.model_copy(update={"objectives": Objectives(**objectives)})
    return replace(run, scenario=changed)


def objective_of(run: RunOutcome, name: str) -> Objective:
    return next(objective for objective in run.objectives if objective.name == name)


def summary_of(run: RunOutcome) -> str:
    console = Terminal(file=io.StringIO(), width=160)
    summary.print_summary(run, console)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


def vain(run: RunOutcome, share: float, waited_s: float, end: WaitEnd) -> RunOutcome:
    """Let the last of the players wait in vain, with the states that they have then."""
    count = round(share * len(run.records))
    bots = range(len(run.records) - count, len(run.records))
    run.records.waits[:] = [Wait(bot, 0.0, 1.0, "east-us") for bot in range(len(run.records) - count)]
    run.records.vain_waits[:] = [Wait(bot, 0.0, waited_s, end=end) for bot in bots]
    states = {WaitEnd.GAVE_UP: PlayerState.CANCELLED, WaitEnd.CUT_OFF: PlayerState.STOPPED}
    run.records.state[list(bots)] = states.get(end, PlayerState.UNMATCHED)
    return run


def test_a_run_in_which_nine_of_ten_gave_up_does_not_pass() -> None:
    run = asked(vain(sample_outcome(), 0.9, 20.0, WaitEnd.GAVE_UP), wait_p95_s=25.0)
    gave_up = objective_of(run, "gave up waiting")
    assert (gave_up.measured, gave_up.limit, gave_up.met) == (0.9, 0.01, False)
    assert not run.passed
    wait = objective_of(run, "wait p95")
    assert (wait.figure, wait.met) == ("≥ 20 s", True)
    text = summary_of(run)
    assert "p50 ≥ 20.00 s  p95 ≥ 20.00 s  max ≥ 20.00 s; 180 gave up and count with what they waited" in text
    assert "180 gave up" in text


def test_a_file_that_allows_giving_up_has_the_waits_judged_by_what_was_waited() -> None:
    run = vain(sample_outcome(), 0.9, 20.0, WaitEnd.GAVE_UP)
    assert asked(run, wait_p95_s=25.0, abandoned_share=None).passed
    assert not asked(run, wait_p95_s=19.0, abandoned_share=None).passed


def test_a_percentile_of_waits_that_the_end_cut_off_is_not_known_and_not_met() -> None:
    run = asked(vain(sample_outcome(), 0.9, 10.0, WaitEnd.CUT_OFF), wait_p95_s=25.0)
    wait = objective_of(run, "wait p95")
    assert (wait.measured, wait.at_least, wait.met) == (10.0, True, False)
    assert run.records.abandoned_share == 0.0
    assert "wait p95 ≥ 10 s (limit 25 s, cut off by the end of the run)" in run.verdict
    few = asked(vain(sample_outcome(), 0.02, 0.5, WaitEnd.CUT_OFF), wait_p95_s=25.0)
    assert objective_of(few, "wait p95").met  # those who had just come when it ended


def test_who_was_taking_the_ticket_back_when_the_run_ended_has_given_up() -> None:
    run = vain(sample_outcome(), 0.9, 20.0, WaitEnd.GAVE_UP)
    run.records.state[50:] = PlayerState.STOPPED
    assert objective_of(run, "gave up waiting").measured == 0.9


def test_who_waited_too_long_is_an_incident_also_where_they_gave_up() -> None:
    run = asked(vain(sample_outcome(), 0.1, 40.0, WaitEnd.GAVE_UP), wait_p95_s=25.0)
    found = {each.what: each.at_s for each in incidents.find_incidents(run)}
    assert found["a player waited more than 25 s for a match; 20 in all"] == 25.0


def test_who_was_lost_before_the_queue_is_told_beside_the_waits() -> None:
    run = sample_outcome()
    del run.records.waits[-3:]
    assert summary.wait_sentence(run.records).endswith("; 3 never queued")
    assert run_as_json(run)["waits"]["never_queued"] == 3


def test_a_busy_machine_is_said_in_the_verdict_of_a_run_that_passes_and_of_one_that_does_not() -> None:
    busy = MachineUse(others_cores=1.6, cores=2)
    passed, failed = replace(sample_outcome(), machine=busy), replace(sample_outcome(commits=1), machine=busy)
    said = "But others used 80% of the machine while it played (1.60 of 2 cores)"
    assert passed.passed
    for run in (passed, failed):
        assert said in run.verdict
        assert "so the figures are the backend's" not in run.generator_sentence
    assert run_as_json(passed)["busy"] == {
        "others_cores": 1.6,
        "cores": 2,
        "backend_included": False,
        "others_share": 0.8,
        "limit_share": 0.25,
        "busy": True,
    }


def test_others_are_told_from_a_backend_of_which_nobody_knows_the_processes() -> None:
    known, unknown = MachineUse.of(40.0, 20.0), MachineUse.of(4_000.0, 20.0, backend_included=True)
    assert known.others_cores == 2.0
    assert MachineUse.of(-1.0, 20.0).others_cores == 0.0  # what clocks of processes leave
    assert "others, the backend among them where it runs here, used" in unknown.sentence


@pytest.mark.parametrize(
    ("machine", "busy"), [(MachineUse(0.5, 2), False), (MachineUse(0.51, 2), True), (MachineUse(), False)]
)
def test_a_quarter_of_the_machine_is_not_yet_busy(machine: MachineUse, busy: bool) -> None:
    run = replace(sample_outcome(), machine=machine)
    assert (bool(run.busy_sentence), run.machine.busy) == (busy, busy)
    assert ("so the figures are the backend's" in run.generator_sentence) == (machine == MachineUse(0.5, 2))


def test_a_rate_that_was_not_reached_does_not_pass() -> None:
    late, missing = sample_outcome(), sample_outcome()
    late.records.arrived_s += np.linspace(0, 20, 200)
    missing.records.arrived_s[150:] = np.nan
    for run, words in (
        (late, "they came"),
        (missing, "50 of 200 never came"),
    ):
        assert not run.passed
        assert "the rate was not reached: " in run.verdict
        assert words in run.verdict
        assert run_as_json(run)["rate"]["reached"] is False
        assert "so the figures are the backend's" not in run.generator_sentence


def test_who_was_not_due_when_the_run_ended_has_not_missed_it() -> None:
    records = PlayerRecords(np.arange(100.0))
    records.arrived_s[:51] = records.intended_s[:51]
    rate = ArrivalRate.of(records, 50.4)
    assert (rate.due, rate.arrived, rate.reached) == (50, 50, True)
    assert rate.intended_per_s == rate.reached_per_s == pytest.approx(50 / 49)
    assert not ArrivalRate.of(records, 60.0).reached
    assert ArrivalRate.of(records, 0.0).reached  # nobody was due


NOW = Retries(tries=2, pause_s=0.0, jitter=0.0)


async def _sent(log: RequestLog, kind: str, request: Callable[[], Awaitable[None]], took_s: float) -> None:
    times_s = iter((0.0, *[took_s] * 9))
    await log.send(kind, request, NOW, lambda: next(times_s), lambda: 0.5)


async def test_logins_that_were_given_up_or_cut_off_count_with_the_time_that_they_took() -> None:
    async def answered() -> None: ...

    async def unavailable() -> None:
        raise BackendUnavailableError("away")

    async def cut_off() -> None:
        raise asyncio.CancelledError

    async def refused() -> None:
        raise BackendRefusedError("no")

    log = RequestLog()
    for _ in range(8):
        await _sent(log, "log in", answered, 1.0)
    with pytest.raises(BackendUnavailableError):
        await _sent(log, "log in", unavailable, 4.0)
    run = asked(replace(sample_outcome(), requests=log), login_p95_s=2.0)
    login = objective_of(run, "login p95")
    assert (login.figure, login.known, login.met) == ("≥ 2.8 s", True, False)
    assert run_as_json(run)["requests"]["log in"]["ms"]["max"] == 4_000.0
    with pytest.raises(asyncio.CancelledError):
        await _sent(log, "log in", cut_off, 9.0)
    assert not objective_of(asked(run, login_p95_s=100.0), "login p95").met
    with pytest.raises(BackendRefusedError):
        await _sent(log, "log in", refused, 1.0)
    assert log.by_kind["log in"].sent == 8 + 2 + 1 + 1  # with the repeated try


@pytest.mark.parametrize(
    ("measured", "shown"), [(None, "not measured"), (0.0, "0"), (0.01234, "0.0123"), (1_200.0, "1,200")]
)
def test_a_figure_is_written_without_powers_of_ten(measured: float | None, shown: str) -> None:
    assert Objective("players lost", 0, measured).figure == shown


def test_an_objective_of_purchases_is_not_met_where_nobody_bought() -> None:
    purchase = objective_of(asked(sample_outcome(), purchase_p95_s=1.0), "purchase p95")
    assert (purchase.measured, purchase.met) == (None, False)


async def test_a_kind_of_request_that_is_never_timed_is_no_row_of_times_but_is_counted() -> None:
    async def answered() -> None: ...

    log = RequestLog()
    await log.send("wait for a match", answered, NOW, lambda: 0.0, lambda: 0.5, timed=False)
    await _sent(log, "log in", answered, 1.0)
    run = replace(sample_outcome(), requests=log)
    assert list(run_as_json(run)["requests"]) == ["log in"]
    assert [(row.kind, row.count) for row in request_counts.request_rows(run)] == [
        ("wait for a match", 1),
        ("log in", 1),
    ]


METRICS = """# HELP launchday_http_requests_total Requests by method, route and status.
# TYPE launchday_http_requests_total counter
launchday_http_requests_total{method="POST",route="/v1/internal/checkouts",status="200"} 18.0
launchday_http_requests_total{method="POST",route="/v1/internal/checkouts",status="503"} 2.0
launchday_http_requests_total{method="POST",route="/v1/login/device",status="200"} 200.0
launchday_http_requests_total{method="GET",route="/metrics",status="200"} 9.0
launchday_http_requests_total{method="GET",route="/v1/internal/counters",status="200"} 60.0
other_total{route="}"} 3
"""


def test_requests_among_services_are_counted_a_player_and_a_match() -> None:
    before = RequestCounts(
        {"meta": {("POST", "/v1/internal/checkouts"): 10}, "fleet": {}}, {"rewards": "away"}
    )
    after = RequestCounts(
        {
            "meta": parse_request_counts(METRICS),
            "fleet": {("POST", "/gameserverallocation"): 4},
            "rewards": {},
        }
    )
    run = replace(sample_outcome(), request_counts=after.since(before))
    rows = [(row.kind, row.count, row.per_player, row.per_match) for row in request_counts.request_rows(run)]
    assert rows == [
        ("meta: POST /v1/internal/checkouts", 10, 0.05, 5.0),
        ("fleet: POST /gameserverallocation", 4, 0.02, 2.0),
    ]
    assert request_counts.missing_sentence(run) == "Not counted: rewards (away)."
    text = summary_of(run)
    assert "a match" in text
    assert "5 × meta: POST /v1/internal/checkouts" in text
    assert "Not counted: rewards (away)." in text


def test_a_service_that_was_started_again_counts_from_nothing() -> None:
    before = RequestCounts({"meta": {("GET", "/a"): 100, ("GET", "/b"): 1}})
    after = RequestCounts({"meta": {("GET", "/a"): 7, ("GET", "/b"): 3}})
    assert after.since(before).by_service == {"meta": {("GET", "/a"): 7, ("GET", "/b"): 3}}


@given(st.text(max_size=60))
def test_metrics_of_any_text_are_counted_or_refused(rest: str) -> None:
    text = 'launchday_http_requests_total{method="GET",route="/a"} 1.0\nlaunchday_http_requests_total{' + rest
    try:
        found = parse_request_counts(text)
    except ValueError:
        return
    assert all(count >= 0 for count in found.values())


def test_what_is_left_out_is_one_line_and_a_run_without_a_ledger_does_not_speak_of_one() -> None:
    run = replace(sample_outcome(), left_out=["policy forecast", "faults stop_store"], ledger=Ledger(()))
    assert "left out: policy forecast; faults stop_store" in summary_of(run)
    assert run_as_json(run)["left_out"] == ["policy forecast", "faults stop_store"]
    assert run.verdict == "Passed: every objective was met."


def test_the_json_of_who_waited_tells_how_it_ended(tmp_path: Path) -> None:
    run = vain(sample_outcome(), 0.5, 20.0, WaitEnd.NO_MATCH)
    figures = run_as_json(run)
    assert figures["waits"] == {
        "matched": 100,
        "gave_up": 0,
        "no_match": 100,
        "lost": 0,
        "cut_off": 0,
        "never_queued": 0,
    }
    assert figures["wait_at_least"] == ["p50", "p95", "p99", "max"]


class OneServer:
    """A target with room for two players in all, whose match outlasts everybody's patience."""

    PLACES = 2

    def __init__(self) -> None:
        self._taken = 0

    async def log_in(self, player: Player) -> int:
        return player.number

    async def queue(self, session: int, request: QueueRequest) -> int:
        return session

    async def wait(self, session: int, ticket: int) -> Match:
        if self._taken == self.PLACES:
            await asyncio.Event().wait()
        self._taken += 1
        return Match("only")

    async def connect(self, session: int, match: Match) -> int:
        return session

    async def play(self, session: int, connection: int) -> PlayEnd:
        await asyncio.sleep(0.4)
        return PlayEnd.OVER

    async def leave(
        self, session: int, ticket: int, connection: int | None = None, *, silently: bool = False
    ) -> Match | None:
        return None


GIVE_UP = """
name: giveup
players: {count: 20, locations: {west-europe: 1.0}}
arrivals: {curve: constant, over_s: 0.1}
modes: {battle_royale: {players: 2, duration_s: 60}}
behaviours: {shares: {stay: 1.0}, own: {stay: {movement: roam, sight_m: 0}}, patience_s: 0.2}
objectives: {wait_p95_s: 25}
"""


@pytest.mark.parametrize(
    ("more", "code"),
    [("", 99), ("duration_s: 0.15", 99), ("objectives: {wait_p95_s: 25, abandoned_share: 0.95}", 0)],
)
async def test_a_flood_in_which_most_players_get_nothing_exits_with_99(
    more: str, code: int, tmp_path: Path
) -> None:
    text = GIVE_UP if not more.startswith("objectives") else GIVE_UP.partition("objectives")[0]
    scenario = parse_scenario(f"{text}\n{more}\n", "test")
    console = Terminal(file=io.StringIO(), width=160)
    options = FloodOptions(json=tmp_path / "run.json", target=OneServer)
    assert await run_scenario(scenario, Settings(), options, console=console) == code
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["wait_at_least"][-1] == "max"
    assert run["waits"]["matched"] == OneServer.PLACES
    assert run["waits"]["gave_up"] + run["waits"]["cut_off"] + run["waits"]["never_queued"] == 18

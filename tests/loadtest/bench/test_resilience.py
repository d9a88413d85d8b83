"""The checkers of ``bench resilience``, shown what is right and what was planted: each fault is caught.

The parts themselves take minutes and a machine of their own; here is what judges them.
"""

from __future__ import annotations

import os
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from redis.asyncio import Redis
from typer.testing import CliRunner

from loadtest.bench import cli
from loadtest.bench.options import Options
from loadtest.bench.resilience import bounded, brownout, crashers, harness, processes, stopped
from loadtest.bench.resilience.harness import PARTS, Limit, judged
from loadtest.bench.resilience.processes import ProcessWatch, grown, slope_a_minute
from loadtest.errors import BenchError
from loadtest.flood.injection.faults import FaultRecord
from loadtest.flood.ledger import MatchCounts
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerState, Wait
from loadtest.scenario.reader import SHIPPED, load_scenario
from tests.loadtest.sample_run import MATCHES, sample_outcome
from tests.waiting import until

MB = 1 << 20


def missed(part: Any, figures: dict[str, Any]) -> list[str]:
    """The names of the limits that figures of a part miss."""
    return [text.split(" ")[0] for text in judged("part", figures, part.LIMITS)["missed"]]


def test_the_command_and_the_harness_know_the_same_parts_in_the_same_order() -> None:
    assert [part.value for part in cli.PartName] == list(PARTS)


def test_each_figure_stands_beside_its_limit_and_one_that_is_missed_is_named() -> None:
    limits = (Limit("reads.goodput", at_least=0.9), Limit("drained_s", at_most=1.0))
    good = judged("it", {"reads": {"goodput": 0.95}, "drained_s": 0.2}, limits)
    assert (good["passed"], good["missed"]) == (True, [])
    assert good["limits"] == {"reads.goodput": "≥ 0.9", "drained_s": "≤ 1"}
    bad = judged("it", {"reads": {"goodput": 0.45}, "drained_s": 3.5}, limits)
    assert (bad["passed"], bad["missed"]) == (False, ["reads.goodput 0.45, ≥ 0.9", "drained_s 3.5, ≤ 1"])


def test_a_figure_that_is_missing_is_missed_unless_only_a_part_was_run() -> None:
    limits = (Limit("a", at_most=1.0), Limit("b", at_most=1.0))
    assert judged("it", {"a": 0.0, "b": None}, limits)["missed"] == ["b was not measured, ≤ 1"]
    assert judged("it", {"a": 0.0}, limits, whole=False)["passed"]


def test_figures_of_a_generator_that_was_the_limit_are_void() -> None:
    found = judged("it", {"a": 0.0, "void": "the generator was 40 ms late"}, (Limit("a", at_most=1.0),))
    assert (found["passed"], found["missed"]) == (False, [])


def test_a_run_that_the_part_does_not_have_is_named() -> None:
    assert Options(only=("busy_8",)).chosen(brownout.RUNS) == ("busy_8",)
    with pytest.raises(BenchError, match="--only bsy_8: this part has busy_8, busy_40, stopped"):
        Options(only=("bsy_8",)).chosen(brownout.RUNS)
    assert CliRunner().invoke(cli.app, ["resilience", "--only", "busy_8"]).exit_code == 2


def a_brownout(started: int = 20, checkouts: int = 200) -> RunOutcome:
    """A run of 200 tickets before the fault and 200 after it, of 20 matches."""
    run = sample_outcome(checkouts=checkouts)
    run.records.waits.clear()
    run.records.waits += [Wait(bot, 5.0, 6.0 + bot / 40, "east-us") for bot in range(200)]
    run.records.waits += [Wait(bot, 80.0, 81.0 + bot / 40, "east-us") for bot in range(200)]
    return replace(run, matches=MatchCounts(formed=20, started=started, ended=20, servers_used=20))


def test_a_brownout_in_which_late_is_not_dead_keeps_every_limit() -> None:
    found = brownout.summed_up({"busy_40": brownout.figures(a_brownout(), 40.0)})
    assert missed(brownout, found) == []
    assert (found["matches_formed"], found["matches_started"]) == (20, 20)
    assert found["p95_after_over_before"] == pytest.approx(1.0, abs=0.05)


def test_planted_matches_that_are_started_and_given_up_are_caught() -> None:
    good, bad = (brownout.figures(a_brownout(started=started), 40.0) for started in (20, 127))
    assert missed(brownout, brownout.summed_up({"busy_8": good, "busy_40": bad})) == ["started_over_formed"]


def test_a_planted_check_out_that_nobody_commits_is_caught() -> None:
    found = brownout.summed_up({"busy_8": brownout.figures(a_brownout(checkouts=520), 40.0)})
    assert missed(brownout, found) == ["ledger_balanced"]


def test_a_backend_that_does_not_come_back_is_caught() -> None:
    slow, hopeless = a_brownout(), a_brownout()
    slow.records.waits[200:] = [wait._replace(until_s=130.0) for wait in slow.records.waits[200:]]
    hopeless.records.vain_waits += [wait._replace(region="") for wait in slow.records.waits[200:]]
    del hopeless.records.waits[200:]
    for run in (slow, hopeless):
        found = brownout.summed_up({"busy_8": brownout.figures(run, 40.0)})
        assert missed(brownout, found) == ["p95_after_over_before"]


def test_a_wait_that_the_fault_cut_into_counts_until_the_fault() -> None:
    run = a_brownout()
    run.records.waits[:] = [Wait(0, 2.0, 4.0, "r"), Wait(1, 10.0, 70.0, "r"), Wait(2, 40.0, 41.0, "r")]
    before, after = brownout.waits_around(run.records, 20.0, 75.0)
    assert before == [(2.0, True), (10.0, False)]
    assert after == []
    assert brownout.percentile_s(after, 95) is None


def test_a_percentile_of_waits_that_have_all_ended_is_the_plain_one_and_of_others_is_later() -> None:
    waits = [float(seconds) for seconds in np.random.default_rng(1).permutation(np.arange(1, 101))]
    ended = brownout.percentile_s([(seconds, True) for seconds in waits], 95)
    some_last = brownout.percentile_s([(seconds, seconds % 2 == 0) for seconds in waits], 50)
    assert ended == 95.0
    assert some_last is not None
    assert some_last > 50.0


def test_busy_processes_and_stopped_servers_are_the_three_runs() -> None:
    faults = [brownout.faults_of(name, 40.0)[0] for name in brownout.RUNS]
    assert [(fault.at_s, fault.do) for fault in faults] == [(20.0, "busy"), (20.0, "busy"), (20.0, "pause")]
    assert [getattr(fault, "processes", None) for fault in faults] == [8, 40, None]
    assert all(fault.lasts_s == 40.0 for fault in faults)


def crashed(servers_used: int = 20, back_s: float = 0.5, others_wait_s: float = 3.0) -> dict[str, Any]:
    """The figures of a flood in which two clients crashed, beside one in which none did."""
    crashing, calm = sample_outcome(), sample_outcome()
    for run in (crashing, calm):
        run.records.waits[:] = [Wait(bot, 0.0, 3.0, "east-us") for bot in range(200)]
    crashing.records.waits[2:] = [Wait(bot, 0.0, others_wait_s, "east-us") for bot in range(2, 200)]
    crashing.records.crashes[:2] = 1
    crashing.records.back_s += [back_s, back_s]
    counts = MatchCounts(formed=20, started=20, ended=20, servers_used=servers_used)
    return crashers.figures(replace(crashing, matches=counts), calm)


@pytest.mark.parametrize(
    ("planted", "limit"),
    [
        ({}, []),
        ({"servers_used": 46}, ["servers_over_matches"]),
        ({"back_s": 9.0}, ["back_s"]),
        ({"others_wait_s": 30.0}, ["extra_wait_s"]),
    ],
)
def test_what_a_crash_costs_the_others_is_caught(planted: dict[str, Any], limit: list[str]) -> None:
    assert missed(crashers, crashed(**planted)) == limit


def test_the_calm_flood_has_the_same_players_of_whom_none_crashes() -> None:
    scenario = load_scenario(SHIPPED / "crashers.yaml")
    calm = crashers.without_crashes(scenario)
    assert calm.behaviours.shares == scenario.behaviours.shares
    assert scenario.behaviours.profile("crashing").crashes_after_s > 0.0
    assert calm.behaviours.profile("crashing").crashes_after_s == 0.0


def test_each_part_stands_still_for_each_length_once_and_one_after_the_other() -> None:
    stops = stopped.drawn_stops(stopped.PARTS, stopped.STOPS_S, None, np.random.default_rng(3))
    assert sorted((stop.part, stop.for_s) for stop in stops) == sorted(
        (part, for_s) for part in stopped.PARTS for for_s in stopped.STOPS_S
    )
    ends_s = [stop.at_s + stop.for_s for stop in stops]
    assert all(stop.at_s > end_s for stop, end_s in zip(stops[1:], ends_s, strict=False))
    again = stopped.drawn_stops(stopped.PARTS, stopped.STOPS_S, None, np.random.default_rng(3))
    assert stops == again
    assert not stopped.scenario_with(stops, Options()).contradictions()


def a_stop() -> RunOutcome:
    """A run in which a service stood still and nobody noticed."""
    run = sample_outcome()
    run.records.state[:] = PlayerState.DONE
    run.records.waits[:] = [Wait(bot, 0.0, 1.0, "east-us", MATCHES[bot % 2], bot // 2) for bot in range(200)]
    fault = stopped.drawn_stops(("fleet",), (6.0,), 1, np.random.default_rng(1))[0]
    return replace(run, fault_records=[FaultRecord(fault, "fleet stopped", 1.0, 7.0)])


def test_a_stop_that_costs_nobody_anything_keeps_every_limit() -> None:
    assert missed(stopped, stopped.figures(a_stop())) == []


def test_a_planted_loss_a_double_and_an_ended_match_are_each_caught() -> None:
    lost, same_slot, requeued = a_stop(), a_stop(), a_stop()
    lost.records.state[3] = PlayerState.UNMATCHED
    same_slot.records.waits[1] = same_slot.records.waits[1]._replace(match_id=MATCHES[0], entity=0)
    requeued.records.requeues[5] = 1
    failed = replace(a_stop(), matches=MatchCounts(formed=2, started=2, ended=1, failed=1))
    checked_out_twice = replace(a_stop(), ledger=sample_outcome(checkouts=201, commits=201).ledger)
    assert missed(stopped, stopped.figures(lost)) == ["tickets_lost"]
    assert missed(stopped, stopped.figures(same_slot)) == ["doubled"]
    assert missed(stopped, stopped.figures(checked_out_twice)) == ["doubled"]
    assert missed(stopped, stopped.figures(requeued)) == ["matches_ended"]
    assert missed(stopped, stopped.figures(failed)) == ["matches_ended"]


async def test_a_planted_key_for_an_unknown_id_is_found(cache_url: str) -> None:
    async with Redis.from_url(cache_url, decode_responses=True) as cache:
        before = await bounded.cache_keys(cache_url)
        await cache.hset("{meta}:player:4711", "level", "1")
        new = await bounded.cache_keys(cache_url) - before
    assert bounded.by_kind(new) == {"{meta}:player": 1}
    figures = {"asked": 10_000, "keys_grown": len(new), "mb_a_minute_max": 0.2, "descriptors_grown": 0}
    assert missed(bounded, figures) == ["keys_grown"]


def test_a_process_that_grows_is_told_from_one_that_has_grown() -> None:
    at_s = [2.0 * sample for sample in range(60)]
    grows = [100 * MB + int(2 * MB * seconds / 60) for seconds in at_s]
    has_grown = [(100 if seconds < 80.0 else 124) * MB for seconds in at_s]
    both = [step + growth for step, growth in zip(has_grown, grows, strict=True)]
    assert slope_a_minute(at_s, grows) == pytest.approx(2.0, abs=0.1)
    assert slope_a_minute(at_s, has_grown) == 0.0
    assert slope_a_minute(at_s, both) == pytest.approx(2.0, abs=0.1)


def test_a_planted_descriptor_that_stays_open_is_found() -> None:
    class OwnProcess:
        processes = {"it": os.getpid()}  # noqa: RUF012 - as the protocol has it

    watch = ProcessWatch(OwnProcess())  # type: ignore[arg-type]  # asked for its processes alone
    before = watch.descriptors()
    left_open = os.open("/dev/null", os.O_RDONLY)
    try:
        assert grown(before, watch.descriptors())["it"] == 1
    finally:
        os.close(left_open)


async def test_the_memory_of_each_process_is_sampled(monkeypatch: pytest.MonkeyPatch) -> None:
    class OwnProcess:
        processes = {"it": os.getpid()}  # noqa: RUF012 - as the protocol has it

    monkeypatch.setattr(processes, "SAMPLE_S", 0.001)
    watch = ProcessWatch(OwnProcess())  # type: ignore[arg-type]  # asked for its processes alone
    async with watch.sampling():
        await until(lambda: "it" in watch.mb_a_minute())


def test_a_part_is_judged_by_its_own_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bounded, "run", lambda options: {"asked": options.rounds, "keys_grown": 3})
    found = harness.run_part("bounded", Options(rounds=10, only=("all",)))
    assert (found["bench"], found["part"], found["passed"]) == ("resilience", "bounded", False)
    assert found["missed"] == ["asked 10, ≥ 10000", "keys_grown 3, ≤ 0"]

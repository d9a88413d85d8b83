"""Every benchmark, tiny: the shape of what it prints, and that its figures agree with each other.

No clock is judged.
"""

from __future__ import annotations

import io
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import structlog
from typer.testing import CliRunner

from dedicated_server.protocol.bits import take
from dedicated_server.protocol.entities import pack_player
from launchday.terminal import Terminal
from loadtest.bench import cli
from loadtest.bench.engines import engines
from loadtest.bench.harness.rig import Rig
from loadtest.bench.harness.run_config import MAP
from loadtest.bench.harness.shared_state import SharedState
from loadtest.bench.harness.statistics import print_figures
from loadtest.bench.harness.worker import CONTEXT, Worker
from loadtest.bench.options import Options
from loadtest.bench.tick import transport
from loadtest.bench.tick.scale import PLAYER_BITS, write_all_to_all
from loadtest.bench.tick.tick import in_time
from loadtest.errors import BenchError
from tests.optional import needs

STAGES = ["drain", "open", "apply", "simulate", "interest", "encode", "seal", "send"]

pytestmark = pytest.mark.timeout(300)  # where no kernel has been compiled yet, they all are


def printed(*arguments: str) -> dict[str, Any]:
    """The one JSON object that a benchmark prints."""
    result = CliRunner().invoke(cli.app, [*arguments, "--json"])
    assert result.exit_code == 0, result.output
    (line,) = result.stdout.splitlines()
    found: dict[str, Any] = json.loads(line)
    return found


def in_order(figures: dict[str, float], *names: str) -> None:
    """Assert that percentiles are positive and none is below the one before it."""
    values = [figures[name] for name in names]
    assert values[0] > 0.0
    assert values == sorted(values)


def test_idle_shows_what_a_small_match_costs_in_turns_with_spinning() -> None:
    found = printed("idle", "--players", "4", "--seconds", "3")

    assert (found["players"], found["blocks"]) == (4, 2)
    assert found["spin_off"] is True
    assert found["spun_share"]["spun"] > 0.0
    for policy in ("spun", "paced"):
        assert 0.0 < found["core_share"][policy] < 1.0
        assert set(found["late_us"][policy]) == {"p50", "p99"}


def test_mutated_shows_what_changed_and_what_was_sent_to_strangers() -> None:
    found = printed("mutated", "--datagrams", "2000")

    assert (found["datagrams"], found["batches"], found["changed"], found["crashed"]) == (2_000, 2, 0, "")
    assert found["good"] is True
    assert found["most"] == max(found["amplification"].values()) <= 3.0
    assert sum(found["kinds"].values()) == sum(found["mutations"].values()) == 2_000


def test_tick_shows_a_tick_beside_a_floor_that_carried_the_same_datagrams() -> None:
    found = printed("tick", "--players", "8", "--layout", "cluster", "--seconds", "1")

    assert (found["players"], found["layout"], found["hz"], found["connected"]) == (8, "cluster", 60, 8)
    in_order(found["tick_us"], "p50", "p99", "max")
    in_order(found["floor_us"], "p50", "p99")
    in_order(found["kbit_per_client"], "p50", "max", "peak")
    in_order(found["staleness_ms"], "p50", "p99", "max")
    in_order(found["bytes_per_snapshot"], "p50", "p99", "max")
    assert found["late_us"]["p99"] >= found["late_us"]["p50"] >= 0.0
    assert found["ratio"] == pytest.approx(found["tick_us"]["p50"] / found["floor_us"]["p50"], rel=0.01)
    assert {"processor", "l2_kib"} <= found.keys()
    assert found["goal"] is found["good"] is None  # it is set for matches of 100
    assert list(found["stages_us"]) == STAGES
    assert all(took_us > 0.0 for took_us in found["stages_us"].values())
    assert found["missed_ticks"] >= 0
    assert 0.0 < found["snapshot_hz"] <= 60.0
    assert found["records_per_snapshot"] == pytest.approx(8.0, abs=0.5)  # all see all
    assert found["bits_per_changed_entity"] > 0.0
    assert found["floor_datagrams"]["in"] == pytest.approx(1.0, abs=0.2)
    assert found["floor_datagrams"]["out"] == pytest.approx(1.0, abs=0.2)


def test_tick_sends_snapshots_at_the_rate_asked_for_and_does_without_a_floor() -> None:
    found = printed(
        "tick", "--players", "6", "--layout", "cluster", "--seconds", "1", "--snapshot-hz", "30", "--no-floor"
    )

    assert 0.0 < found["snapshot_hz"] <= 30.5
    assert found["floor_us"]["p50"] == 0.0
    assert found["clients"]["joined_s"] > 0.0
    assert 0.0 <= found["clients"]["skipped_share"] <= 1.0
    assert found["in_time"] in (True, False, None)


def test_a_tick_is_in_time_up_to_its_period_and_not_judged_by_clients_who_could_not_keep_up() -> None:
    assert in_time(16_000.0, 0.05) is True
    assert in_time(17_000.0, 0.0) is False
    assert in_time(16_000.0, 0.06) is None


def test_tick_runs_over_the_portable_transport_too() -> None:
    found = printed("tick", "--players", "4", "--seconds", "0.5", "--transport", "asyncio")

    assert (found["transport"], found["layout"], found["connected"]) == ("asyncio", "map", 4)
    in_order(found["tick_us"], "p50", "p99", "max")


def test_scale_shows_a_point_for_each_size_and_both_exponents() -> None:
    found = printed("scale", "--sizes", "5,10", "--seconds", "0.5")

    assert [point["players"] for point in found["points"]] == [5, 10]
    for point in found["points"]:
        in_order(point["tick_us"], "p50", "p99", "max")
        assert point["naive_us"] > 0.0
        assert point["connected"] == point["players"]
        assert 0.0 < point["snapshot_hz"] <= 60.0
    small, large = (point["tick_us"]["p50"] for point in found["points"])
    assert found["exponent"] == pytest.approx(np.log2(large / small), abs=0.01)
    assert isinstance(found["exponent_naive"], float)
    assert "exponent_full_rate" in found


def test_wire_shows_what_the_format_saves() -> None:
    found = printed("wire", "--players", "8", "--seconds", "1")

    assert found["layout"] == "map"
    assert found["bits_per_changed_entity"] > 0.0
    in_order(found["bytes_per_snapshot"], "p50", "p99", "max")
    in_order(found["kbit_per_client"], "p50", "max", "peak")
    assert found["full_state_bytes"] == 8 * 16
    assert found["reduction_of_state"] >= found["reduction"] >= found["reduction_on_line"] > 1.0


def test_transport_shows_both_transports_beside_the_floor() -> None:
    found = printed("transport", "--players", "6", "--seconds", "0.5")

    for name in ("floor_us", "mmsg_us", "asyncio_us"):
        in_order(found[name], "p50", "p99")
        assert found[name]["datagrams_in"] == found[name]["datagrams_out"] == 6 * 30
        assert found[name]["in_p50"] > 0.0
        assert found[name]["out_p50"] > 0.0
    assert found["floor_us"]["ratio"] == 1.0


def test_hostile_shows_the_tick_under_hostile_traffic_beside_the_quiet_one_and_loses_nobody() -> None:
    found = printed("hostile", "--players", "12", "--bad", "6000", "--seconds", "2")

    in_order(found["quiet_us"], "p50", "p99", "max")
    in_order(found["hostile_us"], "p50", "p99", "max")
    assert found["ratio"]["p99"] == pytest.approx(
        found["hostile_us"]["p99"] / found["quiet_us"]["p99"], rel=0.01
    )
    assert found["players_lost"] == 0
    assert found["bad"]["sent"] > 100
    assert found["dropped"]["future_ack"] > 0
    assert found["dropped"]["forged"] > 0
    assert found["inputs_refused"] > 0
    assert found["rewinds_clamped"] > 0


def test_lossy_shows_others_where_they_were_and_every_hit_once() -> None:
    found = printed("lossy", "--players", "12", "--seconds", "3")

    assert found["connected"] == 12
    assert found["time_outs"] == found["reconnects"] == found["reliable_overflow"] == 0
    assert found["hits"]["missing"] == found["hits"]["wrong"] == 0
    assert found["shown"] > 0
    assert 0.0 < found["loss"] < 0.2
    assert (
        0.0 < found["shown_error_m"]["p50"] <= found["shown_error_m"]["p95"] <= found["shown_error_m"]["p99"]
    )


def test_tick_with_events_shows_both_ticks_and_a_broker_that_took_every_event() -> None:
    found = printed("tick", "--players", "8", "--seconds", "2", "--events", "200")

    in_order(found["tick_us"], "p50", "p99", "max")
    in_order(found["tick_with_events_us"], "p50", "p99", "max")
    assert found["event_cost"]["blocks"] == 4
    events = found["events"]
    assert events["emitted"] == events["delivered"] > 150
    assert events["dropped"] == {}
    assert events["spooled"] == events["waiting"] == events["refused"] == 0


@needs("tshark")
def test_capture_reads_nothing_of_a_match_and_everything_of_what_is_not_sealed() -> None:
    found = printed("capture", "--players", "4", "--seconds", "1")

    assert found["readable"] == 0
    assert found["readable_in_plaintext"] == found["secrets"] > 4 * 5
    assert found["to_server"]["datagrams"] > 100
    assert found["to_client"]["datagrams"] > 100


def test_without_json_people_get_tables() -> None:
    console = Terminal(file=io.StringIO(), width=80)

    print_figures(
        {
            "bench": "scale",
            "points": [{"players": 100, "tick_us": {"p50": 7.5}}, {"players": 1_600}],
            "exponent": 1.0,
        },
        console,
    )

    shown = console.file.getvalue()  # type: ignore[attr-defined]
    for expected in ("bench scale", "tick us p50", "7.5", "1,600", "exponent"):
        assert expected in shown


@pytest.mark.parametrize("sizes", ["5", "5,x", "2,5", "5,5000"])
def test_sizes_that_make_no_sense_are_bad_usage(sizes: str) -> None:
    assert CliRunner().invoke(cli.app, ["scale", "--sizes", sizes]).exit_code == 2


def test_a_benchmark_that_cannot_go_on_is_one_line_and_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_rig: Rig) -> None:
        raise BenchError("the server has ended without an answer")

    monkeypatch.setattr(Rig, "warm_up", fail)

    result = CliRunner().invoke(cli.app, ["tick", "--json"])

    assert result.exit_code == 1
    assert result.stdout == ""
    assert "ended without an answer" in result.stderr


@pytest.fixture
def workers() -> Iterator[tuple[Worker, Worker]]:
    board, core = SharedState(CONTEXT, 1), min(os.sched_getaffinity(0))
    both = Worker("first", board, core), Worker("second", board, core)
    for worker in both:
        worker.start()
    yield both
    for worker in both:
        worker.stop()


def test_a_worker_that_fails_is_heard_by_whoever_waits_for_another(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    second.run(int.from_bytes, "no such thing")

    with pytest.raises(BenchError, match="the second: TypeError"):
        first.receive(int, 60.0, second)


def test_a_worker_that_has_ended_is_noticed(workers: tuple[Worker, Worker]) -> None:
    first, second = workers
    second.run(transport.prepare_echo)
    second.receive(bool, 120.0)
    second.stop()

    with pytest.raises(BenchError, match="ended without an answer"):
        second.run(transport.prepare_echo)
    with pytest.raises(BenchError, match="has not answered"):
        first.receive(int, 0.0)


def test_telling_everybody_everything_writes_every_record_whole() -> None:
    records = np.array([pack_player(east, 0.0, 0.0, 100, 1) for east in range(10)], np.int64)
    words = np.zeros(len(records) * PLAYER_BITS // 64 + 2, np.uint64)

    bits = write_all_to_all(records, 3, words)

    assert bits == len(records) * PLAYER_BITS
    assert [int(take(words, at * PLAYER_BITS, PLAYER_BITS)) for at in range(10)] == records[:, 0].tolist()


def test_the_map_is_the_default() -> None:
    assert cli.LayoutName.MAP.value == MAP.name


def test_what_parts_log_is_not_among_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    def run(_: Options) -> Iterator[dict[str, Any]]:
        structlog.get_logger().info("events_connected")
        yield {"bench": "engines", "passed": True}

    before = structlog.get_config()
    monkeypatch.setattr(engines, "run", run)
    assert printed("engines") == {"bench": "engines", "passed": True}
    assert structlog.get_config() == before


def test_http_target_costs_more_than_bare_sockets_and_less_than_another_client() -> None:
    found = printed("http-target", "--requests", "400", "--players", "8", "--rounds", "1")
    assert found["client"].startswith("aiohttp")
    costs = found["us_a_request"]
    assert {*costs} == {"floor", "client", "httpx2", "players"}
    assert 0.0 < costs["floor"] < costs["client"]
    assert found["requests_per_core_s"] == pytest.approx(1e6 / costs["players"], rel=0.01)
    assert found["passed"] == (found["requests_per_core_s"] >= found["limit"] == 3_000)

from __future__ import annotations

import asyncio
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from pydantic import SecretStr

from dedicated_server.fleet.client import FleetAdminClient, FleetUnavailableError
from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import run_scenario
from loadtest.errors import BackendError, UnknownRegionError
from loadtest.flood.watching import monitor
from loadtest.flood.watching.counters import BackendCounters, CountersReader, ServiceCounters
from loadtest.flood.watching.monitor import BackendMonitor, wait_until_settled
from loadtest.flood.watching.progress import ProgressDisplay
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import region_latencies_ms
from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.scenario.regions import SAME_REGION_RTT_MS
from tests.loadtest.sample_run import MATCHES, sample_counters, sample_report
from tests.waiting import until

NOWHERE = "http://127.0.0.1:9"  # the discard port: nothing listens there


@pytest.fixture
def smoke() -> Scenario:
    return load_scenario(SHIPPED / "smoke.yaml")


def located(scenario: Scenario, region: str) -> Scenario:
    players = scenario.players.model_copy(update={"locations": {region: 1.0}})
    return scenario.model_copy(update={"players": players})


async def code_and_text(scenario: Scenario | Path, settings: Settings) -> tuple[int, str]:
    output = io.StringIO()
    code = await run_scenario(scenario, settings, console=Terminal(file=output, width=80))
    return code, output.getvalue()


async def test_a_bad_scenario_file_is_exit_code_2_and_names_its_lines(tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    path.write_text("name: x\nplayers: {count: 0}\n")
    code, text = await code_and_text(path, Settings())
    assert code == 2
    assert f"{path}:2: players.count: input should be greater than or equal to 1 (it is 0)" in text
    assert f"{path}:1: modes: is required" in text


async def test_a_fleet_region_that_does_not_exist_is_exit_code_2(smoke: Scenario) -> None:
    code, text = await code_and_text(smoke, Settings(regions="west-eurpe"))
    assert code == 2
    assert "did you mean west-europe" in text


async def test_a_backend_that_is_away_is_exit_code_1_and_one_line(smoke: Scenario) -> None:
    settings = Settings(
        identity_secret=SecretStr("s" * 40),
        meta_url=NOWHERE,
        matchmaker_url=NOWHERE,
        fleet_url=NOWHERE,
        rewards_url=NOWHERE,
    )
    code, text = await code_and_text(smoke, settings)
    assert code == 1
    needs, answer = text.splitlines()
    assert needs.startswith("this generator needs about")
    assert "does not answer at http://127.0.0.1:9/" in answer


async def test_a_missing_secret_is_exit_code_1_and_says_which(smoke: Scenario) -> None:
    code, text = await code_and_text(smoke, Settings(identity_secret=SecretStr("")))
    assert code == 1
    assert "LAUNCHDAY_IDENTITY_SECRET" in text


def test_latencies_are_the_distance_between_the_regions(smoke: Scenario) -> None:
    [west_europe, east_us] = region_latencies_ms(smoke, ("west-europe", "east-us"))
    assert west_europe == {"west-europe": SAME_REGION_RTT_MS, "east-us": 85}
    assert east_us == {"west-europe": 83, "east-us": SAME_REGION_RTT_MS}


def test_a_region_without_a_published_distance_is_not_offered(smoke: Scenario) -> None:
    regions = ("west-europe", "israel-central")
    [reached] = region_latencies_ms(located(smoke, "jio-india-west"), regions)
    assert list(reached) == ["israel-central"]


def test_a_location_that_reaches_no_fleet_is_an_error_that_names_both(smoke: Scenario) -> None:
    with pytest.raises(UnknownRegionError, match=r"players\.locations\.jio-india-west .* \(west-europe\)"):
        region_latencies_ms(located(smoke, "jio-india-west"), ("west-europe",))


class FakeReader:
    """Books that change as the test says: each read takes the next, the last stays."""

    services = ("matchmaker", "fleet", "meta", "rewards")

    def __init__(self, *reads: BackendCounters | BackendError) -> None:
        self.reads = list(reads)

    async def read_service(self, service: str) -> ServiceCounters:
        found: ServiceCounters = getattr(await self.read(), service)
        return found

    async def read(self) -> BackendCounters:
        found = self.reads.pop(0) if len(self.reads) > 1 else self.reads[0]
        if isinstance(found, BackendError):
            raise found
        return found


class FakeFleet:
    def __init__(self, *lists: list[dict[str, Any]] | None) -> None:
        self.lists = list(lists)

    async def gameservers(self) -> list[dict[str, Any]]:
        found = self.lists.pop(0) if len(self.lists) > 1 else self.lists[0]
        if found is None:
            raise FleetUnavailableError("away")
        return found


MonitorOf = Callable[..., BackendMonitor]


@pytest.fixture
def monitor_of(monkeypatch: pytest.MonkeyPatch) -> MonitorOf:
    monkeypatch.setattr(monitor, "SETTLE_POLL_S", 0.001)
    monkeypatch.setattr(monitor, "SAMPLE_INTERVAL_S", 0.001)
    monkeypatch.setattr(monitor, "SETTLE_TIMEOUT_S", 0.05)
    monkeypatch.setattr(monitor, "SETTLE_TIMEOUT_INTERRUPTED_S", 0.01)

    def make(reader: FakeReader, fleet: FakeFleet | None = None) -> BackendMonitor:
        records, timeline = PlayerRecords(np.zeros(2)), Timeline()
        records.match_id = [MATCHES[0], MATCHES[1]]
        records.state[:] = PlayerState.PLAYING
        progress = ProgressDisplay(Terminal(file=io.StringIO()), records, timeline)
        return BackendMonitor(
            cast(CountersReader, reader),
            sample_counters(),
            cast(FleetAdminClient, fleet),
            records,
            timeline,
            progress,
            lambda: 1.0,
            set(),
        )

    return make


def kills_agree(seen: BackendCounters) -> bool:
    return bool(seen.fleet["kills"] == seen.rewards["kills_applied"])


async def test_settling_ends_as_soon_as_the_books_balance(monitor_of: MonitorOf) -> None:
    reader = FakeReader(
        sample_counters(kills_applied=170),
        sample_counters(kills_applied=175),
        sample_counters(kills_applied=180),
    )
    seen, took_s = await wait_until_settled(monitor_of(reader), asyncio.Event(), kills_agree)
    assert took_s is not None
    assert seen.rewards["kills_applied"] == 180


@pytest.mark.parametrize("stopped", [False, True])
async def test_settling_gives_up_with_the_last_books(monitor_of: MonitorOf, stopped: bool) -> None:
    stop = asyncio.Event()
    if stopped:
        stop.set()
    seen, took_s = await wait_until_settled(
        monitor_of(FakeReader(sample_counters(kills_applied=179))), stop, kills_agree
    )
    assert took_s is None
    assert seen.rewards["kills_applied"] == 179


async def test_a_service_that_dies_leaves_the_last_books_and_is_named(monitor_of: MonitorOf) -> None:
    reader = FakeReader(sample_counters(kills_applied=3), BackendError("rewards does not answer at …"))
    watching = monitor_of(reader)
    seen, took_s = await wait_until_settled(watching, asyncio.Event(), kills_agree)
    assert took_s is None
    assert watching.error == "rewards does not answer at …"
    assert seen.rewards["kills_applied"] == 3


async def test_a_service_that_comes_back_is_forgiven(monitor_of: MonitorOf) -> None:
    watching = monitor_of(FakeReader(BackendError("away"), sample_counters()))
    _, took_s = await wait_until_settled(watching, asyncio.Event(), kills_agree)
    assert took_s is not None
    assert watching.error is None


async def test_the_last_report_of_each_of_our_matches_is_kept_whoever_tells_it_first(
    monitor_of: MonitorOf,
) -> None:
    late, early = sample_report(0, 58.0), sample_report(0, 40.0)
    ended = BackendCounters(
        sample_counters().matchmaker,
        {**sample_counters().fleet, "reports": [late]},
        sample_counters().meta,
        sample_counters().rewards,
    )
    playing: list[dict[str, Any]] = [
        {"name": "gs-0", "region": "east-us", "report": early},
        {"name": "gs-1", "region": "west-europe", "report": sample_report(1, 40.0)},
        {"name": "gs-2", "region": "west-europe", "report": {"match_id": "another's", "tick": 5}},
        {"name": "gs-3", "region": "west-europe"},
    ]
    watching = monitor_of(FakeReader(ended), FakeFleet(playing, None))
    task = asyncio.create_task(watching.watch())
    await until(lambda: len(watching.reports()) == 2, "a report of each match")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [(kept["region"], kept["tick"]) for kept in watching.reports()] == [
        ("east-us", late["tick"]),
        ("west-europe", sample_report(1, 40.0)["tick"]),
    ]

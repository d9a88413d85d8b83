from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dedicated_server.fleet.admin.policy_overrides import PolicyOverride, PolicyOverrides, buffer_policy
from dedicated_server.fleet.client import FleetAdminClient
from launchday import identity
from launchday.identity import signer_of
from launchday.settings import Settings
from tests.dedicated_server.fleet.conftest import REGION, RunningFleet, running_fleet

KEEPS_ORDERING = """
import sys
from pathlib import Path
from dedicated_server.fleet.admin.policy_overrides import PolicyOverride, PolicyOverrides, buffer_policy
orders = PolicyOverrides(Path(sys.argv[1]))
for number in range(1_000_000):
    orders.set("west-europe", PolicyOverride(buffer_policy(number % 4096), "ann", float(number)))
    print(number, flush=True)
"""


def operator(fleet: RunningFleet) -> FleetAdminClient:
    signer = signer_of(fleet.settings, "loadtest")
    return FleetAdminClient(fleet.url, signer.service_token("ann", time.time(), roles=(identity.OPERATOR,)))


async def test_what_an_operator_has_set_outlives_the_fleet_until_it_is_taken_back(
    fleet_settings: Settings,
) -> None:
    async with running_fleet(fleet_settings) as fleet, operator(fleet) as ann:
        await ann.set_buffer(REGION, 3)
        await ann.set_policy("east-us", {"policy": buffer_policy(1)})
    async with running_fleet(fleet_settings) as fleet, operator(fleet) as ann:
        await fleet.until(lambda: fleet.pool.regions[REGION].idle_wanted == 3)
        shown = {one["name"]: one for one in await ann.fleets()}
        assert {name: one["set_by"]["by"] for name, one in shown.items()} == {REGION: "ann", "east-us": "ann"}
        assert (await ann.reset_policy(REGION))["idle"] == fleet_settings.ready_per_region
        assert [one["set_by"] is None for one in await ann.fleets()] == [True, False]
    async with running_fleet(fleet_settings) as fleet:
        await fleet.until(lambda: fleet.pool.regions["east-us"].idle_wanted == 1)
        assert fleet.pool.regions[REGION].idle_wanted == fleet_settings.ready_per_region


def test_killed_with_9_in_the_middle_it_has_the_last_order_that_was_confirmed(tmp_path: Path) -> None:
    path = tmp_path / "policies.json"
    for _ in range(3):
        command = [sys.executable, "-c", KEEPS_ORDERING, str(path)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            while int(process.stdout.readline()) < 50:
                pass
            process.kill()
            confirmed = int(([*process.stdout] or ["50"])[-1])
        kept = PolicyOverrides(path).get(REGION)
        assert kept is not None
        assert kept.at in (confirmed, confirmed + 1)


@pytest.mark.parametrize(
    "stored",
    [
        "",
        "[]",
        "nonsense",
        '{"west-europe": 3}',
        '{"west-europe": {"policy": {}, "by": "ann"}}',
        json.dumps({REGION: {"policy": {"type": "Guess"}, "by": "ann", "at": 1.0}}),
        "[" * 100_000,
    ],
)
def test_a_file_that_cannot_be_read_is_mentioned_and_left_out(
    stored: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "policies.json"
    path.write_text(stored)
    orders = PolicyOverrides(path)
    assert orders.get(REGION) is None
    assert "cannot be read" in capsys.readouterr().out
    orders.set(REGION, PolicyOverride(buffer_policy(2), "ann", 1.0))
    assert PolicyOverrides(path).get(REGION) == PolicyOverride(buffer_policy(2), "ann", 1.0)

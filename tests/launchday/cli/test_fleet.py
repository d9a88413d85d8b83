"""``launchday fleet`` against a real fleet: tables for people, JSON for scripts, one line for an error."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from launchday.cli.main import app
from launchday.engines import free_port
from launchday.settings import Settings
from launchday.settings import settings as read_settings
from tests.dedicated_server.fleet.conftest import REGION, fleet_settings
from tests.dedicated_server.fleet.test_process import launch
from tests.waiting import until_sync

__all__ = ["fleet_settings"]

pytestmark = pytest.mark.timeout(120)  # a fleet starts, and its servers


def cli(settings: Settings, *arguments: str, **more: str) -> Result:
    """Run a command that knows no more than where the state is; in this process, which saves a second a
    command.
    """
    env: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("LAUNCHDAY_"))
    env |= {"LAUNCHDAY_STATE_DIR": str(settings.state_dir), "COLUMNS": "200", **more}
    read_settings.cache_clear()
    try:
        return CliRunner().invoke(app, ["fleet", *arguments], env=env)
    finally:
        read_settings.cache_clear()


@pytest.fixture
def running(fleet_settings: Settings) -> Iterator[Settings]:
    settings = fleet_settings.model_copy(update={"fleet_port": free_port()})
    process = launch(settings)

    def answers() -> bool:
        assert process.poll() is None, "the fleet has ended"
        return cli(settings, "list").exit_code == 0

    try:
        until_sync(answers, "the fleet has left its address, and answers there", within_s=100.0)
        yield settings
    finally:
        process.terminate()
        process.wait()


def test_an_operators_round(running: Settings) -> None:
    """List, scale, get, cordon, kill, drain: each seen in what comes after."""
    decision = json.loads(cli(running, "scale", REGION, "3", "--json").stdout)
    assert decision["idle"] == 3
    fleets = json.loads(cli(running, "list", "--json").stdout)
    assert [one["name"] for one in fleets] == [REGION, "east-us"]
    assert fleets[0]["idle_wanted"] == 3

    def ready() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(
            cli(running, "list", "--region", REGION, "--state", "Ready", "--json").stdout
        )
        return found if len(found) == 3 else []

    name = until_sync(ready, "three servers are Ready")[0]["name"]
    table = cli(running, "list", "--servers")
    assert name in table.stdout
    shown = cli(running, "get", name)
    assert "RequestReady" in shown.stdout
    assert "listening" in shown.stdout
    assert cli(running, "cordon", name).stdout.strip() == f"{name}: cordoned"
    assert "(cordoned)" in cli(running, "list", "--servers", "--region", REGION).stdout
    assert cli(running, "kill", name).stdout.strip() == f"{name}: killed, now Unhealthy"
    assert cli(running, "drain", "east-us").stdout.strip() == "east-us: drained"
    assert "draining" in cli(running, "list").stdout
    watched = cli(running, "watch", "--seconds", "0.1")
    assert REGION in watched.stdout


def test_what_goes_wrong_is_one_line(running: Settings, fleet_settings: Settings) -> None:
    for code, words, done in (
        (1, "there is no game server nobody", cli(running, "get", "nobody")),
        (
            1,
            "no answer from the fleet",
            cli(running, "list", LAUNCHDAY_FLEET_TOKEN="t", LAUNCHDAY_FLEET_URL="http://127.0.0.1:1"),
        ),
        (2, "LAUNCHDAY_FLEET_URL", cli(running, "list", LAUNCHDAY_STATE_DIR="/nowhere")),
        (2, "--role is viewer or operator", cli(running, "token", "--role", "king")),
    ):
        assert done.exit_code == code, done.stderr
        assert words in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1
        assert "Traceback" not in done.stderr

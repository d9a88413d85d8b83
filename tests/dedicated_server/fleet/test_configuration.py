"""What the fleet makes of its settings: policies, buffers and limits by region."""

from __future__ import annotations

import shlex
import sys
from typing import Any

import pytest
import structlog.testing

from dedicated_server.fleet import configuration
from dedicated_server.fleet.admin.autoscaler import FleetAutoscaler
from dedicated_server.fleet.autoscaling.policies import Buffer
from dedicated_server.fleet.autoscaling.policy import Forecast
from dedicated_server.fleet.autoscaling.replicas import Decision, Replicas
from dedicated_server.fleet.configuration import (
    COMMAND_SERVER,
    OWN_SERVER,
    ConfigurationError,
    autoscaler_specs,
    pool_config,
    server_module,
    sizing_of,
    startup_delays,
)
from dedicated_server.native.socket_options import SocketBuffers
from launchday.settings import Settings
from loadtest.scenario.model import Scenario
from tests.dedicated_server.fleet.stub_pool import new_pool

SCENARIO: dict[str, Any] = {
    "name": "regions",
    "players": {"count": 10, "locations": {"west-europe": 1.0}},
    "arrivals": {"over_s": 1.0},
    "modes": {"battle_royale": {"players": 10, "duration_s": 10.0}},
    "fleet": {
        "regions": ["west-europe", "east-us"],
        "buffer": {"east-us": 1, "west-europe": 3},
        "max": {"west-europe": 5, "east-us": 4},
        "startup_s": 20.0,
    },
}


def settings_of(scenario: dict[str, Any], **fleet: Any) -> Settings:
    """The settings of a backend that a flood starts for a scenario, as its processes read them."""
    content = scenario | {"fleet": scenario["fleet"] | fleet}
    return Settings.model_validate(Scenario.model_validate(content).backend_settings())


def test_a_scenario_sets_up_buffers_limits_and_start_up_times_of_regions() -> None:
    settings = settings_of(SCENARIO)
    config = pool_config(settings, 30.0)
    assert config.max_servers == 9
    assert [(config.ready_in(name), config.max_in(name)) for name in config.regions] == [(3, 5), (1, 4)]
    assert config.startup_delay_s == {"west-europe": 19.9, "east-us": 19.9}  # and the fork itself
    specs = autoscaler_specs(settings)
    assert {name: spec.policy for name, spec in specs.items()} == {
        "west-europe": Buffer(3),
        "east-us": Buffer(1),
    }


def test_a_number_is_for_each_region_and_the_limit_for_all() -> None:
    config = pool_config(settings_of(SCENARIO, buffer=2, max=6), 30.0)
    assert config.max_servers == 6
    assert [(config.ready_in(name), config.max_in(name)) for name in config.regions] == [(2, 6), (2, 6)]


def test_a_forecast_keeps_the_configured_buffer_and_the_limit_of_its_region() -> None:
    settings = settings_of(SCENARIO, policy="forecast")
    config = pool_config(settings, 30.0)
    assert {spec.policy for spec in autoscaler_specs(settings).values()} == {Forecast()}
    sizing = sizing_of(settings, config, "west-europe")
    assert (sizing.min_idle, sizing.max_replicas, sizing.startup_s) == (3, 5, 20.0)
    assert sizing_of(settings_of(SCENARIO), config, "west-europe").min_idle == 1  # asked as a webhook


def test_a_start_up_delay_may_last_a_day_and_belongs_to_a_region() -> None:
    day = settings_of(SCENARIO, startup_s=86_400.0)
    assert startup_delays(day)["east-us"] == pytest.approx(86_399.9)
    with pytest.raises(
        ConfigurationError, match=r"LAUNCHDAY_STARTUP_DELAY_S: 'mars=3' is not region=seconds"
    ):
        startup_delays(Settings(startup_delay_s="mars=3"))


async def test_the_autoscaler_asks_the_forecast_of_each_region(tmp_path: Any) -> None:
    pool = new_pool(tmp_path, max_by_region={"east-us": 2})
    asked: list[str] = []

    def forecast(region: str, fleet: Replicas, now: float) -> Decision:
        asked.append(region)
        return Decision(7, False, "a rush")

    scaler = FleetAutoscaler(
        pool,
        autoscaler_specs(Settings(fleet_policy="forecast")),
        pool.clock,
        http=None,  # type: ignore[arg-type]  # nothing asks a webhook
        overrides=NoOverrides(),  # type: ignore[arg-type]
        forecast=forecast,
    )
    for name in pool.regions:
        await scaler.decide(name)
    assert asked == ["west-europe", "east-us"]
    assert [region.idle_wanted for region in pool.regions.values()] == [7, 2]
    assert "2 at most here" in scaler.regions["east-us"].last["reason"]


class NoOverrides:
    """No operator has set a policy."""

    def get(self, region: str) -> None:
        return None


def test_the_fleet_runs_our_server_or_the_command_of_ones_own() -> None:
    assert server_module(Settings()) == OWN_SERVER
    own = Settings(game_server_command=f"{shlex.quote(sys.executable)} 'my server.py'")
    assert server_module(own) == COMMAND_SERVER


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("no-such-program --fast", "'no-such-program' is no program that can be run: give its whole path"),
        ("python 'server.py", "No closing quotation: quote it as in a shell"),
        (" ", "is no program that can be run"),
    ],
)
def test_a_command_that_cannot_be_run_is_refused_before_a_server_starts(command: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match="LAUNCHDAY_GAME_SERVER_COMMAND") as told:
        server_module(Settings(game_server_command=command))
    assert complaint in str(told.value)


@pytest.mark.parametrize(("players", "warned"), [(256, False), (257, True)])
def test_sockets_too_small_for_the_largest_match_in_force_are_told_at_the_start(
    monkeypatch: pytest.MonkeyPatch, players: int, warned: bool
) -> None:
    monkeypatch.setattr(configuration, "granted_buffers", lambda: SocketBuffers(425_984, 425_984))
    with structlog.testing.capture_logs() as logs:
        configuration.warn_of_small_buffers(Settings(match_players=players))
    assert [line["log_level"] for line in logs] == ["warning"] * warned
    assert all("sysctl -w net.core.rmem_max" in line["reason"] for line in logs)


def test_servers_are_reached_by_what_players_are_given_and_by_an_address_of_their_own_network() -> None:
    settings = Settings(
        regions="west-europe,east-us",
        game_bind="0.0.0.0",
        game_public_host="203.0.113.10,2001:db8::10,east-us=game.example",
    )
    config = pool_config(settings, 30.0)
    west, east = (config.addresses_in(region) for region in config.regions)
    assert (west.public, east.public) == (("203.0.113.10", "2001:db8::10"), ("game.example",))
    assert west.internal == east.internal not in ("0.0.0.0", "203.0.113.10")

    alone = pool_config(Settings(regions="west-europe"), 30.0).addresses_in("west-europe")
    assert (alone.public, alone.internal) == (("127.0.0.1",), "")


@pytest.mark.parametrize(
    ("bound", "reason"),
    [
        ("192.0.2.1", "192.0.2.1 is no address of this machine"),  # TEST-NET-1, RFC 5737
        ("0.0.0.0", "0.0.0.0 is no address that a player could reach"),
    ],
)
def test_the_fleet_does_not_start_where_servers_could_not_be_reached(bound: str, reason: str) -> None:
    with pytest.raises(ConfigurationError) as refused:
        pool_config(Settings(game_bind=bound), 30.0)
    assert reason in str(refused.value)
    assert "LAUNCHDAY_GAME_PUBLIC_HOST" in str(refused.value)

"""What each key does in each world, and what a world leaves out of a scenario."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from dedicated_server.cards import shipped_cards
from launchday.cli import inputs, main
from launchday.settings import Settings
from loadtest.errors import ScenarioError
from loadtest.scenario import left_out
from loadtest.scenario.docs import every_key
from loadtest.scenario.left_out import not_in_flood, not_in_simulation
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import SHIPPED, load_scenario, parse_scenario
from loadtest.scenario.sections import FOLDER

PLAIN: dict[str, Any] = {
    "name": "plain",
    "players": {"count": 100, "locations": {"west-europe": 1.0}},
    "arrivals": {"over_s": 10.0},
    "modes": {"battle_royale": {"players": 10, "duration_s": 30.0}},
}
WATCHER = {"movement": "roam", "after_death": "watch"}
# A value that asks for something, by the key's path in docs/scenarios.md, and what else the file needs then.
ASKED: dict[str, Any] = {
    "players.rated": True,
    "players.platforms": {"pc": 0.5, "console": 0.5},
    "modes.NAME.duration_spread": 0.3,
    "fleet.startup_spread": 0.5,
    "fleet.failures_per_server_hour": 1.0,
    "links.own.NAME.loss": 0.1,
    "links.own.NAME.burst.share": 0.1,
    "links.own.NAME.burst.length": 3.0,
    "links.own.NAME.duplicate": 0.1,
    "links.own.NAME.detour.share": 0.1,
    "links.own.NAME.detour.ms": 50.0,
    "links.own.NAME.down_kbit_s": 500.0,
    "links.own.NAME.up_kbit_s": 500.0,
    "links.own.NAME.buffer_ms": 50.0,
    "behaviours.own.NAME.movement": "hunt",
    "behaviours.own.NAME.after_death": "leave",
    "behaviours.own.NAME.quits_after_s": 5.0,
    "behaviours.own.NAME.crashes_after_s": 5.0,
    "behaviours.own.NAME.roams_every_s": 5.0,
    "behaviours.own.NAME.drops_every_s": 5.0,
    "behaviours.own.NAME.away_s": 9.0,
    "behaviours.own.NAME.shops": 3,
    "behaviours.own.NAME.shop_pause_s": 9.0,
    "behaviours.rest_s": 1.0,
    "behaviours.retries.tries": 9,
    "behaviours.retries.pause_s": 1.0,
    "behaviours.retries.growth": 1.0,
    "behaviours.retries.max_pause_s": 1.0,
    "behaviours.retries.jitter": 0.0,
    "faults.reconnect_all": {},
    "faults.stop_broker": {"for_s": 1.0},
    "faults.stop_store": {"for_s": 1.0},
    "faults.slow_store": {"for_s": 1.0, "by_ms": 10.0},
    "faults.slow_store.by_ms": {"for_s": 1.0, "by_ms": 10.0},
    "faults.busy": {"for_s": 1.0, "processes": 2},
    "faults.busy.processes": {"for_s": 1.0, "processes": 2},
    "faults.pause": {"for_s": 1.0, "part": "store"},
    "faults.pause.part": {"for_s": 1.0, "part": "fleet"},
    "faults.pause.every": {"for_s": 1.0, "part": "game_servers", "every": 2},
    "faults.pause.window_s": {"for_s": 1.0, "part": "game_servers", "window_s": 2.0},
    "modes.NAME.attributes.NAME.mean": 4.0,
    "modes.NAME.attributes.NAME.one_of": {"a": 1.0},
    "modes.NAME.attributes.NAME.some_of": {"a": 1.0},
    "objectives.tick_p99_ms": 16.7,
    "objectives.missed_tick_share": 0.01,
    "objectives.login_p95_s": 1.0,
    "objectives.purchase_p95_s": 1.0,
}
# Partly: whoever asks for these alone gets what the world does.
NEEDS_MORE = {
    "modes.NAME.attributes.NAME.spread",
    "modes.NAME.attributes.NAME.least",
    "modes.NAME.attributes.NAME.most",
    "modes.NAME.attributes.NAME.digits",
    "links.shares",
    "behaviours.shares",
    "behaviours.own.NAME.sight_m",
    "behaviours.own.NAME.rest",
}


def scenario_with(path: str, value: Any) -> Scenario:
    """The plain scenario with one key more; NAME stands for a kind that has a share, or for the mode."""
    content: dict[str, Any] = {
        key: dict(section) if isinstance(section, dict) else section for key, section in PLAIN.items()
    }
    content["modes"] = {"battle_royale": dict(PLAIN["modes"]["battle_royale"])}
    if path.startswith("faults."):
        content["faults"] = [{"do": path.split(".")[1], "at_s": 1.0, **value}]
        return Scenario.model_validate(content, context={FOLDER: Path()})
    if path.startswith(("links.own", "behaviours.own")):
        section = path.partition(".")[0]
        kind = {} if section == "links" else dict(WATCHER)
        content[section] = {"shares": {"mine": 1.0}, "own": {"mine": kind}}
    here = content
    *way, last = path.replace("modes.NAME", "modes.battle_royale").replace("NAME", "mine").split(".")
    for key in way:
        here = here.setdefault(key, {})
    here[last] = value
    return Scenario.model_validate(content, context={FOLDER: Path()})


def test_a_plain_scenario_is_played_whole_in_both_worlds() -> None:
    plain = Scenario.model_validate(PLAIN)
    assert not_in_flood(plain) == not_in_flood(plain, own_backend=False) == not_in_simulation(plain) == []


def test_every_key_says_what_it_does_in_both_worlds() -> None:
    silent = [
        (path, world)
        for path, field in every_key()
        for world in ("flood", "simulate")
        if not left_out.words(field, world)
    ]
    assert not silent
    assert len(list(every_key())) > 90


def named(path: str) -> str:
    """How a phrase names a key: kinds by their names, faults by theirs, a repeated section as a whole."""
    if path.startswith("faults."):
        return f"faults {'pause of' if '.pause' in path else path.split('.')[1]}"
    if ".own.NAME." in path:
        return f"{path.partition('.')[0]} mine"
    if path.startswith("behaviours.retries."):
        return "behaviours.retries"
    return path.replace("modes.NAME", "modes.battle_royale").replace("NAME", "mine")


@pytest.mark.parametrize("world", ["flood", "simulate"])
def test_whatever_does_nothing_in_a_world_is_named_when_it_is_asked_for(world: left_out.World) -> None:
    tell = not_in_flood if world == "flood" else not_in_simulation
    for path, field in every_key():
        said = left_out.words(field, world)
        if not re.match("nothing: |partly: ", said) or path in NEEDS_MORE:
            continue
        assert path in ASKED, f"{path} does {said!r}: give it a value above"
        [phrase] = tell(scenario_with(path, ASKED[path]))
        assert named(path) in phrase


def test_what_acts_is_not_named() -> None:
    acting = scenario_with("players.cross_play", 0.5).model_dump(exclude_unset=True)
    acting["players"]["platforms"] = {"pc": 0.5, "console": 0.5}
    acting["fleet"] = {"buffer": {"west-europe": 3, "east-us": 1}, "max": {"west-europe": 9, "east-us": 4}}
    acting["fleet"] |= {"startup_s": 30.0, "policy": "forecast"}
    acting["faults"] = [
        {"do": "kill_server", "at_s": 1.0},
        {"do": "cut_region", "at_s": 1.0, "for_s": 3.0, "region": "east-us"},
        {"do": "stop_cache", "at_s": 1.0, "for_s": 3.0},
        {"do": "pause", "at_s": 1.0, "for_s": 3.0, "part": "director"},
    ]
    acting["behaviours"] = {
        "matches": 2.0,
        "patience_s": 30.0,
        "shares": {"stay": 1.0},
        "own": {"stay": WATCHER},
    }
    scenario = Scenario.model_validate(acting)
    assert not_in_flood(scenario) == not_in_simulation(scenario) == []
    [phrase] = not_in_flood(scenario, own_backend=False)
    assert phrase == (
        "fleet.buffer, fleet.max, fleet.startup_s, fleet.policy: a backend that is up already stays as it is "
        "set up"
    )


def test_more_platforms_than_the_matchmaker_knows_are_named_in_a_flood() -> None:
    content = dict(PLAIN, players=PLAIN["players"] | {"cross_play": 0.0})
    content["players"]["platforms"] = {f"p{number}": 1 / 6 for number in range(6)}
    scenario = Scenario.model_validate(content)
    assert not_in_flood(scenario) == ["players.platforms: the matchmaker tells 5 of them apart"]
    assert not_in_simulation(scenario) == []


def test_sizes_that_a_rule_set_decides_are_named() -> None:
    content = dict(PLAIN, modes={"teams_of_five": {"players": 12, "min_players": 6, "duration_s": 30.0}})
    scenario = Scenario.model_validate(content)
    wanted = f"modes.teams_of_five.players, modes.teams_of_five.min_players: {left_out.RULES_DECIDE}"
    assert not_in_flood(scenario) == not_in_simulation(scenario) == [wanted]


def test_shipped_kinds_of_players_count_where_a_file_gives_them_a_share() -> None:
    night = not_in_simulation(load_scenario(SHIPPED / "night.yaml"))
    assert "behaviours shopper: nobody logs in or shops" in night
    assert (
        "behaviours reconnecting, rage_quitter: nobody leaves a match early, or comes back into it" in night
    )


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["simulate", "outage", "--strict"], "faults stop_broker, stop_store, slow_store: services are not"),
        (["sweep", "outage", "--vary", "fleet.buffer=1", "--strict"], "services are not simulated yet"),
        (["flood", "launch_day", "--strict"], "fleet.startup_spread"),
        (["run", "--scenario", "launch_day", "--strict"], "fleet.startup_spread"),
    ],
)
def test_strict_makes_what_is_left_out_a_mistake_before_the_start(arguments: list[str], says: str) -> None:
    done = CliRunner().invoke(main.app, arguments)
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    assert says in str(done.exception)
    assert "\n" not in str(done.exception)


def test_numbers_for_other_regions_than_the_scenarios_are_told_before_the_start(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read = Settings(max_servers="west-europe=3,east-us=2")
    monkeypatch.setattr("launchday.cli.flooding.read_settings", lambda: read)
    done = CliRunner().invoke(main.app, ["flood", "crowd"])
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    says = "LAUNCHDAY_MAX_SERVERS is for west-europe, east-us, and the regions are west-europe:"
    assert str(done.exception).startswith(says)


@pytest.mark.parametrize("command", [["flood"], ["simulate"], ["sweep", "--vary", "fleet.buffer=1"]])
@pytest.mark.parametrize(
    ("mode", "says"),
    [
        ("team_of_five: {players: 10", "modes.team_of_five: is no mode; there are battle_royale, "),
        (
            "teams_of_five: {players: 12",
            "modes.teams_of_five.players: must be 10, for the mode",
        ),
        ("teams_of_five: {players: 10, min_players: 6", "modes.teams_of_five.min_players: must be 10"),
        ("teams_of_five: {players: 10, fill_s: 5", "modes.teams_of_five.fill_s: must be 0"),
    ],
)
def test_a_mode_that_our_backend_does_not_have_or_play_so_is_told_before_the_start(
    tmp_path: Path, command: list[str], mode: str, says: str
) -> None:
    text = (SHIPPED / "smoke.yaml").read_text().replace("battle_royale: {players: 10", mode)
    (tmp_path / "own.yaml").write_text(text)
    done = CliRunner().invoke(main.app, [*command[:1], str(tmp_path / "own.yaml"), *command[1:]])
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    assert done.exception.lines == (str(done.exception),)
    assert f"own.yaml:15: {says}" in str(done.exception)


def test_a_party_that_fits_into_no_team_of_a_mode_is_a_mistake_with_its_place() -> None:
    text = (SHIPPED / "smoke.yaml").read_text().replace("battle_royale:", "teams_of_five:")
    parties = text.replace("players:\n", "players:\n  parties: {1: 0.5, 6: 0.5}\n", 1)
    with pytest.raises(
        ScenarioError, match=r"players\.parties\.6: does not fit into a team of 5 of teams_of"
    ):
        parse_scenario(parties, "own.yaml", shipped_cards())


@pytest.mark.parametrize("command", [["flood", "smoke"], ["simulate", "smoke"], ["up"]])
def test_every_mistake_of_own_modes_is_told_before_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: list[str]
) -> None:
    relic = tmp_path / "relic"
    shutil.copytree(shipped_cards()["capture_the_flag"].folder, relic)
    text = (relic / "card.yaml").read_text().replace("capture_the_flag", "relic")
    (relic / "card.yaml").write_text(text.replace("respawn_s: 5", "respawns_s: 5").replace("  x", "x"))
    read = Settings(modes=f"{relic},{tmp_path / 'none'}")
    monkeypatch.setattr(main, "read_settings", lambda: read)
    for module in ("flooding", "simulating"):
        monkeypatch.setattr(f"launchday.cli.{module}.read_settings", lambda: read)
    done = CliRunner().invoke(main.app, command)
    assert isinstance(done.exception, inputs.CommandError)
    assert done.exception.exit_code == 2
    mistaken, missing = done.exception.lines
    assert mistaken.startswith(f"LAUNCHDAY_MODES: {relic}/card.yaml:")
    assert mistaken.endswith("respawns_s: is not a key here; did you mean respawn_s?")
    assert missing.endswith("none/card.yaml: is missing: name the folder of a mode")

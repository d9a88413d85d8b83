from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtest.errors import ScenarioError
from loadtest.scenario.reader import SHIPPED, load_scenario, parse_scenario

GOOD = """\
name: small
players:
  count: 10
  locations: {west-europe: 1.0}
arrivals:
  over_s: 1
modes:
  battle_royale:
    players: 10
    duration_s: 10
"""


def mistakes_of(text: str | bytes) -> list[tuple[int, str, str]]:
    with pytest.raises(ScenarioError) as caught:
        parse_scenario(text, "it.yaml")
    return [(mistake.line, mistake.path, mistake.message) for mistake in caught.value.mistakes]


@pytest.mark.parametrize("path", sorted(SHIPPED.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_scenario_is_valid_and_named_as_its_file(path: Path) -> None:
    assert load_scenario(path).name == path.stem


def test_the_tour_is_two_matches_of_a_hundred_on_two_continents() -> None:
    tour = load_scenario(SHIPPED / "tour.yaml")
    assert (tour.players.count, tour.main_mode.players) == (200, 100)
    assert tour.players.locations == {"west-europe": 0.5, "east-us": 0.5}
    settings = tour.backend_settings()
    assert settings == {"match_players": 100, "match_s": 45.0}  # the rest is the user's to set
    rehearsal = load_scenario(SHIPPED / "rehearsal.yaml").backend_settings()
    assert rehearsal["regions"] == "west-europe,east-us,southeast-asia"
    assert (rehearsal["ready_per_region"], rehearsal["match_fill_s"]) == (4, 30.0)


def test_every_mistake_is_reported_at_once_with_its_line_and_path() -> None:
    text = (
        GOOD.replace("small", "Bad Name")
        .replace("count: 10", "count: '10'")
        .replace("west-europe: 1.0", "west-eurpe: 0.5, east-us: 0.5")
        .replace("  over_s: 1", "  curve: spike\n  over_s: 1")
        .replace("    players: 10\n", "    players: 1\n    colour: red\n")
    )
    found = mistakes_of(text)
    assert [(line, path) for line, path, _ in found] == [
        (1, "name"),
        (3, "players.count"),
        (4, "players.locations.west-eurpe"),
        (6, "arrivals.curve"),
        (10, "modes.battle_royale.players"),
        (11, "modes.battle_royale.colour"),
    ]
    messages = [message for _, _, message in found]
    assert messages[2].startswith("unknown region 'west-eurpe': did you mean west-europe,")
    assert messages[3] == "spike is none of constant, ramp, launch_spike, daily, recorded"
    assert messages[5].startswith("is not a key here; known are share, players, min_players, ")


def test_the_text_of_the_error_has_a_line_for_each_mistake_that_an_editor_can_follow() -> None:
    with pytest.raises(
        ScenarioError,
        match=r"\Ait\.yaml:3: players\.count: .*\nit\.yaml:10: modes\.battle_royale\.duration_s: .*\Z",
    ):
        parse_scenario(
            GOOD.replace("count: 10", "count: 0").replace("duration_s: 10", "duration_s: .nan"), "it.yaml"
        )


def test_shares_that_do_not_sum_to_one_are_refused() -> None:
    found = mistakes_of(GOOD.replace("west-europe: 1.0", "west-europe: 0.5, east-us: 0.4"))
    assert found == [(4, "players.locations", "the shares sum to 0.9, not to 1")]


def test_a_key_given_twice_is_a_mistake() -> None:
    found = mistakes_of(GOOD + "    players: 20\n")
    assert found == [(11, "modes.battle_royale.players", "is given twice, first on line 9")]


def test_a_file_that_is_not_there_is_a_scenario_error() -> None:
    with pytest.raises(ScenarioError, match=r"nowhere\.yaml:1: cannot be read: No such file"):
        load_scenario(Path("nowhere.yaml"))


@pytest.mark.parametrize(
    ("text", "line", "says"),
    [
        ("name: [", 1, "not YAML"),
        ("name: a\n---\nname: b", 2, "not YAML"),
        ("- a\n- b", 1, "a scenario is a mapping"),
        ("", 1, "a scenario is a mapping"),
        ("name: 2026-99-99", 1, "not YAML: month"),
        ("name: !!python/name:os.system", 1, "not YAML"),
        ("a: " + "[" * 5_000, 1, "nested too deeply"),
        (b"\xff\xfe\x00", 1, "not YAML"),
        (b"name: \xc3\x28", 1, "not YAML"),
        ("name: \x00", 1, "not YAML"),
    ],
)
def test_what_is_not_yaml_is_said_in_one_line(text: str | bytes, line: int, says: str) -> None:
    [(at, path, message)] = mistakes_of(text)
    assert (at, path) == (line, "")
    assert says in message
    assert "\n" not in message


def test_a_mapping_that_contains_itself_is_refused() -> None:
    assert mistakes_of("name: &name\n  inside: *name\n")


@given(st.text(max_size=200))
def test_any_text_is_a_scenario_or_a_scenario_error(text: str) -> None:
    with pytest.raises(ScenarioError):
        parse_scenario(text, "any")


BROKEN = """\
name: broken
players:
  count: 100
  locations: {west-europe: 0.5, east-us: 0.4}
  parties: {1: 0.5, 9: 0.5}
arrivals: {curve: launch_spike, over_s: 60, swing: 1}
modes:
  battle_royale: {players: 10, min_players: 20, duration_s: 10, rules: no_such_rules}
fleet: {regions: [east-us], bufer: 3}
links: {shares: {cable: 0.5, carrier_pigeon: 0.5}}
behaviours: {shares: {sleeper: 1.0}, retries: {tries: 0}}
faults:
  - {at_s: 5, do: kill_server, region: west-europe}
  - {at_s: 6, do: stop_cach, for_s: 1}
  - {at_s: 7, do: stop_store}
  - {at_s: 8}
  - {at_s: 9, do: pause, part: director, for_s: 1, every: 3}
  - {at_s: 9, do: busy, for_s: 1}
objectives: {wait_p95: 3}
"""


def test_mistakes_between_sections_are_reported_together_with_those_inside_them() -> None:
    found = {path: (line, message) for line, path, message in mistakes_of(BROKEN)}
    assert {path: line for path, (line, _) in found.items()} == {
        "players.locations": 4,
        "players.parties.9": 5,
        "arrivals.peak_s": 6,
        "arrivals.swing": 6,
        "modes.battle_royale.min_players": 8,
        "modes.battle_royale.rules": 8,
        "fleet.bufer": 9,
        "links.shares.carrier_pigeon": 10,
        "behaviours.shares.sleeper": 11,
        "behaviours.retries.tries": 11,
        "faults.0.region": 13,
        "faults.1.do": 14,
        "faults.2.for_s": 15,
        "faults.3.do": 16,
        "faults.4.every": 17,
        "faults.5.processes": 18,
        "objectives.wait_p95": 19,
    }
    assert found["faults.1.do"][1].startswith("stop_cach is none of kill_server, cut_region")
    assert found["faults.3.do"][1].startswith("is required: one of kill_server")
    assert found["arrivals.peak_s"][1] == "is required"
    assert "no mode of that name has one" in found["modes.battle_royale.rules"][1]
    assert found["fleet.bufer"][1].startswith("is not a key here; known are regions, buffer")


def test_a_recorded_curve_is_looked_for_beside_the_scenario_and_read_at_once(tmp_path: Path) -> None:
    file = tmp_path / "it.yaml"
    file.write_text(GOOD.replace("  over_s: 1", "  curve: recorded\n  over_s: 1\n  file: trace.csv"))
    with pytest.raises(ScenarioError, match=r"it\.yaml:8: arrivals\.file: no such file"):
        load_scenario(file)
    (tmp_path / "trace.csv").write_text("time,arrivals\n0,1\nsoon,2\n")
    with pytest.raises(ScenarioError, match=r"it\.yaml:8: arrivals\.file: .*trace\.csv:3: time is neither"):
        load_scenario(file)
    (tmp_path / "trace.csv").write_text("time,arrivals\n2026-11-25T00:00,1\n2026-11-25T00:10,2\n")
    assert load_scenario(file).players.count == 10


def test_a_key_that_is_no_text_is_a_mistake_like_another(tmp_path: Path) -> None:
    with pytest.raises(ScenarioError, match="unicode") as refused:
        parse_scenario(GOOD + '"half \\uDCFF": 1\n', "it.yaml")
    assert refused.value.lines

from __future__ import annotations

import contextlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from loadtest.scenario.reader import SHIPPED, load_scenario
from loadtest.simulate.variation import VariationError, combinations, parse_variation, scaled, varied

SMOKE = load_scenario(SHIPPED / "smoke.yaml")


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("fleet.buffer=0..400", (0, 50, 100, 150, 200, 250, 300, 350, 400)),
        ("fleet.buffer=0..400/100", (0, 100, 200, 300, 400)),
        ("fleet.startup_s=5,30,120", (5, 30, 120)),
        ("fleet.startup_s=0.5..1.0/0.25", (0.5, 0.75, 1.0)),
        ("fleet.policy=buffer,forecast", ("buffer", "forecast")),
        ("fleet.buffer=7..7", (7,)),
    ],
)
def test_values_are_read(text: str, values: tuple[object, ...]) -> None:
    assert parse_variation(text).values == values


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("fleet.buffer", "such as"),
        ("=1", "such as"),
        ("fleet.buffer=", "such as"),
        ("fleet.buffer=4..1", "backwards"),
        ("fleet.buffer=0..9/0", "backwards"),
        ("fleet.buffer=a..b", "not a range"),
        ("fleet.buffer=0..1000000/1", "larger steps"),
        ("fleet.buffer=1,,2", "not a value"),
        ("fleet.buffer=[1]", "not a value"),
    ],
)
def test_what_cannot_be_read_is_explained(text: str, says: str) -> None:
    with pytest.raises(VariationError, match=says):
        parse_variation(text)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fleet.bufer": 1}, "fleet has no bufer; it has regions, buffer"),
        ({"fleet": 1}, "is a section"),
        ({"fleet.buffer.x": 1}, "has no x"),
        ({"fleet.buffer": -1}, "greater than or equal to 0"),
        ({"fleet.buffer": "many"}, "a whole number, or one for each region"),
        ({"modes.battle_royale.min_players": 30}, "min_players"),
    ],
)
def test_a_change_that_makes_no_scenario_is_explained(changes: dict[str, object], says: str) -> None:
    with pytest.raises(VariationError, match=says):
        varied(SMOKE, changes, Path())


def test_a_value_is_changed_and_nothing_else() -> None:
    changed = varied(SMOKE, {"fleet.startup_s": 30, "fleet.policy": "forecast"}, Path())
    assert changed.fleet.startup_s == 30.0
    assert changed.model_copy(update={"fleet": SMOKE.fleet}) == SMOKE


def test_every_combination_is_made_and_a_path_stands_once() -> None:
    varies = [parse_variation("fleet.buffer=1,2"), parse_variation("fleet.startup_s=5,30")]
    assert [tuple(each.values()) for each in combinations(varies)] == [(1, 5), (1, 30), (2, 5), (2, 30)]
    with pytest.raises(VariationError, match="twice"):
        combinations([varies[0], varies[0]])


def test_a_scaled_scenario_has_as_many_servers_a_player() -> None:
    twice = scaled(SMOKE, 2.0, Path())
    assert (twice.players.count, twice.fleet.limit) == (2 * SMOKE.players.count, 2 * SMOKE.fleet.limit)


BY_REGION = varied(SMOKE, {"fleet.buffer": {"west-europe": 3, "east-us": 1}}, Path())


def test_the_buffer_of_one_region_varies_whether_the_file_gives_a_number_or_a_mapping() -> None:
    from_number = varied(SMOKE, {"fleet.buffer.east-us": 7}, Path())
    assert from_number.fleet.buffers == {"west-europe": SMOKE.fleet.buffer, "east-us": 7}
    assert varied(BY_REGION, {"fleet.buffer.east-us": 7}, Path()).fleet.buffers["west-europe"] == 3
    assert varied(BY_REGION, {"fleet.buffer": 4}, Path()).fleet.buffer == 4
    both = {"fleet.buffer.east-us": 7, "fleet.buffer.west-europe": 0}
    assert varied(SMOKE, both, Path()).fleet.buffers == {"west-europe": 0, "east-us": 7}
    limited = varied(SMOKE, {"fleet.max": {"west-europe": 3, "east-us": 9}}, Path())
    assert varied(limited, {"fleet.max.east-us": 2}, Path()).fleet.limit == 5


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"fleet.max.east-us": 3}, "one number for all regions"),
        ({"fleet.buffer.mars": 3}, "has no mars; it has west-europe, east-us"),
        ({"fleet.buffer.east-us": -3}, "greater than or equal to 0"),
        ({"fleet.max": {"west-europe": 3}}, "east-us"),
        ({"fleet.regions": 3}, "a section"),
    ],
)
def test_a_change_by_region_that_makes_no_scenario_is_explained(
    changes: dict[str, object], says: str
) -> None:
    with pytest.raises(VariationError, match=says):
        varied(SMOKE, changes, Path())


def test_a_scaled_scenario_keeps_the_proportions_of_its_regions() -> None:
    assert scaled(BY_REGION, 3.0, Path()).fleet.buffers == {"west-europe": 9, "east-us": 3}
    tiny = scaled(varied(SMOKE, {"fleet.max": {"west-europe": 3, "east-us": 9}}, Path()), 0.1, Path())
    assert tiny.fleet.limits == {"west-europe": 1, "east-us": 1}


@settings(max_examples=200, deadline=None)
@given(
    st.text(max_size=40) | st.text("0123456789.,=/-a", max_size=20).map(lambda text: f"fleet.buffer={text}")
)
def test_no_text_does_anything_but_vary_or_explain(text: str) -> None:
    with contextlib.suppress(VariationError):
        assert parse_variation(text).values

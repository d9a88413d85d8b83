"""What the live map draws, of frames by hand: no browser looks at it here."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.fleet.console import scoreboard
from dedicated_server.fleet.console.match_map import MAX_NAMES, MatchMap
from dedicated_server.fleet.console.teams import team_class, team_letters, team_shape
from tests.dedicated_server.fleet.console import frames

names = st.one_of(
    st.text(max_size=32), st.sampled_from([frames.NASTY, '"><img src=x onerror=alert(1)>', "&amp;", "]]>"])
)


def parsed(drawn: str) -> ElementTree.Element:
    """The elements of a drawing; an error where it is no XML."""
    return ElementTree.fromstring(f"<all>{drawn}</all>")


def group(drawn: str, key: str) -> ElementTree.Element:
    """The group with a key."""
    found = [one for one in parsed(drawn).iter() if one.get("data-k") == key]
    assert len(found) == 1
    return found[0]


def place(drawn: str, key: str) -> tuple[float, float]:
    """Where a group is drawn, in units."""
    moved = re.search(r"translate\(([-\d.]+)px,([-\d.]+)px\)", group(drawn, key).get("style", ""))
    assert moved is not None
    return float(moved[1]), float(moved[2])


@given(names=st.lists(names, min_size=4, max_size=4))
@settings(deadline=None, max_examples=60)
def test_a_name_is_text_and_nothing_else_wherever_it_is_shown(names: list[str]) -> None:
    players = [frames.player(n, n % 2, name, 10.0 * n, 0.0) for n, name in enumerate(names)]
    frame = frames.frame(
        players,
        objects=[frames.flag(4, 0, 0, 0, carrier=1, state="carried")],
        news=[
            frames.happened(10, "kill", players[0], players[1]),
            frames.happened(9, names[2], players[2], None),
        ],
    )
    drawing = MatchMap()
    drawing.following.choose(players[1])
    drawn = drawing.draw(frame) + drawing.following.describe(frame)
    drawn += scoreboard.draw_score(frame) + scoreboard.draw_players(frame) + scoreboard.draw_under(frame)
    drawn += scoreboard.draw_news(frame["news"], str, each_alone=False)
    tags = {one.tag for one in parsed(drawn).iter()}
    assert tags <= {
        *("all", "svg", "g", "path", "circle", "rect", "text", "title", "span", "b", "bdi"),
        *("table", "tr", "th", "td", "button", "ol", "li"),
    }
    assert not any(attribute.startswith("on") for one in parsed(drawn).iter() for attribute in one.attrib)
    assert "\u202e" not in drawn


def test_teams_differ_in_more_than_their_colour() -> None:
    assert len({team_shape(team) for team in range(8)}) == 8
    assert len({(team_class(team), team_shape(team)) for team in range(64)}) == 64
    assert [team_letters(team) for team in (0, 1, 25, 26, 27, 701, 702)] == [*"ABZ", "AA", "AB", "ZZ", "AAA"]
    drawn = MatchMap().draw(frames.capture_the_flag())
    marks = {
        entity: group(drawn, f"p{entity}").find(".//path[@class='ld-map-player']").get("d")  # type: ignore[union-attr]
        for entity in (0, 8)
    }
    assert marks[0] != marks[8]


def test_a_flag_is_drawn_with_its_carrier_and_its_home_stays_marked() -> None:
    drawing = MatchMap()
    frame = frames.capture_the_flag()
    frame["objects"][1].update(x=68.0, y=0.0, carrier=None, state="home")
    home = place(drawing.draw(frame), "o17")
    frame = frames.capture_the_flag()
    drawn = drawing.draw(frame)
    assert place(drawn, "o17") == place(drawn, "p5")
    assert place(drawn, "h17") == home
    assert "flag of B, carried by Linus" in drawn
    frame["objects"][1].update(carrier=None, state="dropped")
    assert "flag of B, dropped" in drawing.draw(frame)
    frame["objects"][1].update(shown=False)
    assert 'data-k="o17"' not in drawing.draw(frame)


def test_boxes_and_obstacles_are_where_they_are_in_metres() -> None:
    ground = group(MatchMap().draw(frames.capture_the_flag()), "ground")
    boxes = [one for one in ground if one.get("class") == "ld-map-box"]
    assert len(boxes) == 8
    assert [boxes[0].get(side) for side in ("x", "y", "width", "height")] == ["-50.0", "-12.0", "4.0", "24.0"]
    obstacles = [one.get("class") for one in ground if (one.get("class") or "").startswith("ld-map-obstacle")]
    assert obstacles == ["ld-map-obstacle", "ld-map-obstacle", "ld-map-obstacle ld-map-fallen"]


@pytest.mark.parametrize("has_zone", [True, False])
def test_a_zone_is_drawn_where_the_mode_has_one(has_zone: bool) -> None:
    frame = frames.frame([frames.player(0, 0, "Ada", 0, 0)], has_zone=has_zone)
    assert ("ld-map-zone" in MatchMap().draw(frame)) == has_zone
    assert ("zone" in scoreboard.draw_under(frame)) == has_zone


def test_the_view_stays_around_the_player_who_is_followed() -> None:
    drawing, frame = MatchMap(), frames.capture_the_flag()
    drawing.draw(frame)
    drawing.pick(*drawing.camera.at(frame["players"][3]["x"] + 1.0, frame["players"][3]["y"]))
    assert drawing.following.entity == 3
    for at_s in range(8):
        assert place(drawing.draw(frames.capture_the_flag(at_s)), "p3") == (500.0, 500.0)
    whole_m, near_m = frame["map_half_m"], drawing.camera.half_m
    assert near_m < whole_m
    drawing.camera.nearer(1)
    drawing.draw(frame)
    assert drawing.camera.half_m < near_m
    drawing.pick(1.0, 1.0)
    assert drawing.following.entity is None


@pytest.mark.parametrize("change", [{"player_id": "0"}, {"player_id": "77"}, {"present": False}])
def test_following_ends_when_the_slot_is_empty_or_anothers(change: dict[str, Any]) -> None:
    drawing, frame = MatchMap(), frames.capture_the_flag()
    drawing.following.choose(frame["players"][5])
    assert "Linus" in drawing.following.describe(frame)
    frame["players"][5].update(change)
    drawing.draw(frame)
    assert drawing.following.entity is None
    assert "Linus has left" in drawing.following.describe(frame)


def test_who_has_left_is_told_of_until_their_slot_is_anothers() -> None:
    frame = frames.capture_the_flag()
    for one in frame["players"]:
        one.update(present=False, alive=False, placement=1 + one["team"])
    frame["phase"] = "over"
    assert "A</b> has won" in scoreboard.result_line(frame)
    assert scoreboard.draw_players(frame).count(">left<") == 16
    assert "0 of 8" in scoreboard.draw_score(frame)
    assert "ld-map-player" not in MatchMap().draw(frame)


def test_the_followed_player_is_told_of_with_their_kills_their_death_and_what_they_carry() -> None:
    drawing, frame = MatchMap(), frames.capture_the_flag()
    drawing.following.choose(frame["players"][5])
    told = "".join(parsed(drawing.following.describe(frame)).itertext())
    assert "carries the flag of B" in told
    assert "killed 😀" in told
    frame["news"].append(frames.happened(5_990, "kill", frame["players"][8], frame["players"][5]))
    assert "killed by ada0" in "".join(parsed(drawing.following.describe(frame)).itertext())


def test_keys_step_through_those_who_play_and_around() -> None:
    drawing, frame = MatchMap(), frames.capture_the_flag()
    frame["players"][1]["player_id"] = "0"
    seen = []
    for by in (1, 1, 1, -1, -1, -1):
        drawing.following.step(frame, by)
        seen.append(drawing.following.entity)
    assert seen == [0, 2, 3, 2, 0, 15]


def test_names_are_shown_where_few_are_seen_and_to_the_pointer_elsewhere() -> None:
    drawing, frame = MatchMap(), frames.battle_royale()
    assert "ld-names" not in drawing.draw(frame)
    assert drawing.draw(frame).count("ld-map-name") == len(frame["players"]) > MAX_NAMES
    drawing.following.choose(frame["players"][0])
    assert "ld-names" in drawing.draw(frame)


def test_a_frame_of_a_fleet_of_before_is_drawn() -> None:
    frame = frames.battle_royale(5)
    for key in ("version", "mode", "has_zone", "objects", "scores", "boxes", "news", "played_s", "left_s"):
        del frame[key]
    for one in frame["players"]:
        for key in ("name", "present", "placement"):
            del one[key]
    assert "player 9000" in MatchMap().draw(frame)
    assert "player 9000" in scoreboard.draw_players(frame)

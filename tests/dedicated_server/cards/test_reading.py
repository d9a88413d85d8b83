from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from dedicated_server.cards import (
    CardError,
    cards_in_force,
    read_card,
    shipped_cards,
    unknown_mode,
)
from dedicated_server.cards.registry import SHIPPED

FUZZED = 1_000


@pytest.fixture
def flags(tmp_path: Path) -> Path:
    """A copy of the folder of capture the flag, under a name of its own."""
    folder = tmp_path / "relic"
    shutil.copytree(SHIPPED / "capture_the_flag", folder)
    change(folder / "card.yaml", "name: capture_the_flag", "name: relic")
    return folder


def change(file: Path, old: str, new: str) -> None:
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))


def line(file: Path, text: str) -> int:
    """The number of the line that has ``text``."""
    return next(number for number, each in enumerate(file.read_text().splitlines(), 1) if text in each)


def mistakes(folder: Path) -> list[str]:
    with pytest.raises(CardError) as refused:
        read_card(folder)
    lines = str(refused.value).splitlines()
    assert len(lines) == len(refused.value.mistakes)
    return [line.removeprefix(f"{folder}/") for line in lines]


def test_the_modes_that_ship_are_read_with_their_numbers() -> None:
    royale, flags, fives = shipped_cards().values()
    assert [royale.name, flags.name, fives.name] == ["battle_royale", "capture_the_flag", "teams_of_five"]
    assert (royale.each_alone, royale.sized_by_settings, royale.fixed_size) == (True, True, False)
    assert (royale.map_half_m, royale.respawn_s, royale.backfill_until) == (1_000.0, 0.0, 0.1)
    assert (fives.teams, fives.players_full, fives.fixed_size) == (2, 10, True)
    assert [(each.name, each.limit) for each in fives.score] == [("kills", 30)]
    assert (flags.teams, flags.team_size_min, flags.team_size_max, flags.players_min) == (2, 4, 8, 8)
    assert (dict(flags.objects), flags.objects_count, flags.events) == ({"flag": 2}, 2, ("flag_captured",))


def test_the_field_of_capture_the_flag_is_the_same_from_either_side() -> None:
    card = shipped_cards()["capture_the_flag"]
    turned = {(-box.east_m, -box.north_m, -box.west_m, -box.south_m) for box in card.boxes}
    assert turned == {(box.west_m, box.south_m, box.east_m, box.north_m) for box in card.boxes}
    assert [(base.x_m, base.y_m) for base in card.bases] == [(-48.0, 0.0), (48.0, 0.0)]


def test_every_mistake_is_told_at_once_with_its_place_and_what_to_do(flags: Path) -> None:
    card = flags / "card.yaml"
    change(card, "respawn_s: 5", "respawns_s: 5")
    change(card, "range_m: 25", "range_m: -25")
    change(card, "full: 16", "full: 17")
    change(card, "connection: team", "connection: nobody")
    change(flags / "map.yaml", "{x_m: 48,", "{x_m: 58,")
    change(flags / "rule_set.json", '"maxPlayers": 8', '"maxPlayers": 9')
    field = flags / "map.yaml"
    assert mistakes(flags) == [
        f"card.yaml:{line(card, 'full: 17')}: players/full: must be 16: 2 teams of 8 (it is 17)",
        f"card.yaml:{line(card, '-25')}: weapons/0/range_m: must be from 1 to 2,900 (it is -25)",
        f"card.yaml:{line(card, 'respawns_s')}: respawns_s: is not a key here; did you mean respawn_s?",
        f"card.yaml:{line(card, 'nobody')}: shows/connection: must be one of everybody, team, self "
        "(it is 'nobody')",
        f"map.yaml:{line(field, '58')}: bases/1: reaches beyond the map, which reaches from -60 to 60 m",
        "rule_set.json: teams/0/maxPlayers: must be 8, as the card says (it is 9)",
    ]


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("name: relic", "name: relics", "name: is relics, and its folder relic: give both the same name"),
        (
            "name: relic",
            "name: 5",
            "name: must be a name of small letters, digits and _, at most 64 (it is 5)",
        ),
        ("speed_m_per_s: 7", "speed_m_per_s: .nan", "speed_m_per_s: must be a finite number above 0"),
        ("speed_m_per_s: 7", "speed_m_per_s: &a 7", "has an anchor (&a); write values out where they stand"),
        ("speed_m_per_s: 7", "speed_m_per_s: *a", "has an alias (*a); write the value out"),
        ("speed_m_per_s: 7", "speed_m_per_s: !!float 7", "has a tag (tag:yaml.org,2002:float); leave it out"),
        ("speed_m_per_s: 7", "speed_m_per_s: 7\nspeed_m_per_s: 6", "is given twice, first on line "),
        ("map: map.yaml", "map: hills.yaml", "map: names hills.yaml, which is not in the folder"),
        ("map: map.yaml", "map: ../map.yaml", "map: must be the name of a .yaml file in the folder"),
        ("map: map.yaml\n", "", "map: is missing, though the folder has a map.yaml: add `map: map.yaml`"),
        ("teams: 2\n", "", "teams: is missing"),
        ("max: 8}", "max: 3}", "team_size/min: is more than the 3 of a full team"),
        ("objects: {flag: 2}", "objects: {flags: 2}", "flags: is not a key here; did you mean flag?"),
        ("max_spawn_radius_m: 60", "max_spawn_radius_m: 61", "lets players begin beyond the map"),
        ("[flag_captured]", "[flag_captured, flag_captured]", "events/1: flag_captured is given twice"),
    ],
)
def test_a_mistake_of_a_card_says_what_to_do(flags: Path, old: str, new: str, told: str) -> None:
    change(flags / "card.yaml", old, new)
    assert any(told in line for line in mistakes(flags)), mistakes(flags)


def test_a_goal_that_bots_shall_go_for_has_to_be_there(flags: Path) -> None:
    (flags / "hooks.py").write_text("def gaol(view, client):\n    return 0.0, 0.0\n")
    [told] = mistakes(flags)
    assert told.startswith("hooks.py: goal: is missing, and the card says that bots go where it says")
    assert told.endswith("did you mean gaol?")


@pytest.mark.parametrize("name", ["card.yaml", "map.yaml", "rule_set.json", "hooks.py"])
def test_files_that_are_missing_or_too_large_are_refused(flags: Path, name: str) -> None:
    (flags / name).unlink()
    assert any("is missing" in line or "is not in the folder" in line for line in mistakes(flags))
    (flags / name).write_text(" " * 300_000)
    assert any(f"{name}: is longer than" in line for line in mistakes(flags))
    (flags / name).write_bytes(b"\n\xff\xfe")
    assert any(line.startswith(f"{name}:2: is not UTF-8 text") for line in mistakes(flags))


def test_a_folder_that_is_none_is_refused(tmp_path: Path) -> None:
    assert mistakes(tmp_path / "none") == ["card.yaml: is missing: name the folder of a mode"]


def test_cards_of_own_folders_stand_behind_those_that_ship(flags: Path) -> None:
    assert list(cards_in_force(str(flags))) == [*shipped_cards(), "relic"]
    assert cards_in_force() == shipped_cards()


def test_every_mistake_of_all_folders_is_told_and_no_name_is_taken_twice(flags: Path, tmp_path: Path) -> None:
    again = tmp_path / "again" / "relic"
    shutil.copytree(flags, again)
    taken = tmp_path / "capture_the_flag"
    shutil.copytree(SHIPPED / "capture_the_flag", taken)
    with pytest.raises(CardError) as refused:
        cards_in_force(f"{flags}, {again},{taken},{tmp_path / 'none'}")
    same, ships, missing = str(refused.value).splitlines()
    assert same == (
        f"LAUNCHDAY_MODES: {again}/card.yaml: name: relic is the name of {flags} too: give it another"
    )
    assert ships.endswith("name: capture_the_flag is the name of a mode that ships: give it another")
    assert missing.startswith(f"LAUNCHDAY_MODES: {tmp_path / 'none'}/card.yaml: is missing")


def test_a_mode_that_is_not_there_is_told_with_the_nearest() -> None:
    told = unknown_mode("team_of_five", shipped_cards())
    assert told.endswith("teams_of_five; did you mean teams_of_five?")


@pytest.mark.parametrize("name", ["card.yaml", "map.yaml", "rule_set.json", "hooks.py"])
def test_whatever_a_file_holds_a_folder_is_read_or_refused(flags: Path, name: str) -> None:
    """Bytes changed, left out, doubled and put in by chance, in any file."""
    rng = random.Random(name)
    sound = (flags / name).read_bytes()
    pieces = [
        b"{",
        b"[",
        b"]",
        b"}",
        b": ",
        b"- ",
        b"\n",
        b"&a ",
        b"*a",
        b"!!x ",
        b"'",
        b'"',
        b"\x00",
        b"\xff",
        b"1e9",
    ]
    pieces += [b"9" * 40, b"? ", b"|\n", b"---\n", b"%YAML 9\n", b"\t", b"#", b"null", b"-.inf", b"[" * 99]
    for _ in range(FUZZED):
        data = bytearray(sound)
        for _ in range(rng.randint(1, 4)):
            at, length = rng.randrange(len(data) + 1), rng.choice((0, 0, 1, 3, 40))
            data[at : at + length] = rng.choice((rng.choice(pieces), bytes(data[at : at + 30]), b""))
        (flags / name).write_bytes(data)
        refused: CardError | None = None
        try:
            read_card(flags)
        except CardError as error:
            refused = error
        assert refused is None or len(str(refused).splitlines()) == len(refused.mistakes) > 0

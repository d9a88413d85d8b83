from __future__ import annotations

from pathlib import Path

from launchday.cli.doctor_modes import modes_in_force
from launchday.settings import Settings


def test_the_modes_in_force_are_told_with_their_sizes_by_card_or_setting() -> None:
    modes, wrong = modes_in_force(Settings(match_players=40, match_s_by_mode="teams_of_five=240"))
    assert wrong == []
    assert {each["mode"]: (each["players_min"], each["players_full"], each["match_s"]) for each in modes} == {
        "battle_royale": (2, 40, 45.0),
        "capture_the_flag": (8, 16, 300.0),
        "teams_of_five": (10, 10, 240.0),
    }


def test_every_mistake_of_modes_and_rule_sets_is_told_instead(tmp_path: Path) -> None:
    modes, wrong = modes_in_force(Settings(modes=f"{tmp_path / 'none'},{tmp_path}"))
    assert modes == []
    assert [line.partition(": ")[0] for line in wrong] == ["LAUNCHDAY_MODES"] * 2
    _, wrong = modes_in_force(Settings(rule_sets="hunt=/nowhere.json,=x"))
    assert [line.partition(": ")[0] for line in wrong] == ["LAUNCHDAY_RULE_SETS"] * 3

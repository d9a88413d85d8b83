from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.errors import RulesError
from rewards.progression import rules
from rewards.progression.rules import LevelBand, Rules
from rewards.progression.xp import XpRules

GOOD = """\
xp: {kill: 100, match_played: 50, win: 500}
levels: [{up_to: 3, xp_each: 10}, {up_to: 4, xp_each: 100}]
"""


def naive_level(made: Rules, xp: int) -> int:
    level = 1
    for band in made.levels:
        while level < band.up_to and xp >= band.xp_each:
            level += 1
            xp -= band.xp_each
        if level < band.up_to:
            break
    return level


def test_the_shipped_rules_are_valid_and_give_the_documented_points() -> None:
    shipped = rules.load()
    assert shipped.xp == XpRules.of(
        kill=100, match_played=50, win=500, flag_captured={"to": "player_id", "points": 150}
    )
    assert shipped.level(0) == 1
    assert shipped.level(499) == 1
    assert shipped.level(500) == 2
    assert shipped.level(10**15) == 100


def test_thresholds_add_the_bands_up(tmp_path: Path) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(GOOD)
    assert rules.load(path).thresholds == (0, 10, 20, 120)


@given(
    ends=st.sets(st.integers(2, 60), min_size=1, max_size=4),
    costs=st.lists(st.integers(1, 50), min_size=4, max_size=4),
    xp=st.integers(0, 4000),
)
def test_the_level_is_what_climbing_step_by_step_gives(ends: set[int], costs: list[int], xp: int) -> None:
    bands = tuple(LevelBand(up_to=end, xp_each=cost) for end, cost in zip(sorted(ends), costs, strict=False))
    made = Rules(xp=XpRules.of(kill=1, match_played=1, win=1), levels=bands)
    assert made.level(xp) == naive_level(made, xp)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (GOOD.replace("kill: 100", "kill: -1"), "xp.kill"),
        (GOOD.replace("kill: 100, ", ""), "xp.kill"),
        (GOOD.replace("kill:", "kills:"), "xp.kills"),
        (GOOD.replace("up_to: 4", "up_to: 3"), "end at a higher level"),
        (GOOD.replace("xp_each: 10}", "xp_each: 0}"), "levels.0.xp_each"),
        ("xp: [", "not YAML"),
        ("", "file"),
    ],
)
def test_rules_that_make_no_sense_are_refused_with_the_place(
    tmp_path: Path, text: str, complaint: str
) -> None:
    path = tmp_path / "rules.yaml"
    path.write_text(text)
    with pytest.raises(RulesError, match=complaint):
        rules.load(path)


def test_rules_that_are_not_there_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RulesError, match="cannot read"):
        rules.load(tmp_path / "none.yaml")

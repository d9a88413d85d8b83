from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from random import Random
from typing import Any

import pytest

from dedicated_server.cards import shipped_cards
from launchday.settings import Settings, environment
from matchmaker.errors import RuleSetsError
from matchmaker.plans.book import TicketBook
from matchmaker.plans.compile import compile_plan
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.modes import SearchRules, card_rule_set, load_modes, make_mode
from matchmaker.rules.rules import Rules
from tests.matchmaker.director.test_rule_set_queue import HUNT
from tests.matchmaker.rules.flexmatch.examples import rule_set


def of(rules: dict[str, Any]) -> Rules | SearchRules:
    card = shipped_cards()["battle_royale"]
    return make_mode("own", card, read_rule_set(json.dumps(rules)), Settings(fleet_key="")).rules


def test_without_own_rule_sets_those_that_ship_are_the_modes() -> None:
    modes = load_modes(Settings())
    assert {name: type(mode.rules) for name, mode in modes.items()} == {
        "battle_royale": Rules,
        "teams_of_five": Rules,
        "capture_the_flag": SearchRules,  # its sides may be short, and then as good as even
    }


def test_an_own_rule_set_makes_a_mode_and_one_of_a_shipped_name_replaces_it(tmp_path: Path) -> None:
    fives = tmp_path / "fives.json"
    fives.write_text(
        json.dumps(
            rule_set(teams=[{"name": "team", "minPlayers": 3, "maxPlayers": 3, "quantity": 2}])
            | {"algorithm": {"expansionAgeSelection": "oldest"}}
        )
    )
    modes = load_modes(Settings(rule_sets=f"hunt:teams_of_five={HUNT}, teams_of_five={fives}"))
    assert list(modes) == [*shipped_cards(), "hunt"]
    hunt, replaced = modes["hunt"].rules, modes["teams_of_five"].rules
    assert isinstance(hunt, SearchRules)
    assert (hunt.mode, hunt.game_mode, hunt.teams, hunt.team_size) == ("hunt", "teams_of_five", 2, 3)
    assert isinstance(replaced, Rules)
    assert (replaced.mode, replaced.players, replaced.min_players) == ("teams_of_five", 6, 6)


LIKE_SKILL = {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 4}
OLDEST = {"expansionAgeSelection": "oldest"}


@pytest.mark.parametrize(
    ("rules", "fast"),
    [
        (rule_set([LIKE_SKILL], algorithm=OLDEST), True),
        (rule_set([LIKE_SKILL]), False),  # the newest ticket decides
        (rule_set([{**LIKE_SKILL, "partyAggregation": "max"}], algorithm=OLDEST), False),
        (rule_set([{"type": "batchDistance", "batchAttribute": "mode"}], algorithm=OLDEST), False),
        (
            rule_set([{"type": "latency", "maxLatency": 50, "partyAggregation": "min"}], algorithm=OLDEST),
            False,
        ),
        (rule_set(algorithm=OLDEST, teams=[{"name": "a", "minPlayers": 0, "maxPlayers": 2}]), False),
        (rule_set(algorithm=OLDEST, teams=[{"name": "a", "minPlayers": 1, "maxPlayers": 2}]), True),
        (  # the kernel evens skill, not numbers: one side could have more than the other, or too few
            rule_set(
                algorithm=OLDEST, teams=[{"name": "a", "minPlayers": 1, "maxPlayers": 2, "quantity": 2}]
            ),
            False,
        ),
        (
            rule_set(
                algorithm=OLDEST,
                expansions=[
                    {"target": "teams[red].maxPlayers", "steps": [{"waitTimeSeconds": 9, "value": 2}]}
                ],
            ),
            False,
        ),
    ],
)
def test_the_fast_kernel_has_the_rule_sets_that_it_has_numbers_for(rules: dict[str, Any], fast: bool) -> None:
    assert isinstance(of(rules), Rules if fast else SearchRules)


@pytest.mark.parametrize(
    ("setting", "reason"),
    [
        ("hunt", "'hunt' is not like hunt=hunt.json"),
        ("Hunt=x.json", "is not like"),
        ("hunt=/nowhere/hunt.json", "'hunt' is no mode; there are battle_royale, "),
        ("hunt:team_of_five=/nowhere/hunt.json", "did you mean teams_of_five?: write hunt:MODE="),
        ("hunt:teams_of_five=/nowhere/hunt.json", "#: cannot be read"),
        ("hunt:teams_of_five={folder}/broken.json", "#/teams/0: needs maxPlayers"),
        ("hunt:teams_of_five={folder}/text.json", "#: is not JSON"),
    ],
)
def test_rule_sets_that_cannot_be_used_are_refused_with_their_pointer(
    tmp_path: Path, setting: str, reason: str
) -> None:
    (tmp_path / "broken.json").write_text(json.dumps(rule_set(teams=[{"name": "a", "minPlayers": 1}])))
    (tmp_path / "text.json").write_text("hunt")
    with pytest.raises(RuleSetsError) as refused:
        load_modes(Settings(rule_sets=setting.format(folder=tmp_path)))
    assert str(refused.value).startswith("LAUNCHDAY_RULE_SETS: ")
    assert reason in str(refused.value)


@pytest.mark.parametrize("module", ["matchmaker", "matchmaker.director"])
def test_a_service_says_in_one_line_why_it_cannot_use_a_rule_set(tmp_path: Path, module: str) -> None:
    settings = Settings(state_dir=tmp_path, rule_sets="hunt:teams_of_five=/nowhere/hunt.json")
    ended = subprocess.run(
        [sys.executable, "-m", module],
        env={**os.environ, **environment(settings)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert ended.returncode == 1
    assert ended.stderr.startswith("LAUNCHDAY_RULE_SETS: /nowhere/hunt.json#: cannot be read")
    assert len(ended.stderr.splitlines()) == 1


def test_sides_of_capture_the_flag_are_even_where_they_are_short() -> None:
    rules = card_rule_set(shipped_cards()["capture_the_flag"])
    book = TicketBook(compile_plan(rules, live=True), ["eu"], live=True)
    rng = Random(7)
    parties = (3, 2, 1, 1, 2, 1, 1, 2)
    for number, size in enumerate(parties):
        party = tuple(
            TicketPlayer(f"{number}.{each}", None, {"skill": rng.uniform(20, 30)}, {"eu": 20.0})
            for each in range(size)
        )
        book.add([FlexMatchTicket(str(number), 0.0, party)])
    found = book.form(31.0)
    assert len(found.region) == 1
    sizes = [0, 0]
    for row, team in zip(found.rows.tolist(), found.team.tolist(), strict=True):
        sizes[team] += parties[row]
    assert sorted(sizes) == [6, 7]

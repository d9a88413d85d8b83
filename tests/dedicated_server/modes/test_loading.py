"""Hooks become a mode: compiled once for each state of their folder, or refused in a line with its place."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import numpy as np
import pytest

from dedicated_server.cards import ModeCard, read_card, shipped_cards
from dedicated_server.modes import entries, open_match
from dedicated_server.modes.hooks_error import HooksError
from dedicated_server.modes.loading import hook_names, load_goals, load_mode
from dedicated_server.simulation.damage import damage
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from launchday import kernel_cache
from tests.dedicated_server.modes.studio import studio_mode

HEAD = "from dedicated_server.modes.toolbox import NOBODY, add_score, hook, hurt\nimport numpy as np\n"


def match_of(card: ModeCard, players: int = 10) -> Match:
    roster = [RosterPlayer(entity + 1, entity // 5, entity) for entity in range(players)]
    match = open_match(MatchConfig(UUID(int=1), card, 1, 60.0, roster))
    match.start(np.ones(players, dtype=bool), 0)
    return match


def played(card: ModeCard, ticks: int = 1) -> Match:
    match = match_of(card)
    for tick in range(1, ticks + 1):
        match.apply(tick)
        match.simulate()
    return match


@pytest.mark.parametrize("name", sorted(shipped_cards()))
def test_what_ships_loads_and_its_entries_are_found_by_a_second_process(name: str) -> None:
    card = shipped_cards()[name]
    load_mode(card)
    load_goals(card)
    assert compiled_in_another_process(card.folder) == []


def compiled_in_another_process(folder: Path) -> list[str]:
    """The kernels that a new process compiles when it loads a mode, and does not find kept."""
    code = (
        "import json, sys\n"
        "from pathlib import Path\n"
        "from numba.core import event\n"
        "from dedicated_server.cards import read_card\n"
        "from dedicated_server.modes.loading import load_goals, load_mode\n"
        "compiled = []\n"
        "class Listener(event.Listener):\n"
        "    def on_start(self, one):\n"
        "        compiled.append(str(one.data['dispatcher'].py_func.__name__))\n"
        "    def on_end(self, one): pass\n"
        "event.register('numba:compile', Listener())\n"
        "card = read_card(Path(sys.argv[1]))\n"
        "load_mode(card); load_goals(card)\n"
        "print(json.dumps(compiled))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_a_studios_hooks_are_kept_and_an_edit_of_hooks_or_card_compiles_them_anew(tmp_path: Path) -> None:
    text = HEAD + "@hook\ndef step(world):\n    world.body[2, 0] = 41.0\n"
    card = studio_mode(tmp_path, text)
    assert played(card).world.body[2, 0] == 41.0
    assert compiled_in_another_process(card.folder) == []
    card.hooks.write_text(text.replace("41.0", "42.0"))  # of one length, within one second
    assert played(card).world.body[2, 0] == 42.0
    assert compiled_in_another_process(card.folder) == []
    key = kernel_cache.mode_key(card.folder)
    (card.folder / "card.yaml").write_text((card.folder / "card.yaml").read_text() + "# edited\n")
    assert kernel_cache.mode_key(card.folder) != key


def test_hooks_beside_hooks_are_imported_and_two_studios_do_not_clash(tmp_path: Path) -> None:
    head = HEAD + "from .numbers import POINTS\n@hook\ndef step(world):\n    world.body[2, 0] = POINTS\n"
    seen = []
    for studio, points in (("north", 11.0), ("south", 12.0)):
        (tmp_path / studio).mkdir()
        card = studio_mode(tmp_path / studio, "")
        (card.folder / "numbers.py").write_text(f"POINTS = {points}\n")
        card.hooks.write_text(head)
        seen.append(played(card))
        assert not list(card.folder.rglob("__pycache__"))
    assert [match.world.body[2, 0] for match in seen] == [11.0, 12.0]


def test_kernels_that_bake_in_somebody_elses_package_are_not_kept(tmp_path: Path) -> None:
    text = "import yaml\n" + HEAD + "@hook\ndef step(world):\n    world.body[2, 0] = 41.0\n"
    card = studio_mode(tmp_path, text)
    assert kernel_cache.mode_key(card.folder) is None
    assert played(card).world.body[2, 0] == 41.0
    assert {"step", entries.PLAY} <= set(compiled_in_another_process(card.folder))


def test_deaths_are_given_to_the_hook_even_those_that_the_hook_brings_about(tmp_path: Path) -> None:
    text = HEAD + (
        "@hook\n"
        "def on_death(world, victim, killer):\n"
        "    world.own_match[0] += 100 * victim + killer\n"
        "    if victim < 2:\n"
        "        hurt(world, killer, victim + 1, 200.0)\n"
    )
    card = studio_mode(tmp_path, text)
    card_file = card.folder / "card.yaml"
    card_file.write_text(card_file.read_text() + "rows: {match: [sum]}\n")
    match = match_of(read_card(card.folder))
    match.apply(1)
    damage(match.world, 7, 0, 200.0)
    match.simulate()
    assert match.world.own_match[0] == 0 + 7 + 100 + 7 + 200 + 7
    match.apply(2)
    match.simulate()
    assert match.world.own_match[0] == 321


def test_a_death_that_a_step_brings_about_is_given_to_the_hook_once(tmp_path: Path) -> None:
    text = HEAD + (
        "@hook\ndef step(world):\n    if world.counters[0] == 2:\n        hurt(world, 7, 3, 200.0)\n\n"
        "@hook\ndef on_death(world, victim, killer):\n    world.scores[0, 0] += 10 * victim + killer\n"
    )
    assert played(studio_mode(tmp_path, text), ticks=4).world.scores[0, 0] == 37


def test_a_respawn_hook_chooses_where_a_life_begins(tmp_path: Path) -> None:
    text = HEAD + "@hook\ndef respawn(world, player):\n    world.spawns[0, player] = 7.0 + player\n"
    card = studio_mode(tmp_path, text)
    match = match_of(card)
    for tick in range(1, 200):
        match.apply(tick)
        if tick == 5:
            damage(match.world, 7, 3, 200.0)
        match.simulate()
    assert match.world.body[0, 3] == 10.0
    assert hook_names(card) == ["respawn"]


MISTAKES = {
    "unknown name": ("@hook\ndef step(world):\n    frobnicate(world)\n", 5, "frobnicate is unknown"),
    "memory": ("@hook\ndef step(world):\n    a = np.zeros(3)\n    world.body[0, 0] = a[0]\n", 5, "allocates"),
    "attribute": ("@hook\ndef step(world):\n    world.bodies[0, 0] = 1.0\n", 5, "no attribute bodies"),
    "helper": (
        "def helper(world):\n    return 1\n\n@hook\ndef step(world):\n    helper(world)\n",
        8,
        "without @hook",
    ),
    "in a helper": (
        "@hook\ndef helper(world):\n    return missing\n\n@hook\ndef step(world):\n    helper(world)\n",
        5,
        "missing is unknown",
    ),
    "arguments": ("@hook\ndef step(world):\n    hurt(world, 1)\n", 5, "other arguments"),
    "returns": ("@hook\ndef over(world):\n    return 'yes'\n", 3, "must return True or False"),
    "returns nothing": (
        "@hook\ndef over(world):\n    world.body[0, 0] = 1.0\n",
        3,
        "must return True or False",
    ),
    "not decorated": ("def step(world):\n    pass\n", 3, "write @hook above it"),
    "decorated": ("@hook\ndef placements(world):\n    return 1\n", 3, "take the @hook above it away"),
    "raises": ("nothing = {}['key']\n", 3, "KeyError: 'key'"),
    "ends": ("import sys\nsys.exit(3)\n", 4, "SystemExit: 3"),
    "no module": ("import relics_of_nobody\n", 3, "ModuleNotFoundError"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_line_with_its_place(tmp_path: Path, mistake: str) -> None:
    body, line, reason = MISTAKES[mistake]
    card = studio_mode(tmp_path, HEAD + body)
    with pytest.raises(HooksError) as told:
        load_mode(card)
    assert "\n" not in str(told.value)
    assert reason in str(told.value)
    assert (told.value.file, told.value.line) == (card.hooks, line)


def test_what_warms_up_with_wrong_hooks_ends_with_the_line_that_says_so(tmp_path: Path) -> None:
    """The warm parent of a fleet, a game server, and `launchday compile`."""
    card = studio_mode(tmp_path, HEAD + "@hook\ndef step(world):\n    frobnicate(world)\n")
    done = subprocess.run(
        [sys.executable, "-c", "from dedicated_server.match.warm_up import warm_up; warm_up()"],
        env={**os.environ, kernel_cache.MODES_VARIABLE: str(card.folder)},
        capture_output=True,
        text=True,
    )
    assert done.returncode != 0
    assert f"{card.hooks}:5: does not compile: the name frobnicate is unknown" in done.stderr.splitlines()[-1]


def test_a_goal_must_be_a_place(tmp_path: Path) -> None:
    card = studio_mode(
        tmp_path, HEAD + "@hook\ndef goal(view, client):\n    return 1.0\n", like="capture_the_flag"
    )
    with pytest.raises(HooksError, match="must return two numbers"):
        load_goals(card)


def test_a_part_with_modes_is_compiled_when_those_in_force_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    card = studio_mode(tmp_path, HEAD)
    monkeypatch.setenv(kernel_cache.CACHE_VARIABLE, str(tmp_path / "kernels"))
    (tmp_path / "kernels").mkdir()
    with kernel_cache.compiling("dedicated_server"):
        pass
    assert kernel_cache.is_compiled("dedicated_server")
    monkeypatch.setenv(kernel_cache.MODES_VARIABLE, str(card.folder))
    assert not kernel_cache.is_compiled("dedicated_server")
    with kernel_cache.compiling("dedicated_server"):
        pass
    assert kernel_cache.is_compiled("dedicated_server")
    card.hooks.write_text(HEAD + "# edited\n")
    assert not kernel_cache.is_compiled("dedicated_server")


def test_an_edit_of_hooks_that_ship_is_compiled_anew_with_the_parts_that_play_them(tmp_path: Path) -> None:
    hashes = kernel_cache.module_hashes(kernel_cache.ROOT)
    edited = {**hashes, "dedicated_server/modes/teams_of_five/hooks.py": "edited"}
    for part, is_another in (("dedicated_server", True), ("loadtest", True), ("matchmaker", False)):
        marks = [kernel_cache._marked(tmp_path, part, each) for each in (hashes, edited)]
        assert (marks[0] != marks[1]) == is_another


def test_the_hooks_that_ship_reach_what_their_entries_are_made_of() -> None:
    """An edit of the entries has to give each of them another folder."""
    root = kernel_cache.ROOT
    sources = {
        path.relative_to(root): path.read_bytes() for path in (root / "dedicated_server").rglob("*.py")
    }
    imports = {
        path: [target for target in kernel_cache._imports(source) if target in sources]
        for path, source in sources.items()
    }
    for card in shipped_cards().values():
        reached = kernel_cache._reached(card.hooks.relative_to(root), imports)
        assert Path("dedicated_server/modes/entries.py") in reached

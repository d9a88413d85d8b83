"""``launchday mode``: a folder that works is written, tested both ways, and played many times."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from launchday.cli.main import app
from launchday.settings import settings as read_settings

pytestmark = pytest.mark.timeout(300)  # plain Python, beside other tests


def cli(*arguments: str, **more: str) -> Result:
    env: dict[str, str | None] = dict.fromkeys(name for name in os.environ if name.startswith("LAUNCHDAY_"))
    read_settings.cache_clear()
    try:
        return CliRunner().invoke(app, ["mode", *arguments], env=env | {"COLUMNS": "200", **more})
    finally:
        read_settings.cache_clear()


@pytest.fixture
def relic(tmp_path: Path) -> Path:
    """A new mode."""
    assert cli("new", "relic", "--in", str(tmp_path)).exit_code == 0
    return tmp_path / "relic"


def said(result: Result) -> str:
    return result.output + str(getattr(result.exception, "lines", result.exception) or "")


@pytest.mark.usefixtures("kernels")
def test_a_new_mode_is_tested_both_ways_and_played(relic: Path) -> None:
    assert sorted(path.name for path in relic.iterdir()) == [
        "README.md",
        "card.yaml",
        "hooks.py",
        "rule_set.json",
    ]
    assert "NAME" not in "".join(path.read_text() for path in relic.iterdir())
    result = cli("test", str(relic), "--json")
    assert result.exit_code == 0, said(result)
    found = json.loads(result.stdout.splitlines()[-1])
    assert found["identical"]
    assert found["difference"] is None
    assert found["plain"]["hooks"] == ["on_death", "goal"]
    assert found["plain"]["players"] == 4
    assert sum(found["plain"]["score"]["kills"]) == found["plain"]["events"].get("kill", 0)
    result = cli("play", str(relic), "--matches", "2", "--jobs", "1")
    assert result.exit_code == 0, said(result)
    assert "relic: 2 matches of 8 players" in result.stdout
    result = cli("play", "relic", "--matches", "2", "--jobs", "1", "--json", LAUNCHDAY_MODES=str(relic))
    assert json.loads(result.stdout)["matches"] == 2, said(result)


def test_a_folder_that_is_there_is_never_written_over(relic: Path) -> None:
    (relic / "hooks.py").write_text("mine")
    result = cli("new", "relic", "--in", str(relic.parent))
    assert result.exit_code != 0
    assert "is there already" in said(result)
    assert (relic / "hooks.py").read_text() == "mine"


def test_a_link_to_nowhere_is_there_already(tmp_path: Path) -> None:
    (tmp_path / "relic").symlink_to(tmp_path / "nowhere")
    assert "is there already" in said(cli("new", "relic", "--in", str(tmp_path)))


@pytest.mark.parametrize(
    "name", ["Relic", "re-lic", "", "9relic", "../relic", "relic/", "r" * 33, "battle_royale", "_relic", "é"]
)
def test_a_bad_name_is_refused_in_one_line(tmp_path: Path, name: str) -> None:
    result = cli("new", name, "--in", str(tmp_path))
    assert result.exit_code != 0
    assert list(tmp_path.iterdir()) == []


def test_every_mistake_of_a_card_is_a_line_with_its_place(relic: Path) -> None:
    card = (relic / "card.yaml").read_text()
    (relic / "card.yaml").write_text(
        card.replace("teams: 2", "teams: two").replace("speed_m_per_s: 6", "speed_m_per_s: -1")
    )
    result = cli("test", str(relic))
    assert result.exit_code != 0
    told = said(result)
    assert "card.yaml:5: teams" in told
    assert "speed_m_per_s" in told


@pytest.mark.usefixtures("kernels")
def test_a_mistake_of_a_hook_is_a_line_with_its_file_and_line(relic: Path) -> None:
    hooks = relic / "hooks.py"
    lines = hooks.read_text().splitlines()
    at = lines.index("    if killer != NOBODY:")
    lines[at] = "    if kiler != NOBODY:"
    hooks.write_text("\n".join(lines) + "\n")
    result = cli("test", str(relic))
    assert result.exit_code != 0
    assert f"{hooks}:{at + 1}: NameError: name 'kiler' is not defined" in said(result)


def test_a_mode_that_there_is_not_is_refused_with_those_that_there_are() -> None:
    result = cli("play", "capture_the_flags")
    assert result.exit_code != 0
    assert "did you mean capture_the_flag?" in said(result)


def test_a_folder_without_a_card_is_refused(tmp_path: Path) -> None:
    assert "card.yaml" in said(cli("test", str(tmp_path)))
    assert "is missing" in said(cli("test", str(tmp_path / "nowhere")))

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from launchday.cli.main import app
from loadtest.errors import TargetError
from loadtest.target_loading import load_target

WHOLE = """
from helper_of_mine import NAME


class Whole:
    name = NAME
    async def log_in(self, player): ...
    async def queue(self, session, request): ...
    async def wait(self, session, ticket): ...
    async def connect(self, session, match): ...
    async def play(self, session, connection): ...
    async def leave(self, session, ticket, connection=None, *, silently=False): ...


class Half:
    async def log_in(self): ...
    def queue(self, session, request): ...
    wait = 3
    async def counters(self, now): ...


class Needs(Whole):
    def __init__(self, url): ...


thing = 7
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in ("mine_to_flood", "helper_of_mine"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    (tmp_path / "mine_to_flood.py").write_text(WHOLE)
    (tmp_path / "helper_of_mine.py").write_text("NAME = 'whole'\n")
    (tmp_path / "broken_of_mine.py").write_text("import os\n\nos.environ['NOBODY_SET_THIS']\n")
    (tmp_path / "half_of_mine.py").write_text("class Whole:\n    async def log_in(self")
    (tmp_path / "ending_of_mine.py").write_text("raise SystemExit(7)\n")
    (tmp_path / "json.py").write_text(WHOLE)
    return tmp_path


@pytest.mark.parametrize("text", ["mine_to_flood:Whole", "mine_to_flood.py:Whole"])
def test_a_module_of_the_folder_and_a_file_are_found_with_what_they_import(text: str, folder: Path) -> None:
    found = load_target(text, folder)
    assert getattr(found, "__name__", "") == "Whole"
    assert getattr(found, "name", "") == "whole"


def test_a_module_of_the_folder_hides_no_other(folder: Path) -> None:
    import json

    assert getattr(load_target("json:Whole", folder), "name", "") == "whole"
    assert json.dumps({}) == "{}"
    from json import JSONDecoder  # noqa: F401 - the standard library's is still the one that others import


def test_what_is_installed_is_found_too(tmp_path: Path) -> None:
    assert load_target("loadtest.examples.plain_target:PlainTarget", tmp_path).__module__.endswith("target")


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "give a module and a class, such as mymodule:MyTarget"),
        ("mine_to_flood", "give a module and a class"),
        ("mine_to_flood:", "give a module and a class"),
        (":Whole", "give a module and a class"),
        ("mine to flood:Whole", "is neither a module nor a Python file"),
        ("nowhere_to_be_found:Whole", "there is no module nowhere_to_be_found, neither in this folder nor"),
        ("no/such.py:Whole", "there is no file no/such.py"),
        ("mine_to_flood:Whol", "has no Whol; did you mean Whole?"),
        ("mine_to_flood:Zzz", "has no Zzz; it has Whole, Half, Needs"),
        ("mine_to_flood:thing", "thing is a int, not a class"),
        ("mine_to_flood:Half", "it has no connect, play, leave"),
        ("mine_to_flood:Half", "log_in(self) cannot be called with 1 arguments"),
        ("mine_to_flood:Half", "queue is no coroutine: write async def queue"),
        ("mine_to_flood:Half", "wait is a int, not a method"),
        ("mine_to_flood:Half", "counters(self, now) cannot be called with 0 arguments"),
        ("mine_to_flood:Needs", "Needs() is called without arguments: missing a required argument: 'url'"),
        ("broken_of_mine:Whole", "cannot be imported: KeyError: 'NOBODY_SET_THIS'"),
        ("half_of_mine:Whole", "cannot be imported: SyntaxError"),
        ("ending_of_mine:Whole", "cannot be imported: SystemExit: 7 (ending_of_mine.py:1)"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(text: str, told: str, folder: Path) -> None:
    with pytest.raises(TargetError) as caught:
        load_target(text, folder)
    assert told in str(caught.value)
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--target", "mine_to_flood:Whol"], "did you mean Whole?"),
        (["--target", "mine_to_flood:Whole", "--running"], "--running is for our own backend"),
        (["--target", "mine_to_flood:Whole", "--ports", "free"], "--ports is for our own backend"),
        (["--target", "mine_to_flood:Whole", "--strict"], "faults kill_server"),
    ],
)
def test_a_command_that_cannot_flood_ends_with_2_before_anything_starts(
    arguments: list[str], told: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    result = CliRunner().invoke(app, ["flood", "outage", *arguments])
    assert getattr(result.exception, "exit_code", result.exit_code) == 2
    assert told in f"{result.output}{result.exception}"
    assert not (folder / "report.html").exists()


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(), st.from_regex(r"[a-z_.]{0,3}zzz\w*(\.py)?:?\w*", fullmatch=True)))
def test_no_text_is_anything_but_a_target_or_a_mistake(text: str) -> None:
    with pytest.raises(TargetError):
        load_target(text, Path("/nonexistent"))

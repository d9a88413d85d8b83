from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from rich.text import Text

from launchday.errors import LaunchdayError
from launchday.escapes import escaped
from launchday.terminal import Terminal, data, run_command, show_error, table
from tests import seam_rules, terminal_rules

# What a name may be, and how a terminal shows it.
HOSTILE = {
    "[eu]anna": "[eu]anna",
    "[/b]bert": "[/b]bert",
    "[bold red]carl[/]": "[bold red]carl[/]",
    ":smile: 👩‍🚀": ":smile: 👩‍🚀",
    "שלום": "שלום",
    "\u202egpj.exe": r"\u202egpj.exe",
    "\x1b]0;owned\x07": r"\x1b]0;owned\x07",
    "\x1b[2J": r"\x1b[2J",
    "\x9b2J\x7f": r"\x9b2J\x7f",
    "two\nlines\r\tand": r"two\nlines\r\tand",
    "half \udcff": r"half \udcff",
    "x" * 200: "x" * 200,
}


def written(encoding: str = "utf-8", width: int | None = None) -> tuple[Terminal, io.BytesIO]:
    raw = io.BytesIO()
    return Terminal(file=io.TextIOWrapper(raw, encoding, write_through=True), width=width), raw


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_whole_and_not_obeyed(name: str) -> None:
    console, raw = written()
    shown = table("player", name, title=f"of {name}", right=(name,))
    shown.add_row(name, data(name, "red"))
    shown.add_row(Text(name), f"{name} left")
    console.print(f"{name} waits", style="red")
    console.print(Text.assemble(("error:", "red"), " ", data(name)))
    console.print(shown)
    with console.status(name):
        pass
    text = raw.getvalue().decode()
    # A heading, a title, two lines and three cells; of a text made elsewhere rich drops bells and returns.
    assert text.count(HOSTILE[name]) >= 6
    assert escaped(text, lines=True) == text


@pytest.mark.parametrize("encoding", ["latin-1", "ascii", "koi8-r"])
def test_a_terminal_without_unicode_shows_escapes(encoding: str) -> None:
    console, raw = written(encoding)
    console.print("≤ 5 – of ☃")
    shown = table("name", title="…")
    shown.add_row(data("☃"))
    console.print(shown)
    text = raw.getvalue().decode(encoding)
    assert r"\u2603" in text
    assert encoding == "koi8-r" or "<= 5 - of" in text


def test_a_narrow_terminal_folds_what_is_too_wide_and_cuts_nothing() -> None:
    console, raw = written(width=40)
    shown = table("server", "match")
    shown.add_row("a" * 60, "b" * 60)
    console.print(shown)
    text = raw.getvalue().decode()
    assert (text.count("a"), text.count("b")) == (60 + "match".count("a"), 60)
    assert max(map(len, text.splitlines())) <= 40


def test_an_error_is_one_line_whatever_is_in_it(capsys: pytest.CaptureFixture[str]) -> None:
    show_error("no scenario [/b]\nforged: all is well", "another")
    assert capsys.readouterr().err == "error: no scenario [/b]\\nforged: all is well\nerror: another\n"


class RefusedError(LaunchdayError):
    exit_code = 2


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["say", "[eu]"], 0, ""),
        (["say"], 2, "Missing argument 'word': see"),
        (["[/b]"], 2, "No such command '[/b]': see"),
        (["refuse"], 2, "no [/b] here"),
        (["break"], 1, "/nowhere/[x]: No such file or directory"),
        (["leave"], 7, ""),
    ],
)
def test_a_command_ends_with_its_code_and_one_line_of_what_is_wrong(
    arguments: list[str],
    code: int,
    says: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    app = typer.Typer()

    @app.command()
    def say(word: str) -> None:
        Terminal().print(word)

    @app.command()
    def refuse() -> None:
        raise RefusedError("no [/b] here")

    @app.command(name="break")
    def break_() -> None:
        Path("/nowhere/[x]").read_text()

    @app.command()
    def leave() -> None:
        raise typer.Exit(7)

    monkeypatch.setattr(sys, "argv", ["launchday", *arguments])
    assert run_command(app) == code
    said = capsys.readouterr().err
    assert said.startswith(f"error: {says}") if says else not said
    assert said.count("\n") == (1 if says else 0)


@pytest.mark.parametrize("output", ["/dev/full", "closed pipe"])
def test_an_output_that_takes_nothing_ends_in_peace(output: str) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe, open("/dev/full", "wb") as full:
        done = subprocess.run(
            [sys.executable, "-m", "launchday.cli", "--version"],
            stdout=full if output == "/dev/full" else pipe,
            stderr=subprocess.PIPE,
            text=True,
        )
    if output == "/dev/full":
        assert done.returncode == 1
        assert done.stderr.startswith("error: standard output could not be written")
    else:
        assert (done.returncode, done.stderr) == (141, "")


def test_nobody_else_makes_a_console_or_reads_markup() -> None:
    assert terminal_rules.scan(seam_rules.ROOT) == []


@pytest.mark.parametrize(
    "line",
    [
        "from rich.console import Console; Console().print(name)",
        "from rich.text import Text; Text.from_markup(name)",
        "import typer; typer.echo(name)",
        "print(f'{name} waits')",
        "console.print(name, markup=True)",
        "from rich.progress import TextColumn; TextColumn(name)",
    ],
)
def test_the_rule_finds_what_would_obey_a_name(line: str) -> None:
    assert list(terminal_rules.breaches(line))

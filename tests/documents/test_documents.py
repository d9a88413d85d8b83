"""What the documents say exists: commands, links, settings, modules, files."""

from __future__ import annotations

import importlib.util
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer

from launchday.cli.main import app
from launchday.settings import ENV_PREFIX, Settings
from loadtest.bench.cli import app as benchmarks
from meta_service.store.schema_command import app as schema
from rewards.cli import app as events

ROOT = Path(__file__).parent.parent.parent
WIRE_FORMAT = ROOT / "dedicated_server" / "protocol" / "PROTOCOL.md"
DOCUMENTS = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", WIRE_FORMAT, *(ROOT / "docs").glob("*.md")])
OF_PROCESSES = {
    "LAUNCHDAY_TEST_REQUIRE",
    "LAUNCHDAY_KERNEL_CACHE",
    "LAUNCHDAY_SCENARIO",
}  # read by tests, by numba's locator and by the locust file alone
WORD = re.compile(r"(?<!`)`([^`]+)`(?!`)")
BLOCK = re.compile(r"^(?: {4}|\t)(.+)$|^```(?:bash|sh|console)?\n(.*?)^```", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


FORWARDED = {
    "bench": typer.main.get_command(benchmarks),
    "events": typer.main.get_command(events),
    "schema": typer.main.get_command(schema),
}  # hand their words on
PLACEHOLDERS = {"NAME", "COMMAND", "SCENARIO"}


def words(document: Path) -> Iterator[str]:
    """Everything a document sets as code: words between backticks, and lines of blocks."""
    text = document.read_text()
    yield from (" ".join(match[1].split()) for match in WORD.finditer(text))
    for match in BLOCK.finditer(text):
        yield from (line.strip() for line in (match[1] or match[2] or "").splitlines())


def commands(document: Path, *first: str) -> list[str]:
    """The commands of a document that begin with certain words, without their comments."""
    found = []
    for word in words(document):
        text = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", word.split("  #")[0].strip())
        if text.split(" ")[: len(first)] == list(first):
            found.append(text)
    return found


def cases(*first: str) -> list[object]:
    """Each document's commands, as a test's parameters."""
    return [
        pytest.param(command, id=f"{document.name}: {command}")
        for document in DOCUMENTS
        for command in dict.fromkeys(commands(document, *first))
    ]


@pytest.mark.parametrize("command", cases("launchday"))
def test_each_command_of_launchday_has_these_words_and_options(command: str) -> None:
    for alternative in alternatives(command):
        parse(typer.main.get_command(app), alternative)


def alternatives(command: str) -> Iterator[list[str]]:
    """``fleet drain|cordon NAME`` as two commands, without what stands for arguments of any kind (``…``)."""
    parts = [part for part in shlex.split(command)[1:] if part != "…"]
    for position, part in enumerate(parts):
        if "|" in part and " " not in part:
            for choice in part.split("|"):
                yield from alternatives(
                    shlex.join(["launchday", *parts[:position], choice, *parts[position + 1 :]])
                )
            return
    yield parts


def parse(command: Any, arguments: list[str]) -> None:
    """Find the command that the arguments name and see that it has their options; nothing is run, no file
    need be there.
    """
    rest = list(arguments)
    while hasattr(command, "commands"):
        words = [word for word in rest if not word.startswith("-")]
        if not words or words[0] in PLACEHOLDERS:
            return
        assert words[0] in command.commands, f"there is no command {words[0]}"
        rest.remove(words[0])
        command = FORWARDED.get(words[0]) or command.commands[words[0]]
    options = {option for each in command.params for option in [*each.opts, *each.secondary_opts]}
    used = {word.split("=")[0] for word in rest if word.startswith("--")}
    assert used <= options | {"--help"}, f"{command.name} has no {', '.join(sorted(used - options))}"
    allowed = sum(
        1 if each.nargs >= 0 else 1_000 for each in command.params if each.param_type_name == "argument"
    )
    given = positional(rest, command)
    assert len(given) <= allowed, f"{command.name} takes {allowed} arguments, not {given}"


def positional(words: list[str], command: Any) -> list[str]:
    """The words that are neither options nor their values."""
    flags = {
        option
        for each in command.params
        if getattr(each, "is_flag", False)
        for option in [*each.opts, *each.secondary_opts]
    }
    left, skip = [], False
    for word in words:
        if skip:
            skip = False
        elif word.startswith("-"):
            skip = "=" not in word and word not in flags | {"--help"}
        else:
            left.append(word)
    return left


@pytest.mark.parametrize("command", cases("make"))
def test_each_target_of_make_exists(command: str) -> None:
    targets = re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    asked = [word for word in command.split()[1:] if "=" not in word]
    assert set(asked) <= set(targets)


@pytest.mark.parametrize("command", cases("python", "-m"))
def test_each_module_that_a_document_starts_exists(command: str) -> None:
    module = command.split()[2]
    if module == "MODULE":  # of any
        return
    assert importlib.util.find_spec(module) is not None
    if importlib.util.find_spec(module).submodule_search_locations:  # type: ignore[union-attr]
        assert importlib.util.find_spec(f"{module}.__main__") is not None


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_link_leads_somewhere(document: Path) -> None:
    for target in LINK.findall(document.read_text()):
        if target.startswith(("http://", "https://")):
            continue
        path, _, heading = target.partition("#")
        file = (document.parent / path).resolve() if path else document
        assert file.exists(), f"{document.name} links to {target}"
        if heading:
            assert heading in anchors(file), f"{document.name} links to {target}"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_setting_that_a_document_names_exists(document: Path) -> None:
    known = {f"{ENV_PREFIX}{name.upper()}" for name in Settings.model_fields} | OF_PROCESSES
    named = set(re.findall(rf"\b{ENV_PREFIX}[A-Z0-9_]+\b", document.read_text()))
    assert named <= known


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_each_file_of_the_product_that_a_document_names_exists(document: Path) -> None:
    folders = "launchday|matchmaker|dedicated_server|meta_service|rewards|loadtest|tests|compose|docs"
    for word in words(document):
        for path in re.findall(rf"(?<![\w/.-])((?:{folders})/[\w./-]*[\w/])", word):
            assert (ROOT / path).exists(), f"{document.name} names {path}"


def test_each_page_is_reached_from_the_entrance() -> None:
    reached, open_ = set(), [ROOT / "docs" / "index.md"]
    while open_:
        page = open_.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = (target.partition("#")[0] for target in LINK.findall(page.read_text()))
        open_ += [(page.parent / target).resolve() for target in targets if target and "://" not in target]
    assert set(DOCUMENTS) <= reached


def anchors(file: Path) -> set[str]:
    """The anchors of a page's headings, as GitHub makes them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", file.read_text(), re.MULTILINE):
        text = re.sub(r"[^\w\- ]", "", heading.replace("`", "").lower())
        found.add(text.replace(" ", "-"))
    return found


@pytest.mark.parametrize(
    "command", ["bench nonsense", "flood smoke --nonsense", "nonsense", "doctor nonsense"]
)
def test_a_command_that_is_not_there_is_noticed(command: str) -> None:
    with pytest.raises(AssertionError):
        parse(typer.main.get_command(app), command.split())

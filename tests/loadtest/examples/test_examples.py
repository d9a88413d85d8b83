"""The two examples, in processes of their own, flooded through their targets and through the guide's code."""

from __future__ import annotations

import asyncio
import io
import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from launchday.settings import Settings
from launchday.terminal import Terminal
from loadtest.command import FAILED, PASSED, run_scenario
from loadtest.examples.matching import next_match
from loadtest.examples.open_match_stub import why_no_ticket
from loadtest.examples.serving import serving
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import RunOutcome
from loadtest.players.player_records import PlayerState
from loadtest.scenario.arrivals import Constant
from loadtest.scenario.model import Scenario
from loadtest.scenario.reader import load_scenario
from loadtest.target import Target
from loadtest.target_loading import load_target

ROOT = Path(__file__).parents[3]
GUIDE = (ROOT / "docs" / "your-own-backend.md").read_text()
URLS = {"plain_matchmaker": "PLAIN_MATCHMAKER_URL", "open_match_stub": "OPEN_MATCH_URL"}


def blocks(language: str) -> list[str]:
    """What the guide sets as code of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", GUIDE, re.MULTILINE | re.DOTALL)


def commands(first: str) -> list[list[str]]:
    """The guide's commands that begin with a word, split."""
    lines = [shlex.split(line) for block in blocks("sh") for line in block.splitlines() if line.strip()]
    return [line for line in lines if line[0] == first]


@pytest.fixture(scope="module")
def servers() -> Iterator[dict[str, str]]:
    """The examples as the guide starts them, but on free ports: variable → address."""
    started = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EXAMPLE_MATCH_S", "0.1")
        contexts = []
        for command in commands("python"):
            assert command[1] == "-m"
            module = command[2].rpartition(".")[2]
            context = serving(module, *command[command.index("--port") + 2 :], "--fill-s", "0.3")
            started[URLS[module]] = context.__enter__()
            contexts.append(context)
            patch.setenv(URLS[module], started[URLS[module]])
        yield started
        for context in contexts:
            context.__exit__(None, None, None)


def flooded(scenario: Scenario, target: Callable[[], Target]) -> tuple[int, RunOutcome]:
    """The exit code and the outcome of a flood of a target."""
    outcomes: list[RunOutcome] = []
    code = asyncio.run(
        run_scenario(
            scenario,
            Settings(),
            FloodOptions(target=target),
            console=Terminal(file=io.StringIO()),
            on_outcome=outcomes.append,
        )
    )
    return code, outcomes[0]


def shorter(scenario: Scenario) -> Scenario:
    """The scenario with its players within a moment."""
    return scenario.model_copy(update={"arrivals": Constant(over_s=0.4)})


def assert_played(outcome: RunOutcome) -> None:
    """Everybody played, and all counts agree; how long it took is the machine's."""
    records = outcome.records
    assert records.count_reasons() == {}
    assert records.count(PlayerState.DONE) == len(records)
    assert outcome.ledger.balanced
    assert not outcome.interrupted


@pytest.mark.parametrize("command", commands("launchday")[:2], ids=["plain", "open match"])
def test_the_guide_floods_both_examples(command: list[str], servers: dict[str, str]) -> None:
    scenario = shorter(load_scenario(ROOT / command[2]))
    code, outcome = flooded(scenario, load_target(command[command.index("--target") + 1], ROOT))
    assert code in (PASSED, FAILED)
    assert_played(outcome)
    assert outcome.matches.formed >= len(outcome.records) // 4
    assert outcome.left_out == []
    names = [line.name for line in outcome.ledger.lines]
    counted = ["tickets", "ends of tickets", "matched", "matches", "ends of matches"]
    assert names == [*(counted if "Plain" in outcome.target else []), "parties"]


def test_the_guides_target_is_whole(servers: dict[str, str], tmp_path: Path) -> None:
    [source] = blocks("python")
    source = source.replace("http://127.0.0.1:8200", servers["PLAIN_MATCHMAKER_URL"])
    (tmp_path / "mytarget.py").write_text(source.replace("asyncio.sleep(1)", "asyncio.sleep(0.1)"))
    scenario = shorter(load_scenario(ROOT / "loadtest" / "examples" / "plain.yaml"))
    players = scenario.players.model_copy(update={"parties": {1: 1.0}})  # the guide's target knows none
    target = load_target("mytarget:MyTarget", tmp_path)
    code, outcome = flooded(scenario.model_copy(update={"players": players}), target)
    assert code in (PASSED, FAILED)
    assert_played(outcome)
    assert len(outcome.ledger.lines) == 5


class Waiter(NamedTuple):
    """Somebody in a queue."""

    party: str
    party_size: int = 1
    since_s: float = 0.0


def test_matches_take_who_came_first_and_no_part_of_a_party() -> None:
    alone = [Waiter(name) for name in "abc"]
    pair = [Waiter("pair", 2), Waiter("pair", 2)]
    assert next_match([*alone, *pair], 4, 9.0, 1.0) == []
    assert next_match([*pair, *alone], 4, 9.0, 1.0) == [*pair, *alone[:2]]
    assert next_match([pair[0], *alone], 4, 9.0, 1.0) == []  # the other one is not there yet
    assert next_match([pair[0], *alone], 4, 9.0, 10.0) == alone
    assert next_match(alone[:1], 4, 9.0, 10.0) == []


@pytest.mark.parametrize(
    ("body", "mistake"),
    [
        ({}, ".ticket is required"),
        ({"ticket": {"searchfields": {}}}, 'unknown field "searchfields"'),
        ({"ticket": {"search_fields": {"tags": "fast"}}}, "search_fields.tags: is no list"),
        ({"ticket": {"search_fields": {"double_args": {"skill": "3"}}}}, "double_args: are numbers"),
        ({"ticket": {"search_fields": {"string_args": {"party": 1}}}}, "string_args, tags: are strings"),
    ],
)
def test_the_stub_takes_what_the_schema_allows_alone(body: dict[str, Any], mistake: str) -> None:
    assert mistake in str(why_no_ticket(body))
    assert (
        why_no_ticket({"ticket": {"search_fields": {"tags": ["mode.duel"], "double_args": {"s": 1}}}}) is None
    )

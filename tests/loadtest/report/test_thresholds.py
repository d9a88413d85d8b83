from __future__ import annotations

import contextlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from launchday.cli.main import app
from loadtest.errors import ThresholdError
from loadtest.players.player_records import PlayerState, Wait, WaitEnd
from loadtest.report.comparison.thresholds import check_thresholds, parse_threshold
from loadtest.report.run_json import run_as_json
from tests.loadtest.sample_run import sample_outcome


def given_up_run() -> dict[str, Any]:
    """The JSON of a run in which nine of ten gave up after 20 s, and the others had short waits."""
    run = sample_outcome()
    run.records.waits[:] = [Wait(bot, 0.0, 0.5, "east-us") for bot in range(20)]
    run.records.vain_waits[:] = [Wait(bot, 0.0, 20.0, end=WaitEnd.GAVE_UP) for bot in range(20, 200)]
    run.records.state[20:] = PlayerState.CANCELLED
    return run_as_json(run)


def checked(text: str, first: dict[str, Any], second: dict[str, Any]) -> tuple[bool, str]:
    [finding] = check_thresholds([parse_threshold(text)], first, second)
    return finding.passed, finding.sentence


def test_a_run_in_which_most_give_up_is_worse() -> None:
    good, bad = run_as_json(sample_outcome()), given_up_run()
    assert checked("wait_p95=10%", good, bad) == (
        False,
        "wait_s.p95: 8.214 → ≥ 20 (+143.5 %, allowed +10 %)",
    )
    assert checked("abandoned_share=0.02", good, bad) == (
        False,
        "abandoned_share: 0 → 0.9 (+0.9, allowed +0.02)",
    )
    assert checked("wait_p95=10%", bad, good)[0]


def test_what_is_known_only_at_least_is_not_within_a_limit() -> None:
    first, second = run_as_json(sample_outcome()), run_as_json(sample_outcome())
    second["wait_at_least"] = ["p95", "max"]
    passed, sentence = checked("wait_p95=10%", first, second)
    assert not passed
    assert sentence.endswith("players gave up before it was known")
    first["wait_at_least"] = ["p95"]
    assert checked("wait_p95=10%", first, second)[0]


@pytest.mark.parametrize(
    ("text", "first", "second", "passed"),
    [
        ("cost=10%", 1.0, 1.1, True),
        ("cost=10%", 1.0, 1.11, False),
        ("cost=0.02", 0.28, 0.30, True),
        ("cost=0.02", 0.28, 0.31, False),
        ("cost=10%", 0.0, 0.0, True),
        ("cost=10%", 0.0, 0.001, False),
        ("cost=10%", 1.0, 0.1, True),
        ("rate.reached_per_s=10%", 20.0, 17.0, False),
        ("rate.reached_per_s=10%", 20.0, 40.0, True),
    ],
)
def test_more_than_the_limit_fails(text: str, first: float, second: float, passed: bool) -> None:
    name, _, figure = text.partition("=")[0].partition(".")
    a: dict[str, Any] = {name: {figure: first} if figure else first}
    b: dict[str, Any] = {name: {figure: second} if figure else second}
    assert checked(text, a, b)[0] is passed


@pytest.mark.parametrize("missing", [{}, {"wait_s": {"p95": None}}, {"wait_s": {"p95": float("nan")}}])
def test_a_figure_that_one_run_has_not_measured_fails(missing: dict[str, Any]) -> None:
    there: dict[str, Any] = {"wait_s": {"p95": 3.0}}
    assert checked("wait_p95=10%", there, missing) == (False, "wait_s.p95: the second run does not have it")
    assert checked("wait_s.p95=10%", missing, there) == (False, "wait_s.p95: the first run does not have it")
    assert checked("wait_p95=10%", missing, missing) == (False, "wait_s.p95: neither run has it")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("wait_p59=10%", "or wait_p95"),
        ("wait_s.p96=1", "or wait_s.p95"),
        ("verdict=1", "verdict is not a number"),
        ("wait_p95", "give NAME=PERCENT%"),
        ("=3", "give NAME=PERCENT%"),
        ("wait_p95=ten%", "give NAME=PERCENT%"),
        ("wait_p95=-3", "give NAME=PERCENT%"),
        ("wait_p95=inf", "give NAME=PERCENT%"),
    ],
)
def test_a_threshold_that_is_none_is_told_with_what_is_right(text: str, words: str) -> None:
    run = run_as_json(sample_outcome())
    with pytest.raises(ThresholdError) as caught:
        check_thresholds([parse_threshold(text)], run, run)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(max_size=30))
def test_any_text_is_a_threshold_or_refused_in_words(text: str) -> None:
    run: dict[str, Any] = {"cost": 1.0}
    with contextlib.suppress(ThresholdError):  # anything else is no answer
        assert len(check_thresholds([parse_threshold(text)], run, run)) == 1


def test_the_command_says_which_failed_and_exits_with_99(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    first.write_text(json.dumps(run_as_json(sample_outcome())))
    second.write_text(json.dumps(given_up_run()))
    simulated = {"scenario": "tour", "wait_s": {"p95": 8.0}, "wait_at_least": [], "abandoned_share": 0.0}
    third = tmp_path / "simulated.json"
    third.write_text(json.dumps(simulated))

    def code_and_text(*arguments: str) -> tuple[int, str]:
        found = CliRunner().invoke(app, ["compare", *arguments])
        return found.exit_code, found.stdout + found.stderr

    limits = ("--fail-above", "wait_p95=10%", "--fail-above", "cost=1%")
    code, text = code_and_text(str(first), str(second), *limits)
    assert code == 99
    assert "failed: wait_s.p95" in text
    assert "within: cost" in text
    assert code_and_text(str(first), str(first), *limits)[0] == 0
    assert code_and_text(str(first), str(third), "--fail-above", "wait_p95=10%")[0] == 0
    assert code_and_text(str(first), str(second))[0] == 0

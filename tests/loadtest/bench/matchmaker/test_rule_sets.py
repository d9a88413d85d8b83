"""What the bench ``rule-sets`` prints, with small pools."""

from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from loadtest.bench.cli import app
from loadtest.bench.matchmaker.rule_sets import measuring
from loadtest.bench.matchmaker.rule_sets.catalogue import catalogue


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a process that compiles all kernels anew."""
    monkeypatch.setattr(measuring, "first_compile", lambda: 60.0)


@pytest.mark.timeout(300)
@pytest.mark.usefixtures("quick")
def test_a_line_a_rule_set_and_last_the_counts() -> None:
    shown = CliRunner().invoke(app, ["rule-sets", "--tickets", "300", "--set", "even_fives", "--json"])
    assert shown.exit_code == 0, shown.output
    line, counts = (json.loads(text) for text in shown.stdout.splitlines())
    assert (line["name"], line["form"], line["tickets"], line["by"]) == ("even_fives", "means", 300, "plan")
    assert 400 < line["matched_players"] <= line["of_players"]
    assert line["wrong_matches"] == counts["wrong_matches"] == 0
    assert line["idle_ms"] < line["ms"]
    assert counts["rule_sets"] == 1
    assert counts["first_compile_cpu_s"] == 60.0
    assert counts["peak_memory_mb"] > 50


@pytest.mark.timeout(300)
def test_small_pools_are_compared_with_the_plain_greedy_and_the_search(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "GREEDY_SIZES", (200,))
    found = measuring.measure(catalogue()["few_maps"], 200, 1)
    assert found["greedy_matched"] > 150
    assert found["search_matched"] > 150
    assert found["matched_players"] >= 0.98 * found["greedy_matched"]


def test_the_counts_say_where_a_limit_is_missed() -> None:
    def line(name: str, tickets: int, ms: float, **more: Any) -> dict[str, Any]:
        base = {"name": name, "tickets": tickets, "ms": ms, "matched_players": 95, "wrong_matches": 0}
        return base | {"idle_ms": 0.1, "new_1700_ms": 5.0} | more

    found = measuring.summary(
        [
            line("quick", 100_000, 100.0, of_uncapped=1.0),
            line("slow", 100_000, 400.0, of_uncapped=0.9, new_1700_ms=50.0),
            line("slow", 1_000, 30.0, greedy_matched=100, search_matched=96, wrong_matches=2),
        ]
    )
    assert (found["within_250_ms"], found["within_1_s"], found["within_25_ms_of_1000"]) == (1, 2, 0)
    assert (found["matched_of_greedy_min"], found["of_uncapped_min"]) == (0.95, 0.9)
    assert found["below_98_of_greedy"] == found["fewer_than_search"] == ["slow 1000"]
    assert (found["wrong_matches"], found["new_1700_ms"], found["new_within_30_ms"]) == (2, 50.0, 1)


def test_an_unknown_rule_set_is_one_line_and_an_error() -> None:
    shown = CliRunner().invoke(app, ["rule-sets", "--set", "nothing"])
    assert shown.exit_code == 1
    assert "there is no rule set nothing" in shown.output
    assert "Traceback" not in shown.output


@pytest.mark.timeout(900)
def test_the_first_compile_is_measured_in_a_process_that_keeps_its_kernels_to_itself(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(measuring, "FIRST_COMPILE", "print('some words'); print(12.5)")
    assert measuring.first_compile() == 12.5

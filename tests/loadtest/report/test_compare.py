from __future__ import annotations

import io
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from launchday.terminal import Terminal
from loadtest.errors import LoadTestError
from loadtest.report import timeseries_csv
from loadtest.report.comparison import compare
from loadtest.report.run_json import run_as_json
from tests.loadtest.sample_run import sample_outcome


def test_two_runs_are_set_side_by_side_and_what_is_worse_is_told(tmp_path: Path) -> None:
    first, second = tmp_path / "a.json", tmp_path / "b.json"
    figures = run_as_json(sample_outcome())
    first.write_text(json.dumps(figures))
    figures["wait_s"]["p95"] *= 2
    figures["players_lost"] = 3
    figures["tick_us"]["p99"] *= 0.5
    second.write_text(json.dumps(figures))
    table = compare.compare_runs(compare.read_run(first), compare.read_run(second.with_suffix(".html")))
    judged = {row.name: row.judgement for row in table if row.judgement}
    assert judged == {"wait_s.p95": -1, "players_lost": -1, "tick_us.p99": 1}
    console = Terminal(file=io.StringIO(), width=200)
    compare.print_comparison(first, second, table, console)
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "+100.0%" in text
    assert "figures are equal" in text
    page = compare.render_comparison(first, second, table)
    assert page.count("<tr") == len(table) + 1
    assert 'class="number worse">+100.0%' in page


@given(st.binary(max_size=60))
def test_what_is_no_run_is_refused_in_one_line(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    file = tmp_path_factory.mktemp("runs") / "x.json"
    file.write_bytes(data)
    with pytest.raises(LoadTestError) as caught:
        compare.read_run(file)
    assert "\n" not in str(caught.value)


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LoadTestError, match=r"nothing\.json cannot be read"):
        compare.read_run(tmp_path / "nothing.html")


def test_the_curves_have_a_row_a_look(tmp_path: Path) -> None:
    run = sample_outcome()
    timeseries_csv.write_timeseries(run.timeline, tmp_path / "run.csv")
    lines = (tmp_path / "run.csv").read_text().splitlines()
    assert len(lines) == 1 + len(run.timeline.at_s)
    assert lines[0].startswith("at_s,players away,players logging_in,")
    assert all(line.count(",") >= lines[0].count(",") - 2 for line in lines)

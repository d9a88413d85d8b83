from __future__ import annotations

from pathlib import Path

import pytest

from launchday.outputs import OutputError
from launchday.settings import Settings
from loadtest import command
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import RunOutcome
from loadtest.report import files
from loadtest.report.run_json import write_run_json
from loadtest.report.timeseries_csv import write_timeseries
from loadtest.scenario.reader import SHIPPED
from tests.loadtest.sample_run import sample_outcome


@pytest.fixture(scope="module")
def outcome() -> RunOutcome:
    return sample_outcome()


def test_files_beside_a_report_are_replaced_only_where_a_run_has_written_them(
    outcome: RunOutcome, tmp_path: Path
) -> None:
    page = tmp_path / "peak.html"
    beside = files.ReportFiles.of(page)
    write_run_json(outcome, beside.figures)
    write_timeseries(outcome.timeline, beside.curves)
    files.check(page)
    for foreign in (beside.figures, beside.curves):
        kept = foreign.read_bytes()
        foreign.write_text("time,arrivals\n0,1\n")
        with pytest.raises(OutputError, match=f"{foreign.name} is beside the report"):
            files.check(page)
        foreign.write_bytes(kept)


async def test_a_run_whose_report_cannot_be_written_does_not_begin(tmp_path: Path) -> None:
    missing = tmp_path / "missing" / "x.html"
    with pytest.raises(OutputError, match="there is no folder"):
        await command.run_scenario(SHIPPED / "smoke.yaml", Settings(), FloodOptions(report=missing))


def test_a_file_that_cannot_be_written_at_the_end_costs_that_file_alone(
    outcome: RunOutcome, tmp_path: Path
) -> None:
    page, figures = tmp_path / "x.html", tmp_path / "missing" / "figures.json"
    failures, written = command._write_all(outcome, FloodOptions(report=page, json=figures))
    assert [failure.partition(":")[0] for failure in failures] == [f"cannot write {figures}"]
    assert all(path.exists() for path in files.ReportFiles.of(page))
    assert str(page) in written

"""Options of a flood that contradict each other are one line, before anything is started."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from launchday.cli import flood_options
from launchday.cli.inputs import CommandError
from loadtest.flood.options import FloodOptions

NOTHING = FloodOptions()


def test_a_part_needs_a_backend_that_all_parts_reach(tmp_path: Path) -> None:
    with pytest.raises(CommandError, match="give --running or --target") as caught:
        flood_options.with_part(NOTHING, "1/2", tmp_path / "p.zip", None, started_here=True)
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (FloodOptions(report=Path("r.html")), "--report"),
        (FloodOptions(json=Path("r.json")), "--save"),
        (FloodOptions(rows=Path("rows")), "--rows"),
        (FloodOptions(as_json=True), "--json"),
    ],
)
def test_a_part_judges_nothing_so_it_reports_nothing(
    options: FloodOptions, words: str, tmp_path: Path
) -> None:
    with pytest.raises(CommandError, match=words):
        flood_options.with_part(options, "1/2", tmp_path / "p.zip", None, started_here=False)


@pytest.mark.parametrize(("part", "begin"), [("3/2", None), ("x", None), ("1/2", "yesterday")])
def test_a_part_or_a_beginning_that_is_none_is_refused(part: str, begin: str | None, tmp_path: Path) -> None:
    with pytest.raises(CommandError):
        flood_options.with_part(NOTHING, part, tmp_path / "p.zip", begin, started_here=False)


def test_options_of_a_part_alone_say_nothing(tmp_path: Path) -> None:
    for file, begin in ((tmp_path / "p.zip", None), (None, "12:00")):
        with pytest.raises(CommandError, match="is for --part"):
            flood_options.with_part(NOTHING, None, file, begin, started_here=False)
    assert flood_options.with_part(NOTHING, None, None, None, started_here=True) == NOTHING


def test_a_part_has_its_numbers_its_file_and_its_beginning(tmp_path: Path) -> None:
    begin = (datetime.datetime.now(datetime.UTC) + datetime.timedelta(hours=1)).isoformat()
    found = flood_options.with_part(NOTHING, "2/4", tmp_path / "p.zip", begin, started_here=False)
    assert (found.part, found.part_file) == ((2, 4), tmp_path / "p.zip")
    assert found.begin_at is not None


def test_somebody_elses_file_is_left_alone(tmp_path: Path) -> None:
    mine = tmp_path / "holiday.zip"
    mine.write_bytes(b"photographs")
    with pytest.raises(CommandError, match="no part of a flood: name another --part-file"):
        flood_options.with_part(NOTHING, "1/2", mine, None, started_here=False)
    assert mine.read_bytes() == b"photographs"


def test_the_search_for_the_limit_floods_many_times(tmp_path: Path) -> None:
    for options, part, words in ((NOTHING, "1/2", "--part"), (FloodOptions(rows=tmp_path), None, "--rows")):
        with pytest.raises(CommandError, match=words):
            flood_options.with_limit(options, True, None, part)
    with pytest.raises(CommandError, match="--step-s is for --find-limit"):
        flood_options.with_limit(NOTHING, False, 5.0, None)
    assert flood_options.with_limit(NOTHING, True, 5.0, None).step_s == 5.0


def test_addresses_of_metrics_are_looked_at_before_the_start() -> None:
    assert flood_options.read_metrics(["http://127.0.0.1:9100/metrics"]) == ("http://127.0.0.1:9100/metrics",)
    assert flood_options.read_metrics(None) == ()
    with pytest.raises(CommandError, match="--metrics nine"):
        flood_options.read_metrics(["nine"])

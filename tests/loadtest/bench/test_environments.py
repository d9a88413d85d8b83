"""``bench environments``: three of its cases without floods, and what plays and judges them.

The floods of all cases take minutes: `make environments`.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil
import pytest
from typer.testing import CliRunner

from loadtest.bench import cli
from loadtest.bench.environments.commands import Ran, lost, unwell
from loadtest.bench.environments.digests import changes, digests
from loadtest.bench.environments.harness import PARTS, Case, Found, cases_of
from loadtest.bench.environments.isolated import play_isolated
from loadtest.bench.environments.machine.nights import zone_that_jumps
from loadtest.bench.options import Options
from loadtest.errors import BenchError

CHEAP = ("descriptors_256", "no_home", "terminal_latin_1")
SUMMER, WINTER = datetime(2026, 7, 1, 23, 59, 59, tzinfo=UTC), datetime(2028, 2, 29, 0, 30, tzinfo=UTC)


@pytest.fixture
def zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def never(_options: Options) -> Found:
    raise AssertionError("a case is played in a process of its own")


def test_three_odd_machines_end_well_and_each_says_so_in_a_line() -> None:
    result = CliRunner().invoke(cli.app, ["environments", "--no-floods", "--only", ",".join(CHEAP), "--json"])

    cases = {case["name"]: case for case in map(json.loads, result.stdout.splitlines())}
    assert [*cases] == [*CHEAP], result.output
    for case in cases.values():
        assert case["well"] or case["said"].startswith("not run: this case needs "), case["said"]
        assert case["said"]
        assert "\n" not in case["said"]
    assert cases["terminal_latin_1"]["well"]  # which every machine can play
    assert result.exit_code == 0


def test_a_case_that_is_late_has_failed_and_leaves_no_process() -> None:
    before = set(psutil.Process().children(recursive=True))

    with pytest.raises(BenchError, match="not over within"):
        play_isolated("limits", Case(CHEAP[0], never, bound_s=0.0), Options(floods=False))

    assert set(psutil.Process().children(recursive=True)) <= before


def test_every_case_of_every_part_has_a_name_of_its_own() -> None:
    names = [case.name for part in PARTS for case in cases_of(part)]
    assert len(set(names)) == len(names)
    assert set(CHEAP) <= set(names)


def test_what_no_case_is_called_is_one_line() -> None:
    result = CliRunner().invoke(cli.app, ["environments", "--only", "nowhere"])
    assert result.exit_code == 1
    assert "--only nowhere" in result.stderr


@pytest.mark.parametrize(
    ("code", "err", "refusal", "wrong"),
    [
        (0, "", "", None),
        (1, "error: disk full: make room", "make room", None),
        (1, "error: disk full: make room", "", "code 1: error: disk full: make room"),
        (1, "error: something else", "make room", "code 1: error: something else"),
        (1, "Traceback (most recent call last):\n  …\nOSError: make room", "make room", "a traceback: "),
        (-7, "", "", "ended by SIGBUS: "),
    ],
)
def test_a_command_ends_well_or_with_the_line_that_was_expected(
    code: int, err: str, refusal: str, wrong: str | None
) -> None:
    found = unwell(Ran(code, "", err, 0.0), refusal)
    assert found == wrong if wrong is None else found is not None and found.startswith(wrong)


@pytest.mark.parametrize("code", [0, 99])
def test_a_flood_ends_well_where_nobody_is_lost_and_books_balance(code: int) -> None:
    def judged(players_lost: int, balanced: bool) -> str | None:
        figures = {"ledger": {"balanced": balanced}, "players_lost": players_lost}
        return lost(Ran(code, json.dumps(figures), "", 0.0))

    assert judged(0, True) is None
    assert judged(1, True) is not None
    assert judged(0, False) is not None
    assert lost(Ran(code, "", "", 0.0)) == "it came to its end without its figures"


def test_every_touch_of_a_foreign_file_is_seen(tmp_path: Path) -> None:
    for name in ("kept", "written", "gone"):
        (tmp_path / name).write_text(name)
    before = digests(tmp_path)
    (tmp_path / "written").write_text("other")
    (tmp_path / "gone").unlink()
    (tmp_path / "more").mkdir()

    assert changes(before, digests(tmp_path)) == ["gone has gone", "more is new", "written was touched"]


@pytest.mark.parametrize("at", [SUMMER, WINTER])
@pytest.mark.parametrize("forward", [True, False])
def test_a_zone_jumps_at_the_moment_that_was_asked_for(
    at: datetime, forward: bool, zone: pytest.MonkeyPatch
) -> None:
    zone.setenv("TZ", zone_that_jumps(at, forward=forward))
    time.tzset()

    before, after = (time.localtime((at + timedelta(seconds=by)).timestamp()).tm_gmtoff for by in (-1, 0))

    assert (before, after) == ((0, 3600) if forward else (3600, 0)), os.environ["TZ"]

"""Which backend's events a command looks at where nobody says: the one's that has taken some last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from launchday.settings import Settings
from rewards import cli


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(cli, "_settings", lambda: Settings(state_dir=tmp_path))
    return tmp_path


def take_events(state_folder: Path, at_s: float) -> Path:
    part = state_folder / "analytics" / "day=2026-11-30" / "kind=death" / "part-1.parquet"
    part.parent.mkdir(parents=True)
    part.touch()
    os.utime(part, (at_s, at_s))
    return state_folder / "analytics"


def test_the_last_run_is_looked_at_although_a_backend_that_is_up_has_an_empty_folder(state: Path) -> None:
    (state / "analytics").mkdir()
    run = take_events(state / "run", at_s=100.0)
    assert cli._lake_folder(None) == run
    beside = take_events(state / "run-2", at_s=300.0)
    take_events(state / "up-2", at_s=200.0)
    assert cli._lake_folder(None) == beside
    assert cli._lake_folder(run) == run


def test_where_nobody_has_taken_events_it_is_the_folder_of_the_settings(state: Path) -> None:
    assert cli._lake_folder(None) == state / "analytics"

"""``kill -9`` and short pauses, once here; ``make chaos`` does each thirty times, and stops for 6 s."""

from __future__ import annotations

from pathlib import Path

import pytest

from loadtest.chaos.meta import run_chaos
from loadtest.chaos.meta_backend import TARGETS


@pytest.mark.timeout(180)
def test_nothing_is_lost_doubled_or_out_of_date_whoever_is_killed(tmp_path: Path) -> None:
    found = run_chaos(TARGETS, 1, 7, tmp_path, pause_s=0.3)
    assert found["wrong"] == {}
    assert all(found["acknowledged"][op] for op in ("set_loadout", "buy", "checkout", "commit", "close"))

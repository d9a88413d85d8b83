"""Doctor says what the limits of this machine are good for."""

from __future__ import annotations

import pytest

from launchday import startup
from launchday.cli import doctor_limits
from launchday.settings import Settings


@pytest.mark.parametrize(
    ("descriptors", "waiting", "flood", "servers", "few"),
    [(256, 96, 58, 16, True), (1_024, 672, 422, 64, True), (8_192, 7_136, 4_006, 64, False)],
)
def test_both_limits_are_shown_and_for_how_many_players_they_are_good(
    monkeypatch: pytest.MonkeyPatch, descriptors: int, waiting: int, flood: int, servers: int, few: bool
) -> None:
    monkeypatch.setattr(startup, "given_descriptors", lambda: startup.Descriptors(200, descriptors))
    monkeypatch.setattr(startup, "descriptors", lambda: startup.Descriptors(descriptors, descriptors))
    found = doctor_limits.limits(Settings())
    assert (found["descriptors_soft"], found["descriptors_hard"]) == (200, descriptors)
    assert (found["waiting_players"], found["flood_players"]) == (waiting, flood)
    assert found["game_servers"] == servers
    assert bool(doctor_limits.few_descriptors(found)) == few
    shown = " ".join(
        cell for column in doctor_limits.limits_table(found).columns for cell in map(str, column._cells)
    )
    assert f"200 and {descriptors:,}" in shown
    assert f"{waiting:,} players who wait" in shown

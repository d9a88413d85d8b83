"""Doctor says what the limits of this machine are good for."""

from __future__ import annotations

import pytest

from dedicated_server.native.socket_options import SocketBuffers
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


def test_small_sockets_are_told_with_the_line_to_type_where_a_match_is_larger(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(doctor_limits, "granted_buffers", lambda: SocketBuffers(425_984, 425_984))
    large = doctor_limits.limits(Settings(), 300)
    assert large["socket_bytes"] == {"receive": 425_984, "send": 425_984}
    assert large["match_players"] == 256
    assert "not for 300" in large["small_sockets"]
    assert large["small_sockets"].endswith("sysctl -w net.core.rmem_max=4194304 net.core.wmem_max=4194304")
    assert doctor_limits.limits(Settings(), 256)["small_sockets"] == ""
    assert doctor_limits.limits(Settings(game_server_command="true"), 300)["small_sockets"] == ""
    shown = " ".join(
        cell for column in doctor_limits.limits_table(large).columns for cell in map(str, column._cells)
    )
    assert "256 players in a match" in shown


def test_where_there_are_no_sockets_the_limits_are_shown_all_the_same(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refused() -> SocketBuffers:
        raise PermissionError("no sockets here")

    monkeypatch.setattr(doctor_limits, "granted_buffers", refused)
    assert doctor_limits.limits(Settings(), 2)["match_players"] == 0

"""A recorded match that several tests look at."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dedicated_server.simulation.match import RosterPlayer
from tests.dedicated_server.replication.lossy import LossyTable
from tests.dedicated_server.replication.test_lossy_links import Wanderers

NAMES = ("Ada", "Grace", "<script>alert(1)</script>", "😀🎉🚀🔥💎🎯🏆⚡", "Margaret", "Tim")


@pytest.fixture(scope="session")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A short match, played to its end; in the middle of it a slot is Linus's."""
    path = tmp_path_factory.mktemp("recording") / "match.ldr"
    roster = [RosterPlayer(9_000 + entity, entity, entity, name) for entity, name in enumerate(NAMES)]
    table = LossyTable(6, Wanderers(6), record_to=path, players=roster, spawn_radius_m=100.0, match_s=12.0)
    table.play(300)
    slots = list(table.engine.match.roster)
    slots[1] = replace(slots[1], player_id=77, name="Linus")
    table.engine.match.roster = tuple(slots)
    table.play(6_000)
    assert table.engine.finished
    return path

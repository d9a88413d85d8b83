"""The benchmark of thin lines: within its bounds as the server is, and not where the server is spoiled."""

from __future__ import annotations

from typing import Any

import pytest

from dedicated_server.protocol.server.line import NO_LIMIT
from dedicated_server.tick.engine import Engine
from loadtest.bench.tick import thin

PLAYERS, SECONDS = 4, 20.0


class Deaf(Engine):
    """Makes nothing of when snapshots are acknowledged."""

    def tick(self, now_s: float, late_s: float = 0.0) -> None:
        self.wire.state.lines["limit_bytes"] = NO_LIMIT
        self.wire.state.lines["review_at"] = self.tick_number + 1_000
        super().tick(now_s, late_s)


class Timid(Engine):
    """Gives everybody as little as a line gets that is much too thin, as one would who takes loss for it."""

    def tick(self, now_s: float, late_s: float = 0.0) -> None:
        self.wire.state.lines["limit_bytes"] = 50.0
        super().tick(now_s, late_s)


@pytest.fixture(scope="module")
def found() -> dict[str, Any]:
    return thin.run(PLAYERS, SECONDS)


def test_who_has_a_thin_line_gets_less_and_not_later(found: dict[str, Any]) -> None:
    assert found["passed"], found
    assert found["kbit_s"] < found["line_kbit_s"]
    assert found["others_behind_ms"]["max"] < 100.0


def test_the_same_seed_gives_the_same_figures(found: dict[str, Any]) -> None:
    assert thin.run(PLAYERS, SECONDS) == found


def test_a_server_that_listens_to_no_acknowledgement_is_noticed() -> None:
    spoiled = thin.run(PLAYERS, SECONDS, engine=Deaf)
    assert not spoiled["passed"]
    assert spoiled["behind_ms"]["max"] > 2 * thin.MAX_BEHIND_MS


def test_a_server_that_takes_loss_for_a_thin_line_is_noticed() -> None:
    spoiled = thin.run(PLAYERS, SECONDS, engine=Timid)
    assert spoiled["radio"] < 1.0
    assert not spoiled["passed"]

"""``bench handshakes``: what answered challenges cost a tick, and that a tick without a bound is noticed."""

from __future__ import annotations

import pytest

from loadtest.bench.tick import handshakes
from loadtest.bench.tick.handshakes import ANSWERED, UNBOUNDED, Handshakes


@pytest.mark.parametrize(("asking", "sessions"), [(1, 1), (100, 16)])
def test_what_is_timed_is_a_tick_in_which_challenges_are_answered(asking: int, sessions: int) -> None:
    measured = Handshakes(100, asking)
    for batch in range(1, 4):
        assert measured.answered_us() > 0.0
        assert measured.sessions == batch * sessions


def test_a_tick_that_begins_every_session_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """By a multiple of what a machine's own variations are."""
    monkeypatch.setattr(handshakes, "BATCHES", 20)
    bounded, unbounded = handshakes.run(), handshakes.run(UNBOUNDED)
    many = "100 players, 100 answering"
    assert unbounded["us"][many]["sessions"] == min(100, ANSWERED)
    assert unbounded["us"][many]["p10"] > 2.5 * bounded["us"][many]["p10"]
    assert not unbounded["passed"]
    assert any(many in each for each in unbounded["missed"])

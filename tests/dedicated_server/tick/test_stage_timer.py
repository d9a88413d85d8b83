"""The stage timer and the warm-up."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from uuid import UUID

import numpy as np
import pytest
import structlog.testing
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards import shipped_cards
from dedicated_server.match.warm_up import warm_up
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick import stages
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.load import KEPT_TICKS, StageTimer
from dedicated_server.transport.memory import MemoryTransport
from launchday import kernel_cache


def test_laps_and_ticks_are_what_the_clock_says() -> None:
    clock = itertools.count(0, 10_000)
    watch = StageTimer(("one", "two"), lambda: next(clock))
    for late_us in range(100):
        watch.start(late_us * 1e-6)
        watch.lap(0)
        watch.lap(1)
        assert watch.stop() == pytest.approx(20e-6)
    assert watch.times().stages_us() == {"one": 10.0, "two": 10.0}
    assert watch.times().tick_us() == {"p50": 20.0, "p99": 20.0, "max": 20.0}
    assert watch.times().late_us()["p50"] == pytest.approx(49.5, abs=0.1)


def test_histograms_count_each_tick_once_in_bins_of_half_a_doubling() -> None:
    clock = itertools.count(0, 10_000)
    watch = StageTimer(("one", "two"), lambda: next(clock))
    for tick in range(KEPT_TICKS + 100):
        watch.start(0.0)
        watch.lap(0)
        watch.lap(1)
        watch.stop()
        if tick % 60 == 0:
            watch.histograms()
    counts = {
        name: {bin_: count for bin_, count in enumerate(bins) if count}
        for name, bins in watch.histograms().items()
    }
    assert counts == {
        "tick": {8: KEPT_TICKS + 100},  # 20 µs: from 16 to 22.6
        "one": {6: KEPT_TICKS + 100},  # 10 µs: from 8 to 11.3
        "two": {6: KEPT_TICKS + 100},
    }


def test_before_the_first_tick_everything_is_zero() -> None:
    watch = StageTimer(("one",), lambda: 0)
    assert watch.times().stages_us() == {"one": 0.0}
    assert watch.times().tick_us() == {"p50": 0.0, "p99": 0.0, "max": 0.0}
    assert watch.times().late_us() == {"p50": 0.0, "p99": 0.0}


def test_percentiles_forget_the_distant_past_but_the_longest_tick_does_not() -> None:
    times = itertools.chain([0, 9_000_000], itertools.cycle([0, 1_000]))
    watch = StageTimer(("only",), lambda: next(times))
    for _ in range(KEPT_TICKS + 1):
        watch.start(0.0)
        watch.lap(0)
        watch.stop()
    assert watch.times().tick_us() == {"p50": 1.0, "p99": 1.0, "max": 9_000.0}


@given(
    took_us=st.lists(st.integers(0, 40_000), min_size=1, max_size=300),
    edges=st.lists(st.integers(1, 30_000), min_size=1, max_size=8, unique=True).map(sorted),
)
@settings(deadline=None)
def test_percentiles_and_counts_are_those_of_numpy(took_us: list[int], edges: list[int]) -> None:
    now_us = [0, *itertools.accumulate(itertools.chain.from_iterable((us, 3) for us in took_us))]
    times = iter(np.array(now_us) * 1_000)
    watch = StageTimer(("only",), lambda: int(next(times)))
    for late_us in took_us:
        watch.start(late_us * 1e-6)
        watch.lap(0)
        watch.stop()
    found = watch.times()
    p50, p99 = np.percentile(took_us, [50, 99]).tolist()
    for figures in (found.tick_us(), found.late_us()):
        assert figures["p50"] == pytest.approx(p50, abs=0.06)
        assert figures["p99"] == pytest.approx(p99, abs=0.06)
    assert found.tick_us()["max"] == max(took_us)
    assert found.stages_us() == {"only": found.tick_us()["p50"]}
    counts = [sum(us <= edge for us in took_us) for edge in edges]
    assert found.histogram(edges) == np.diff([0, *counts, len(took_us)]).tolist()


def test_after_the_warm_up_a_match_of_any_mode_finds_its_kernels_compiled() -> None:
    warm_up()
    warm_up()


@pytest.mark.parametrize(
    ("loaded", "compiled", "compiling", "told"),
    [
        (False, False, False, True),
        (True, False, False, False),
        (False, True, False, False),
        (False, False, True, False),
    ],
)
def test_who_makes_an_engine_whose_first_tick_will_compile_is_told(
    monkeypatch: pytest.MonkeyPatch, loaded: bool, compiled: bool, compiling: bool, told: bool
) -> None:
    monkeypatch.setattr(stages, "seal_datagrams", SimpleNamespace(signatures=[()] if loaded else []))
    monkeypatch.setattr(kernel_cache, "is_compiled", lambda part: compiled and part == "dedicated_server")
    monkeypatch.setattr(
        kernel_cache, "parts_being_compiled", lambda: ["dedicated_server"] if compiling else ["matchmaker"]
    )
    card = shipped_cards()["battle_royale"]
    roster = [RosterPlayer(player_id=1, team=0, entity=0), RosterPlayer(player_id=2, team=1, entity=1)]
    with structlog.testing.capture_logs() as logs:
        Engine(
            MatchConfig(UUID(int=1), card, seed=0, match_s=1.0, players=roster),
            bytes(32),
            MemoryTransport(),
            secret=bytes(SECRET_BYTES),
        )
    assert [line["event"] for line in logs] == ["the first tick will compile for minutes"] * told
    assert all("warm_up()" in line["remedy"] for line in logs)

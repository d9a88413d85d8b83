from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.protocol.client.clock import (
    FIRST_DELAY_TICKS,
    MAX_DELAY_TICKS,
    MIN_DELAY_TICKS,
    STARVED_SHARE,
    WARP,
    clock_advance,
    clock_newest_tick,
    clock_note,
    clock_server_tick,
    new_clocks,
)
from dedicated_server.protocol.fields import TICK_HZ
from tests.dedicated_server.protocol.naive_client import NaiveClock

FRAME_S = 1 / 60
START_S = 1_700_000_000.0

arrivals = st.lists(
    st.tuples(st.integers(0, 9), st.floats(0, 0.2), st.booleans()), min_size=1, max_size=80
)  # ticks on from the newest, seconds on from the last event, whether a frame is shown


@given(arrivals, st.floats(0, 1e6))
def test_the_clock_agrees_with_its_oracle(events: list[tuple[int, float, bool]], start_s: float) -> None:
    clocks, naive = new_clocks(3), NaiveClock()
    now_s, tick = start_s, 100
    for ticks, pause_s, shows in events:
        now_s += pause_s
        if ticks:
            tick += ticks
            clock_note(clocks, 1, tick, now_s)
            naive.note(tick, now_s)
        if shows:
            assert clock_advance(clocks, 1, now_s) == pytest.approx(naive.advance(now_s), abs=1e-6)
    assert clocks["snapshot_tick"].tolist() == [0, naive.newest, 0]


@given(arrivals)
def test_what_is_shown_never_goes_backwards_and_hardly_faster_than_time(
    events: list[tuple[int, float, bool]],
) -> None:
    clocks = new_clocks(1)
    now_s, tick, view, viewed_at_s = START_S, 500, 0.0, START_S
    for ticks, pause_s, _ in events:
        now_s += pause_s
        tick += max(ticks, 1)
        clock_note(clocks, 0, tick, now_s)
        jumps = int(clocks["jumps"][0])
        before, view = view, clock_advance(clocks, 0, now_s)
        if before and clocks["jumps"][0] == jumps:
            passed = (now_s - viewed_at_s) * TICK_HZ
            assert before + (1 - WARP) * passed - 1e-4 <= view <= before + (1 + WARP) * passed + 1e-4
        viewed_at_s = now_s


def test_without_a_snapshot_nothing_is_shown() -> None:
    assert clock_advance(new_clocks(1), 0, START_S) == 0.0


def weather(
    random: np.random.Generator, seconds: int, jitter_s: float, loss: float
) -> list[tuple[float, int]]:
    """Arrivals of one snapshot a tick, 50 ms away.

    Time and tick, those that are overtaken left out as the wire does.
    """
    sent = [(tick * FRAME_S + 0.05 + random.exponential(jitter_s), tick) for tick in range(1, 60 * seconds)]
    kept = sorted(arrival for arrival in sent if random.random() >= loss)
    newest, shown = 0, []
    for at_s, tick in kept:
        if tick > newest:
            newest = tick
            shown.append((at_s, tick))
    return shown


def play(events: list[tuple[float, int]], seconds: int) -> tuple[np.ndarray, list[float]]:
    """Show 60 frames a second of them; the clock, and delays in ticks by frame."""
    clocks, delays = new_clocks(1), []
    waiting = list(reversed(events))
    for frame in range(1, 60 * seconds):
        now_s = frame * FRAME_S
        while waiting and waiting[-1][0] <= now_s:
            at_s, tick = waiting.pop()
            clock_note(clocks, 0, tick, at_s)
        clock_advance(clocks, 0, now_s)
        delays.append(float(clocks["delay_ticks"][0]))
    return clocks, delays


def test_the_delay_grows_with_jitter_and_loss_and_shrinks_on_a_quiet_line() -> None:
    random = np.random.default_rng(5)
    settled = {
        name: float(np.mean(play(weather(random, 60, jitter_s, loss), 60)[1][-1_200:]))
        for name, jitter_s, loss in (("quiet", 0.0, 0.0), ("jitter", 0.015, 0.0), ("loss", 0.015, 0.2))
    }
    assert MIN_DELAY_TICKS <= settled["quiet"] < FIRST_DELAY_TICKS / 2
    assert settled["quiet"] + 1.0 < settled["jitter"] < settled["loss"] < MAX_DELAY_TICKS


@pytest.mark.parametrize(("jitter_s", "loss"), [(0.005, 0.0), (0.02, 0.05), (0.01, 0.2)])
def test_the_share_of_starved_frames_is_what_was_asked_for(jitter_s: float, loss: float) -> None:
    clocks, _ = play(weather(np.random.default_rng(6), 120, jitter_s, loss), 120)
    share = float(clocks["starved_frames"][0] / clocks["frames"][0])
    assert share == pytest.approx(STARVED_SHARE, abs=0.02)


def test_an_outage_teaches_nothing_and_is_jumped_over() -> None:
    quiet = [
        arrival for arrival in weather(np.random.default_rng(7), 40, 0.002, 0.0) if not 20 < arrival[0] < 23
    ]
    clocks, delays = play(quiet, 40)
    assert delays[-1] < FIRST_DELAY_TICKS
    assert clocks["snapshot_tick"][0] - clocks["view_tick"][0] < FIRST_DELAY_TICKS


def test_the_servers_tick_is_known_to_a_tick_when_both_ways_are_equally_long() -> None:
    events = weather(np.random.default_rng(8), 20, 0.002, 0.0)
    clocks, _ = play(events, 20)
    now_s = 20.0
    rtt_s = 0.1 + 0.5 / TICK_HZ
    assert clock_server_tick(clocks, 0, now_s, rtt_s) == pytest.approx(now_s * TICK_HZ, abs=1.0)
    assert clock_newest_tick(clocks, 0, now_s) == pytest.approx((now_s - 0.05) * TICK_HZ, abs=1.0)


def test_another_match_begins_a_new_clock() -> None:
    clocks = new_clocks(1)
    clock_note(clocks, 0, 5_000, START_S)
    clock_advance(clocks, 0, START_S)
    clock_note(clocks, 0, 3, START_S + 1.0)
    assert clock_advance(clocks, 0, START_S + 1.0) == 0.0

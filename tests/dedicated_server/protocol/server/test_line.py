"""What the server makes of a line by acknowledgements alone, over paths with a bottleneck in plain Python."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from dedicated_server.protocol.fields import HISTORY_TICKS, TICK_HZ
from dedicated_server.protocol.server.line import (
    LEAST_LIMIT,
    LINE,
    LONGEST_HOLD_TICKS,
    NO_LIMIT,
    WINDOW_TICKS,
    begin_line,
    note_acknowledged,
    note_pause,
    note_sent,
    review_line,
)

SNAPSHOT_BYTES = 200


@dataclass
class Path:
    """From the server to a client and back: what the client has of what was sent, and when that is heard."""

    bytes_a_tick: float = np.inf
    buffer_ticks: float = 300.0
    delay_ticks: float = 2.0  # there, and again back
    jitter_ticks: float = 0.0  # mean of an exponential wait, there, and again back
    loss: float = 0.0  # there, and again back
    seed: int = 1

    def __post_init__(self) -> None:
        self.random = np.random.default_rng(self.seed)
        self.free_at = 0.0

    def arrival(self, tick: int, size_bytes: int) -> float:
        """When a datagram of ``tick`` arrives; infinity: never."""
        begins = max(float(tick), self.free_at)
        if begins - tick > self.buffer_ticks:
            return np.inf
        self.free_at = begins + size_bytes / self.bytes_a_tick
        return self.passage(self.free_at)

    def passage(self, at: float) -> float:
        lost = self.random.random() < self.loss
        return np.inf if lost else at + self.delay_ticks + self.random.exponential(self.jitter_ticks)


class Session:
    """A server that sends what the line's limit allows, and a client that acknowledges at 60 Hz."""

    def __init__(self, path: Path, snapshot_bytes: int = SNAPSHOT_BYTES) -> None:
        self.path = path
        self.line: Any = np.zeros(1, LINE)[0]
        begin_line(self.line, 0)
        self.tick = 0
        self.wanted_bytes = snapshot_bytes
        self.credit = 0.0
        self.sent: dict[int, int] = {}  # bytes of the snapshots that were sent, by tick
        self.air: list[tuple[float, int]] = []
        self.back: list[tuple[float, int, tuple[int, ...]]] = []
        self.have: deque[int] = deque(maxlen=33)
        self.newest = self.acknowledged = 0
        self.limits: list[float] = []
        self.behind: list[int] = []
        self.waits: list[float] = []  # in the bottleneck's queue
        self.bytes = 0

    def play(self, seconds: float) -> None:
        for _ in range(round(seconds * TICK_HZ)):
            self.tick += 1
            self._client()
            self._hear()
            if self.tick >= self.line["review_at"]:
                review_line(self.line, self.tick)
            self._send()
            self.limits.append(float(self.line["limit_bytes"]))
            self.behind.append(self.tick - self.newest)
            self.waits.append(max(self.path.free_at - self.tick, 0.0))

    def _send(self) -> None:
        self.credit = min(self.credit + self.line["limit_bytes"], NO_LIMIT)
        if self.credit >= self.wanted_bytes:
            self.credit -= self.wanted_bytes
            note_sent(self.line, self.wanted_bytes)
            self.sent[self.tick] = self.wanted_bytes
            self.bytes += self.wanted_bytes
            self.air.append((self.path.arrival(self.tick, self.wanted_bytes), self.tick))

    def _client(self) -> None:
        arrived = [tick for at, tick in self.air if at <= self.tick and tick > self.tick - 2_000]
        self.air = [(at, tick) for at, tick in self.air if at > self.tick]
        self.have.extend(arrived)
        self.newest = max(self.newest, *arrived, 0)
        if self.newest:
            self.back.append((self.path.passage(self.tick), self.newest, tuple(self.have)))

    def _hear(self) -> None:
        due = sorted(item for item in self.back if item[0] <= self.tick)
        self.back = [item for item in self.back if item[0] > self.tick]
        for _, newest, have in due:
            counted = False
            for tick in have:
                if self.tick - tick < HISTORY_TICKS and tick in self.sent:
                    self.line["delivered_bytes"] += self.sent.pop(tick)
                    counted |= tick == newest
            if newest > self.acknowledged:
                self.acknowledged = newest
                note_acknowledged(self.line, self.tick - newest, counted, self.tick)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.3])
@pytest.mark.parametrize("jitter_ticks", [0.0, 0.3, 3.0, 12.0])
def test_a_line_that_carries_all_is_never_limited_whatever_it_loses_and_however_it_jitters(
    loss: float, jitter_ticks: float, seed: int
) -> None:
    session = Session(Path(loss=loss, jitter_ticks=jitter_ticks, seed=seed))
    session.play(60)
    assert min(session.limits) == NO_LIMIT


@pytest.mark.parametrize("jitter_ticks", [0.0, 0.3, 1.2])
@pytest.mark.parametrize("buffer_ticks", [15.0, 60.0, 300.0])
@pytest.mark.parametrize(("capacity", "longest_ticks"), [(40.0, 40.0), (62.5, 30.0), (150.0, 30.0)])
def test_a_line_that_is_too_thin_gets_what_it_carries_and_keeps_no_queue(
    capacity: float, longest_ticks: float, buffer_ticks: float, jitter_ticks: float
) -> None:
    session = Session(Path(capacity, buffer_ticks=buffer_ticks, jitter_ticks=jitter_ticks))
    session.play(60)
    before = session.bytes
    session.play(60)
    used = (session.bytes - before) / (60 * TICK_HZ)
    assert 0.8 * capacity < used < capacity
    assert np.mean(session.waits[-60 * TICK_HZ :]) < 8.0  # one snapshot at 40 bytes a tick takes five
    assert max(session.waits[-60 * TICK_HZ :]) < longest_ticks


def test_a_line_that_carries_more_again_is_used_again() -> None:
    session = Session(Path(62.5))
    session.play(60)
    session.path.bytes_a_tick = np.inf
    session.play((LONGEST_HOLD_TICKS / TICK_HZ) + 20)
    assert session.limits[-1] == NO_LIMIT


def test_a_path_that_has_become_longer_is_no_queue() -> None:
    session = Session(Path())
    session.play(20)
    session.path.delay_ticks = 12.0
    session.play(20)
    assert min(session.limits[-20 * TICK_HZ :]) < NO_LIMIT  # it was taken for one
    assert session.limits[-1] == NO_LIMIT


def test_a_line_that_lost_its_queue_after_a_stop_of_the_server_is_not_limited() -> None:
    session = Session(Path())
    session.play(20)
    session.tick += 200
    note_pause(session.line, session.tick)
    session.acknowledged = session.newest = session.tick - 1  # what was in flight says nothing
    session.have.clear()
    session.play(20)
    assert min(session.limits) == NO_LIMIT


def test_who_acknowledges_at_once_gets_no_more_than_the_usual_rate() -> None:
    line: Any = np.zeros(1, LINE)[0]
    begin_line(line, 0)
    for tick in range(1, 2_000):
        note_sent(line, 500)
        line["delivered_bytes"] += 500
        note_acknowledged(line, 1, True, tick)
        if tick >= line["review_at"]:
            review_line(line, tick)
        assert line["limit_bytes"] == NO_LIMIT


@pytest.mark.parametrize("seed", range(20))
def test_no_acknowledgements_bring_the_limit_out_of_its_bounds(seed: int) -> None:
    random = np.random.default_rng(seed)
    line: Any = np.zeros(1, LINE)[0]
    begin_line(line, 0)
    for tick in range(1, 3 * WINDOW_TICKS):
        note_sent(line, int(random.integers(60, 1_200)))
        for _ in range(random.integers(0, 4)):
            line["delivered_bytes"] += int(random.integers(0, 1_200))
            longest = int(2.0 ** random.uniform(0.0, 31.0))
            note_acknowledged(line, int(random.integers(1, longest + 1)), bool(random.random() < 0.8), tick)
        if tick >= line["review_at"]:
            review_line(line, tick)
        assert LEAST_LIMIT <= line["limit_bytes"] <= NO_LIMIT
        assert np.isfinite(line["capacity_bytes"])

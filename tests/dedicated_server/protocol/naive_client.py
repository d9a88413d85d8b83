"""What a client shows, in plain Python: lists and dictionaries that keep everything, floats, no rings."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dedicated_server.protocol.client.clock import (
    DECAY_TICKS,
    FIRST_DELAY_TICKS,
    GAIN,
    GROWTH_TICKS,
    JUMP_TICKS,
    MAX_DELAY_TICKS,
    MIN_DELAY_TICKS,
    OUTAGE_TICKS,
    WARP,
    WINDOW_S,
)
from dedicated_server.protocol.client.interpolation import (
    MAX_EXTRAPOLATION_TICKS,
    MAX_SPEED_M_PER_TICK,
    RECORDS_KEPT,
    SLACK_M,
)
from dedicated_server.protocol.client.prediction import GLIDE, SNAP_M, TOLERANCE_M
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.inputs import INPUT_RING
from tests.dedicated_server.protocol.entity_oracle import Record


def clamp(value: float, least: float, most: float) -> float:
    return max(least, min(value, most))


@dataclass
class NaiveClock:
    """Keeps every snapshot of the present and the last window."""

    newest: int = 0
    windows: list[list[float]] = field(default_factory=list)
    until_s: float = 0.0
    delay: float = FIRST_DELAY_TICKS
    view: float = 0.0
    viewed_at_s: float = 0.0

    def note(self, tick: int, now_s: float) -> None:
        lead = tick - now_s * TICK_HZ
        if self.newest == 0 or tick < self.newest:
            self.windows, self.until_s = [[lead], [lead]], now_s + WINDOW_S
            self.delay, self.view = FIRST_DELAY_TICKS, 0.0
        elif now_s >= self.until_s:
            self.windows, self.until_s = [self.windows[1], [lead]], now_s + WINDOW_S
        else:
            self.windows[1].append(lead)
        self.newest = tick

    def advance(self, now_s: float) -> float:
        if self.newest == 0:
            return 0.0
        line = now_s * TICK_HZ + max(max(window) for window in self.windows)
        if line - self.newest <= OUTAGE_TICKS:
            starved = line - self.newest > self.delay
            self.delay += GROWTH_TICKS if starved else -DECAY_TICKS
            self.delay = clamp(self.delay, MIN_DELAY_TICKS, MAX_DELAY_TICKS)
        target = max(line - self.delay, 0.0)
        passed = max((now_s - self.viewed_at_s) * TICK_HZ, 0.0)
        off = target - self.view - passed
        if self.view == 0.0 or abs(off) > JUMP_TICKS:
            self.view = target
        else:
            self.view += passed + clamp(GAIN * off, -WARP * passed, WARP * passed)
        self.viewed_at_s = now_s
        return self.view


@dataclass
class NaivePrediction:
    """Keeps every input and every prediction of one session."""

    step_m: float
    half_m: float
    inputs: dict[int, tuple[int, int]] = field(default_factory=dict)
    path: dict[int, tuple[float, float]] = field(default_factory=dict)
    glide: tuple[float, float] = (0.0, 0.0)
    known: bool = False
    moves: bool = False
    corrections: int = 0
    errors: list[float] = field(default_factory=list)

    @property
    def newest(self) -> int:
        return max(self.inputs, default=0)

    @property
    def at(self) -> tuple[float, float]:
        return self.path[self.newest]

    def send(self, move_x: int, move_y: int) -> None:
        self.inputs[self.newest + 1] = (move_x, move_y)
        self.glide = (self.glide[0] * GLIDE, self.glide[1] * GLIDE)
        if self.known:
            self.path[self.newest] = self.step(self.path[self.newest - 1], self.newest)

    def snapshot(self, applied: int, x_m: float, y_m: float, moves: bool) -> None:
        turned, self.moves = moves != self.moves, moves
        before = self.path.get(self.newest, (x_m, y_m))
        if self.known and applied in self.path and self.newest - applied < INPUT_RING:
            error = math.dist(self.path[applied], (x_m, y_m))
            self.errors.append(error)
            if error <= TOLERANCE_M and not turned:
                return
            self.corrections += error > TOLERANCE_M
        self.path = {applied: (x_m, y_m)}
        at = (x_m, y_m)
        for tick in range(max(applied, self.newest - INPUT_RING) + 1, self.newest + 1):
            at = self.path[tick] = self.step(at, tick)
        if self.known:
            glide = (before[0] + self.glide[0] - at[0], before[1] + self.glide[1] - at[1])
            self.glide = glide if math.hypot(*glide) <= SNAP_M else (0.0, 0.0)
        self.known = True

    def step(self, at: tuple[float, float], tick: int) -> tuple[float, float]:
        if not self.moves:
            return at
        east, north = (part / 127 for part in self.inputs[tick])
        length = math.sqrt(east * east + north * north)
        if east * east + north * north > 1.0:
            east, north = east / length, north / length
        x_m, y_m = at[0] + east * self.step_m, at[1] + north * self.step_m
        return clamp(x_m, -self.half_m, self.half_m), clamp(y_m, -self.half_m, self.half_m)


def shown_record(samples: list[tuple[int, Record]], view_tick: float) -> Record | None:
    """What is shown at ``view_tick`` of an entity in view whose records, since it came into view, are
    ``samples``.
    """
    samples = samples[-RECORDS_KEPT:]
    if not samples:
        return None
    past = [sample for sample in samples if sample[0] <= view_tick]
    future = [sample for sample in samples if sample[0] > view_tick]
    if not past:
        return future[0][1]
    tick, record = past[-1]
    if future:
        later_tick, later = future[0]
        return between(record, later, later_tick - tick, (view_tick - tick) / (later_tick - tick))
    if len(past) == 1 or not record.flags & 1:
        return record
    before_tick, before = past[-2]
    ahead = min(view_tick - tick, MAX_EXTRAPOLATION_TICKS)
    return between(before, record, tick - before_tick, 1.0 + ahead / (tick - before_tick))


def between(first: Record, second: Record, ticks: int, share: float) -> Record:
    known = second if share >= 1.0 else first
    run_m = math.dist((first.x, first.y), (second.x, second.y)) / 64
    if run_m > MAX_SPEED_M_PER_TICK * ticks + SLACK_M:
        return known
    turn = (second.yaw - first.yaw + 512) % 1024 - 512
    return Record(
        int(clamp(round(first.x + (second.x - first.x) * share), 0, 131_071)),
        int(clamp(round(first.y + (second.y - first.y) * share), 0, 131_071)),
        round(first.yaw + turn * min(share, 1.0)) % 1024,
        known.health,
        known.flags,
    )

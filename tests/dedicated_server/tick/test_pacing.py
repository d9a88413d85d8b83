"""Pacing: on a clock that the test turns, and once on the real one."""

from __future__ import annotations

import asyncio
import time

import numpy as np

from dedicated_server.tick.pacing import (
    CAN_SPIN,
    MAX_LEAD_NS,
    PREFETCH_NS,
    SECOND_NS,
    SystemTickClock,
    WakeUps,
    run_paced,
    sleep_until_ns,
    spin_until_ns,
)

PERIOD_NS = SECOND_NS // 60
WAKES_LATE_NS = 30_000


class TurnedClock:
    """Time passes only by waiting, and by the work that the engine does; threads wake up ``late_ns`` late."""

    def __init__(self, late_ns: int = WAKES_LATE_NS) -> None:
        self.at_ns = 5_000
        self.late_ns = late_ns
        self.spun_ns = 0

    def now_ns(self) -> int:
        return self.at_ns

    def unix_s(self, now_ns: int) -> float:
        return 1_700_000_000.0 + now_ns / SECOND_NS

    async def sleep_until(self, wake_ns: int) -> None:
        if self.at_ns < wake_ns:
            self.at_ns = wake_ns + self.late_ns
        await asyncio.sleep(0)

    def spin_until(self, due_ns: int) -> None:
        self.spun_ns += max(due_ns - self.at_ns, 0)
        self.at_ns = max(self.at_ns, due_ns)


class Work:
    """Takes ``costs_ns`` per tick, the last of them for ever after."""

    period_ns = PERIOD_NS
    has_slack = False

    def __init__(self, clock: TurnedClock, costs_ns: list[int], ticks: int) -> None:
        self.clock = clock
        self.costs_ns = costs_ns
        self.max_ticks = ticks
        self.at_ns: list[int] = []
        self.late_s: list[float] = []
        self.prepared_at_ns: list[int] = []
        self.skipped = 0

    @property
    def finished(self) -> bool:
        return len(self.at_ns) >= self.max_ticks

    def prefetch(self) -> None:
        self.prepared_at_ns.append(self.clock.at_ns)

    def tick(self, now_s: float, late_s: float) -> None:
        assert now_s == self.clock.unix_s(self.clock.at_ns)
        self.at_ns.append(self.clock.at_ns)
        self.late_s.append(late_s)
        self.clock.at_ns += self.costs_ns[min(len(self.at_ns), len(self.costs_ns)) - 1]

    def skip(self, missed_ticks: int) -> None:
        self.skipped += missed_ticks


async def test_ticks_are_a_period_apart_whatever_they_cost() -> None:
    clock = TurnedClock()
    work = Work(clock, [1_000, 9_000_000, 3_000_000], ticks=600)
    await run_paced(work, clock)
    assert np.diff(work.at_ns).tolist() == [PERIOD_NS] * 599
    assert work.skipped == 0
    assert work.late_s == [0.0] * 600


async def test_the_engine_gets_ready_just_before_each_tick_but_never_makes_one_late() -> None:
    clock = TurnedClock()
    work = Work(clock, [0, PERIOD_NS - 3_000, 0], ticks=4)
    await run_paced(work, clock)
    assert len(work.prepared_at_ns) == 2  # the first is due at once, the third almost
    for early_ns, due_ns in zip(work.prepared_at_ns, (work.at_ns[1], work.at_ns[3]), strict=True):
        assert PREFETCH_NS < due_ns - early_ns < MAX_LEAD_NS
    assert work.late_s == [0.0] * 4


async def test_an_engine_with_slack_is_never_spun_for_and_begins_as_late_as_the_machine_wakes_it() -> None:
    clock = TurnedClock()
    work = Work(clock, [200_000], ticks=600)
    work.has_slack = True
    await run_paced(work, clock)
    assert clock.spun_ns == 0
    assert work.prepared_at_ns == []
    assert work.late_s[1:] == [WAKES_LATE_NS / SECOND_NS] * 599
    assert np.unique(np.diff(work.at_ns[1:])).tolist() == [PERIOD_NS]


async def test_the_spin_is_as_long_as_the_machine_wakes_threads_late() -> None:
    spun_us = {}
    for late_us in (5, 30, 150):
        clock = TurnedClock(late_us * 1_000)
        wake_ups = WakeUps()
        await run_paced(Work(clock, [200_000], ticks=600), clock, wake_ups)
        assert late_us <= wake_ups.late_ns / 1e3 <= 1.2 * late_us
        spun_us[late_us] = clock.spun_ns / 600 / 1e3
    # what is left of the time for prefetching is spun, and no more than a tenth of the lateness on average
    assert all(PREFETCH_NS / 1e3 <= spun <= PREFETCH_NS / 1e3 + 20 for spun in spun_us.values()), spun_us


def test_one_late_wake_up_hardly_lengthens_the_spin_and_many_never_past_its_bound() -> None:
    wake_ups = WakeUps()
    for _ in range(200):
        wake_ups.note(20_000)
    usual_ns = wake_ups.lead_ns(False)
    wake_ups.note(40_000_000)
    assert wake_ups.lead_ns(False) <= usual_ns + 4_000
    for _ in range(1_000):
        wake_ups.note(40_000_000)
    assert wake_ups.lead_ns(False) == MAX_LEAD_NS
    assert wake_ups.lead_ns(True) == 0


async def test_a_wait_that_never_was_says_nothing_about_the_machine() -> None:
    clock = TurnedClock()
    wake_ups = WakeUps()
    expected_ns = wake_ups.late_ns
    await run_paced(Work(clock, [3 * PERIOD_NS], ticks=100), clock, wake_ups)
    assert wake_ups.late_ns == expected_ns


async def test_a_late_tick_is_not_made_up_for_and_the_next_is_on_time() -> None:
    clock = TurnedClock()
    work = Work(clock, [0, PERIOD_NS + 4_000_000, 0], ticks=5)
    await run_paced(work, clock)
    assert [at - work.at_ns[0] for at in work.at_ns] == [
        0,
        PERIOD_NS,
        2 * PERIOD_NS + 4_000_000,
        3 * PERIOD_NS,
        4 * PERIOD_NS,
    ]
    assert work.skipped == 0
    assert work.late_s[2] == 0.004


async def test_ticks_whose_time_has_passed_are_left_out_and_counted() -> None:
    clock = TurnedClock()
    work = Work(clock, [0, 4 * PERIOD_NS + 1, 0], ticks=4)
    await run_paced(work, clock)
    assert work.skipped == 3
    assert work.at_ns[3] - work.at_ns[0] == 6 * PERIOD_NS


async def test_a_server_that_is_always_too_slow_never_spirals() -> None:
    clock = TurnedClock()
    work = Work(clock, [3 * PERIOD_NS], ticks=100)
    await run_paced(work, clock)
    assert work.skipped == 2 * 99
    assert max(work.late_s) < PERIOD_NS / SECOND_NS


async def test_others_run_between_ticks_even_when_every_tick_is_late() -> None:
    clock = TurnedClock()
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await run_paced(Work(clock, [5 * PERIOD_NS], ticks=50), clock)
    task.cancel()
    assert turns >= 49


async def test_the_system_clock_never_wakes_early_and_tells_unix_time() -> None:
    clock = SystemTickClock()
    for wait_ns in (0, 100_000, 3_000_000, 20_000_000):
        due_ns = clock.now_ns() + wait_ns
        await clock.sleep_until(due_ns - 50_000)
        clock.spin_until(due_ns)
        assert clock.now_ns() >= due_ns
    assert abs(clock.unix_s(clock.now_ns()) - time.time()) < 1.0


def test_spinning_to_a_time_that_has_passed_returns_at_once() -> None:
    if CAN_SPIN:
        now_ns = time.perf_counter_ns()
        sleep_until_ns(0, np.zeros(2, dtype=np.int64))
        assert spin_until_ns(0, np.zeros(2, dtype=np.int64)) >= now_ns

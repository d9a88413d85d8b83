"""What a small match costs a core: two policies in turns, on a clock that the test turns."""

from __future__ import annotations

from typing import Any

from dedicated_server.tick.pacing import MAX_LEAD_NS, SECOND_NS, WakeUps, run_paced
from loadtest.bench.harness.run_config import MAP, RunConfig
from loadtest.bench.tick import idle
from loadtest.bench.tick.idle import BLOCK_TICKS, AlwaysSpun, MeteredClock, MeteredEngine, Turns

TICK_NS = 200_000
WAKES_LATE_NS = 40_000
BLOCKS = 8


class Machine:
    """A clock and an engine of which both the time and the core's are known."""

    period_ns = SECOND_NS // 60
    has_slack = True
    finished = False

    def __init__(self) -> None:
        self.at_ns = self.cpu_ns = self.ticks = 0

    def now_ns(self) -> int:
        return self.at_ns

    def unix_s(self, now_ns: int) -> float:
        return now_ns / SECOND_NS

    async def sleep_until(self, wake_ns: int) -> None:
        if wake_ns > self.at_ns:
            self.at_ns = wake_ns + WAKES_LATE_NS

    def spin_until(self, due_ns: int) -> None:
        self._work(max(due_ns - self.at_ns, 0))

    def prefetch(self) -> None:
        pass

    def tick(self, now_s: float, late_s: float) -> None:
        self._work(TICK_NS)
        self.ticks += 1

    def skip(self, missed_ticks: int) -> None:
        raise AssertionError("no tick takes that long")

    def _work(self, took_ns: int) -> None:
        self.at_ns += took_ns
        self.cpu_ns += took_ns


async def figures_of(paced: WakeUps) -> dict[str, Any]:
    machine = Machine()
    clock = MeteredClock(machine)
    turns = Turns({"spun": AlwaysSpun(), "paced": paced})
    metered = MeteredEngine(machine, clock, turns, BLOCKS, lambda: machine.cpu_ns, lambda: machine.ticks > 10)
    await run_paced(metered, clock, turns)
    assert [block.policy for block in metered.blocks] == BLOCKS // 2 * ["spun", "paced"]
    assert {len(block.late_us) for block in metered.blocks} == {BLOCK_TICKS}
    return idle.describe(RunConfig(10, MAP, BLOCKS * 1.5), metered.blocks)


async def test_a_small_match_costs_a_core_its_ticks_alone() -> None:
    found = await figures_of(WakeUps())
    ticks_share = TICK_NS / Machine.period_ns
    assert abs(found["core_share"]["paced"] - ticks_share) < 1e-4
    spun_share = (MAX_LEAD_NS - WAKES_LATE_NS) / Machine.period_ns
    assert abs(found["core_share"]["spun"] - ticks_share - spun_share) < 1e-4
    assert found["spun_share"]["paced"] == 0.0
    assert found["spin_off"] is True
    assert found["late_us"]["paced"] == {"p50": WAKES_LATE_NS / 1e3, "p99": WAKES_LATE_NS / 1e3}
    assert found["late_us"]["spun"]["p99"] == 0.0


async def test_a_pacing_that_spins_for_a_match_with_slack_is_noticed() -> None:
    class SpinsAllTheSame(WakeUps):
        def lead_ns(self, has_slack: bool) -> int:
            return super().lead_ns(False)

    found = await figures_of(SpinsAllTheSame())
    assert found["spin_off"] is False
    assert found["core_share"]["paced"] > 1.5 * TICK_NS / Machine.period_ns

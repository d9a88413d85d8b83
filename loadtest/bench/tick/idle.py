"""``idle``: what the ticks of a small match cost a core, spun for as before and paced as they are, in turns.

Time that is spun is counted apart, so that it is told from a machine that is busy with something else.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import uvloop

from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.tick.engine import Engine, Phase
from dedicated_server.tick.pacing import (
    MAX_LEAD_NS,
    PacedEngine,
    PacingClock,
    SystemTickClock,
    WakeUps,
    run_paced,
)
from dedicated_server.transport import open_transport
from loadtest.bench.harness import clients, game_server, run_config
from loadtest.bench.harness.rig import SLACK_S, Rig
from loadtest.bench.harness.run_config import HOST, MAP, ClientFigures, RunConfig, ServerReady
from loadtest.bench.harness.shared_state import SharedState, Window
from loadtest.bench.harness.statistics import percentiles
from loadtest.bench.harness.worker import Send

PLAYERS: Final = 10
SECONDS: Final = 24.0
BLOCK_TICKS: Final = 90
POLICIES: Final = ("spun", "paced")  # turns are taken in this order


@dataclass(frozen=True, slots=True)
class Block:
    """A second and a half of one policy."""

    policy: str
    wall_ns: int
    cpu_ns: int  # of the thread that ticks
    spun_ns: int  # of these, waiting
    late_us: list[float]


class AlwaysSpun(WakeUps):
    """The pacing before: 0.3 ms of each tick are spun, whatever the match needs."""

    def lead_ns(self, has_slack: bool) -> int:
        """Return 0.3 ms."""
        return MAX_LEAD_NS


class Turns(WakeUps):
    """Lets two policies take turns; both follow how late the machine is."""

    def __init__(self, policies: dict[str, WakeUps]) -> None:
        super().__init__()
        self._policies = policies
        self.policy = POLICIES[0]

    def note(self, late_ns: int) -> None:
        """Tell both."""
        for policy in self._policies.values():
            policy.note(late_ns)

    def lead_ns(self, has_slack: bool) -> int:
        """Ask the one whose turn it is."""
        return self._policies[self.policy].lead_ns(has_slack)


class MeteredClock:
    """A clock that counts the time it spins."""

    def __init__(self, clock: PacingClock) -> None:
        self._clock = clock
        self.spun_ns = 0
        self.now_ns = clock.now_ns
        self.unix_s = clock.unix_s
        self.sleep_until = clock.sleep_until

    def spin_until(self, due_ns: int) -> None:
        """Spin as the clock does."""
        self.spun_ns += max(due_ns - self._clock.now_ns(), 0)
        self._clock.spin_until(due_ns)


class MeteredEngine:
    """An engine that notes, a block of ticks at a time, what its thread cost.

    Args:
        engine: it ticks.
        clock: counts what is spun.
        turns: is told whose turn it is.
        blocks: measured; then it has finished.
        cpu_ns: nanoseconds that its thread has run so far.
        plays: whether measuring may begin.
    """

    def __init__(
        self,
        engine: PacedEngine,
        clock: MeteredClock,
        turns: Turns,
        blocks: int,
        cpu_ns: Callable[[], int],
        plays: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._turns = turns
        self._wanted = blocks
        self._cpu_ns = cpu_ns
        self._plays = plays
        self._began: tuple[int, int, int] | None = None
        self._late_us: list[float] = []
        self.blocks: list[Block] = []
        self.prefetch = engine.prefetch
        self.skip = engine.skip

    @property
    def finished(self) -> bool:
        """Whether all blocks are measured."""
        return len(self.blocks) >= self._wanted

    @property
    def period_ns(self) -> int:
        """The engine's."""
        return self._engine.period_ns

    @property
    def has_slack(self) -> bool:
        """The engine's."""
        return self._engine.has_slack

    def tick(self, now_s: float, late_s: float) -> None:
        """Tick, and end a block where it is as long as it should be."""
        if self._began is None and self._plays():
            self._began = self._read()
        self._engine.tick(now_s, late_s)
        if self._began is None:
            return
        self._late_us.append(1e6 * late_s)
        if len(self._late_us) == BLOCK_TICKS:
            self._end_block()

    def _end_block(self) -> None:
        assert self._began is not None
        ended = self._read()
        wall_ns, cpu_ns, spun_ns = (after - before for after, before in zip(ended, self._began, strict=True))
        self.blocks.append(Block(self._turns.policy, wall_ns, cpu_ns, spun_ns, self._late_us))
        self._turns.policy = POLICIES[len(self.blocks) % len(POLICIES)]
        self._began, self._late_us = ended, []

    def _read(self) -> tuple[int, int, int]:
        return self._clock.now_ns(), self._cpu_ns(), self._clock.spun_ns


def run(players: int = PLAYERS, seconds: float = SECONDS, *, seed: int = 1) -> dict[str, Any]:
    """Measure one match for ``seconds`` and return what is printed. Raises BenchError."""
    config = RunConfig(players, MAP, seconds, seed, floor=False)
    with Rig(players) as rig:
        rig.warm_up()
        rig.shared.window = Window.CLOSED
        rig.server.run(serve, config)
        ready = rig.server.receive(ServerReady, SLACK_S)
        rig.clients.run(clients.play, config, ready)
        blocks = rig.server.receive(list, seconds + SLACK_S, rig.clients)
        rig.clients.receive(ClientFigures, SLACK_S)
    return describe(config, blocks)


def serve(shared: SharedState, send: Send, config: RunConfig) -> list[Block]:
    """Play one match; ``send`` is called with ServerReady once clients may connect."""
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(_serve(shared, send, config))


async def _serve(shared: SharedState, send: Send, config: RunConfig) -> list[Block]:
    transport = await open_transport(HOST, 0, config.transport)
    mode = run_config.bench_mode()
    engine = Engine(
        game_server.match_of(config, mode.card),
        game_server.FLEET_KEY,
        transport,
        secret=bytes(SECRET_BYTES),
        mode=mode,
    )

    def plays() -> bool:
        if shared.window == Window.CLOSED and engine.phase == Phase.PLAYING:
            shared.window = Window.OPEN
        return shared.window == Window.OPEN

    send(ServerReady(game_server.tokens_of(engine, transport), 0))
    clock = MeteredClock(SystemTickClock())
    turns = Turns({"spun": AlwaysSpun(), "paced": WakeUps()})
    blocks = max(len(POLICIES), round(config.seconds * TICK_HZ / BLOCK_TICKS))
    metered = MeteredEngine(engine, clock, turns, blocks, time.thread_time_ns, plays)
    try:
        await run_paced(metered, clock, turns)
    finally:
        shared.window = Window.OVER
        await transport.close()
    return metered.blocks


def describe(config: RunConfig, blocks: list[Block]) -> dict[str, Any]:
    """Return what is printed.

    ``core_share``: of a core, the thread that ticks; the median block of each policy. ``spun_share``: of a
    core, waiting for the moment at which a tick is due. ``spin_off``: whether the match is not spun for.
    """
    of = {policy: [block for block in blocks if block.policy == policy] for policy in POLICIES}
    spun = {name: _share(some, [block.spun_ns for block in some]) for name, some in of.items()}
    return {
        "bench": "idle",
        "players": config.players,
        "seconds": config.seconds,
        "core_share": {name: _share(some, [block.cpu_ns for block in some]) for name, some in of.items()},
        "spun_share": spun,
        "spin_off": spun["paced"] == 0.0,
        "late_us": {
            name: percentiles(np.concatenate([block.late_us for block in some]), 50, 99)
            for name, some in of.items()
        },
        "blocks": len(blocks),
    }


def _share(blocks: list[Block], took_ns: list[int]) -> float:
    shares = [took / block.wall_ns for took, block in zip(took_ns, blocks, strict=True)]
    return round(float(np.median(shares)), 4)

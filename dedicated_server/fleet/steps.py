"""The fleet's time: its steps, what they notice besides, and what ``/readyz`` says of the fleet."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from dedicated_server.fleet.admin.count_history import CountHistory
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.region import Region
from launchday.resilience.clocks.skew import PEERS
from launchday.resilience.health import Part
from launchday.resilience.parts import disk_part
from launchday.resilience.pauses import PauseWatch

STEP_PERIOD_S = 0.25  # how soon a hang is noticed after its time-out; a step over 100 servers takes 20 µs
LIST_PERIOD_S = 5.0  # between two comparisons with what the warm parents have; one takes 0.1 ms


class Parents(Protocol):
    """The warm parents, as the steps see them."""

    @property
    def warm(self) -> bool:
        """Whether any takes orders."""

    def list_servers(self, now: float) -> None:
        """Ask each for the servers that it has; ``now`` is monotonic seconds."""


async def take_steps(
    pool: WarmPool, warm_parents: Parents, journal: AllocationJournal, history: CountHistory
) -> None:
    """Let the pool's time pass; notice that this process was stopped, and what was missed."""
    watch = PauseWatch(STEP_PERIOD_S, pool.config.health.period_s)
    list_due = 0.0
    while True:
        now = pool.clock.monotonic()
        if paused_s := watch.noticed(now):
            pool.resume(paused_s, now)
        pool.step(now)
        if now >= list_due:
            warm_parents.list_servers(now)
            note_clocks(pool)
            list_due = now + LIST_PERIOD_S
        journal.probe()
        history.sample(pool.regions, pool.clock.wall(), now)
        metrics.observe_regions(pool.regions)
        metrics.observe_starts(pool.starts)
        await pool.clock.sleep(STEP_PERIOD_S)


def note_clocks(pool: WarmPool) -> None:
    """Say how far the clock is off that differs most among those of the game servers' machines."""
    worst = max(
        (server for server in pool if not server.gone),
        key=lambda server: abs(server.clock_ahead_s),
        default=None,
    )
    if worst is not None:
        PEERS.note("game servers", worst.clock_ahead_s, worst.name)


def parts(
    warm_parents: Parents, journal: AllocationJournal, folder: Path, regions: Mapping[str, Region]
) -> tuple[Part, ...]:
    """What ``/readyz`` lists. A running match needs none of it, so none makes the fleet unready."""
    disk = disk_part(folder)

    async def disk_takes_the_journal() -> str | None:
        if journal.fault:
            return f"{journal.fault}: no allocation can be written down in {folder}"
        return await disk.check()

    async def can_fork() -> str | None:
        return None if warm_parents.warm else "no warm parent takes orders"

    async def has_servers() -> str | None:
        waiting = [
            f"{name} ({region.starting()} start)" for name, region in regions.items() if region.awaits_first()
        ]
        return f"no server is ready in {', '.join(waiting)}" if waiting else None

    return (
        Part("disk", disk_takes_the_journal),
        Part("warm parents", can_fork),
        Part("warm servers", has_servers),
    )

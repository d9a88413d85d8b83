"""One fault of an engine, measured under a steady load."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

BEFORE_S = 5.0
AFTER_S = 5.0
WINDOW_S = 0.5
NORMAL = 0.7  # answers are normal again from when a window has so much of the rate before
GIVE_UP_S = 60.0


class Subject(Protocol):
    """What a fault happens to: a real engine, and services of ours on it.

    One object is used for one fault.
    """

    async def ask(self, number: int) -> bool:
        """Make one request that changes something under a key of its own.

        Returns whether it was acknowledged; raises whatever the client raises where it was not. Whether a
        request that failed has happened is open: `audit` counts it neither as lost nor as doubled, unless it
        happened twice.
        """

    async def inject(self) -> None:
        """Let the fault happen; returns once it has."""

    async def heal(self) -> None:
        """End what has to be ended from outside, such as a pause; nothing where the engine heals itself."""

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        """Compare what was acknowledged with what is there, once all has settled."""


@dataclass(frozen=True, slots=True)
class Audit:
    """What became of what was acknowledged.

    Attributes:
        lost: acknowledged, and not there.
        doubled: there more than once, acknowledged or not.
        balanced: whether the books of the engine's services add up.
        bound: what of `lost` could not be kept, by name; empty where nothing was lost.
    """

    lost: int
    doubled: int
    balanced: bool
    bound: str = ""


@dataclass(frozen=True, slots=True)
class EngineFault:
    """A fault that can be measured.

    Attributes:
        engine: "kafka", "valkey cluster", "postgresql", …
        name: of the fault, such as "primary killed".
        subject: gives the engine and the services on it, ready for load; ends them.
        workers: requests at the same time.
        lasts_s: from `Subject.inject` to `Subject.heal`.
        ends_outside: it lasts until it is healed, as a pause does; where the engine heals itself, recovery
            counts from the injection, always.
    """

    engine: str
    name: str
    subject: Callable[[], contextlib.AbstractAsyncContextManager[Subject]]
    workers: int = 8
    lasts_s: float = 5.0
    ends_outside: bool = False


@dataclass
class Load:
    """Requests by several workers, and when each was answered.

    Attributes:
        acknowledged: numbers of the requests that were.
        done_s: when each was acknowledged, of the monotonic clock.
        errors: how often which failure was seen.
    """

    subject: Subject
    acknowledged: list[int] = field(default_factory=list)
    done_s: list[float] = field(default_factory=list)
    errors: dict[str, int] = field(default_factory=dict)
    _next: int = 0
    _stop: bool = False

    @contextlib.asynccontextmanager
    async def running(self, workers: int) -> AsyncIterator[None]:
        """Ask until the block ends; what is under way then is awaited."""
        asking = [asyncio.create_task(self._work()) for _ in range(workers)]
        try:
            yield
        finally:
            self._stop = True
            await asyncio.gather(*asking)

    def rate(self, since: float, until: float) -> float:
        """Acknowledged requests a second between two moments."""
        return sum(since <= at < until for at in self.done_s) / max(until - since, 1e-9)

    async def _work(self) -> None:
        while not self._stop:
            number, self._next = self._next, self._next + 1
            try:
                if await self.subject.ask(number):
                    self.acknowledged.append(number)
                    self.done_s.append(time.monotonic())
            except Exception as error:  # the load goes on through whatever the fault brings
                kind = f"{type(error).__name__}: {error}"[:120]
                self.errors[kind] = self.errors.get(kind, 0) + 1
                await asyncio.sleep(0.02)


async def measure(fault: EngineFault, before_s: float = BEFORE_S, after_s: float = AFTER_S) -> dict[str, Any]:
    """Measure one fault; return its line.

    ``recovery_s`` counts from the injection to the end of the last window of `WINDOW_S` in which fewer than
    `NORMAL` of the requests before were acknowledged; where the fault lasts until it is healed from outside,
    and requests fail beyond that, from its healing.
    """
    async with fault.subject() as subject:
        load = Load(subject)
        async with load.running(fault.workers):
            await asyncio.sleep(before_s)
            began = time.monotonic()
            normal = load.rate(began - before_s * 0.8, began)
            await subject.inject()
            await asyncio.sleep(max(0.0, began + fault.lasts_s - time.monotonic()))
            healed = time.monotonic()
            await subject.heal()
            await until_normal(load, normal, healed)
            ended = time.monotonic()
            await asyncio.sleep(after_s)
        audit = await subject.audit(load.acknowledged)
    return {
        "bench": "engines",
        "engine": fault.engine,
        "fault": fault.name,
        "requests_per_s": {
            "before": round(normal, 1),
            "during": round(load.rate(began, healed), 1),
            "after": round(load.rate(ended, ended + after_s), 1),
        },
        "recovery_s": round(
            recovery_s(load, normal, began, healed if fault.ends_outside else began, ended), 2
        ),
        "acknowledged": len(load.acknowledged),
        "failed": sum(load.errors.values()),
        "errors": dict(sorted(load.errors.items(), key=lambda item: -item[1])[:3]),
        "lost": audit.lost,
        "doubled": audit.doubled,
        "balanced": audit.balanced,
        "bound": audit.bound,
    }


async def until_normal(load: Load, normal: float, since: float) -> None:
    """Wait until a whole second is normal."""
    while (now := time.monotonic()) < since + GIVE_UP_S:
        if now - since >= 2 * WINDOW_S and load.rate(now - 2 * WINDOW_S, now) >= NORMAL * normal:
            return
        await asyncio.sleep(0.1)


def recovery_s(load: Load, normal: float, began: float, healed: float, ended: float) -> float:
    """See `measure`; ``healed`` is ``began`` where a fault heals itself."""
    starts = [began + WINDOW_S * count for count in range(int((ended - began) / WINDOW_S) + 1)]
    bad = [at + WINDOW_S for at in starts if load.rate(at, at + WINDOW_S) < NORMAL * normal]
    if not bad:
        return 0.0
    return max(bad) - (healed if max(bad) > healed else began)

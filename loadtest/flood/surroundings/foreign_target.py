"""A target of somebody else's around the players: its own counters, where it has some, nothing of ours."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace
from typing import cast

from loadtest.background import background
from loadtest.errors import BackendError, TargetError
from loadtest.flood.conditions import MachineUse
from loadtest.flood.injection.faults import FaultInjector
from loadtest.flood.ledger import Ledger, MatchCounts
from loadtest.flood.options import TargetFactory
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.before import TARGET, Before
from loadtest.flood.surroundings.base import Run
from loadtest.flood.surroundings.target_ledger import BotCounts, balance_target
from loadtest.flood.surroundings.unmeasured import injectable, not_on_target, unmeasured
from loadtest.flood.watching.monitor import (
    SAMPLE_INTERVAL_S,
    SETTLE_TIMEOUT_INTERRUPTED_S,
    SETTLE_TIMEOUT_S,
)
from loadtest.flood.watching.settling import settle
from loadtest.players.guarded_target import GuardedTarget
from loadtest.players.run_context import RunContext
from loadtest.target import CountsTickets, Target, target_name

SETTLE_POLL_S = 0.25
ENTER_TIMEOUT_S = 30.0  # in which a target opens what it needs, or closes it


@dataclass(slots=True)
class TargetSurroundings:
    """What takes part in a run on a target. It is a ``Surroundings``.

    Attributes:
        name: of the target.
        counts: the target, where it counts by itself; None where it does not.
        before, counters: what it had counted before the first player arrived, and when it was asked last.
        phase: what the progress calls the present part of the run.
        error: why the counters could not be read the last time, or "".
        machine: what others used of it while the players played.
    """

    run: Run
    context: RunContext
    faults: FaultInjector
    left_out: Sequence[str]
    name: str
    counts: CountsTickets | None
    before: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, int] = field(default_factory=dict)
    phase: str = "playing"
    error: str = ""
    machine: MachineUse = field(default_factory=MachineUse)

    def counted_before(self) -> Before:
        """The target's counters before the first player came."""
        return Before({TARGET: dict(self.before)} if self.counts is not None else {})

    @contextlib.asynccontextmanager
    async def watching(self) -> AsyncIterator[None]:
        """Count the players once a second, for as long as the context lasts."""
        async with background(self._watch(), "player counts"):
            yield

    async def _watch(self) -> None:
        run = self.run
        while True:
            sample_s = run.clock()
            run.timeline.begin_sample(round(sample_s, 2), run.records)
            run.progress.update(sample_s, self.phase)
            await asyncio.sleep(max(0.0, sample_s + SAMPLE_INTERVAL_S - run.clock()))

    def note_played(self, played_s: float, own_s: float, machine_s: float) -> None:
        """Work out what others used of the machine while the players played, the target among them: nobody
        knows which of the processes are the target's.
        """
        others_s = machine_s - own_s - self.faults.busy_s
        self.machine = MachineUse.of(others_s, played_s, backend_included=True)

    async def settle(self, stop_event: asyncio.Event) -> float | None:
        """Read the target's counters until they balance; the seconds that it took, or None."""
        self.phase = "settling"
        if self.counts is None:
            return 0.0

        async def balanced() -> bool:
            await self.read()
            return not self.error and self.ledger().balanced

        def waits_on(took_s: float) -> bool:
            return took_s <= (SETTLE_TIMEOUT_INTERRUPTED_S if stop_event.is_set() else SETTLE_TIMEOUT_S)

        return await settle(balanced, waits_on, SETTLE_POLL_S)

    async def read(self) -> None:
        """Read the target's counters; where they cannot be read, keep the last ones and note why."""
        assert self.counts is not None
        self.error = ""
        try:
            self.counters = await self.counts.counters()
        except BackendError as error:
            self.error = f"{self.name}: {error}"

    def failures(self) -> list[str]:
        """Why the target's counters could not be read to the end."""
        return [self.error] if self.error else []

    def ledger(self) -> Ledger:
        """The lines that the target's counters allow, by those that were read last."""
        grown = {name: count - self.before.get(name, 0) for name, count in self.counters.items()}
        return balance_target(grown, BotCounts.of(self.run.records, self.context.parties))

    def complete(self, outcome: RunOutcome, own_s: float, machine_s: float) -> RunOutcome:
        """Add the target's name, the matches that the players saw, and what nobody can measure here."""
        nothing_counted = () if outcome.ledger.lines else ("unbalanced ledger lines",)
        return replace(
            outcome,
            target=self.name,
            machine=self.machine,
            not_measured=(*unmeasured(self.context.target), *nothing_counted),
            matches=MatchCounts(formed=len(BotCounts.of(self.run.records, self.context.parties).matches)),
        )


@contextlib.asynccontextmanager
async def open_target(run: Run, make: TargetFactory) -> AsyncIterator[TargetSurroundings]:
    """Make the target, enter it where it is a context manager, and read its counters.

    Raises:
        TargetError: it cannot be made.
        BackendError: it cannot be entered, or does not tell its counters.
    """
    name = target_name(make)
    try:
        made = make()
    except Exception as error:
        raise TargetError(f"{name} cannot be made: {type(error).__name__}: {error}") from error
    async with contextlib.AsyncExitStack() as stack:
        if hasattr(made, "__aenter__"):
            made = await _enter(cast(AbstractAsyncContextManager[Target], made), name, run, stack)
        target = GuardedTarget(made, run.requests, run.scenario.behaviours.patience_s)
        run.timeline.queue.clear()
        run.timeline.queue_at_s.clear()
        around = TargetSurroundings(
            run=run,
            context=run.context(target, connects_by_request=True),
            faults=FaultInjector(
                injectable(run.faults),
                None,
                None,
                None,
                None,
                run.timeline,
                run.clock,
                run.choose().integers,
                run.drops,
            ),
            left_out=not_on_target(run.scenario, made),
            name=name,
            counts=target if isinstance(target, CountsTickets) else None,
        )
        if around.counts is not None:
            await around.read()
            if around.error:
                raise BackendError(around.error)
            around.before = around.counters
        yield around


async def _enter(
    made: AbstractAsyncContextManager[Target], name: str, run: Run, stack: contextlib.AsyncExitStack
) -> Target:
    """Enter a target, and have it left at the end; what that raises is told and costs nothing."""
    try:
        async with asyncio.timeout(ENTER_TIMEOUT_S):
            entered = await made.__aenter__()
    except (BackendError, TargetError):
        raise
    except TimeoutError as error:
        raise BackendError(f"{name} was not entered within {ENTER_TIMEOUT_S:g} s") from error
    except Exception as error:
        raise BackendError(f"{name} cannot be entered: {type(error).__name__}: {error}") from error

    async def leave() -> None:
        try:
            async with asyncio.timeout(ENTER_TIMEOUT_S):
                await made.__aexit__(None, None, None)
        except Exception as error:
            why = f"{type(error).__name__}: {error}".removesuffix(": ")
            run.progress.print_line(f"{name} could not be left: {why}", "red")

    stack.push_async_callback(leave)
    return cast(Target, made) if entered is None else entered

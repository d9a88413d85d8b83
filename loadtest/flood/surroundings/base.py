"""What every run has, whatever it floods, and what a run needs of its surroundings."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from launchday.terminal import Terminal
from loadtest.flood.injection.faults import FaultInjector
from loadtest.flood.ledger import Ledger
from loadtest.flood.options import FloodOptions
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.before import Before
from loadtest.flood.watching.progress import ProgressDisplay
from loadtest.flood.watching.timeline import Timeline
from loadtest.players.drops import ConnectionDrops
from loadtest.players.parties import BotParties
from loadtest.players.player_links import PlayerLinks
from loadtest.players.player_records import PlayerRecords
from loadtest.players.requests import RequestLog
from loadtest.players.run_context import RunContext
from loadtest.scenario.faults import CutRegion, Fault, ReconnectAll
from loadtest.scenario.model import Scenario
from loadtest.scenario.part import Part
from loadtest.scenario.population import Population, draw_population
from loadtest.target import Target


@dataclass(slots=True)
class Run:
    """What every run has.

    Attributes:
        latencies_ms: of :func:`loadtest.scenario.population.region_latencies_ms`.
        population: who plays.
        run_id: eight hexadecimal digits.
        part: of the population that plays; None for all of it.
        started_at: Unix seconds at which the run's clock began.
        records, requests, timeline: what is measured.
        ended_matches: ids of the matches that are over.
        drops: of all connections at once.
    """

    scenario: Scenario
    latencies_ms: list[dict[str, float]]
    options: FloodOptions
    population: Population
    part: Part | None
    run_id: str
    started_at: float
    records: PlayerRecords
    timeline: Timeline
    progress: ProgressDisplay
    requests: RequestLog = field(default_factory=RequestLog)
    ended_matches: set[str] = field(default_factory=set)
    drops: ConnectionDrops = field(default_factory=ConnectionDrops)
    _began: float = field(default_factory=time.monotonic)

    @classmethod
    def of(
        cls,
        scenario: Scenario,
        latencies_ms: list[dict[str, float]],
        options: FloodOptions,
        console: Terminal,
    ) -> Run:
        """Draw the players of a scenario. The run's clock does not count until :meth:`begin`."""
        part = None if options.part is None else Part(*options.part)
        whole = draw_population(scenario)
        population = whole if part is None else part.players(whole)
        records, timeline = PlayerRecords(population.arrives_s), Timeline()
        return cls(
            scenario=scenario,
            latencies_ms=latencies_ms,
            options=options,
            population=population,
            part=part,
            run_id=secrets.token_hex(4),
            started_at=time.time(),
            records=records,
            timeline=timeline,
            progress=ProgressDisplay(console, records, timeline),
        )

    def begin(self) -> None:
        """Start the run's clock, at 0."""
        self._began, self.started_at = time.monotonic(), time.time()

    def clock(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self._began

    @property
    def links(self) -> PlayerLinks:
        """How far the players are from each region."""
        return PlayerLinks(self.scenario, self.population, self.latencies_ms)

    def context(self, target: Target, *, connects_by_request: bool) -> RunContext:
        """What the players of this run share, on a target."""
        name = f"{self.scenario.name}-{self.run_id}"
        return RunContext(
            scenario=self.scenario,
            population=self.population,
            records=self.records,
            target=target,
            links=self.links,
            clock=self.clock,
            device_id=lambda bot: f"{name}-{bot}",
            parties=BotParties.of_population(self.population, name),
            rng=np.random.default_rng(self._seed),
            requests=self.requests,
            ended_matches=self.ended_matches,
            drops=self.drops,
            connects_by_request=connects_by_request,
        )

    @property
    def faults(self) -> list[Fault]:
        """The faults that this run injects.

        Each part of a flood injects those of its own players; the backend's come from the first part alone.
        """
        faults = self.scenario.faults
        if self.part is None or self.part.number == 1:
            return faults
        return [fault for fault in faults if isinstance(fault, CutRegion | ReconnectAll)]

    @property
    def _seed(self) -> int | list[int]:
        """Of what players draw while they play, which those of another part do not draw again."""
        return self.scenario.seed if self.part is None else [self.scenario.seed, self.part.number]

    def choose(self) -> np.random.Generator:
        """The source of the random choices that the faults make."""
        return np.random.default_rng(self.scenario.seed + 1)


class Surroundings(Protocol):
    """What a run needs of what surrounds its players.

    Attributes:
        context: what the players share.
        faults: of the scenario, those that can be injected here.
        left_out: what the scenario asks for and is not done here, in words.
    """

    context: RunContext
    faults: FaultInjector
    left_out: Sequence[str]

    def counted_before(self) -> Before:
        """What the backend had counted before the first player came, for whoever adds up parts of a run."""
        ...

    def watching(self) -> AbstractAsyncContextManager[None]:
        """Watch the backend, and show the progress, for as long as the context lasts."""
        ...

    def note_played(self, played_s: float, own_s: float, machine_s: float) -> None:
        """The last player has left, or the run was stopped.

        Args:
            played_s: seconds of the run.
            own_s: seconds of processor time that this process has used in it.
            machine_s: seconds that the whole machine has used meanwhile.
        """
        ...

    async def settle(self, stop_event: asyncio.Event) -> float | None:
        """Read the backend's counters until they balance, within the time that it has for that.

        Returns:
            The seconds that it took; None where they do not balance.
        """
        ...

    def failures(self) -> list[str]:
        """Why something could not be counted to the end, a line each."""
        ...

    def ledger(self) -> Ledger:
        """The ledger by what was read last."""
        ...

    def complete(self, outcome: RunOutcome, own_s: float, machine_s: float) -> RunOutcome:
        """Add what only these surroundings know to an outcome.

        Args:
            outcome: with what every run has.
            own_s: seconds of processor time that this process has used in the whole run.
            machine_s: seconds that the whole machine has used meanwhile.
        """
        ...

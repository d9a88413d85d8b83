"""Our own backend around the players: its services' counters, its events, its fleet, the bots' UDP side."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from dedicated_server.cards import cards_in_force
from dedicated_server.fleet.client import FleetAdminClient
from launchday.clock import SystemClock
from launchday.identity import IdentityError, signer_of
from launchday.resilience.bus import Bus
from launchday.settings import Settings
from loadtest.bots.goals import load_hooks
from loadtest.bots.mode_table import max_players
from loadtest.bots.swarm import Swarm
from loadtest.errors import BackendError
from loadtest.flood.backend_processes import OTHERS, BackendProcesses, CpuMeter
from loadtest.flood.conditions import MachineUse
from loadtest.flood.injection.faults import FaultInjector
from loadtest.flood.ledger import ExpectedLosses, Ledger, balance, count_matches, witnessed
from loadtest.flood.outcome import RunOutcome
from loadtest.flood.parts.before import Before
from loadtest.flood.surroundings.base import Run
from loadtest.flood.surroundings.warm_start import wait_for_buffers
from loadtest.flood.watching.allocations import AllocationFeed
from loadtest.flood.watching.counters import COUNTERS, BackendCounters, CountersReader, RequestCounts
from loadtest.flood.watching.events import EventCounter
from loadtest.flood.watching.monitor import BackendMonitor, wait_until_settled
from loadtest.players.backend_client import HttpBackendClient
from loadtest.players.own_backend import OwnBackend
from loadtest.players.run_context import RunContext
from loadtest.scenario.left_out import not_in_flood
from loadtest.scenario.platforms import backend_platforms
from loadtest.scenario.population import max_one_way_ms


@dataclass(slots=True)
class OwnSurroundings:
    """Everything that takes part in a run on our own backend. It is a ``Surroundings``.

    Attributes:
        before: what every service had counted before the first player arrived.
        counters: what it had counted when it was asked last.
        processes: of the backend, None where they are not known.
        cpu_meter: None likewise.
        machine: what others used of it while the players played.
    """

    run: Run
    context: RunContext
    faults: FaultInjector
    left_out: Sequence[str]
    swarm: Swarm
    reader: CountersReader
    before: BackendCounters
    counters: BackendCounters
    requests_before: RequestCounts
    request_counts: RequestCounts
    events: EventCounter
    monitor: BackendMonitor
    allocations: AllocationFeed
    processes: BackendProcesses | None
    cpu_meter: CpuMeter | None
    machine: MachineUse = field(default_factory=MachineUse)

    def counted_before(self) -> Before:
        """The services' counters and the logs' ends before the first player came."""
        counters = {name: getattr(self.before, name) for name in COUNTERS}
        return Before.of(counters, self.requests_before, self.events.began_at)

    def watching(self) -> AbstractAsyncContextManager[None]:
        """Read counters and game servers once a second, for as long as the context lasts."""
        return self.monitor.watching()

    def note_played(self, played_s: float, own_s: float, machine_s: float) -> None:
        """Work out what others used of the machine while the players played."""
        planned_s = self.faults.busy_s  # the scenario's own: nobody else took it
        if self.cpu_meter is None:
            self.machine = MachineUse.of(machine_s - own_s - planned_s, played_s, backend_included=True)
        else:
            others_s = self.cpu_meter.by_kind(own_s, machine_s)[OTHERS]
            self.machine = MachineUse.of(others_s - planned_s, played_s)

    async def settle(self, stop_event: asyncio.Event) -> float | None:
        """Read the counters until they balance; the seconds that it took, or None."""
        self.monitor.phase = "settling"
        self.counters, settled_s = await wait_until_settled(
            self.monitor, stop_event, lambda seen: self._balance(seen).balanced
        )
        self.request_counts = (await self.reader.read_requests()).since(self.requests_before)
        return settled_s

    def failures(self) -> list[str]:
        """Why counters or events could not be read to the end."""
        return [failure for failure in (self.monitor.error, self.events.failure()) if failure is not None]

    def ledger(self) -> Ledger:
        """The ledger by the counters that were read last."""
        return self._balance(self.counters)

    def _balance(self, counters: BackendCounters) -> Ledger:
        context = self.context
        return balance(
            counters.since(self.before),
            tickets_opened=context.records.tickets,
            kill_events=self.events.kills,
            killed=expected_losses(self.faults.killed_servers, counters, self.events),
            parties=(context.parties.matched_count, context.parties.whole_count),
            gaps=self.events.gaps,
            seen=witnessed(context.records, self.events.by_player, self.events.deaths_by_player),
            told=context.records.told(),
        )

    def complete(self, outcome: RunOutcome, own_s: float, machine_s: float) -> RunOutcome:
        """Add what the services, the fleet, the events and the bots' UDP side have told."""
        swarm = self.swarm
        return replace(
            outcome,
            reports=self.monitor.reports(),
            generator=replace(
                outcome.generator,
                step_late_us=swarm.step_lateness_us(50, 99, 100),
                steps_missed_share=round(swarm.steps_missed / max(1, swarm.steps + swarm.steps_missed), 6),
                datagrams_overflowed=sum(link["overflowed"] for link in swarm.links.values()),
                stages_s=swarm.stages_s,
            ),
            matches=count_matches(
                self.counters.since(self.before),
                servers_used=len(self.allocations.allocated),
                failures=Counter(match.reason for match in self.allocations.failed),
            ),
            failed_matches=self.allocations.failed,
            lost_servers=self.allocations.lost,
            deaths=() if self.processes is None else tuple(self.processes.deaths),
            cpu_s={} if self.cpu_meter is None else self.cpu_meter.by_kind(own_s, machine_s),
            kills_by_player=dict(self.events.by_player),
            match_results=dict(self.events.results),
            event_kinds=self.events.kinds,
            request_counts=self.request_counts,
            machine=self.machine,
        )


@contextlib.asynccontextmanager
async def open_own_backend(
    run: Run, settings: Settings, processes: BackendProcesses | None
) -> AsyncIterator[OwnSurroundings]:
    """Connect to every service, read the counters and start the bots.

    Raises:
        BackendError: a service cannot be reached, or a fault cannot be injected.
    """
    scenario, population = run.scenario, run.population
    token = service_token(settings, run.started_at)
    async with contextlib.AsyncExitStack() as stack:
        reader = await stack.enter_async_context(CountersReader(settings, token))
        before = await reader.read()
        events = EventCounter(Bus.of(settings, SystemClock()), settings.topic_prefix)
        await stack.enter_async_context(events)
        fleet = await stack.enter_async_context(FleetAdminClient(settings.fleet_url, token))
        client = await stack.enter_async_context(HttpBackendClient(settings, len(population)))
        if processes is not None:
            delays_s = dict.fromkeys(scenario.fleet.regions, scenario.fleet.startup_s)
            await wait_for_buffers(fleet, settings.max_servers_in_all, delays_s, run.progress.print_line)
        run.progress.print_line("starting the bots")
        cards = cards_in_force(settings.modes)
        swarm = Swarm(
            population,
            cards=cards,
            players=max_players(cards, scenario, settings.match_players),
            scenario=scenario,
            longest_ms=max_one_way_ms(scenario, run.latencies_ms),
            hooks=load_hooks(cards),
            prefer=settings.bots_prefer or None,
        )
        await stack.enter_async_context(swarm)
        cpu_meter = None if processes is None else CpuMeter(processes)
        if cpu_meter is not None:
            cpu_meter.read()
        allocations = await stack.enter_async_context(AllocationFeed(fleet, run.clock))
        target = OwnBackend(
            client,
            swarm,
            run.records,
            run.requests,
            run.links.link_to,
            run.clock,
            run.ended_matches,
            backend_platforms(run.population.platforms),
        )
        context = run.context(target, connects_by_request=False)
        monitor = BackendMonitor(
            reader,
            before,
            fleet,
            run.records,
            run.timeline,
            run.progress,
            run.clock,
            run.ended_matches,
        )
        faults = FaultInjector(
            run.faults,
            processes,
            fleet,
            allocations,
            swarm,
            run.timeline,
            run.clock,
            run.choose().integers,
            run.drops,
        )
        requests_before = await reader.read_requests()
        yield OwnSurroundings(
            run=run,
            context=context,
            faults=faults,
            left_out=not_in_flood(scenario, own_backend=processes is not None),
            swarm=swarm,
            reader=reader,
            before=before,
            counters=before,
            requests_before=requests_before,
            request_counts=RequestCounts(),
            events=events,
            monitor=monitor,
            allocations=allocations,
            processes=processes,
            cpu_meter=cpu_meter,
        )


def service_token(settings: Settings, now: float) -> str:
    """The token of the load test. Raises BackendError where no key signs it."""
    try:
        return signer_of(settings, "loadtest").service_token("loadtest", now)
    except IdentityError as error:
        raise BackendError(str(error)) from error


def expected_losses(
    killed_servers: Collection[str], counters: BackendCounters, events: EventCounter
) -> ExpectedLosses:
    """What the matches are known to have reported whose game servers the run has killed."""
    lost = [report for report in counters.fleet.get("reports", []) if report.get("server") in killed_servers]
    return ExpectedLosses(
        servers=len(killed_servers),
        kills_reported=sum(int(report.get("kills", 0)) for report in lost),
        kill_events=sum(events.by_match.get(str(report.get("match_id")), 0) for report in lost),
    )

"""The director: turns a queue's tickets into matches, and matches into assignments. ``python -m
matchmaker.director``.

A queue has one director that leads it, by a lease with a fencing token; any number stand by. A director keeps
nothing that the cache does not have: whatever goes wrong with the cache or the lease, it drops everything,
takes the lead again when it can, and goes on from what it or another left there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from functools import partial

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dedicated_server.fleet.client import AllocatorClient, FleetAdminClient, mutual_tls
from dedicated_server.protocol import connect_token
from launchday.clock import Clock
from launchday.identity import KeyWatch, signer_of
from launchday.resilience.clocks.shared_time import shared_time
from launchday.resilience.health import begin_stop, operations
from launchday.resilience.parts import cache_part, http_part
from launchday.resilience.reloading import Reloading
from launchday.resilience.retry import Backoff
from launchday.settings import Settings
from matchmaker.director import metrics
from matchmaker.director.backfill import Backfill
from matchmaker.director.giving_up import GivingUp, MatchCloser, MatchFleet
from matchmaker.director.match_loop import MatchLoop
from matchmaker.director.offices import Offices
from matchmaker.director.openings import FleetOpenings
from matchmaker.director.placement import Placement
from matchmaker.director.reach import probe
from matchmaker.director.requeue import Requeuer
from matchmaker.director.server_search import Allocator, ServerSearch
from matchmaker.errors import LeaseLostError
from matchmaker.matching.warm_up import warm_up
from matchmaker.queue.cache import asked_to_stop, open_cache
from matchmaker.queue.lease import Lease
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import Scripts
from matchmaker.rules.modes import SearchRules, load_modes
from matchmaker.rules.rules import Rules
from meta_service.client import MetaClient

STANDBY_S = 0.5  # between two tries to take the lead
MAX_FAULT_PAUSE_S = 30.0  # after faults of ours, one after the other
CLAIM_S = 30.0  # for which a late server is waited for where the fleet's claim_s sets no limit
SERVICE_TOKEN_TTL_S = 30 * 24 * 3600.0  # signed anew at half of it
KEYS = "director"  # whose key file it reads

log = structlog.get_logger()


class Director:
    """Serves one queue whenever it holds the lease.

    Args:
        rules: the mode's rules.
        settings: all settings.
        cache: Valkey or Redis.
        allocator: where servers come from.
        fleet: knows how the server of a match is, and ends it; None: nobody does, as with real Agones.
        meta: closes matches that are given up; None: each counts as closed.
        openings: says when the fleet has a server for a match that it turned away; None: nobody does.
        clock: time, chance and ids.

    Attributes:
        leads: whether it holds the lease.
    """

    def __init__(
        self,
        rules: Rules | SearchRules,
        settings: Settings,
        cache: Redis,
        allocator: Allocator,
        *,
        fleet: MatchFleet | None = None,
        meta: MatchCloser | None = None,
        openings: FleetOpenings | None = None,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._settings = settings
        self._cache = cache
        self._allocator = allocator
        self._fleet = fleet
        self._openings = openings
        self._clock = clock
        self._giving_up = GivingUp(meta, fleet, clock)
        self._scripts = Scripts(cache, settings.ticket_retention_s, clock)
        self._lease = Lease(self._scripts, rules.mode, settings.director_lease_s)
        self.leads = False
        self._match_loop: MatchLoop | None = None
        self._served = False
        connect_token.best_cipher()  # loads libsodium now, not while the first match waits for its tokens

    @property
    def awaits(self) -> str | None:
        """What the queue has waited for since the process began, in a few words; None once it is served.

        That is when this director has led it for a whole cycle, its kernels loaded, or when another leads it.
        It stays so: later troubles are those of the cache, or faults, which are told as such.
        """
        if self._match_loop is not None and self._match_loop.cycles:
            self._served = True
        if self._served:
            return None
        return "has a leader before its first cycle" if self.leads else "has no leader"

    async def run(self) -> None:
        """Take the lead, serve, and begin anew, until cancelled.

        A fault of ours in one queue, with whatever lies in it, is told and begun anew with pauses: it must
        not end the other queues of the process.
        """
        try:
            await self._lead_again_and_again()
        finally:
            await self._giving_up.aclose()

    async def _lead_again_and_again(self) -> None:
        pauses = Backoff(self._clock, STANDBY_S, MAX_FAULT_PAUSE_S)
        while not asked_to_stop():
            pause_s = STANDBY_S
            try:
                fence = await self._lease.acquire()
                if fence is None:
                    self._served = True  # by another director
                else:
                    await self._serve(fence)
                pauses.reset()
            except* (LeaseLostError, RedisError) as errors:
                log.warning(
                    "lost the lead", mode=self._rules.mode, errors=[str(e) for e in errors.exceptions]
                )
            except* Exception as errors:
                metrics.faults.labels(self._rules.mode).inc()
                log.error("a fault in a queue, beginning anew", mode=self._rules.mode, exc_info=errors)
                pause_s += pauses.next_s()
            await self._clock.sleep(pause_s)

    def match_loop(self, fence: bytes) -> MatchLoop:
        """Return the match loop of a leader with this fencing token."""
        settings, rules = self._settings, self._rules
        queue = Queue(
            self._cache,
            self._scripts,
            rules.mode,
            settings.region_names,
            self._lease,
            fence,
            keeps_seats=isinstance(rules, SearchRules) and rules.backfill_until > 0.0,
        )
        servers = ServerSearch(
            self._allocator,
            self._fleet,
            fleet_key=settings.fleet_key_bytes,
            clock=self._clock,
            probe=partial(probe, timeout_s=settings.server_answer_s) if settings.server_answer_s else None,
        )
        placement = Placement(
            queue,
            servers,
            self._giving_up,
            fleet_key=settings.fleet_key_bytes,
            token_ttl_s=rules.match_s + settings.connect_token_ttl_s,
            retry_for_s=settings.allocation_timeout_s,
            claim_s=settings.claim_s or CLAIM_S,
            clock=self._clock,
        )
        backfill = Backfill(self._cache, self._scripts, rules, settings, fence, self._clock)
        return MatchLoop(
            queue,
            rules,
            settings.region_names,
            placement,
            self._clock,
            backfill,
            lease_s=settings.director_lease_s,
            openings=self._openings,
        )

    async def _serve(self, fence: bytes) -> None:
        log.info("leads", mode=self._rules.mode, fence=int(fence))
        office = metrics.office.labels(self._rules.mode)
        self.leads = True
        office.set(1)
        try:
            self._match_loop = self.match_loop(fence)
            await self._match_loop.serve(self._settings.matching_period_s)
        finally:
            self.leads = False
            office.set(0)
            with contextlib.suppress(RedisError):  # then the lease runs out by itself
                await self._lease.release(fence)


async def run(settings: Settings, clock: Clock) -> None:
    """Direct every queue until SIGTERM or SIGINT. Raises RuleSetsError."""
    rules = {name: mode.rules for name, mode in load_modes(settings).items()}
    if settings.director_queues:
        rules = {mode: rules[mode] for mode in settings.director_queues.split(",") if mode in rules}
    # Before taking the lead: a lease is shorter than a compilation.
    warm_up(searching=any(isinstance(each, SearchRules) for each in rules.values()))
    signer = signer_of(settings, KEYS)
    key_watch = KeyWatch(signer, settings, KEYS, clock)
    token = signer.service_tokens("director", clock, SERVICE_TOKEN_TTL_S)
    tls = mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key)
    directing = asyncio.current_task()
    assert directing is not None

    def stop() -> None:
        begin_stop()
        directing.cancel()

    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop)
    offices = Offices(rules)

    async with (
        open_cache(settings.cache_url) as cache,
        AllocatorClient(settings.fleet_url, token, tls=tls) as allocator,
        FleetAdminClient(settings.fleet_url, token, tls=tls) as fleet,
        MetaClient(settings.meta_url, token, clock=clock) as meta,
        cache_part(settings.cache_url) as cache_answers,
        shared_time(cache, clock),
        operations(
            settings,
            settings.director_port,
            (
                cache_answers,
                offices.part(),
                http_part("fleet", settings.fleet_url, tls=tls),
                http_part("meta service", settings.meta_url),
            ),
            clock,
            details=offices.details,
        ),
        asyncio.TaskGroup() as tasks,
    ):
        reloading = Reloading()
        reloading.add("keys", key_watch.read)
        tasks.create_task(reloading.run())
        tasks.create_task(key_watch.run())
        scripts = Scripts(cache, settings.ticket_retention_s, clock)
        requeuer = Requeuer(cache, scripts, fleet, ticket_ttl_s=settings.ticket_ttl_s, clock=clock)
        tasks.create_task(requeuer.run())
        openings = FleetOpenings(fleet, clock)
        tasks.create_task(openings.run())
        for mode, each in rules.items():
            director = Director(
                each, settings, cache, allocator, fleet=fleet, meta=meta, openings=openings, clock=clock
            )
            offices.add(mode, director)
            tasks.create_task(director.run())

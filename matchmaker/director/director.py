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
from launchday.identity import Signer
from launchday.settings import Settings
from matchmaker.director.backfill import Backfill
from matchmaker.director.match_loop import MatchLoop
from matchmaker.director.placement import Allocator, Placement, probe
from matchmaker.director.requeue import Requeuer
from matchmaker.errors import LeaseLostError
from matchmaker.matching.warm_up import warm_up
from matchmaker.queue.cache import asked_to_stop, open_cache
from matchmaker.queue.lease import Lease
from matchmaker.queue.queue import Queue
from matchmaker.queue.scripts import Scripts
from matchmaker.rules.modes import SearchRules, load_modes
from matchmaker.rules.rules import Rules

STANDBY_S = 0.5  # between two tries to take the lead
SERVICE_TOKEN_TTL_S = 365 * 24 * 3600.0  # a director outlives a day; it is restarted to rotate the key

log = structlog.get_logger()


class Director:
    """Serves one queue whenever it holds the lease.

    Args:
        rules: the mode's rules.
        settings: all settings.
        cache: Valkey or Redis.
        allocator: where servers come from.
        clock: time, chance and ids.
    """

    def __init__(
        self,
        rules: Rules | SearchRules,
        settings: Settings,
        cache: Redis,
        allocator: Allocator,
        *,
        clock: Clock,
    ) -> None:
        self._rules = rules
        self._settings = settings
        self._cache = cache
        self._allocator = allocator
        self._clock = clock
        self._scripts = Scripts(cache, settings.ticket_retention_s, clock)
        self._lease = Lease(self._scripts, rules.mode, settings.director_lease_s)
        connect_token.best_cipher()  # loads libsodium now, not while the first match waits for its tokens

    async def run(self) -> None:
        """Take the lead, serve, and begin anew, until cancelled."""
        while not asked_to_stop():
            try:
                fence = await self._lease.acquire()
                if fence is not None:
                    await self._serve(fence)
            except* (LeaseLostError, RedisError) as errors:
                log.warning(
                    "lost the lead", mode=self._rules.mode, errors=[str(e) for e in errors.exceptions]
                )
            await self._clock.sleep(STANDBY_S)

    def match_loop(self, fence: bytes) -> MatchLoop:
        """Return the match loop of a leader with this fencing token."""
        settings, rules = self._settings, self._rules
        queue = Queue(self._cache, self._scripts, rules.mode, settings.region_names, self._lease, fence)
        placement = Placement(
            queue,
            self._allocator,
            fleet_key=settings.fleet_key_bytes,
            token_ttl_s=rules.match_s + settings.connect_token_ttl_s,
            retry_for_s=settings.allocation_timeout_s,
            clock=self._clock,
            probe=partial(probe, timeout_s=settings.server_answer_s) if settings.server_answer_s else None,
        )
        backfill = Backfill(self._cache, self._scripts, rules, settings, fence, self._clock)
        return MatchLoop(queue, rules, settings.region_names, placement, self._clock, backfill)

    async def _serve(self, fence: bytes) -> None:
        log.info("leads", mode=self._rules.mode, fence=int(fence))
        try:
            await self.match_loop(fence).serve(self._settings.matching_period_s)
        finally:
            with contextlib.suppress(RedisError):  # then the lease runs out by itself
                await self._lease.release(fence)


async def run(settings: Settings, clock: Clock) -> None:
    """Direct every queue until SIGTERM or SIGINT. Raises RuleSetsError."""
    rules = {name: mode.rules for name, mode in load_modes(settings).items()}
    if settings.director_queues:
        rules = {mode: rules[mode] for mode in settings.director_queues.split(",") if mode in rules}
    # Before taking the lead: a lease is shorter than a compilation.
    warm_up(searching=any(isinstance(each, SearchRules) for each in rules.values()))
    signer = Signer(settings.identity_secret.get_secret_value())
    token = signer.service_token("director", clock.now(), SERVICE_TOKEN_TTL_S)
    tls = mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key)
    directing = asyncio.current_task()
    assert directing is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, directing.cancel)
    async with (
        open_cache(settings.cache_url) as cache,
        AllocatorClient(settings.fleet_url, token, tls=tls) as allocator,
        FleetAdminClient(settings.fleet_url, token, tls=tls) as fleet,
        asyncio.TaskGroup() as directors,
    ):
        scripts = Scripts(cache, settings.ticket_retention_s, clock)
        requeuer = Requeuer(cache, scripts, fleet, ticket_ttl_s=settings.ticket_ttl_s, clock=clock)
        directors.create_task(requeuer.run())
        for each in rules.values():
            directors.create_task(Director(each, settings, cache, allocator, clock=clock).run())

"""The director: turns a queue's tickets into matches, and matches into assignments. ``python -m matchmaker.director.director``.

A queue has one director in office, by a lease with a fencing token; any number stand by. A director keeps nothing that the
cache does not have: whatever goes wrong with the cache or the lease, it drops everything, takes office again when it can, and
goes on from what it or another left there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable

import numpy as np
import structlog
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dedicated_server.fleet.client import AllocatorClient, FleetAdminClient, mutual_tls
from launchday import telemetry
from launchday.identity import Signer
from launchday.settings import Settings, settings
from matchmaker.director.backfill import Backfill
from matchmaker.director.match_loop import MatchLoop
from matchmaker.director.placement import Allocator, Placement
from matchmaker.director.reachability import probe
from matchmaker.director.requeue import Requeuer
from matchmaker.errors import LeaseLostError, RuleSetsError
from matchmaker.matching.warm_up import warm_up
from matchmaker.queue.cache import asked_to_stop, open_cache
from matchmaker.queue.queue import Lease, Queue
from matchmaker.queue.scripts import Scripts
from matchmaker.rules.modes import SearchRules, load_modes
from matchmaker.rules.rules import Rules

STANDBY_S = 0.5  # between two tries to take office
SERVICE_TOKEN_TTL_S = 365 * 24 * 3600.0  # a director outlives a day; it is restarted to rotate the key

log = structlog.get_logger()


class Director:
    """Serves one queue whenever it holds the lease.

    Args:
        rules: the mode's rules.
        settings: all settings.
        cache: Valkey or Redis.
        allocator: where servers come from.
        rng: draws match ids and seeds.
        clock: Unix seconds.
    """

    def __init__(
        self,
        rules: Rules | SearchRules,
        settings: Settings,
        cache: Redis,
        allocator: Allocator,
        *,
        rng: np.random.Generator,
        clock: Callable[[], float],
    ) -> None:
        self._rules = rules
        self._settings = settings
        self._cache = cache
        self._allocator = allocator
        self._rng = rng
        self._clock = clock
        self._scripts = Scripts(cache, settings.ticket_retention_s)
        self._lease = Lease(self._scripts, rules.mode, settings.director_lease_s)

    async def run(self) -> None:
        """Take office, serve, and begin anew, until cancelled."""
        while not asked_to_stop():
            try:
                fence = await self._lease.acquire()
                if fence is not None:
                    await self._serve(fence)
            except* (LeaseLostError, RedisError) as errors:
                log.warning(
                    "out of office", mode=self._rules.mode, errors=[str(e) for e in errors.exceptions]
                )
            await asyncio.sleep(STANDBY_S)

    def match_loop(self, fence: bytes) -> MatchLoop:
        """A time in office under a fencing token."""
        queue = Queue(
            self._cache, self._scripts, self._rules.mode, self._settings.region_names, self._lease, fence
        )
        placement = Placement(
            queue,
            self._allocator,
            fleet_key=self._settings.fleet_key_bytes,
            token_ttl_s=self._rules.match_s + self._settings.connect_token_ttl_s,
            retry_for_s=self._settings.allocation_timeout_s,
            clock=self._clock,
            probe=self._probe if self._settings.server_answer_s else None,
        )
        backfill = Backfill(self._cache, self._scripts, self._rules, self._settings, fence, self._rng)
        return MatchLoop(
            queue, self._rules, self._settings.region_names, placement, self._rng, self._clock, backfill
        )

    async def _probe(self, address: str, port: int, token: bytes) -> bool:
        return await probe(address, port, token, self._settings.server_answer_s)

    async def _serve(self, fence: bytes) -> None:
        log.info("in office", mode=self._rules.mode, fence=int(fence))
        try:
            await self.match_loop(fence).serve(self._settings.matching_period_s)
        finally:
            with contextlib.suppress(RedisError):  # then the lease runs out by itself
                await self._lease.release(fence)


async def run(settings: Settings) -> None:
    """Direct every queue until SIGTERM or SIGINT."""
    rules = {name: mode.rules for name, mode in load_modes(settings).items()}
    if settings.director_queues:
        rules = {mode: rules[mode] for mode in settings.director_queues.split(",") if mode in rules}
    warm_up(
        searching=any(isinstance(each, SearchRules) for each in rules.values())
    )  # before taking office: a lease is shorter than a compilation
    signer = Signer(settings.identity_secret.get_secret_value())
    token = signer.service_token("director", time.time(), SERVICE_TOKEN_TTL_S)
    tls = mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key)
    seeds = np.random.SeedSequence().spawn(len(rules))
    directing = asyncio.current_task()
    assert directing is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, directing.cancel)
    async with (
        open_cache(settings.cache_url) as cache,
        AllocatorClient(
            settings.fleet_url,
            token,
            tls=tls,
        ) as allocator,
        FleetAdminClient(settings.fleet_url, token, tls=tls) as fleet,
        asyncio.TaskGroup() as directors,
    ):
        scripts = Scripts(cache, settings.ticket_retention_s)
        salvage = Requeuer(cache, scripts, fleet, ticket_ttl_s=settings.ticket_ttl_s, clock=time.time)
        directors.create_task(salvage.run())
        for each, seed in zip(rules.values(), seeds, strict=True):
            rng = np.random.default_rng(seed)
            director = Director(each, settings, cache, allocator, rng=rng, clock=time.time)
            directors.create_task(director.run())


def main() -> None:
    """Run the director with the settings of the environment."""
    configured = settings()
    telemetry.configure("director", configured)
    try:
        with contextlib.suppress(asyncio.CancelledError):  # asked to stop
            uvloop.run(run(configured))
    except RuleSetsError as refused:
        raise SystemExit(str(refused)) from refused


if __name__ == "__main__":
    main()

"""The director: turns a queue's tickets into matches, and matches into assignments. ``python -m matchmaker.director``.

A queue has one director in office, by a lease with a fencing token; any number stand by. A director keeps nothing that the
cache does not have: whatever goes wrong with the cache or the lease, it drops everything, takes office again when it can, and
goes on from what it or another left there.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from uuid import UUID

import numpy as np
import structlog
import uvloop
from redis.asyncio import Redis
from redis.exceptions import RedisError

from dedicated_server.fleet.client import AllocatorClient, mutual_tls
from launchday import telemetry
from launchday.identity import Signer
from launchday.settings import Settings, settings
from matchmaker.cache import asked_to_stop, open_cache
from matchmaker.errors import LeaseLost
from matchmaker.matching import match_tickets
from matchmaker.placement import Allocator, Outcome, Placement
from matchmaker.pool import Pool, Rows
from matchmaker.queue import Entry, Lease, Proposal, Queue
from matchmaker.rules import Rules, load_rules
from matchmaker.scripts import Scripts
from matchmaker.tickets import binary_ids, text_ids

STANDBY_S = 0.5  # between two tries to take office
SCARCE_S = 0.5  # between two tries to get a server in a region that had none
SERVICE_TOKEN_TTL_S = 365 * 24 * 3600.0  # a director outlives a day; it is restarted to rotate the key

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Match:
    """A formed match and the rows of its tickets, in order of their slots."""

    proposal: Proposal
    rows: Rows


class Tenure:
    """One director's time in office over one queue.

    Args:
        queue: the queue, with this tenure's fencing token.
        rules: the mode's rules.
        regions: the fleet's regions.
        placement: places matches.
        rng: draws match ids and seeds.
        clock: Unix seconds.
    """

    def __init__(
        self,
        queue: Queue,
        rules: Rules,
        regions: Sequence[str],
        placement: Placement,
        rng: np.random.Generator,
        clock: Callable[[], float],
    ) -> None:
        self._queue = queue
        self._rules = rules
        self._regions = regions
        self._placement = placement
        self._rng = rng
        self._clock = clock
        self._scarce_until: dict[str, float] = {}  # regions that had no server at the last try
        self._finished: list[bytes] = []  # stream entries of which nothing is left
        self.pool = Pool(len(regions))

    async def serve(self, period_s: float) -> None:
        """Run cycles until cancelled. Raises what ends a tenure: LeaseLost, the cache's errors."""
        async with asyncio.TaskGroup() as placements:
            await self.recover(placements)
            while not asked_to_stop():
                await self.cycle(placements)
                await asyncio.sleep(period_s)
            raise asyncio.CancelledError  # an exception, so that the placements end with the cycles

    async def cycle(self, placements: asyncio.TaskGroup) -> None:
        """One matching cycle. Placements go on beside the cycles that follow."""
        self._take_in(await self._queue.read_new())
        now = self._clock()
        matches = self._wanted(self._form(now), now)
        for match in await self._propose(matches):
            placements.create_task(self._place(match))
        finished, self._finished = self._finished, []
        await self._queue.forget(finished)

    async def recover(self, placements: asyncio.TaskGroup) -> None:
        """Take over what the director before this one left: its tickets, and its matches without a server."""
        proposals = await self._queue.proposals()
        self._take_in(await self._queue.read_unfinished())
        rows = np.flatnonzero(self.pool.state)
        live = await self._queue.live(text_ids(self.pool.ticket_id[rows]))
        self._drop(rows[~live])
        for proposal in proposals:
            held = self.pool.find(binary_ids(proposal.ticket_ids))
            self.pool.hold(held)
            placements.create_task(self._place(Match(proposal, held)))
        if len(rows):
            log.info("took over", mode=self._rules.mode, tickets=int(live.sum()), matches=len(proposals))

    def _take_in(self, entries: list[Entry]) -> None:
        for entry in entries:
            if len(entry.records):
                self.pool.add(entry.entry_id, entry.records)
            else:
                self._drop(self.pool.find(entry.gone))
                self._finished.append(entry.entry_id)

    def _drop(self, rows: Rows) -> None:
        self._finished += self.pool.remove(rows)

    def _form(self, now: float) -> list[Match]:
        """All matches that can be formed, the one with the oldest ticket first."""
        rows = self.pool.searching(now)
        formed = match_tickets(self._rules, now, self.pool.tickets(rows))
        by_match = np.argsort(formed.match_of, kind="stable")
        by_match = by_match[np.searchsorted(formed.match_of[by_match], 0) :]
        ends = np.cumsum(np.bincount(formed.match_of[by_match], minlength=len(formed.region_of)))
        members = [rows[places] for places in np.split(by_match, ends[:-1])] if len(ends) else []
        matches = [
            self._match(member, int(region), now)
            for member, region in zip(members, formed.region_of, strict=True)
        ]
        return sorted(matches, key=lambda match: float(self.pool.enqueued_at[match.rows].min()))

    def _match(self, rows: Rows, region: int, now: float) -> Match:
        proposal = Proposal(
            match_id=str(UUID(bytes=self._rng.bytes(16), version=4)),
            mode=self._rules.mode,
            region=self._regions[region],
            seed=int(self._rng.integers(2**31)),
            match_s=self._rules.match_s,
            formed_at=now,
            ticket_ids=text_ids(self.pool.ticket_id[rows]),
            player_ids=self.pool.player_id[rows].tolist(),
            enqueued_at=self.pool.enqueued_at[rows].tolist(),
            latency_ms=self.pool.latency_ms[rows, region].tolist(),
        )
        return Match(proposal, rows)

    def _wanted(self, matches: list[Match], now: float) -> list[Match]:
        """Without those in regions that have no server: there the oldest match alone asks again, now and then."""
        wanted = []
        for match in matches:
            scarce_until = self._scarce_until.get(match.proposal.region)
            if scarce_until is not None:
                if now < scarce_until:
                    continue
                self._scarce_until[match.proposal.region] = now + SCARCE_S
            wanted.append(match)
        return wanted

    async def _propose(self, matches: list[Match]) -> list[Match]:
        """Claim the matches' tickets; returns the matches that could be claimed."""
        if not matches:
            return []
        claimed = []
        answers = await self._queue.propose([match.proposal for match in matches])
        for match, gone in zip(matches, answers, strict=True):
            if gone:
                self._drop(match.rows[gone])  # the others are matched anew in the next cycle
            else:
                self.pool.hold(match.rows)
                claimed.append(match)
        return claimed

    async def _place(self, match: Match) -> None:
        outcome = await self._placement.place(match.proposal)
        region = match.proposal.region
        if outcome in (Outcome.ASSIGNED, Outcome.FAILED):
            self._drop(match.rows)
            self._scarce_until.pop(region, None)
            return
        self.pool.give_back(match.rows)
        if region not in self._scarce_until:
            log.warning("no server, waiting", region=region, outcome=outcome.name)
        self._scarce_until[region] = self._clock() + SCARCE_S


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
        rules: Rules,
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
            except* (LeaseLost, RedisError) as errors:
                log.warning(
                    "out of office", mode=self._rules.mode, errors=[str(e) for e in errors.exceptions]
                )
            await asyncio.sleep(STANDBY_S)

    def tenure(self, fence: bytes) -> Tenure:
        """A time in office under a fencing token."""
        queue = Queue(
            self._cache, self._scripts, self._rules.mode, self._settings.region_names, self._lease, fence
        )
        placement = Placement(
            queue,
            self._rules,
            self._allocator,
            fleet_key=self._settings.fleet_key_bytes,
            token_ttl_s=self._settings.match_s + self._settings.connect_token_ttl_s,
            patience_s=self._settings.allocation_patience_s,
            clock=self._clock,
        )
        return Tenure(queue, self._rules, self._settings.region_names, placement, self._rng, self._clock)

    async def _serve(self, fence: bytes) -> None:
        log.info("in office", mode=self._rules.mode, fence=int(fence))
        try:
            await self.tenure(fence).serve(self._settings.matching_period_s)
        finally:
            with contextlib.suppress(RedisError):  # then the lease runs out by itself
                await self._lease.release(fence)


async def run(settings: Settings) -> None:
    """Direct every queue until SIGTERM or SIGINT."""
    rules = load_rules(settings)
    warm = Pool(len(settings.region_names))
    for each in rules.values():  # compile before taking office: a lease is shorter than a compilation
        match_tickets(each, 0.0, warm.tickets(np.arange(1)))
    signer = Signer(settings.identity_secret.get_secret_value())
    token = signer.service_token("director", time.time(), SERVICE_TOKEN_TTL_S)
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
            tls=mutual_tls(settings.fleet_ca, settings.fleet_certificate, settings.fleet_certificate_key),
        ) as allocator,
        asyncio.TaskGroup() as directors,
    ):
        for each, seed in zip(rules.values(), seeds, strict=True):
            rng = np.random.default_rng(seed)
            director = Director(each, settings, cache, allocator, rng=rng, clock=time.time)
            directors.create_task(director.run())


def main() -> None:
    """Run the director with the settings of the environment."""
    configured = settings()
    telemetry.configure("director", configured)
    with contextlib.suppress(asyncio.CancelledError):  # asked to stop
        uvloop.run(run(configured))


if __name__ == "__main__":
    main()

"""A queue as its director sees it: the stream of tickets, and the matches on their way to a server.

Every write carries the lease's fencing token, so a director that was paused and comes back changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.asyncio import Redis

from launchday.percentiles import log_buckets
from matchmaker.errors import QueueWentBackError
from matchmaker.messages import QueueDepth
from matchmaker.queue.entries import MALFORMED, QueueEntry, ids_within, read_entry
from matchmaker.queue.lease import Lease
from matchmaker.queue.proposals import MatchProposal, UnreadableProposal, Withdrawal
from matchmaker.queue.scripts import GROUP, KEYS, Call, Scripts
from matchmaker.tickets.seated import seats_of
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RequeueRecord

LOSS_GRACE_S = 120.0  # beyond its longest time, until when the fleet may still say that a match was lost
MAX_ENTRIES = 2_000  # entries a call, each of one to a few hundred tickets
TOLD_S = 5  # that an answer serves whoever asks again: the first may have given up a moment before
MAX_UNREADABLE = 100  # entries and matches kept for whoever looks for the fault
CLOSING = -2_000_000  # instead of how many players have accepted a match, and less: it is being closed
MAX_REFUSALS = 3  # at the check-out, of all players of a match: after so many its tickets end

log = structlog.get_logger()


class Queue:
    """One queue, for the director that holds ``fence``.

    Every method but ``acknowledge``, ``publish_depth`` and ``tell_why`` raises LeaseLostError once another
    director leads; all raise the cache's errors. Where the cache lacks what was done before, because a
    replica took over that did not have it, QueueWentBackError is raised by whichever method sees it.

    Args:
        cache: Valkey or Redis.
        scripts: its scripts.
        mode: the queue.
        regions: the fleet's regions, columns of the tickets' latencies.
        lease: whose lease ``fence`` came from.
        fence: the fencing token.
        keeps_seats: whether who plays in a match is kept for those who come in later.

    Attributes:
        asked: ids of tickets that somebody asked about, since `read_new` was called last.
    """

    def __init__(
        self,
        cache: Redis,
        scripts: Scripts,
        mode: str,
        regions: Sequence[str],
        lease: Lease,
        fence: bytes,
        *,
        keeps_seats: bool = False,
    ) -> None:
        self._cache = cache
        self._scripts = scripts
        self._mode = mode
        self._regions = list(regions)
        self._lease_ms = lease.lease_ms
        self._fence = fence
        self._keeps_seats = keeps_seats
        self.asked: list[str] = []
        self._newest = (0, 0)  # id of the newest entry that was read for the first time

    async def read_new(self, questions: int = 0) -> list[QueueEntry]:
        """Return entries that no director has read, and renew the lease; at most so many questions (`asked`)
        come along.
        """
        entries = await self._read(b">", questions)
        for entry in entries:
            if (number := _number(entry.entry_id)) <= self._newest:
                raise QueueWentBackError(f"{self._mode}: the stream gives {entry.entry_id.decode()} again")
            self._newest = number
        return entries

    async def read_unfinished(self) -> list[QueueEntry]:
        """Return entries that a director before this one read and did not finish, and renew the lease."""
        entries: list[QueueEntry] = []
        after = b"0"
        while page := await self._read(after):
            entries += page
            after = page[-1].entry_id
        return entries

    async def renew_lease(self) -> None:
        """Renew the lease beside a search that takes longer than it."""
        await self._scripts.renew_lease([self._mode, self._fence, self._lease_ms], mode=self._mode)

    async def begin_closing(self, match_id: str) -> None:
        """Note that a match is about to be closed: whoever takes over closes it before anything else."""
        await self._scripts.begin_closing([self._mode, self._fence, match_id], mode=self._mode)

    async def proposals(self) -> tuple[list[MatchProposal], list[UnreadableProposal]]:
        """Return matches that a director before this one proposed and did not finish; and those of them
        that cannot be read.
        """
        stored: Any = await self._cache.hgetall(KEYS["proposals"] + self._mode)
        found, unreadable = [], []
        for match_id, proposal in stored.items():
            try:
                found.append(msgspec.json.decode(proposal, type=MatchProposal))
            except MALFORMED as error:
                log.error("a proposed match cannot be read", match_id=match_id.decode(), error=str(error))
                await self.set_aside(match_id + b" " + proposal)
                unreadable.append(await self._damaged(match_id.decode(), proposal))
        return found, unreadable

    async def set_aside(self, what: bytes) -> None:
        """Keep what cannot be read, for whoever looks for the fault; the newest ones are kept."""
        pipeline = self._cache.pipeline(transaction=False)
        pipeline.lpush(KEYS["unreadable"] + self._mode, what)
        pipeline.ltrim(KEYS["unreadable"] + self._mode, 0, MAX_UNREADABLE - 1)
        await pipeline.execute()

    async def live(self, ticket_ids: Sequence[str]) -> NDArray[np.bool_]:
        """Return bool[N]: which of these tickets have no end yet."""
        if not ticket_ids:
            return np.zeros(0, bool)
        scores = await self._cache.zmscore(KEYS["live"] + self._mode, list(ticket_ids))
        return np.array([score is not None for score in scores])

    async def propose(self, proposals: Sequence[MatchProposal]) -> list[list[int]]:
        """Claim the tickets of each match, all or none, in one round trip.

        Returns:
            For each match the places of its tickets that have ended meanwhile: empty where the match is
            claimed.
        """
        return await self._scripts.propose_match.each(
            [
                Call(
                    [
                        self._mode,
                        self._fence,
                        proposal.match_id,
                        msgspec.json.encode(proposal),
                        "" if proposal.accept_by is None else repr(proposal.accept_by),
                    ],
                    self._mode,
                    proposal.ticket_ids,
                )
                for proposal in proposals
            ]
        )

    async def accepted(self, match_ids: Sequence[str]) -> list[int]:
        """Return how many players of each match have accepted it; below 0 where one said no,
        CLOSING where it is being closed.
        """
        if not match_ids:
            return []
        found = await self._cache.hmget(KEYS["accepted"] + self._mode, list(match_ids))
        return [int(count or 0) for count in found]

    async def decline(self, proposal: MatchProposal) -> list[int] | None:
        """Give up a match that not all have accepted: those who did search again, the others' tickets end.

        Returns:
            The places of the tickets that ended; None where the API was away, and players have more time.
        """
        ended: list[int] = await self._scripts.decline_match(
            [self._mode, self._fence, proposal.match_id], mode=self._mode, tickets=proposal.ticket_ids
        )
        return None if ended == [-1] else ended

    async def fail_tickets(self, ticket_ids: Sequence[str], reason: str) -> None:
        """End tickets that can never match. ``reason`` is plain ASCII without quotes."""
        await self._scripts.fail_tickets(
            [self._mode, self._fence, reason], mode=self._mode, tickets=ticket_ids
        )

    async def publish_depth(self, depth: QueueDepth) -> None:
        """Publish how long the queue is, for whoever scales the fleet."""
        await self._cache.hset(KEYS["depth"], self._mode, msgspec.json.encode(depth).decode())

    async def tell_why(self, ticket_id: str, told: bytes) -> None:
        """Tell who asked why a ticket waits; ``told`` is JSON."""
        await self._cache.set(KEYS["why_told"] + ticket_id, told, ex=TOLD_S)

    async def withdraw(
        self, match_id: str, ticket_ids: Sequence[str], *, given_up: str = "", refused: str = ""
    ) -> Withdrawal:
        """Give a match's tickets back to the search, with their age.

        Args:
            match_id: the match.
            ticket_ids: its tickets.
            given_up: why it was given up, for the counters; empty: no server was spent on it.
            refused: what the player of a ticket reads that ends because its match's players were refused at
                the check-out MAX_REFUSALS times; empty: they were not refused. Plain ASCII without quotes.
        """
        most = MAX_REFUSALS if refused else 0
        ended, refusals = await self._scripts.withdraw_match(
            [self._mode, self._fence, match_id, given_up, most, refused], mode=self._mode, tickets=ticket_ids
        )
        return Withdrawal(ended, refusals)

    async def assign(
        self,
        proposal: MatchProposal,
        views: Sequence[bytes],
        now: float,
        requeue_record: RequeueRecord = NO_REQUEUE_RECORD,
    ) -> None:
        """End a match's tickets as assigned, notify their players, and count them.

        Args:
            proposal: the match.
            views: what each player reads from now on, JSON.
            now: Unix seconds; waits end here.
            requeue_record: its tickets, kept while the match may be lost with its server (``requeue.py``).
        """
        kept = requeue_arguments(
            self._mode, self._regions, requeue_record, proposal.match_s, self._scripts.retention_s
        )
        assigned: int = await self._scripts.assign_match(
            [
                self._mode,
                self._fence,
                proposal.match_id,
                assignment_statistics(proposal.enqueued_at, proposal.latency_ms, now),
                msgspec.msgpack.encode([view.decode() for view in views]),
                *kept,
                *self._seats(proposal, requeue_record),
            ],
            now,
            mode=self._mode,
            tickets=proposal.ticket_ids,
            players=proposal.player_ids if kept.known_s else (),
            keys=[KEYS["match"] + proposal.match_id, KEYS["seats"] + proposal.match_id],
        )
        if not assigned:
            raise QueueWentBackError(f"{self._mode}: {proposal.match_id} is not proposed any more")

    def _seats(self, proposal: MatchProposal, record: RequeueRecord) -> tuple[bytes, int]:
        if not self._keeps_seats or proposal.backfill is None:
            return b"", 0
        entities = range(len(proposal.player_ids))
        seats = seats_of(record, self._regions, proposal.player_ids, entities, proposal.teams)
        return seat_arguments(seats, proposal.match_s)

    async def fail(self, proposal: MatchProposal, reason: str) -> None:
        """End a match's tickets as failed. ``reason`` is plain ASCII without quotes."""
        await self._scripts.fail_match(
            [self._mode, self._fence, proposal.match_id, reason],
            mode=self._mode,
            tickets=proposal.ticket_ids,
        )

    async def acknowledge(self, entry_ids: Sequence[bytes]) -> None:
        """Acknowledge and delete entries of which nothing is left."""
        if not entry_ids:
            return
        stream = KEYS["queue"] + self._mode
        pipeline = self._cache.pipeline(transaction=False)
        pipeline.xack(stream, GROUP, *entry_ids)
        pipeline.xdel(stream, *entry_ids)
        await pipeline.execute()

    async def _damaged(self, match_id: str, stored: bytes) -> UnreadableProposal:
        tickets, players = [], []
        for ticket_id in ids_within(stored):
            player: Any = await self._cache.hget(KEYS["ticket"] + ticket_id, "player")
            if player is not None:
                tickets.append(ticket_id)
                players.append(int(player))
        return UnreadableProposal(match_id, tickets, players)

    async def _read(self, after: bytes, questions: int = 0) -> list[QueueEntry]:
        read, asked = await self._scripts.read_queue(
            [self._mode, self._fence, self._lease_ms, MAX_ENTRIES, after, questions], mode=self._mode
        )
        self.asked = [ticket_id.decode() for ticket_id in asked]
        entries = []
        for entry_id, fields in read:
            entry = read_entry(entry_id, fields, self._regions)
            if entry.fault:
                log.error(
                    "an entry of the queue cannot be read",
                    mode=self._mode,
                    entry=entry_id.decode(),
                    fault=entry.fault,
                )
                await self.set_aside(b" ".join([entry_id, *(fields or ())]))
            entries.append(entry)
        return entries


def _number(entry_id: bytes) -> tuple[int, int]:
    """A stream entry's id, as it counts up."""
    at, _, place = entry_id.partition(b"-")
    return int(at), int(place)


def assignment_statistics(enqueued_at: Sequence[float], latency_ms: Sequence[float], now: float) -> str:
    """Return the waits and latencies of tickets that are assigned at ``now`` (Unix seconds), as the scripts
    count them.
    """
    waits_s = [max(0.0, now - each) for each in enqueued_at]
    return json.dumps(
        {"wait": log_buckets(waits_s), "latency": log_buckets(latency_ms), "wait_max_s": max(waits_s)}
    )


def seat_arguments(seats: Sequence[tuple[int, str]], match_s: float) -> tuple[bytes, int]:
    """Return the seats of players of a match of ``match_s`` seconds, and how long to keep them: see
    `keep_seats` in shared.lua.
    """
    return msgspec.msgpack.encode([part for seat in seats for part in seat]), math.ceil(
        match_s + LOSS_GRACE_S
    )


class KeptRecord(NamedTuple):
    """A match's requeue record, and how long to keep it: see assign_match.lua.

    Attributes:
        record: MessagePack; empty: there is none.
        kept_s: seconds to keep it.
        known_s: seconds that its tickets, their players and parties are to be known; 0: they are.
    """

    record: bytes
    kept_s: int
    known_s: int


def requeue_arguments(
    mode: str, regions: Sequence[str], record: RequeueRecord, match_s: float, retention_s: float
) -> KeptRecord:
    """Return the requeue record of a match of ``match_s`` seconds."""
    if not record.records:
        return KeptRecord(b"", 0, 0)
    kept_s = math.ceil(match_s + LOSS_GRACE_S)
    known_s = math.ceil(kept_s + retention_s) if kept_s > retention_s else 0
    return KeptRecord(msgspec.msgpack.encode((mode, list(regions), *record)), kept_s, known_s)

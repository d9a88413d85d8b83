"""A queue as its director sees it: the stream of tickets, and the matches on their way to a server.

Every write carries the lease's fencing token, so a director that was paused and comes back changes nothing.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from launchday.percentiles import log_buckets
from matchmaker.messages import QueueDepth
from matchmaker.queue.lease import Lease
from matchmaker.queue.scripts import GROUP, KEYS, Scripts, lease_error
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RecordFormat, RequeueRecord, binary_ids

LOSS_GRACE_S = 120.0  # beyond its longest time, until when the fleet may still say that a match was lost
MAX_ENTRIES = 2_000  # entries a call, each of one to a few hundred tickets
UUID_CHARS = 36


class BackfillTerms(msgspec.Struct, frozen=True):
    """On what terms a match requests backfill for slots that become free; it repeats them with each request.

    Attributes:
        queue: the mode whose players may come.
        until_s: seconds of play after which it requests none any more.
        group: whom its players may meet, see Ticket.group.
        skill_lowest, skill_highest: of its players.
    """

    queue: str
    until_s: float
    group: int
    skill_lowest: float
    skill_highest: float


class MatchProposal(msgspec.Struct, frozen=True):
    """A match whose tickets are claimed and whose server is being found; kept so that any director can finish
    it.

    Attributes:
        match_id: canonical UUID; the allocation's idempotency key too.
        mode, region: names.
        seed: the match's random seed.
        match_s: the longest that it lasts, in seconds.
        formed_at: Unix seconds.
        ticket_ids, player_ids: in order of the players' slots (entities).
        enqueued_at: Unix seconds, each ticket's.
        latency_ms: each ticket's round trip to the region.
        teams: each player's team.
        accept_by: Unix seconds until when the players may accept it; None: they are not asked.
        game_mode: what the game server plays, where its name is not the queue's.
        backfill: on what terms it requests backfill; None: it does not.
        quality: how even the teams are expected to be, see ``match_quality``; None: not known.
    """

    match_id: str
    mode: str
    region: str
    seed: int
    match_s: float
    formed_at: float
    ticket_ids: list[str]
    player_ids: list[int]
    enqueued_at: list[float]
    latency_ms: list[float]
    teams: list[int]
    accept_by: float | None = None
    game_mode: str = ""
    backfill: BackfillTerms | None = None
    quality: float | None = None


_NOT_BACKDATED = (np.zeros((0, 2), np.uint64), np.zeros(0))


@dataclass(frozen=True, slots=True)
class QueueEntry:
    """One entry of the stream: tickets come, or gone.

    Attributes:
        entry_id: its id, to be acknowledged when nothing of it is left.
        records: tickets that have come, in RecordFormat; empty in an entry about gone ones.
        gone: uint64[N, 2], ids of tickets that ended without the director.
        backdated: uint64[N, 2], ids of tickets that are older than they were, and float64[N], since when
            (Unix seconds).
        attributes: of each ticket as JSON, in the order of the records; empty where the mode's rules read
            none.
    """

    entry_id: bytes
    records: NDArray[np.void]
    gone: NDArray[np.uint64]
    backdated: tuple[NDArray[np.uint64], NDArray[np.float64]] = _NOT_BACKDATED
    attributes: Sequence[str] = ()


class Queue:
    """One queue, for the director that holds ``fence``.

    Every method but ``acknowledge`` and ``publish_depth`` raises LeaseLostError once another director leads;
    all raise the cache's errors.

    Args:
        cache: Valkey or Redis.
        scripts: its scripts.
        mode: the queue.
        regions: the fleet's regions, columns of the tickets' latencies.
        lease: whose lease ``fence`` came from.
        fence: the fencing token.
    """

    def __init__(
        self, cache: Redis, scripts: Scripts, mode: str, regions: Sequence[str], lease: Lease, fence: bytes
    ) -> None:
        self._cache = cache
        self._scripts = scripts
        self._mode = mode
        self._regions = list(regions)
        self._lease_ms = lease.lease_ms
        self._fence = fence

    async def read_new(self) -> list[QueueEntry]:
        """Return entries that no director has read, and renew the lease."""
        return await self._read(b">")

    async def read_unfinished(self) -> list[QueueEntry]:
        """Return entries that a director before this one read and did not finish, and renew the lease."""
        entries: list[QueueEntry] = []
        after = b"0"
        while page := await self._read(after):
            entries += page
            after = page[-1].entry_id
        return entries

    async def proposals(self) -> list[MatchProposal]:
        """Return matches that a director before this one proposed and did not finish."""
        stored = await self._cache.hvals(KEYS["proposals"] + self._mode)
        return [msgspec.json.decode(proposal, type=MatchProposal) for proposal in stored]

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
        pipeline = self._cache.pipeline(transaction=False)
        for proposal in proposals:
            await self._scripts.propose_match.queue(
                pipeline,
                [
                    self._mode,
                    self._fence,
                    proposal.match_id,
                    msgspec.json.encode(proposal),
                    "" if proposal.accept_by is None else repr(proposal.accept_by),
                    "".join(proposal.ticket_ids),
                ],
            )
        answers: list[list[int]] = []
        for answer in await pipeline.execute(raise_on_error=False):
            if isinstance(answer, ResponseError):
                raise lease_error(answer) from answer
            if isinstance(answer, Exception):
                raise answer
            answers.append(answer)
        return answers

    async def accepted(self, match_ids: Sequence[str]) -> list[int]:
        """Return how many players of each match have accepted it."""
        if not match_ids:
            return []
        found = await self._cache.hmget(KEYS["accepted"] + self._mode, list(match_ids))
        return [int(count or 0) for count in found]

    async def decline(self, proposal: MatchProposal) -> list[int]:
        """Give up a match that not all have accepted: those who did search again, the others' tickets end.

        Returns:
            The places of the tickets that ended.
        """
        ended: list[int] = await self._scripts.decline_match(
            [self._mode, self._fence, proposal.match_id, "".join(proposal.ticket_ids)]
        )
        return ended

    async def fail_tickets(self, ticket_ids: Sequence[str], reason: str) -> None:
        """End tickets that can never match. ``reason`` is plain ASCII without quotes."""
        await self._scripts.fail_tickets([self._mode, self._fence, reason, "".join(ticket_ids)])

    async def publish_depth(self, depth: QueueDepth) -> None:
        """Publish how long the queue is, for whoever scales the fleet."""
        await self._cache.hset(KEYS["depth"], self._mode, msgspec.json.encode(depth).decode())

    async def withdraw(self, proposal: MatchProposal) -> None:
        """Give a match's tickets back to the search."""
        await self._scripts.withdraw_match(
            [self._mode, self._fence, proposal.match_id, "".join(proposal.ticket_ids)]
        )

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
        await self._scripts.assign_match(
            [
                self._mode,
                self._fence,
                proposal.match_id,
                assignment_statistics(proposal.enqueued_at, proposal.latency_ms, now),
                "".join(proposal.ticket_ids),
                msgspec.msgpack.encode([view.decode() for view in views]),
                *requeue_arguments(
                    self._mode, self._regions, requeue_record, proposal.match_s, self._scripts.retention_s
                ),
            ],
            now,
        )

    async def fail(self, proposal: MatchProposal, reason: str) -> None:
        """End a match's tickets as failed. ``reason`` is plain ASCII without quotes."""
        await self._scripts.fail_match(
            [self._mode, self._fence, proposal.match_id, reason, "".join(proposal.ticket_ids)]
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

    async def _read(self, after: bytes) -> list[QueueEntry]:
        read = await self._scripts.read_queue([self._mode, self._fence, self._lease_ms, MAX_ENTRIES, after])
        return [self._entry(entry_id, fields) for entry_id, fields in read]

    def _entry(self, entry_id: bytes, flat: list[Any] | None) -> QueueEntry:
        # None: deleted after it was read, by a director that ended before it could acknowledge it.
        flat = flat or []
        fields = dict(zip(flat[::2], flat[1::2], strict=True))
        return QueueEntry(
            entry_id,
            self._records(fields.get(b"tickets", b""), fields.get(b"regions", b"").decode()),
            _ids(fields.get(b"gone", b"")),
            (_ids(fields.get(b"backdated", b"")), np.frombuffer(fields.get(b"since", b""), "<f8")),
            msgspec.msgpack.decode(fields[b"attributes"], type=list[str]) if b"attributes" in fields else (),
        )

    def _records(self, payload: bytes, regions: str) -> NDArray[np.void]:
        """The records, with the latencies of today's regions; the fleet may have had others when they were
        written.
        """
        written = regions.split(",")
        records = RecordFormat(len(written)).unpack(payload)
        if written == self._regions or not payload:
            return records if payload else np.zeros(0, RecordFormat(len(self._regions)).dtype)
        today = np.zeros(len(records), RecordFormat(len(self._regions)).dtype)
        for field in today.dtype.names or ():
            if field != "latency_ms":
                today[field] = records[field]
        for column, region in enumerate(self._regions):
            known = region in written
            today["latency_ms"][:, column] = (
                records["latency_ms"][:, written.index(region)] if known else np.inf
            )
        return today


def _ids(joined: bytes) -> NDArray[np.uint64]:
    """Ticket ids that were written one after the other."""
    text = joined.decode()
    return binary_ids([text[i : i + UUID_CHARS] for i in range(0, len(text), UUID_CHARS)])


def assignment_statistics(enqueued_at: Sequence[float], latency_ms: Sequence[float], now: float) -> str:
    """Return the waits and latencies of tickets that are assigned at ``now`` (Unix seconds), as the scripts
    count them.
    """
    waits_s = [max(0.0, now - each) for each in enqueued_at]
    return json.dumps(
        {"wait": log_buckets(waits_s), "latency": log_buckets(latency_ms), "wait_max_s": max(waits_s)}
    )


def requeue_arguments(
    mode: str, regions: Sequence[str], record: RequeueRecord, match_s: float, retention_s: float
) -> tuple[bytes, int, int]:
    """Return the requeue record of a match of ``match_s`` seconds, and how long to keep it: see
    assign_match.lua.
    """
    if not record.records:
        return b"", 0, 0
    kept_s = math.ceil(match_s + LOSS_GRACE_S)
    known_s = math.ceil(kept_s + retention_s) if kept_s > retention_s else 0
    return msgspec.msgpack.encode((mode, list(regions), *record)), kept_s, known_s

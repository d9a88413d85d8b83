"""Backfill: players who wait come into running matches with free slots.

A running match names its free slots in the cache (``api.backfill_routes``), and the matching gives tickets to
them. The tickets of a solo player or a party are claimed and their slots reserved in one step; such a claim
is kept, like a proposed match, so that any director can finish it. The match's server admits the players and
says so; then they are assigned. A server that rejects them, falls silent, or whose match is decided by then
gives them back to the search, with their age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np
import structlog
from redis.asyncio import Redis

from launchday.clock import Clock
from launchday.settings import Settings
from matchmaker.director import metrics
from matchmaker.matching.arrays import BackfillRequests
from matchmaker.matching.matcher import BackfillAssignment, OpenSlots
from matchmaker.matching.pool import Pool, Rows
from matchmaker.messages import BackfillPlayer, BackfillRequest
from matchmaker.queue.entries import MALFORMED, ids_within
from matchmaker.queue.queue import assignment_statistics, requeue_arguments, seat_arguments
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import Rules
from matchmaker.tickets.seated import SeatedPlayer, read_seats, seats_of
from matchmaker.tickets.seats import assigned_views
from matchmaker.tickets.ticket import RequeueRecord, binary_ids, text_ids

MAX_UNSEEN_S = 3.0  # that a server has to learn of a proposal: it asks once a second

log = structlog.get_logger()

_decode_request = msgspec.json.Decoder(BackfillRequest).decode
_decode_entities = msgspec.json.Decoder(list[int]).decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class OpenMatch:
    """A running match.

    Attributes:
        match_id: canonical UUID.
        request: what its game server sent last.
        slots: entities of the slots that are free and not reserved.
        teams: the team of each slot that is free, by entity.
        proposals: the state of each proposal by its id.
    """

    match_id: str
    request: BackfillRequest
    slots: list[int]
    teams: dict[int, int]
    proposals: dict[str, str]


class BackfillClaim(msgspec.Struct, frozen=True):
    """Players, one or a party, on their way into a running match.

    Attributes:
        proposal_id, match_id: canonical UUIDs.
        region, address, other_address, port: where it is played.
        ticket_ids, player_ids, entities, teams: each player's.
        enqueued_at: Unix seconds, each ticket's.
        latency_ms: each ticket's round trip to the region.
    """

    proposal_id: str
    match_id: str
    region: str
    address: str
    port: int
    ticket_ids: list[str]
    player_ids: list[int]
    entities: list[int]
    teams: list[int]
    enqueued_at: list[float]
    latency_ms: list[float]
    other_address: str = ""


@dataclass(frozen=True, slots=True)
class _InProgress:
    """A claim, the pool's rows of its tickets, and when (monotonic seconds) its server should have learned of
    it.
    """

    claim: BackfillClaim
    rows: Rows
    seen_by: float


class Backfill:
    """The running matches of one queue, for the director that holds ``fence``.

    Methods raise LeaseLostError once another director leads, and the cache's errors.

    Args:
        cache, scripts: of the queue.
        rules: the mode's.
        settings: regions and keys.
        fence: the fencing token.
        clock: ids of proposals, tokens' nonces, and deadlines.
    """

    def __init__(
        self,
        cache: Redis,
        scripts: Scripts,
        rules: Rules | SearchRules,
        settings: Settings,
        fence: bytes,
        clock: Clock,
    ) -> None:
        self._cache, self._scripts, self._rules = cache, scripts, rules
        self._mode, self._fence, self._clock = rules.mode, fence, clock
        self._regions = list(settings.region_names)
        self._fleet_key = settings.fleet_key_bytes
        self._token_ttl_s = rules.match_s + settings.connect_token_ttl_s
        self._in_progress: dict[str, _InProgress] = {}
        self._open_matches: list[OpenMatch] = []
        self._known: list[str] = []  # ids of the matches that were read last
        self._keeps_seats = isinstance(rules, SearchRules)
        # Match → the revision of its request for which its seats were read, and what the cache had.
        self._seats: dict[str, tuple[int, dict[bytes, bytes]]] = {}

    async def recover(self, pool: Pool) -> None:
        """Take over the claims that the director before this one left."""
        stored: Any = await self._cache.hgetall(KEYS["claims"] + self._mode)
        for proposal_id, each in stored.items():
            try:
                claim = msgspec.json.decode(each, type=BackfillClaim)
            except MALFORMED as error:
                await self._abandon(proposal_id.decode(), each, error)
                continue
            held = pool.find(binary_ids(claim.ticket_ids))
            pool.hold(held)
            self._begin(claim, held)

    async def settle(self, pool: Pool, now: float) -> Rows:
        """Read the running matches; assign or give back players whose proposals are due.

        Returns:
            The rows of tickets that have ended.
        """
        if self._rules.backfill_until == 0.0 and not self._in_progress:
            self._open_matches = []
            return _NO_ROWS
        self._open_matches = await self._read(now)
        await self._read_seats()
        states = {id_: state for match in self._open_matches for id_, state in match.proposals.items()}
        ended = [_NO_ROWS]
        for each in list(self._in_progress.values()):
            claim, rows = each.claim, each.rows
            state = states.get(claim.proposal_id)
            if state == "admitted" and await self._assign(claim, pool.requeue_record(rows), now):
                ended.append(rows)
            elif state in ("offered", "admitted") or (
                state == "reserved" and self._clock.monotonic() < each.seen_by
            ):
                continue
            elif (gone := await self._withdraw(claim, now)) is not None:
                log.info("backfill withdrawn", match_id=claim.match_id, players=len(rows), state=state)
                pool.release(rows)
                ended.append(
                    pool.find(binary_ids([claim.ticket_ids[place] for place in gone])) if gone else _NO_ROWS
                )
            else:
                continue
            del self._in_progress[claim.proposal_id]
        return np.concatenate(ended)

    def open_slots(self, pool: Pool) -> OpenSlots | None:
        """Return the free slots for the matching, as read by the last ``settle``; None: there are none.

        ``pool``: has the tickets of those who are on their way.
        """
        room = np.zeros((len(self._open_matches), self._rules.teams), np.int32)
        for index, match in enumerate(self._open_matches):
            if match.request.region in self._regions:
                for entity in match.slots:
                    room[index, self._kernel_team(match, entity)] += 1
        if not room.any():
            return None
        requests = [match.request for match in self._open_matches]
        regions = [each.region for each in requests]
        return OpenSlots(
            BackfillRequests(
                np.array([self._regions.index(r) if r in self._regions else 0 for r in regions], np.int32),
                np.array([each.group for each in requests], np.int32),
                np.array([each.skill_lowest for each in requests], np.float32),
                np.array([each.skill_highest for each in requests], np.float32),
                np.array([each.opened_at for each in requests], np.float64),
                room,
            ),
            [each.excluded for each in requests],
            [match.match_id for match in self._open_matches],
            [self._seated(match, pool) for match in self._open_matches] if self._keeps_seats else (),
        )

    async def claim(self, assignments: Sequence[BackfillAssignment], pool: Pool, now: float) -> Rows:
        """Claim the tickets that the matching gave to running matches.

        Returns:
            The rows of those that have ended meanwhile.
        """
        ended = [_NO_ROWS]
        free = {each.request: list(self._open_matches[each.request].slots) for each in assignments}
        for rows, index, team in assignments:
            match = self._open_matches[index]
            entities = self._take_slots(match, free[index], team, len(rows))
            claim = self._new_claim(match, entities, rows, pool)
            gone = await self._propose(claim, pool.skill[rows].tolist(), now)
            if gone == [-1]:
                continue  # the slots are taken by now
            if gone:
                ended.append(rows[gone])
                continue
            pool.hold(rows)
            self._begin(claim, rows)
        return np.concatenate(ended)

    def _begin(self, claim: BackfillClaim, rows: Rows) -> None:
        seen_by = self._clock.monotonic() + MAX_UNSEEN_S
        self._in_progress[claim.proposal_id] = _InProgress(claim, rows, seen_by)

    async def _read(self, now: float) -> list[OpenMatch]:
        found = await self._scripts.read_backfill(
            [self._mode], now, mode=self._mode, keys=[KEYS["open_match"] + each for each in self._known]
        )
        self._known = [match_id.decode() for match_id in found[::2]]
        matches = []
        for match_id, flat in zip(found[::2], found[1::2], strict=True):
            try:
                matches.append(_open_match(match_id.decode(), flat))
            except MALFORMED as error:  # its server repeats the request every second
                log.error("a running match cannot be read", match_id=match_id.decode(), error=str(error))
                metrics.unreadable.labels(self._mode, "running match").inc()
        return matches

    async def _read_seats(self) -> None:
        """Read who plays in the running matches whose requests have changed."""
        if not self._keeps_seats:
            return
        wanted = [match for match in self._open_matches if match.slots]
        known = {match.match_id: self._seats.get(match.match_id) for match in wanted}
        stale = [
            match
            for match in wanted
            if (seen := known[match.match_id]) is None or seen[0] != match.request.revision
        ]
        if stale:
            pipeline = self._cache.pipeline(transaction=False)
            for match in stale:
                pipeline.hgetall(KEYS["seats"] + match.match_id)
            for match, stored in zip(stale, await pipeline.execute(), strict=True):
                known[match.match_id] = match.request.revision, stored
        self._seats = {match_id: seen for match_id, seen in known.items() if seen is not None}

    def _seated(self, match: OpenMatch, pool: Pool) -> list[SeatedPlayer] | None:
        """Who plays in a match, and who is on their way into it; None where that is not known of all."""
        _, stored = self._seats.get(match.match_id, (0, {}))
        for each in self._in_progress.values():
            if each.claim.match_id == match.match_id:
                coming = self._seats_of(each.claim, pool.requeue_record(each.rows))
                stored = stored | {str(entity).encode(): seat.encode() for entity, seat in coming}
        try:
            return read_seats(stored)
        except MALFORMED as error:
            log.error("who plays in a match cannot be read", match_id=match.match_id, error=str(error))
            metrics.unreadable.labels(self._mode, "seats").inc()
            return None

    def _seats_of(self, claim: BackfillClaim, record: RequeueRecord) -> list[tuple[int, str]]:
        return seats_of(record, self._regions, claim.player_ids, claim.entities, claim.teams)

    def _kernel_team(self, match: OpenMatch, entity: int) -> int:
        """Return the kernel's team of a slot: where each is alone, it has one team of all."""
        return 0 if self._rules.teams == 1 else min(match.teams[entity], self._rules.teams - 1)

    def _take_slots(self, match: OpenMatch, free: list[int], team: int, size: int) -> list[int]:
        """Take ``size`` slots of a team from the free ones."""
        taken = [entity for entity in free if self._kernel_team(match, entity) == team][:size]
        for entity in taken:
            free.remove(entity)
        return taken

    def _new_claim(self, match: OpenMatch, entities: Sequence[int], rows: Rows, pool: Pool) -> BackfillClaim:
        request = match.request
        return BackfillClaim(
            proposal_id=str(self._clock.uuid()),
            match_id=match.match_id,
            region=request.region,
            address=request.address,
            port=request.port,
            other_address=request.other_address,
            ticket_ids=text_ids(pool.ticket_id[rows]),
            player_ids=pool.player_id[rows].tolist(),
            entities=list(entities),
            teams=[match.teams[entity] for entity in entities],
            enqueued_at=pool.enqueued_at[rows].tolist(),
            latency_ms=pool.latency_ms[rows, self._regions.index(request.region)].tolist(),
        )

    async def _propose(self, claim: BackfillClaim, skills: Sequence[float], now: float) -> list[int]:
        players = [
            BackfillPlayer(player_id, entity, team, round(max(0.0, now - enqueued_at), 3), skill)
            for player_id, entity, team, enqueued_at, skill in zip(
                claim.player_ids, claim.entities, claim.teams, claim.enqueued_at, skills, strict=True
            )
        ]
        gone: list[int] = await self._scripts.propose_backfill(
            [
                self._mode,
                self._fence,
                claim.proposal_id,
                claim.match_id,
                _encode(claim),
                _encode(players),
                _encode(claim.entities),
            ],
            now,
            mode=self._mode,
            tickets=claim.ticket_ids,
            keys=[KEYS["open_match"] + claim.match_id],
        )
        return gone

    async def _assign(self, claim: BackfillClaim, record: RequeueRecord, now: float) -> bool:
        views = assigned_views(
            self._fleet_key,
            self._token_ttl_s,
            claim.match_id,
            claim.region,
            (claim.address, claim.other_address, claim.port),
            self._rules.game_mode or self._mode,
            claim.ticket_ids,
            list(zip(claim.player_ids, claim.entities, claim.teams, strict=True)),
            self._clock,
            self._clock.wall(),
            record,
        )
        kept = requeue_arguments(
            self._mode, self._regions, record, self._rules.match_s, self._scripts.retention_s
        )
        assigned: int = await self._scripts.assign_backfill(
            [
                self._mode,
                self._fence,
                claim.proposal_id,
                claim.match_id,
                assignment_statistics(claim.enqueued_at, claim.latency_ms, now),
                msgspec.msgpack.encode([view.decode() for view in views]),
                *kept,
                *(
                    seat_arguments(self._seats_of(claim, record), self._rules.match_s)
                    if self._keeps_seats
                    else (b"", 0)
                ),
            ],
            now,
            mode=self._mode,
            tickets=claim.ticket_ids,
            players=claim.player_ids if kept.known_s else (),
            keys=[KEYS[each] + claim.match_id for each in ("open_match", "match", "seats")],
        )
        self._seats.pop(claim.match_id, None)
        if assigned:
            log.info("backfill assigned", match_id=claim.match_id, players=len(views))
        return bool(assigned)

    async def _withdraw(self, claim: BackfillClaim, now: float) -> list[int] | None:
        """Give a claim's tickets back; the places of those that ended, None where its server may have
        admitted the players.
        """
        gone: list[int] = await self._scripts.withdraw_backfill(
            [self._mode, self._fence, claim.proposal_id, claim.match_id],
            now,
            mode=self._mode,
            tickets=claim.ticket_ids,
            keys=[KEYS["open_match"] + claim.match_id],
        )
        return None if gone == [-1] else gone

    async def _abandon(self, proposal_id: str, stored: bytes, error: Exception) -> None:
        """Give back the tickets of a claim that cannot be read: whatever in it looks like a ticket."""
        log.error("a claim of a running match cannot be read", proposal_id=proposal_id, error=str(error))
        metrics.unreadable.labels(self._mode, "claim").inc()
        await self._scripts.withdraw_backfill(
            [self._mode, self._fence, proposal_id, ""],
            mode=self._mode,
            tickets=ids_within(stored),
            keys=[KEYS["open_match"]],
        )


_NO_ROWS: Rows = np.zeros(0, np.int64)


def _open_match(match_id: str, flat: list[Any]) -> OpenMatch:
    """Return a running match from its hash in the cache (``backfill.lua`` has its fields)."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    reserved = {int(name[5:]) for name in fields if name[:5] == b"slot:"}
    slots = [] if fields.get(b"over") else _decode_entities(fields[b"slots"])
    request = _decode_request(fields[b"request"])
    return OpenMatch(
        match_id,
        request,
        [entity for entity in slots if entity not in reserved],
        {slot.entity: slot.team for slot in request.slots},
        {name[6:].decode(): state.decode() for name, state in fields.items() if name[:6] == b"state:"},
    )

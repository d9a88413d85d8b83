"""Backfill: players who wait come into running matches with free seats.

A running match announces its free seats in the cache (`openings_routes`), and the matching gives tickets to them. The tickets of a solo
player or a party are claimed and their seats reserved in one step; such a joining is kept, like a proposed match, so that
any director can finish it. The match's server lets the players in and says so; then they are assigned. A server that refuses them, is
not heard of any more, or whose match is decided by then gives them back to the search, with their age.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
import numpy as np
import structlog
from numpy.typing import NDArray
from redis.asyncio import Redis

from launchday.settings import Settings
from matchmaker.director.placement import assigned_views
from matchmaker.matching.arrays import BackfillRequests
from matchmaker.matching.kernel import UNMATCHED, Formed, Tickets, match_tickets
from matchmaker.matching.pool import Pool, Rows
from matchmaker.matching.result import BackfillAssignment
from matchmaker.queue.queue import assignment_statistics, requeue_arguments
from matchmaker.queue.scripts import KEYS, Scripts
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import Rules
from matchmaker.tickets.ticket import RequeueRecord, binary_ids, text_ids

MAX_UNSEEN_S = 3.0  # that a server has to learn of joiners: it asks once a second

log = structlog.get_logger()


class BackfillOffer(msgspec.Struct, frozen=True):
    """What a running match says of itself. ``excluded``: players who may not come (again); the rest as in the announcement."""

    region: str
    address: str
    port: int
    group: int
    skill_lowest: float
    skill_highest: float
    opened_at: float
    teams: dict[int, int]
    excluded: list[int]


@dataclass(frozen=True, slots=True)
class OpenMatch:
    """A running match, the entities of its seats that are free and not reserved, and the states of its joinings."""

    match_id: str
    offer: BackfillOffer
    seats: list[int]
    proposals: dict[str, str]


class BackfillProposal(msgspec.Struct, frozen=True):
    """Players, one or a party, on their way into a running match.

    Attributes:
        joining_id, match_id: canonical UUIDs.
        region, address, port: where it is played.
        formed_at: Unix seconds.
        ticket_ids, player_ids, entities, teams: each player's.
        enqueued_at: Unix seconds, each ticket's.
        latency_ms: each ticket's round trip to the region.
    """

    proposal_id: str
    match_id: str
    region: str
    address: str
    port: int
    formed_at: float
    ticket_ids: list[str]
    player_ids: list[int]
    entities: list[int]
    teams: list[int]
    enqueued_at: list[float]
    latency_ms: list[float]


class Backfill:
    """The running matches of one queue, for the director that holds ``fence``. Methods raise LeaseLost out of office.

    Args:
        cache, scripts: of the queue.
        rules: the mode's.
        settings: regions and keys.
        fence: the fencing token.
        rng: draws the joinings' ids.
    """

    def __init__(
        self,
        cache: Redis,
        scripts: Scripts,
        rules: Rules | SearchRules,
        settings: Settings,
        fence: bytes,
        rng: np.random.Generator,
    ) -> None:
        self._cache, self._scripts, self._rules = cache, scripts, rules
        self._mode, self._fence, self._rng = rules.mode, fence, rng
        self._regions = list(settings.region_names)
        self._fleet_key = settings.fleet_key_bytes
        self._token_ttl_s = rules.match_s + settings.connect_token_ttl_s
        self._in_progress: dict[str, tuple[BackfillProposal, Rows]] = {}
        self._open_matches: list[OpenMatch] = []

    async def recover(self, pool: Pool) -> None:
        """Take over the joinings that the director before this one left."""
        for stored in await self._cache.hvals(KEYS["joinings"] + self._mode):
            joining = msgspec.json.decode(stored, type=BackfillProposal)
            held = pool.find(binary_ids(joining.ticket_ids))
            pool.hold(held)
            self._in_progress[joining.proposal_id] = joining, held

    async def settle(self, pool: Pool, now: float) -> Rows:
        """Look at the running matches; assign or give back joiners who are due. Returns the rows of tickets that have ended."""
        self._open_matches = (
            [] if self._rules.backfill_until == 0.0 and not self._in_progress else await self._read()
        )
        states = {id_: state for opening in self._open_matches for id_, state in opening.proposals.items()}
        ended = [np.zeros(0, np.int64)]
        for joining, rows in list(self._in_progress.values()):
            state = states.get(joining.proposal_id)
            if state == "seated" and await self._assign(joining, pool.requeue_record(rows), now):
                ended.append(rows)
            elif (
                state == "told"
                or state == "seated"
                or (state == "reserved" and now - joining.formed_at < MAX_UNSEEN_S)
            ):
                continue
            elif await self._withdraw(joining):
                log.info("joiners search again", match_id=joining.match_id, players=len(rows), state=state)
                pool.release(rows)
            else:
                continue
            del self._in_progress[joining.proposal_id]
        return np.concatenate(ended)

    def match(self, tickets: Tickets, members: Rows, first: NDArray[np.int64], pool: Pool, now: float, seed: int) -> Formed:  # fmt: skip
        """Form matches of tickets, and give others to running matches; see Pool.units for ``members`` and ``first``."""
        rules, openings = self._rules, self._arrays()
        assert isinstance(rules, Rules)  # a search fills no running matches
        formed = match_tickets(rules, now, tickets, seed, openings)
        if openings is None or not (barred := self._excluded(formed, members, first, pool)):
            return formed
        # Their seats stay away from the matching, so that they may play elsewhere, and then go to those who are left.
        shut = np.zeros(len(openings.room), np.bool_)
        shut[list(barred.values())] = True
        elsewhere = openings._replace(room=np.where(shut[:, None], 0, openings.room))
        formed = match_tickets(rules, now, tickets, seed, elsewhere)
        left = (formed.match_of == UNMATCHED) & (formed.opening_of == UNMATCHED)
        left[list(barred)] = False
        rest = Tickets._make(None if column is None else column[left] for column in tickets)
        there = openings._replace(room=np.where(shut[:, None], openings.room, 0))
        late = match_tickets(rules, now, rest, seed, there)
        formed.opening_of[left], formed.team_of[left] = (
            late.opening_of,
            np.where(late.opening_of == UNMATCHED, formed.team_of[left], late.team_of),
        )
        formed.opening_of[list(self._excluded(formed, members, first, pool))] = UNMATCHED
        return formed

    def _excluded(
        self, formed: Formed, members: Rows, first: NDArray[np.int64], pool: Pool
    ) -> dict[int, int]:
        """Tickets that were given to a running match whose players may not come into it (again), and to which."""
        barred = {}
        for unit in np.flatnonzero(formed.opening_of != UNMATCHED).tolist():
            opening = int(formed.opening_of[unit])
            players = pool.player_id[members[first[unit] : first[unit + 1]]].tolist()
            if not set(self._open_matches[opening].offer.excluded).isdisjoint(players):
                barred[unit] = opening
        return barred

    async def claim(self, joining: Sequence[BackfillAssignment], pool: Pool, now: float) -> Rows:
        """Claim the tickets that the matching gave to running matches. Returns the rows of those that have ended meanwhile."""
        ended = [np.zeros(0, np.int64)]
        free = {each.request: list(self._open_matches[each.request].seats) for each in joining}
        for rows, index, team in joining:
            opening = self._open_matches[index]
            seats = self._take_slots(opening, free[index], team, len(rows))
            coming = self._new_proposal(opening, seats, rows, pool, now)
            gone = await self._propose(coming, pool.skill[rows].tolist())
            if gone == [-1]:
                continue  # the seats are taken by now
            if gone:
                ended.append(rows[gone])
                continue
            pool.hold(rows)
            self._in_progress[coming.proposal_id] = coming, rows
        return np.concatenate(ended)

    async def _read(self) -> list[OpenMatch]:
        found = await self._scripts.read_backfill([self._mode])
        return [
            _open_match(match_id.decode(), flat)
            for match_id, flat in zip(found[::2], found[1::2], strict=True)
        ]

    def _arrays(self) -> BackfillRequests | None:
        """The openings as the kernel reads them; None: there are no free seats."""
        teams = self._rules.teams
        room = np.zeros((len(self._open_matches), teams), np.int32)
        for index, opening in enumerate(self._open_matches):
            if opening.offer.region in self._regions:
                for entity in opening.seats:
                    room[index, self._kernel_team(opening, entity)] += 1
        if not room.any():
            return None
        offers = [opening.offer for opening in self._open_matches]
        return BackfillRequests(
            np.array(
                [self._regions.index(each.region) if each.region in self._regions else 0 for each in offers],
                np.int32,
            ),
            np.array([each.group for each in offers], np.int32),
            np.array([each.skill_lowest for each in offers], np.float32),
            np.array([each.skill_highest for each in offers], np.float32),
            np.array([each.opened_at for each in offers], np.float64),
            room,
        )

    def _kernel_team(self, opening: OpenMatch, entity: int) -> int:
        """The kernel's team of a seat: one team of all is battle royale, where each has a team of his own."""
        return 0 if self._rules.teams == 1 else min(opening.offer.teams[entity], self._rules.teams - 1)

    def _take_slots(self, opening: OpenMatch, free: list[int], team: int, size: int) -> list[int]:
        """Take ``size`` seats of a team from the free ones."""
        taken = [entity for entity in free if self._kernel_team(opening, entity) == team][:size]
        for entity in taken:
            free.remove(entity)
        return taken

    def _new_proposal(
        self, opening: OpenMatch, seats: Sequence[int], rows: Rows, pool: Pool, now: float
    ) -> BackfillProposal:
        offer = opening.offer
        return BackfillProposal(
            proposal_id=str(UUID(bytes=self._rng.bytes(16), version=4)),
            match_id=opening.match_id,
            region=offer.region,
            address=offer.address,
            port=offer.port,
            formed_at=now,
            ticket_ids=text_ids(pool.ticket_id[rows]),
            player_ids=pool.player_id[rows].tolist(),
            entities=list(seats),
            teams=[offer.teams[entity] for entity in seats],
            enqueued_at=pool.enqueued_at[rows].tolist(),
            latency_ms=pool.latency_ms[rows, self._regions.index(offer.region)].tolist(),
        )

    async def _propose(self, joining: BackfillProposal, skills: Sequence[float]) -> list[int]:
        players = [
            {
                "player_id": player_id,
                "entity": entity,
                "team": team,
                "waited_s": round(max(0.0, joining.formed_at - enqueued_at), 3),
                "skill": skill,
            }
            for player_id, entity, team, enqueued_at, skill in zip(
                joining.player_ids, joining.entities, joining.teams, joining.enqueued_at, skills, strict=True
            )
        ]
        gone: list[int] = await self._scripts.propose_backfill(
            [
                self._mode,
                self._fence,
                joining.proposal_id,
                joining.match_id,
                msgspec.json.encode(joining),
                msgspec.json.encode(players),
                msgspec.json.encode(joining.entities),
                "".join(joining.ticket_ids),
            ]
        )
        return gone

    async def _assign(self, joining: BackfillProposal, asked: RequeueRecord, now: float) -> bool:
        seats = list(zip(joining.player_ids, joining.entities, joining.teams, strict=True))
        views, _ = assigned_views(
            self._fleet_key,
            self._token_ttl_s,
            joining.match_id,
            joining.region,
            (joining.address, joining.port),
            joining.ticket_ids,
            seats,
            now,
        )
        assigned: int = await self._scripts.assign_backfill(
            [
                self._mode,
                self._fence,
                joining.proposal_id,
                joining.match_id,
                assignment_statistics(joining.enqueued_at, joining.latency_ms, now),
                "".join(joining.ticket_ids),
                msgspec.msgpack.encode([view.decode() for view in views]),
                *requeue_arguments(
                    self._mode, self._regions, asked, self._rules.match_s, self._scripts.retention_s
                ),
            ]
        )
        if assigned:
            log.info("joiners assigned", match_id=joining.match_id, players=len(views))
        return bool(assigned)

    async def _withdraw(self, joining: BackfillProposal) -> bool:
        withdrawn: int = await self._scripts.withdraw_backfill(
            [
                self._mode,
                self._fence,
                joining.proposal_id,
                joining.match_id,
                "".join(joining.ticket_ids),
            ]
        )
        return bool(withdrawn)


def _open_match(match_id: str, flat: list[Any]) -> OpenMatch:
    """An opening from its hash in the cache."""
    fields = dict(zip(flat[::2], flat[1::2], strict=True))
    reserved = {int(name[2:]) for name in fields if name[:2] == b"e:"}
    seats = [] if fields.get(b"over") else msgspec.json.decode(fields[b"seats"], type=list[int])
    return OpenMatch(
        match_id,
        msgspec.json.decode(fields[b"offer"], type=BackfillOffer),
        [entity for entity in seats if entity not in reserved],
        {name[2:].decode(): state.decode() for name, state in fields.items() if name[:2] == b"j:"},
    )

"""From a match to its players' assignments: find a server, seal a connect token a player, publish, tell.

A placement can be repeated from any point by another director: the allocation under the same key gives the same server, and
the assignment is written once.
"""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
from binascii import b2a_base64
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import Enum, auto
from typing import Any, Protocol
from uuid import UUID

import msgspec
import structlog

from dedicated_server.fleet.client import (
    Allocation,
    FleetRefusedError,
    FleetUnavailableError,
    NoServerReadyError,
)
from dedicated_server.protocol import connect_token
from matchmaker.queue.queue import MatchProposal, Queue
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RequeueRecord, assigned_view

MIN_RETRY_S = 0.1
MAX_RETRY_S = 2.0

log = structlog.get_logger()


Probe = Callable[[str, int, bytes], Awaitable[bool]]


class Allocator(Protocol):
    """What takes a Ready server for a match: our fleet's client, or Agones'."""

    async def allocate(self, *, region: str, match: Mapping[str, Any], idempotency_key: str) -> Allocation:
        """Take a server. Raises NoServerReady, FleetUnavailable, FleetRefused."""


class PlacementOutcome(Enum):
    """What became of a match."""

    ASSIGNED = auto()
    FAILED = auto()  # the fleet refused it for good: its tickets have ended
    NO_SERVER = auto()  # its tickets search again
    FLEET_UNAVAILABLE = auto()  # its tickets search again
    UNREACHABLE = auto()  # its server does not answer: its tickets search again, with their age


class Placement:
    """Places matches of one queue.

    Args:
        queue: where the matches were proposed.
        allocator: where servers come from.
        fleet_key: seals connect tokens; 32 bytes.
        token_ttl_s: seconds a connect token is valid.
        patience_s: seconds an unanswered allocation is repeated before the tickets search again.
        clock: Unix seconds.
        reach: says whether a server answers players' first datagram; None: it is not asked.
        at_once: allocations under way at most.
    """

    def __init__(
        self,
        queue: Queue,
        allocator: Allocator,
        *,
        fleet_key: bytes,
        token_ttl_s: float,
        retry_for_s: float,
        clock: Callable[[], float],
        probe: Probe | None = None,
        max_allocations: int = 32,
    ) -> None:
        self._queue = queue
        self._allocator = allocator
        self._fleet_key = fleet_key
        self._token_ttl_s = token_ttl_s
        self._retry_for_s = retry_for_s
        self._clock = clock
        self._probe = probe
        self._semaphore = asyncio.Semaphore(max_allocations)

    async def place(
        self, proposal: MatchProposal, requeue_record: RequeueRecord = NO_REQUEUE_RECORD
    ) -> PlacementOutcome:
        """Bring one proposed match to its end, or its tickets back to the search. Raises LeaseLost.

        ``asked``: what its players asked for, kept while the match may be lost.
        """
        async with (
            self._semaphore
        ):  # the writes too: a connection to the cache each, and there are not more of them
            return await self._place(proposal, requeue_record)

    async def _place(self, proposal: MatchProposal, asked: RequeueRecord) -> PlacementOutcome:
        found = await self._allocate(proposal)
        if isinstance(found, Allocation):
            now = self._clock()
            views, tokens = self._views(proposal, found, now)
            if self._probe and not await self._probe(found.address, found.port, tokens[0]):
                log.error("server unreachable", match_id=proposal.match_id, server=found.name)
                await self._queue.withdraw(proposal)
                return PlacementOutcome.UNREACHABLE
            await self._queue.assign(proposal, views, now, asked)
            log.info(
                "match assigned",
                match_id=proposal.match_id,
                region=proposal.region,
                players=len(proposal.player_ids),
                server=found.name,
            )
            return PlacementOutcome.ASSIGNED
        if found is PlacementOutcome.FAILED:
            await self._queue.fail(proposal, "the fleet refused the match")
        else:
            await self._queue.withdraw(proposal)
        return found

    async def _allocate(self, proposal: MatchProposal) -> Allocation | PlacementOutcome:
        give_up_at = self._clock() + self._retry_for_s
        retry_s = MIN_RETRY_S
        while True:
            try:
                allocation = await self._allocator.allocate(
                    region=proposal.region,
                    match=self._match(proposal),
                    idempotency_key=proposal.match_id,
                )
                return replace(allocation, address=await _ip_literal(allocation.address))
            except NoServerReadyError:
                return PlacementOutcome.NO_SERVER
            except FleetRefusedError as error:
                log.error("the fleet refused a match", match_id=proposal.match_id, error=str(error))
                return PlacementOutcome.FAILED
            except (FleetUnavailableError, OSError) as error:
                # A server may be ours already, and the same key gives it again. Given up, it finds no players and ends
                # itself after its join time-out.
                log.warning("no usable answer from the fleet", match_id=proposal.match_id, error=str(error))
                if self._clock() + retry_s > give_up_at:
                    return PlacementOutcome.FLEET_UNAVAILABLE
            await asyncio.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)

    def _match(self, proposal: MatchProposal) -> dict[str, Any]:
        """What the server is told; the same each time, for the same key must carry the same request."""
        return {
            "match_id": proposal.match_id,
            "mode": proposal.game_mode or proposal.mode,
            "region": proposal.region,
            "seed": proposal.seed,
            "match_s": proposal.match_s,
            "players": [
                {
                    "player_id": str(player_id),
                    "team": team,
                    "entity": entity,
                    "waited_s": round(max(0.0, proposal.formed_at - enqueued_at), 3),
                }
                for entity, (player_id, team, enqueued_at) in enumerate(
                    zip(proposal.player_ids, proposal.teams, proposal.enqueued_at, strict=True)
                )
            ],
            "allocated_at": proposal.formed_at,
            **({} if proposal.backfill is None else {"backfill": msgspec.structs.asdict(proposal.backfill)}),
            **({} if proposal.quality is None else {"quality": proposal.quality}),
        }

    def _views(
        self, proposal: MatchProposal, allocation: Allocation, now: float
    ) -> tuple[list[bytes], list[bytes]]:
        """Each player's final view: where to go, and the token that lets him in; and the tokens alone."""
        return assigned_views(
            self._fleet_key,
            self._token_ttl_s,
            proposal.match_id,
            proposal.region,
            (allocation.address, allocation.port),
            proposal.ticket_ids,
            list(
                zip(proposal.player_ids, range(len(proposal.player_ids)), proposal.teams, strict=True),
            ),
            now,
        )


def assigned_views(
    fleet_key: bytes,
    token_ttl_s: float,
    match_id: str,
    region: str,
    server: tuple[str, int],
    ticket_ids: Sequence[str],
    seats: Sequence[tuple[int, int, int]],
    now: float,
) -> tuple[list[bytes], list[bytes]]:
    """The final view of each ticket, whose (player id, entity, team) has a seat at the server's address and port; and the tokens alone."""
    address, port = server
    tokens = connect_token.seal_seats(
        fleet_key,
        seats,
        match_id=UUID(match_id),
        address=address,
        port=port,
        issued_at=now,
        expires_at=now + token_ttl_s,
        random=secrets.token_bytes(connect_token.RANDOM_BYTES * len(seats)),
    )
    views = []
    for ticket_id, (_, entity, team), token in zip(ticket_ids, seats, tokens, strict=True):
        assignment = {
            "match_id": match_id,
            "region": region,
            "address": address,
            "port": port,
            "connect_token": b2a_base64(token, newline=False).decode(),
            "team": team,
            "entity": entity,
        }
        views.append(assigned_view(ticket_id, assignment))
    return views, tokens


async def _ip_literal(address: str) -> str:
    """The address as an IP literal: connect tokens hold no names, some fleets give them."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(address, None, type=socket.SOCK_DGRAM)
        return str(found[0][4][0])
    return address

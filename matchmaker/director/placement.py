"""From a match to its players' assignments: find a server, seal a connect token a player, assign, notify.

A placement can be repeated from any point by another director: the allocation under the same key gives the
same server, and the assignment is written once.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
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
from dedicated_server.protocol import connect_token, datagrams
from launchday.clock import Clock
from matchmaker.messages import ASSIGNED, Assignment, TicketView
from matchmaker.queue.queue import MatchProposal, Queue
from matchmaker.tickets.ticket import NO_REQUEUE_RECORD, RequeueRecord

MIN_RETRY_S = 0.1
MAX_RETRY_S = 2.0
PROBE_REPEAT_S = 0.1  # a datagram may be lost

log = structlog.get_logger()

_encode = msgspec.json.Encoder().encode

Probe = Callable[[str, int, bytes], Awaitable[bool]]


class Allocator(Protocol):
    """What takes a Ready server for a match: our fleet's client, or Agones'."""

    async def allocate(self, *, region: str, match: Mapping[str, Any], idempotency_key: str) -> Allocation:
        """Take a server; the same key gives the same one again. Raises the errors of the fleet's client."""


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
        retry_for_s: seconds for which an unanswered allocation is repeated before the tickets search again.
        clock: stamps assignments, paces retries, and draws the tokens' nonces.
        probe: says whether a server answers players' first datagram; None: it is not asked.
        max_allocations: allocations under way at once.
    """

    def __init__(
        self,
        queue: Queue,
        allocator: Allocator,
        *,
        fleet_key: bytes,
        token_ttl_s: float,
        retry_for_s: float,
        clock: Clock,
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
        """Bring one proposed match to its end, or its tickets back to the search.

        Args:
            proposal: the match.
            requeue_record: its tickets, kept while the match may be lost with its server.

        Raises:
            LeaseLostError: another director leads the queue.
        """
        # The writes too: each takes a connection to the cache, and there are not more of them.
        async with self._semaphore:
            return await self._place(proposal, requeue_record)

    async def _place(self, proposal: MatchProposal, requeue_record: RequeueRecord) -> PlacementOutcome:
        found = await self._allocate(proposal)
        if isinstance(found, Allocation):
            now = self._clock.now()
            views, tokens = self._views(proposal, found, now)
            if self._probe and not await self._probe(found.address, found.port, tokens[0]):
                log.error("server unreachable", match_id=proposal.match_id, server=found.name)
                await self._queue.withdraw(proposal)
                return PlacementOutcome.UNREACHABLE
            await self._queue.assign(proposal, views, now, requeue_record)
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
        give_up_at = self._clock.monotonic() + self._retry_for_s
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
                # A server may be ours already, and the same key gives it again. Given up, it finds no players
                # and ends itself after its join time-out.
                log.warning("no usable answer from the fleet", match_id=proposal.match_id, error=str(error))
                if self._clock.monotonic() + retry_s > give_up_at:
                    return PlacementOutcome.FLEET_UNAVAILABLE
            await self._clock.sleep(retry_s)
            retry_s = min(2 * retry_s, MAX_RETRY_S)

    def _match(self, proposal: MatchProposal) -> dict[str, Any]:
        """Return what the server is sent; always the same, for one key must carry one request."""
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
        """Return each player's final view (where to go, and the token that lets them in), and the tokens
        alone.
        """
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
            self._clock,
            now,
        )


def assigned_views(
    fleet_key: bytes,
    token_ttl_s: float,
    match_id: str,
    region: str,
    server: tuple[str, int],
    ticket_ids: Sequence[str],
    slots: Sequence[tuple[int, int, int]],
    clock: Clock,
    now: float,
) -> tuple[list[bytes], list[bytes]]:
    """Return the final view of each ticket of a match, as JSON, and its connect token.

    Args:
        fleet_key: seals the tokens; 32 bytes.
        token_ttl_s: seconds that they are valid.
        match_id, region: of the match.
        server: its address, an IP literal, and port.
        ticket_ids: N tickets.
        slots: for each (player id, entity, team).
        clock: draws the tokens' nonces.
        now: Unix seconds.
    """
    address, port = server
    tokens = connect_token.seal_roster(
        fleet_key,
        slots,
        match_id=UUID(match_id),
        address=address,
        port=port,
        issued_at=now,
        expires_at=now + token_ttl_s,
        random=clock.random("connect-token").randbytes(connect_token.RANDOM_BYTES * len(slots)),
    )
    views = []
    for ticket_id, (_, entity, team), token in zip(ticket_ids, slots, tokens, strict=True):
        text = b2a_base64(token, newline=False).decode()
        assignment = Assignment(match_id, region, address, port, text, team, entity)
        views.append(_encode(TicketView(ticket_id, ASSIGNED, None, assignment)))
    return views, tokens


async def probe(address: str, port: int, token: bytes, timeout_s: float) -> bool:
    """Return whether a game server answers the first datagram that a player would send it.

    The request is stateless at the server: it answers with a challenge and remembers nothing, so asking takes
    no player's slot.

    Args:
        address, port: of the server.
        token: a player's connect token.
        timeout_s: seconds to wait for the answer; the request is repeated meanwhile.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bool] = loop.create_future()
    request = bytes([datagrams.REQUEST]) + connect_token.read_public(token).request_part
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _ProbeProtocol(answered), remote_addr=(address, port)
        )
    except OSError:
        return False
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not answered.done():
                    transport.sendto(request)
                    await asyncio.wait([answered], timeout=PROBE_REPEAT_S)
        return answered.done()
    finally:
        transport.close()
        answered.cancel()


class _ProbeProtocol(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bool]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data and data[0] == datagrams.CHALLENGE and not self._answered.done():
            self._answered.set_result(True)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet: the server may still be opening its socket."""


async def _ip_literal(address: str) -> str:
    """Return an address as an IP literal: connect tokens hold no names, and some fleets give them."""
    try:
        ipaddress.ip_address(address)
    except ValueError:
        found = await asyncio.get_running_loop().getaddrinfo(address, None, type=socket.SOCK_DGRAM)
        return str(found[0][4][0])
    return address

"""What a director asks for a match: a server, whether it answers, and how the fleet says that it is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from enum import StrEnum
from typing import Any, NamedTuple, Protocol

import msgspec
import structlog

from dedicated_server.fleet.client import (
    Allocation,
    FleetError,
    FleetRefusedError,
    FleetUnavailableError,
    MatchLostError,
    NoServerReadyError,
)
from dedicated_server.protocol.server_addresses import literals_of
from launchday.clock import Clock
from matchmaker.director import metrics
from matchmaker.director.giving_up import MatchFleet
from matchmaker.director.reach import TokenRefusedError, directors_token
from matchmaker.queue.proposals import MatchProposal

MAX_REFUSALS_KEPT = 1_000  # of matches whose placement has not asked for them yet
MAX_CALLS = 32  # allocations under way at once; waiting for a server takes none

log = structlog.get_logger()

Probe = Callable[[str, int, bytes], Awaitable[bool]]


class Allocator(Protocol):
    """What takes a Ready server for a match: our fleet's client, or Agones'."""

    async def allocate(self, *, region: str, match: Mapping[str, Any], idempotency_key: str) -> Allocation:
        """Take a server; the same key gives the same one again. Raises the errors of the fleet's client."""


class Why(StrEnum):
    """Why the fleet gives no server."""

    NONE_READY = "no_server"
    UNAVAILABLE = "unavailable"  # no usable answer: the match may have one all the same
    LOST = "lost"  # the one that the match had is gone
    REFUSED = "refused"  # for good


class NoServer(NamedTuple):
    """An answer of the fleet without a server.

    Attributes:
        why: of which kind it is.
        reason: in the fleet's words.
        retry_after_s: seconds that the fleet asked to wait for; 0: none.
    """

    why: Why
    reason: str
    retry_after_s: float = 0.0


class ServerSearch:
    """Asks for the servers of matches, and about them.

    Args:
        allocator: where servers come from.
        fleet: knows how the server of a match is; None: nobody does.
        fleet_key: seals the tokens with which servers are asked; 32 bytes.
        clock: dates those tokens.
        probe: says whether a server answers a datagram; None: it is not asked.
    """

    def __init__(
        self,
        allocator: Allocator,
        fleet: MatchFleet | None,
        *,
        fleet_key: bytes,
        clock: Clock,
        probe: Probe | None = None,
    ) -> None:
        self._allocator = allocator
        self._fleet = fleet
        self._fleet_key = fleet_key
        self._clock = clock
        self._probe = probe
        self._refusals: dict[str, str] = {}  # match → what its server said of the last token
        self._calls = asyncio.Semaphore(MAX_CALLS)

    async def allocate(self, proposal: MatchProposal) -> Allocation | NoServer:
        """Ask the fleet once for the server of a match; a repeat gives the same one."""
        result: Allocation | NoServer
        try:
            async with self._calls:
                found = await self._allocator.allocate(
                    region=proposal.region,
                    match=match_annotation(proposal),
                    idempotency_key=proposal.match_id,
                )
            public = await literals_of(found.addresses.public)
            result = replace(found, addresses=replace(found.addresses, public=tuple(filter(None, public))))
        except NoServerReadyError as error:
            result = NoServer(Why.NONE_READY, str(error), error.retry_after_s)
        except MatchLostError as error:
            result = NoServer(Why.LOST, str(error))
        except FleetRefusedError as error:
            result = NoServer(Why.REFUSED, str(error))
        except (FleetUnavailableError, OSError) as error:
            result = NoServer(Why.UNAVAILABLE, str(error))
        name = result.why if isinstance(result, NoServer) else "allocated"
        metrics.allocations.labels(proposal.region, name).inc()
        return result

    async def answers(self, server: Allocation, proposal: MatchProposal) -> bool:
        """Return whether a server answers the first datagram of a player's."""
        if self._probe is None:
            return True
        address, port = server.addresses.address, server.port
        token = directors_token(self._fleet_key, proposal.match_id, address, port, self._clock)
        try:
            answered = await answers_anywhere(self._probe, server.addresses.everywhere, port, token)
        except TokenRefusedError as error:
            answered = False
            self._note_refusal(server, proposal, error)
        if answered:
            self._refusals.pop(proposal.match_id, None)
        return answered

    def refusal(self, match_id: str) -> str:
        """Return, once, why the server of a match took no token, in plain words; empty: it said nothing."""
        return self._refusals.pop(match_id, "")

    def _note_refusal(self, server: Allocation, proposal: MatchProposal, error: TokenRefusedError) -> None:
        ahead_s = error.refusal.at - self._clock.wall()
        metrics.tokens_refused.labels(proposal.region, error.refusal.name).inc()
        said = (
            f"{server.name} takes connect tokens for {error.refusal.name}: its clock is {ahead_s:+.0f} s off"
        )
        if proposal.match_id not in self._refusals:
            log.warning(
                "a server takes no token: set its machine's clock", match_id=proposal.match_id, reason=said
            )
        self._refusals[proposal.match_id] = said
        if len(self._refusals) > MAX_REFUSALS_KEPT:
            del self._refusals[next(iter(self._refusals))]

    async def is_gone(self, match_id: str) -> tuple[bool, str]:
        """Return whether the fleet says that the server of a match is gone, and why.

        Where there is no word, it is not: real Agones knows nothing of matches, and a fleet that does not
        answer says nothing of its servers.
        """
        if self._fleet is None:
            return False, ""
        try:
            status = await self._fleet.match(match_id)
        except FleetError as error:
            log.debug("no word of the fleet about a late server", match_id=match_id, error=str(error))
            return False, ""
        return (False, "") if status is None or status.alive else (True, status.reason)


def match_annotation(proposal: MatchProposal) -> dict[str, Any]:
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


async def answers_anywhere(probe: Probe, hosts: Sequence[str], port: int, token: bytes) -> bool:
    """Return whether a server answers at one of its addresses; all are asked side by side.

    Its address in the network that it shares with directors is among them, for a NAT need not bring back to
    its own network what is sent there by a public address. Raises what the probe raises.
    """
    asked = [asyncio.ensure_future(probe(host, port, token)) for host in hosts]
    try:
        for answered in asyncio.as_completed(asked):
            if await answered:
                return True
        return False
    finally:
        for each in asked:
            each.cancel()
        await asyncio.gather(*asked, return_exceptions=True)

"""A model of a fleet, a meta service and a queue on a machine that stands still: what a director makes of it.

A game server that is started while the machine stands still checks its players out once it goes on, and
answers from then on. The real `Placement`, `GivingUp` and `RegionWaits` place matches on it in virtual time.
What must hold: hardly more servers are started than matches formed, and nobody is held by a match other than
the one that they were told of.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast
from uuid import UUID

from dedicated_server.fleet.client import (
    Allocation,
    FleetUnavailableError,
    MatchLostError,
    MatchStatus,
)
from dedicated_server.protocol.server_addresses import ServerAddresses
from launchday.clock import ManualClock
from matchmaker.director.giving_up import GivingUp
from matchmaker.director.placement import Placement, PlacementOutcome
from matchmaker.director.region_waits import RegionWaits
from matchmaker.director.server_search import ServerSearch
from matchmaker.queue.proposals import MatchProposal, Withdrawal
from matchmaker.queue.queue import Queue
from meta_service.client import MetaUnavailableError

REGION = "west-europe"
PLAYERS = 4  # a match
STEP_S = 0.1
HEALTH_S = 10.0  # a server whose heartbeat is older is dead to the fleet
START_S = 0.15


@dataclass
class Server:
    """A game server: its players, when it goes on, and what became of it."""

    players: list[int]
    started_at: float
    ready_at: float
    asked: bool = False  # for its players
    came: bool = False
    gone: str = ""


@dataclass
class SlowFleet:
    """Allocator, fleet, meta service and probe in one.

    Args:
        clock: virtual time.
        late_s: how long the n-th server stands still at its start.
        takes_back: whether closing a match ends its leases, and refuses its later check-outs.
        stopped_s: how long the whole machine stands still, from the moment that the first servers start:
            then fleet and meta service do not answer either, and no heartbeat is missed.
    """

    clock: ManualClock
    late_s: Callable[[int], float]
    takes_back: bool = True
    stopped_s: float = 0.0
    servers: dict[str, Server] = field(default_factory=dict)
    held_by: dict[int, str] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._begun = self.clock.monotonic()

    @property
    def started(self) -> int:
        return len(self.servers)

    async def _answers(self) -> None:
        if self._begun < self.clock.monotonic() < self._begun + self.stopped_s:
            await self.clock.sleep(5.0)
            raise FleetUnavailableError("no answer within 5 s")

    def go_on(self) -> None:
        """Servers that are ready check their players out; one that was killed has asked for them before."""
        for match_id, server in self.servers.items():
            if server.asked or server.ready_at > self.clock.monotonic():
                continue
            server.asked = True
            free = [each for each in server.players if self.held_by.get(each, match_id) == match_id]
            if match_id in self.closed and self.takes_back:
                server.gone = "the match was given up"
            elif not free:
                server.gone = server.gone or "check-out: every player was refused"
            else:
                server.came = not server.gone
                self.held_by.update(dict.fromkeys(free, match_id))

    async def allocate(self, *, region: str, match: Mapping[str, Any], idempotency_key: str) -> Allocation:
        await self._answers()
        server = self.servers.get(idempotency_key)
        if server is None:
            now = self.clock.monotonic()
            players = [int(each["player_id"]) for each in match["players"]]
            ready_at = max(now, self._begun + self.stopped_s) + START_S + self.late_s(self.started)
            server = Server(players, now, ready_at)
            self.servers[idempotency_key] = server
        elif server.gone:
            raise MatchLostError(server.gone)
        port = 1 + list(self.servers).index(idempotency_key)
        return Allocation(f"gs-{port}", ServerAddresses(("127.0.0.1",)), port)

    async def match(self, match_id: str) -> MatchStatus | None:
        await self._answers()
        server = self.servers[match_id]
        silent_s = 0.0 if server.came else self.clock.monotonic() - server.started_at - self.stopped_s
        alive = not server.gone and silent_s <= HEALTH_S
        return MatchStatus("Allocated", "gs", alive, silent_s, server.came, server.gone)

    async def end_match(self, match_id: str) -> None:
        await self._answers()
        if match_id in self.servers:
            self.servers[match_id].gone = self.servers[match_id].gone or "ended"

    async def close_match(self, match_id: UUID, player_ids: Sequence[int], force: bool = False) -> bool:
        try:
            await self._answers()
        except FleetUnavailableError as error:
            raise MetaUnavailableError(str(error)) from error
        name = str(match_id)
        if name in self.servers and self.servers[name].came and not force:
            return False
        self.closed.add(name)
        if self.takes_back:
            self.held_by = {player: match for player, match in self.held_by.items() if match != name}
        return True

    async def probe(self, address: str, port: int, token: bytes) -> bool:
        until = self.clock.monotonic() + 2.0  # server_answer_s
        server = list(self.servers.values())[port - 1]
        while self.clock.monotonic() < until:
            if server.came and not server.gone:
                return True
            await self.clock.sleep(STEP_S)
        return False


class MemoryQueue:
    """A queue that keeps nothing."""

    async def begin_closing(self, match_id: str) -> None: ...

    async def withdraw(self, match_id: str, ticket_ids: Sequence[str], **_: str) -> Withdrawal:
        return Withdrawal([], 0)

    async def assign(self, *_: object) -> None: ...


@dataclass
class Outcome:
    """Matches formed and servers started; players who are held by another match than theirs."""

    formed: int
    started: int
    strayed: list[int]


async def run_matches(
    fleet: SlowFleet, matches: int, *, claim_s: float = 30.0, within_s: float = 120.0
) -> Outcome:
    """Place so many matches at once; those whose server was given up are formed anew, under another id."""
    clock = fleet.clock
    placement = Placement(
        cast(Queue, MemoryQueue()),
        ServerSearch(fleet, fleet, fleet_key=bytes(32), clock=clock, probe=fleet.probe),
        GivingUp(fleet, fleet, clock),
        fleet_key=bytes(32),
        token_ttl_s=60.0,
        retry_for_s=10.0,
        claim_s=claim_s,
        clock=clock,
    )
    waits = RegionWaits(clock)
    assigned: dict[int, str] = {}

    async def play(first: int) -> None:
        players = list(range(first, first + PLAYERS))
        tickets = [str(UUID(int=each)) for each in players]
        while True:
            while not waits.may_ask(REGION):
                await clock.sleep(STEP_S)
            now = clock.now()
            match_id = str(clock.uuid())
            placed = await placement.place(
                MatchProposal(
                    match_id, "battle_royale", REGION, 1, 60.0, now, tickets, players,
                    [now] * PLAYERS, [12.0] * PLAYERS, [0] * PLAYERS,
                )
            )  # fmt: skip
            if placed.outcome is PlacementOutcome.ASSIGNED:
                waits.answered(REGION)
                assigned.update(dict.fromkeys(players, match_id))
                return
            waits.silent(REGION, placed.reason)

    playing = [asyncio.create_task(play(1 + n * PLAYERS)) for n in range(matches)]
    until = clock.monotonic() + within_s
    while not all(task.done() for task in playing) and clock.monotonic() < until:
        for _ in range(6):
            await asyncio.sleep(0)
        clock.advance(STEP_S)
        fleet.go_on()
    for task in playing:
        task.cancel()
    for failure in await asyncio.gather(*playing, return_exceptions=True):
        if isinstance(failure, Exception):
            raise failure
    strayed = [player for player, match in fleet.held_by.items() if assigned.get(player) != match]
    return Outcome(len(set(assigned.values())), fleet.started, strayed)

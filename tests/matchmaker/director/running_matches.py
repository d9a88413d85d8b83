"""A running match for tests of backfill: a real engine over real UDP, real clients, and a meta service in
memory that keeps leases.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import UUID, uuid4

from dedicated_server.cards import shipped_cards
from dedicated_server.match import spec
from dedicated_server.match.backfill_request import BackfillSink
from dedicated_server.match.result_spool import ResultSpool
from dedicated_server.match.session import MatchSession, Timeouts
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.simulation.match import MatchConfig
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import SystemTickClock
from dedicated_server.transport import Transport, open_transport
from matchmaker.client import Assignment
from meta_service.client import (
    CheckedOut,
    CheckoutRefusal,
    CheckoutResponse,
    CommitResponse,
    MetaRefusedError,
    MetaUnavailableError,
    PlayerCommit,
)
from rewards.events import Envelope, ProducerCounters
from tests.dedicated_server.match.players import Players
from tests.waiting import until

NO_FOLDER = Path("/dev/null/results")  # results are never spooled here: the meta service comes back in time
PATIENCE = Timeouts(join_s=2.0, come_s=2.0, check_out_s=2.0, flush_s=0.2, commit_s=2.0, return_s=0.5)


class Leases:
    """A meta service's check-outs: one lease a player, a fence that grows, each check-out committed once."""

    def __init__(self) -> None:
        self.held: dict[int, tuple[UUID, int]] = {}
        self.committed: dict[tuple[UUID, int], PlayerCommit] = {}
        self.away = False
        self.closed = False  # the matches were given up
        self._fence = 100

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: list[int]
    ) -> CheckoutResponse:
        if self.away:
            raise MetaUnavailableError("away")
        if self.closed:
            raise MetaRefusedError(409, "match-closed", "the match was given up")
        answer = CheckoutResponse([], [])
        for player_id in player_ids:
            if (match_id, player_id) in self.committed:
                answer.refused.append(CheckoutRefusal(player_id, "already-committed", server))
            elif player_id in self.held and self.held[player_id][0] != match_id:
                answer.refused.append(CheckoutRefusal(player_id, "checked-out", "another"))
            else:
                if player_id not in self.held:
                    self._fence += 1
                    self.held[player_id] = match_id, self._fence
                answer.checked_out.append(CheckedOut(player_id, self.held[player_id][1], "", 1))
        return answer

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        if self.away:
            raise MetaUnavailableError("away")
        for player in players:
            assert self.held.pop(player.player_id) == (match_id, player.fence)
            self.committed[match_id, player.player_id] = player
        return CommitResponse([player.player_id for player in players], [])


class Told:
    """A producer of events in memory."""

    def __init__(self) -> None:
        self.envelopes: list[Envelope] = []

    def emit(self, envelope: Envelope) -> bool:
        self.envelopes.append(envelope)
        return True

    async def flush(self, timeout_s: float) -> bool:
        return True

    def counters(self) -> ProducerCounters:
        return ProducerCounters(len(self.envelopes), 0, 0, 0, {}, 0, 0)


class RunningMatch:
    """A match of these players, each of a team, on a server of its own."""

    def __init__(
        self,
        transport: Transport,
        leases: Leases,
        matchmaker: BackfillSink,
        fleet_key: bytes,
        teams: Sequence[int],
        first_player: int,
        *,
        mode: str,
        match_s: float,
        until_s: float,
        patience: Timeouts = PATIENCE,
    ) -> None:
        self.match_id = uuid4()
        self.teams = list(teams)
        self.player_ids = [first_player + entity for entity in range(len(teams))]
        self.transport = transport
        self.told = Told()
        self.engine: Engine | None = None
        self._fleet_key = fleet_key
        order = {
            "match_id": str(self.match_id),
            "mode": mode,
            "region": "west-europe",
            "seed": 7,
            "match_s": match_s,
            "players": [
                {"player_id": player_id, "team": team, "entity": entity}
                for entity, (player_id, team) in enumerate(zip(self.player_ids, teams, strict=True))
            ],
            "backfill": {
                "queue": mode,
                "until_s": until_s,
                "group": 0,
                "skill_lowest": 24,
                "skill_highest": 26,
            },
        }

        def open_engine(config: MatchConfig) -> Engine:
            self.engine = Engine(config, fleet_key, transport, secret=bytes(SECRET_BYTES))
            return self.engine

        async def send_report(report: str) -> None:
            pass

        ordered = spec.parse_match_spec(json.dumps(order), shipped_cards())
        self.session = MatchSession(
            ordered,
            f"server-{first_player}",
            card=shipped_cards()[ordered.mode],
            open_engine=open_engine,
            meta=leases,
            producer=self.told,
            results=ResultSpool(NO_FOLDER),
            send_report=send_report,
            clock=SystemTickClock(),
            timeouts=patience,
            matchmaker=matchmaker,
            address=("127.0.0.1", "", transport.port),
        )

    def tokens(self, entities: Sequence[int]) -> list[bytes]:
        """Connect tokens of those who have these entities from the start."""
        now = time.time()
        return [
            connect_token.seal(
                self._fleet_key,
                match_id=self.match_id,
                player_id=self.player_ids[entity],
                entity=entity,
                team=self.teams[entity],
                address="127.0.0.1",
                port=self.transport.port,
                issued_at=now,
                expires_at=now + 60,
                random=secrets.token_bytes(connect_token.RANDOM_BYTES),
            )
            for entity in entities
        ]

    def end(self) -> None:
        """Decide the match now, so that no test waits for its time to be up, and none is too slow for it."""
        assert self.engine is not None
        self.engine.match.over = True

    async def plays_on(self, ticks: int) -> None:
        """Wait until so many ticks more have been played."""
        assert self.engine is not None
        engine, last = self.engine, self.engine.tick_number + ticks
        await until(lambda: engine.tick_number >= last, f"tick {last}")

    @property
    def results(self) -> dict[int, tuple[int, float]]:
        """Team and seconds played by player id, of the event that the match has ended."""
        ended = [
            each.match_ended for each in self.told.envelopes if each.WhichOneof("event") == "match_ended"
        ]
        assert len(ended) == 1
        return {each.player_id: (each.team, each.played_s) for each in ended[0].placements}


@asynccontextmanager
async def open_server() -> AsyncIterator[Transport]:
    transport = await open_transport("127.0.0.1", 0)
    try:
        yield transport
    finally:
        await transport.close()


@asynccontextmanager
async def playing(tokens: Sequence[bytes]) -> AsyncIterator[Players]:
    """Clients who play while the block runs."""
    players = Players(tokens)
    task = asyncio.create_task(players.play())
    try:
        yield players
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def token_in(assignment: Assignment) -> bytes:
    return base64.b64decode(assignment.connect_token)

"""Clients of one engine, each with a UDP socket of its own: sends an input a frame, reads what comes back."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.cards import shipped_cards
from dedicated_server.protocol import connect_token, entities, fields
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine

FLEET_KEY = bytes(range(32))
START_S = 1_700_000_000.0

Intent = tuple[int, int, int, int]  # move_x, move_y, yaw, buttons
Policy = Callable[["Swarm", int], Intent]
Lay = Callable[..., Awaitable["Table"]]


def config(players: int, **changes: Any) -> MatchConfig:
    """A battle royale of that many, each for themselves."""
    roster = [RosterPlayer(player_id=1_000 + entity, team=entity, entity=entity) for entity in range(players)]
    return replace(
        MatchConfig(UUID(int=7), shipped_cards()["battle_royale"], seed=11, match_s=20.0, players=roster),
        **changes,
    )


def token_for(engine: Engine, entity: int, key: bytes = FLEET_KEY, issued_at: float = START_S) -> bytes:
    """What the director would give to this player."""
    player = engine.match.roster[entity]
    return connect_token.seal(
        key,
        match_id=engine.config.match_id,
        player_id=player.player_id,
        entity=entity,
        team=player.team,
        address=engine.transport.host,
        port=engine.transport.port,
        issued_at=issued_at,
        expires_at=START_S + 600.0,
        random=secrets.token_bytes(connect_token.RANDOM_BYTES),
    )


class Swarm:
    """Players of a match, client index = entity. ``policy`` says what a client wants to do."""

    def __init__(self, engine: Engine, policy: Policy, players: Iterable[int] | None = None) -> None:
        count = len(engine.match.roster)
        self.engine = engine
        self.policy = policy
        self.clients = ClientSessions(count, count + engine.config.card.objects_count)
        self.sessions = self.clients.sessions
        self.state = self.clients.state
        self.sockets: dict[int, socket.socket] = {}
        self._out = np.zeros(1_300, dtype=np.uint8)
        self._in = np.zeros(1_300, dtype=np.uint8)
        self._room = memoryview(self._in)  # type: ignore[arg-type]
        here = set(range(count) if players is None else players)
        for entity in range(count):
            assert self.clients.add(token_for(engine, entity)) == entity
            if entity in here:
                self.sockets[entity] = self._connect()

    def play_frame(self, now_s: float) -> None:
        """Read everything that came, then send what is due."""
        for client, opened in self.sockets.items():
            with contextlib.suppress(BlockingIOError):
                while True:
                    client_receive(self.state, client, self._in, opened.recv_into(self._room), now_s)
            length = client_transmit(self.state, client, now_s, *self.policy(self, client), 0.0, self._out)
            if length:
                opened.send(self._out[:length].tobytes())

    def events_of(self, client: int) -> Iterator[tuple[int, ...]]:
        """The reliable messages that a client has got so far, if they are no more than its ring keeps."""
        ring = self.state.events.shape[1]
        for number in range(int(self.sessions["events_count"][client])):
            yield tuple(self.state.events[client, number % ring].tolist())

    def come(self, client: int) -> None:
        """Connect one who was not here at first."""
        self.sockets[client] = self._connect()

    def fall_silent(self, client: int) -> None:
        """Be gone without a word."""
        self.sockets.pop(client).close()

    def come_back(self, client: int) -> None:
        """Connect again with the same token, from another port."""
        self.clients.reconnect(client)
        self.sockets[client] = self._connect()

    def move(self, client: int) -> None:
        """Go on from another port: the client does not notice."""
        self.sockets.pop(client).close()
        self.sockets[client] = self._connect()

    def restart(self, client: int, issued_at: float) -> None:
        """Come back as a new process: it knows nothing, has another port, and a token issued later."""
        self.sockets.pop(client).close()
        self.clients.free(client)
        self.state.seen[client] = 0
        assert self.clients.add(token_for(self.engine, client, issued_at=issued_at)) == client
        self.sockets[client] = self._connect()

    def close(self) -> None:
        """Close all sockets."""
        for opened in self.sockets.values():
            opened.close()

    def _connect(self) -> socket.socket:
        opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        opened.bind(("127.0.0.1", 0))
        opened.setblocking(False)
        opened.connect((self.engine.transport.host, self.engine.transport.port))
        return opened


def aim_and_fire(swarm: Swarm, client: int) -> Intent:
    """Turn to the nearest living entity in view and shoot at where it was last seen."""
    seen = swarm.state.seen[client]
    alive = (swarm.state.seen_tick[client] > 0) & (flags_of(seen) & entities.FLAG_ALIVE > 0)
    own = int(swarm.sessions["own_entity"][client])
    x_m, y_m = positions_of(seen)
    distance = np.where(alive, np.hypot(x_m - x_m[own], y_m - y_m[own]), np.inf)
    distance[own] = np.inf
    target = int(np.argmin(distance))
    if not np.isfinite(distance[target]):
        return 0, 0, 0, 0
    angle = np.arctan2(y_m[target] - y_m[own], x_m[target] - x_m[own])
    return 0, 0, round(angle / (2 * np.pi) * 65_536) & 65_535, fields.BUTTON_FIRE


def stand_still(_swarm: Swarm, _client: int) -> Intent:
    """Do nothing at all."""
    return 0, 0, 0, 0


def run_east(_swarm: Swarm, _client: int) -> Intent:
    """Run."""
    return 127, 0, 0, 0


def positions_of(records: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Metres east and north of records (int64[…, RECORD_WORDS])."""
    return entities.x_array(records), entities.y_array(records)


def flags_of(records: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """FLAG_… bits of records (int64[…, RECORD_WORDS])."""
    return entities.field_array(records, "flags")


class Table:
    """An engine and its swarm in step, in virtual time: a client frame, a server tick, a client frame, …"""

    def __init__(self, engine: Engine, swarm: Swarm) -> None:
        self.engine = engine
        self.swarm = swarm
        self.now_s = START_S
        self.events: list[Any] = []

    async def play(self, ticks: int, until: Callable[[], bool] = lambda: False) -> None:
        """Go on for that many ticks, or until the engine has finished or ``until`` holds."""
        for _ in range(ticks):
            self.swarm.play_frame(self.now_s)
            for _turn in range(len(self.swarm.sockets) + 2):
                await asyncio.sleep(0)  # the portable transport reads one datagram a turn of the loop
            self.engine.tick(self.now_s)
            await asyncio.sleep(0)
            await asyncio.sleep(0)
            self.events += list(self.engine.drain_events())
            self.now_s += 1.0 / self.engine.config.tick_hz
            if self.engine.finished or until():
                return

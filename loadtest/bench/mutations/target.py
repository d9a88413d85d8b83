"""A match in memory whose honest players play on, what its state is, and what each address was sent.

The wire is fed in the middle between two ticks, so that what a batch changes is seen before anything else
moves.
"""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

import numpy as np

from dedicated_server.native.compilation import Bytes, Ints
from dedicated_server.native.mmsg import sockaddr, unpack_sockaddr
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.datagrams import CONNECTED, ROW_BYTES
from dedicated_server.protocol.fields import BUTTON_FIRE
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.tick.engine import Engine
from dedicated_server.transport.memory import MemoryTransport
from loadtest.bench.harness import game_server, run_config
from loadtest.bench.harness.run_config import CLUSTER, RunConfig

Address = tuple[str, int]

PLAYERS: Final = 8
START_S: Final = 1_700_000_000.0
TICK_S: Final = 1 / 60
TOKEN_S: Final = 3_600.0
PLAYERS_HOST: Final = "198.51.100.1"
FIRST_PORT: Final = 40_000
JOIN_TICKS: Final = 60
# What a datagram that is not authentic may change: counts, and room for work that is done anew each time.
SCRATCH: Final = frozenset(
    ("plain", "scratch", "heads", "workspace", "sets", "runs", "codes", "shown", "said", "words", "out_buf")
) | {"out_len", "out_addr", "out_count", "drops", "counters"}
SCRATCH_OF_IDENTITY: Final = ("challenge_counter", "requests", "responses", "unsealed")


class Target:
    """A match of ``PLAYERS``, and what the addresses that sent something were sent.

    Attributes:
        came, went: bytes from and to each address.
        real: datagrams that players sent and the server took in, the newest at the end.
        answers: datagrams that the server sent to players, the newest at the end.
    """

    def __init__(self, seed: int = 1) -> None:
        mode = run_config.bench_mode()
        config = RunConfig(PLAYERS, CLUSTER, 0.0, seed)
        self.transport = MemoryTransport(capacity=4 * PLAYERS)
        self.engine = Engine(
            game_server.match_of(config, mode.card),
            game_server.FLEET_KEY,
            self.transport,
            secret=secrets.token_bytes(SECRET_BYTES),
            mode=mode,
            clock_ns=lambda: 0,
        )
        self.now_s = START_S
        self.clients = ClientSessions(PLAYERS, PLAYERS)
        for entity in range(PLAYERS):
            self.clients.add(self.token(entity))
        self.came: Counter[Address] = Counter()
        self.went: Counter[Address] = Counter()
        self.real: list[bytes] = []
        self.answers: list[bytes] = []
        self._out = np.zeros(ROW_BYTES, np.uint8)

    def token(self, entity: int, **changes: Any) -> bytes:
        """Return a connect token of a slot's player, changed in what `connect_token.seal` takes."""
        player = self.engine.match.roster[entity]
        fields: dict[str, Any] = {
            "match_id": self.engine.config.match_id,
            "player_id": player.player_id,
            "entity": entity,
            "team": player.team,
            "address": self.transport.host,
            "port": self.transport.port,
            "issued_at": START_S,
            "expires_at": START_S + TOKEN_S,
            "random": secrets.token_bytes(connect_token.RANDOM_BYTES),
        }
        key = changes.pop("fleet_key", game_server.FLEET_KEY)
        return connect_token.seal(key, **(fields | changes))

    def join(self) -> None:
        """Play until everybody has been in the match for a while."""
        for _ in range(JOIN_TICKS):
            self.tick()

    def speak(self, client: int) -> bytes:
        """Return what a player sends now: in a circle, shooting; empty where it is nothing."""
        turn = (self.engine.tick_number // 30 + client) % 4
        move = ((127, 0), (0, 127), (-127, 0), (0, -127))[turn]
        yaw = self.engine.tick_number * 900 + client * 8_000 & 65_535
        length = client_transmit(
            self.clients.state, client, self.now_s, *move, yaw, BUTTON_FIRE, 0.0, self._out
        )
        return self._out[:length].tobytes()

    def tick(self, silent: frozenset[int] = frozenset()) -> None:
        """Let all but the ``silent`` send, the server tick, and all but those hear what it says."""
        self.now_s += TICK_S
        for client in range(PLAYERS):
            if client in silent:
                continue
            if datagram := self.speak(client):
                self.real.append(datagram)
                self.deliver(datagram, address_of(client))
        del self.real[:-500]
        self.engine.tick(self.now_s)
        self.engine.drain_events()
        for datagram, address in self._sent():
            host, port = address
            client = port - FIRST_PORT
            if host == PLAYERS_HOST and client not in silent:
                self.answers.append(datagram)
                self._hear(client, datagram)
        del self.answers[:-500]

    def deliver(self, datagram: bytes, sender: Address) -> None:
        """Let a datagram arrive before the next tick."""
        self.came[sender] += len(datagram)
        self.transport.deliver(datagram, sender)

    def open_batch(self, data: Bytes, lengths: Ints, senders: Bytes) -> list[tuple[int, int, Address]]:
        """Feed the wire between two ticks; return kind, length and address of each answer.

        uint8[M, ROW_BYTES], int32[M] and uint8[M, ADDRESS_BYTES].
        """
        wire = self.engine.wire
        wire.open_batch(data, lengths, senders, len(lengths), self.now_s, self.engine.tick_number)
        return [
            (
                int(wire.out_buf[row, 0]),
                int(wire.out_len[row]),
                unpack_sockaddr(wire.out_addr[row].tobytes()),
            )
            for row in range(int(wire.out_count[0]))
        ]

    def settle(self) -> None:
        """Open nothing: what a batch sets for its tick alone is as before any."""
        self.open_batch(
            np.zeros((1, ROW_BYTES), np.uint8), np.zeros(0, np.int32), np.zeros((1, 28), np.uint8)
        )

    def fingerprint(self) -> bytes:
        """Return a hash of all that the match and its sessions are."""
        found = hashlib.blake2b(digest_size=16)
        for array in self._state():
            found.update(array.tobytes())
        return found.digest()

    def _state(self) -> Iterator[np.ndarray[Any, Any]]:
        wire, world = self.engine.wire.state, self.engine.match.world
        for name, array in wire._asdict().items():
            if name == "identity":
                array = array.copy()
                for field in SCRATCH_OF_IDENTITY:
                    array[field] = 0
            if name not in SCRATCH:
                yield array
        yield from (world.body, world.status, world.position_history, world.counters)
        yield from (self.engine.arrays.joined, self.engine.arrays.lost)

    def players_lost(self) -> int:
        """Return how many players are out, or have not heard the newest tick."""
        heard = self.clients.sessions["snapshot_tick"] >= self.engine.tick_number - 1
        return int(np.count_nonzero(~(heard & (self.engine.wire.status == CONNECTED))))

    def _sent(self) -> list[tuple[bytes, Address]]:
        sent, self.transport.sent = self.transport.sent, []
        for datagram, address in sent:
            self.went[address] += len(datagram)
        return sent

    def _hear(self, client: int, datagram: bytes) -> None:
        room = np.zeros(ROW_BYTES, np.uint8)
        room[: len(datagram)] = np.frombuffer(datagram, np.uint8)
        client_receive(self.clients.state, client, room, len(datagram), self.now_s)


def address_of(client: int) -> Address:
    """Where a player is."""
    return PLAYERS_HOST, FIRST_PORT + client


def sender_rows(addresses: list[Address]) -> Bytes:
    """Return addresses as the wire takes them: uint8[A, ADDRESS_BYTES]."""
    return np.stack([sockaddr(*address) for address in addresses])

"""A match on one table: a server's wire and clients, datagrams passed by hand, lost as a test wants."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.native.mmsg import ADDRESS_BYTES, sockaddr
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import MATCH_COLUMNS
from dedicated_server.protocol.server.wire import ServerWire
from tests.dedicated_server.protocol.entity_oracle import Record, rows

FLEET_KEY = bytes(range(32))
SECRET = bytes(range(100, 148))
MATCH_ID = UUID("0192f0c1-2f60-7a3b-8c4d-5e6f708192a3")
NOW_S = 1_800_000_000.0
HOST, PORT = "203.0.113.7", 7001
FIRST_PLAYER = 1000
ROOM = 1216


def token(entity: int = 0, **changed: Any) -> bytes:
    """A connect token that the table's server accepts, unless something is changed."""
    fields: dict[str, Any] = {
        "match_id": MATCH_ID,
        "player_id": FIRST_PLAYER + entity,
        "entity": entity,
        "team": entity,
        "address": HOST,
        "port": PORT,
        "issued_at": NOW_S - 1.0,
        "expires_at": NOW_S + 3600.0,
        "random": secrets.token_bytes(connect_token.RANDOM_BYTES),
    }
    fleet_key = changed.pop("fleet_key", FLEET_KEY)
    return connect_token.seal(fleet_key, **{**fields, **changed})


def address(number: int) -> npt.NDArray[np.uint8]:
    """The source address of client ``number``."""
    return sockaddr(f"198.51.100.{number % 200 + 1}", 40_000 + number)


class Table:
    """``players`` clients and their server; everything they said to each other passes through `step`."""

    def __init__(
        self,
        players: int,
        cipher: int = connect_token.CIPHER_AEGIS_128L,
        join: bool = True,
        objects: Sequence[int] = (),
        **of_wire: Any,
    ) -> None:
        self.players = players
        self.wire = ServerWire(
            fleet_key=FLEET_KEY,
            match_id=MATCH_ID,
            player_ids=range(FIRST_PLAYER, FIRST_PLAYER + players),
            host=HOST,
            port=PORT,
            secret=SECRET,
            objects=len(objects),
            **of_wire,
        )
        self.tick = 0
        self.now_s = NOW_S
        self.entities = players + len(objects)
        self.world = np.zeros((self.entities, RECORD_WORDS), np.int64)
        self.world[players:, 0] = objects  # their kinds, all else 0
        self.match_state = np.zeros(MATCH_COLUMNS, np.int32)
        self.hints = np.zeros(players, np.int32)
        self.clients = ClientSessions(players, self.entities, names=True)
        self.heard: list[tuple[int, bytes]] = []  # what clients have sent since the last tick
        self.out = np.zeros(ROOM, np.uint8)
        if join:
            for entity in range(players):
                self.clients.add(token(entity, cipher=cipher))

    def say(self, sender: int, datagram: bytes) -> None:
        """Put a datagram into the server's next batch."""
        self.heard.append((sender, datagram))

    def serve(
        self, selected: list[list[int]] | None = None, left: list[list[int]] | None = None
    ) -> list[tuple[int, bytes]]:
        """One tick of the server over what it heard: what it sends, as (client number, datagram)."""
        self.tick += 1
        self.now_s += 1 / 60
        count = len(self.heard)
        batch = np.zeros((count + 1, 1300), np.uint8)
        lengths = np.zeros(count + 1, np.int32)
        senders = np.zeros((count + 1, ADDRESS_BYTES), np.uint8)
        for row, (sender, datagram) in enumerate(self.heard):
            batch[row, : len(datagram)] = np.frombuffer(datagram[:1300], np.uint8)
            lengths[row] = len(datagram)
            senders[row] = address(sender)
        self.heard = []
        wire = self.wire
        wire.open_batch(batch, lengths, senders, count, self.now_s, self.tick)
        everything = [list(range(self.entities))] * self.players
        lists, counts = _rows(everything if selected is None else selected, self.players, self.entities)
        nobody: list[list[int]] = [[]] * self.players
        left_lists, left_counts = _rows(nobody if left is None else left, self.players, self.entities)
        wire.input_applied[:] = wire.input_newest
        wire.encode_batch(
            self.tick, self.world, lists, counts, left_lists, left_counts, self.match_state, self.hints
        )
        wire.seal_batch(self.now_s)
        sent = []
        for row in range(int(wire.out_count[0])):
            port = int.from_bytes(wire.out_addr[row, 2:4].tobytes(), "big")
            sent.append((port - 40_000, wire.out_buf[row, : wire.out_len[row]].tobytes()))
        return sent

    def transmit(self, index: int, move_x: int = 0, move_y: int = 0, yaw: int = 0, buttons: int = 0) -> bytes:
        """What a client sends now; empty for nothing."""
        length = client_transmit(
            self.clients.state, index, self.now_s, move_x, move_y, yaw, buttons, 0.0, self.out
        )
        return self.out[:length].tobytes()

    def receive(self, index: int, datagram: bytes) -> int:
        """Give a client a datagram."""
        room = np.zeros(ROOM, np.uint8)
        room[: len(datagram)] = np.frombuffer(datagram[:ROOM], np.uint8)
        return int(client_receive(self.clients.state, index, room, len(datagram), self.now_s))

    def step(
        self,
        lost: Callable[[], bool] = lambda: False,
        selected: list[list[int]] | None = None,
        left: list[list[int]] | None = None,
    ) -> None:
        """A tick: all clients send, the server serves, all clients receive; each datagram may be lost."""
        for index in range(self.players):
            datagram = self.transmit(index)
            if datagram and not lost():
                self.say(index, datagram)
        for index, datagram in self.serve(selected, left):
            if not lost():
                self.receive(index, datagram)

    def connect(self) -> None:
        """Until everybody is in: a slot begins a session a second, and a tick begins some of them."""
        for step in range(100 + self.players):
            if step >= 10 and (self.clients.sessions["state"] == CLIENT_CONNECTED).all():
                break
            self.step()
        assert self.wire.status.tolist() == [1] * self.players

    def shuffle(self, random: np.random.Generator) -> None:
        """Move everything a little, some a lot; a few stand still."""
        for entity in range(self.players, self.entities):
            self._shuffle_object(entity, random)
        for entity in range(self.players):
            old = Record.unpacked(self.world[entity])
            reach = int(random.choice([0, 8, 40, 2000]))
            move = random.integers(-reach, reach + 1, 2)
            self.world[entity] = Record(
                int(np.clip(old.x + move[0], 0, 131_071)),
                int(np.clip(old.y + move[1], 0, 131_071)),
                int(old.yaw + random.integers(-reach, reach + 1)) % 1024,
                int(random.integers(0, 101)) if random.random() < 0.1 else old.health,
                int(random.integers(0, 32)) if random.random() < 0.1 else old.flags,
            ).packed

    def _shuffle_object(self, entity: int, random: np.random.Generator) -> None:
        old = Record.unpacked(self.world[entity])
        reach = int(random.choice([0, 0, 8, 2000]))
        x, y = np.clip(np.array([old.x, old.y]) + random.integers(-reach, reach + 1, 2), 0, 131_071)
        values = [
            int(random.integers(0, 1 << row.bits)) if random.random() < 0.2 else value
            for row, value in zip(rows(old.kind), old.values, strict=True)
        ]
        words = Record.of(old.kind, int(x), int(y), values).packed
        self.world[entity, : len(words)] = words


def _rows(
    lists: list[list[int]], players: int, entities: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    rows = np.zeros((players, max(entities, 1)), np.int32)
    for row, entries in enumerate(lists):
        rows[row, : len(entries)] = entries
    return rows, np.array([len(entries) for entries in lists], np.int32)

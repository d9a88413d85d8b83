"""A game server of a few lines, over the real wire: it lets players in, shows them a world that the test
paints, and notes inputs.
"""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import socket
import time
import uuid
from types import TracebackType
from typing import Self

import numpy as np

from dedicated_server.native.mmsg import ADDRESS_BYTES, sockaddr
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.entities import FLAG_ALIVE, pack_player
from dedicated_server.protocol.fields import MATCH_COLUMNS, PHASE_PLAYING
from dedicated_server.protocol.reliable_kinds import RELIABLE_MATCH_OVER
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire

MAX_BATCH = 256


class TinyServer:
    def __init__(self, players: int) -> None:
        self.players = players
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(("127.0.0.1", 0))
        self.host, self.port = self.socket.getsockname()
        self.fleet_key = secrets.token_bytes(32)
        self.match_id = uuid.uuid4()
        self.wire = ServerWire(
            fleet_key=self.fleet_key,
            match_id=self.match_id,
            player_ids=[1000 + slot for slot in range(players)],
            host=self.host,
            port=self.port,
            secret=bytes(SECRET_BYTES),
        )
        self.alive = [True] * players
        self.zone_radius_m = 200.0
        self.tick = 0
        self.silent = False
        self._task: asyncio.Task[None] | None = None

    def token(self, slot: int) -> bytes:
        return connect_token.seal(
            self.fleet_key,
            match_id=self.match_id,
            player_id=1000 + slot,
            entity=slot,
            team=slot,
            address=self.host,
            port=self.port,
            issued_at=time.time(),
            expires_at=time.time() + 60,
            random=secrets.token_bytes(connect_token.RANDOM_BYTES),
        )

    def end_match(self) -> None:
        self.wire.queue_reliable(-1, RELIABLE_MATCH_OVER, 1, 0, 0)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._task is not None
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self.socket.close()

    async def _run(self) -> None:
        while True:
            self._play_tick(time.time())
            await asyncio.sleep(1 / 60)

    def _play_tick(self, now_s: float) -> None:
        self.tick += 1
        batch = np.zeros((MAX_BATCH, 1_232), np.uint8)
        lengths = np.zeros(MAX_BATCH, np.int32)
        senders = np.zeros((MAX_BATCH, ADDRESS_BYTES), np.uint8)
        count = 0
        with contextlib.suppress(BlockingIOError):
            while count < MAX_BATCH:
                datagram, (host, port) = self.socket.recvfrom(1_232)
                batch[count, : len(datagram)] = np.frombuffer(datagram, np.uint8)
                lengths[count] = len(datagram)
                senders[count] = sockaddr(host, port)
                count += 1
        if self.silent:
            return
        wire = self.wire
        wire.open_batch(batch, lengths, senders, count, now_s, self.tick)
        wire.input_applied[:] = wire.input_newest
        world = np.array(
            [
                pack_player(10.0 * slot, 0.0, 0.0, 100, FLAG_ALIVE if self.alive[slot] else 0)
                for slot in range(self.players)
            ],
            np.int64,
        )
        selected = np.tile(np.arange(self.players, dtype=np.int32), (self.players, 1))
        everyone = np.full(self.players, self.players, np.int32)
        nobody = np.zeros(self.players, np.int32)
        centre = 1024 * 64
        state = np.zeros(MATCH_COLUMNS, np.int32)
        state[:6] = PHASE_PLAYING, centre, centre, int(self.zone_radius_m * 64), sum(self.alive), 600
        wire.encode_batch(
            self.tick, world, selected, everyone, np.zeros((self.players, 1), np.int32), nobody, state, nobody
        )
        wire.seal_batch(now_s)
        for row in range(int(wire.out_count[0])):
            address = wire.out_addr[row]
            host = ".".join(str(byte) for byte in address[4:8])
            port = int(address[2]) << 8 | int(address[3])
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                self.socket.sendto(wire.out_buf[row, : wire.out_len[row]].tobytes(), (host, port))

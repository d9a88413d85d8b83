"""A few players in real time, each with a socket of its own: they connect, turn to the nearest other and
shoot.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import Sequence

import numpy as np

from dedicated_server.protocol import entities
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.client.transmit import client_transmit
from tests.dedicated_server.tick.swarm import flags_of, positions_of

FRAME_S = 1 / 60


class Players:
    """Plays with these connect tokens until cancelled; ``walk``: int8 east and north, as inputs have it."""

    def __init__(self, tokens: Sequence[bytes], walk: tuple[int, int] = (0, 0)) -> None:
        self._walk = walk
        self.clients = ClientSessions(len(tokens), 100)
        for token in tokens:
            self.clients.add(token)
        self._addresses = [self.clients.address_of(index) for index in range(len(tokens))]
        self._in = np.zeros(1_300, dtype=np.uint8)
        self._out = np.zeros(1_300, dtype=np.uint8)

    @property
    def connected(self) -> int:
        """How many are connected now."""
        return int((self.clients.sessions["state"] == CLIENT_CONNECTED).sum())

    @property
    def match_over(self) -> list[bool]:
        """Who has been told that the match is over."""
        return [bool(flag) for flag in self.clients.sessions["match_over"]]

    def load_kernels(self) -> None:
        """Compile what a client runs: it must not take the time of a match."""
        client_receive(self.clients.state, 0, self._in, 0, 1.0)
        client_transmit(self.clients.state, 0, 1.0, 0, 0, 0, 0, 0.0, self._out)

    async def play(self) -> None:
        """Send and receive sixty times a second."""
        with contextlib.ExitStack() as open_sockets:
            sockets = []
            for address in self._addresses:
                one = open_sockets.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
                one.setblocking(False)
                one.connect(address)
                sockets.append(one)
            while True:
                for index, one in enumerate(sockets):
                    self._frame(index, one, time.time())
                await asyncio.sleep(FRAME_S)

    def _frame(self, index: int, one: socket.socket, now_s: float) -> None:
        with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
            while True:
                length = one.recv_into(self._in.data)
                client_receive(self.clients.state, index, self._in, length, now_s)
        yaw, buttons = self._aim(index)
        length = client_transmit(self.clients.state, index, now_s, *self._walk, yaw, buttons, 0.0, self._out)
        if length:
            with contextlib.suppress(BlockingIOError, ConnectionRefusedError):
                one.send(self._out[:length].data)

    def _aim(self, index: int) -> tuple[int, int]:
        seen = self.clients.state.seen[index]
        alive = self.clients.state.seen_tick[index] > 0
        alive &= (flags_of(seen) & entities.FLAG_ALIVE) > 0
        own = int(self.clients.sessions["own_entity"][index])
        x_m, y_m = positions_of(seen)
        distance = np.hypot(x_m - x_m[own], y_m - y_m[own])
        distance[~alive] = np.inf
        distance[own] = np.inf
        target = int(np.argmin(distance))
        if not np.isfinite(distance[target]):
            return 0, 0
        turn = np.arctan2(y_m[target] - y_m[own], x_m[target] - x_m[own]) / (2 * np.pi)
        return round(turn * 65_536) & 65_535, 1

"""A player: one real client with a socket on one of the hosts, and what it noticed of its line."""

from __future__ import annotations

import itertools
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.fields import TICK_HZ
from loadtest.bench.paths.network import Host
from loadtest.bots.udp import DATAGRAM_BYTES, open_to_any

MAX_READS: Final = 64  # datagrams taken in one frame
FULL_SPEED: Final = 127
TURN_FRAMES: Final = 90  # a player walks to and fro


class Player:
    """A client that walks to and fro, and shoots nobody.

    Attributes:
        heard: of every snapshot: when it was taken in (seconds of ``time.monotonic``) and its tick.
        sent_from_s: when the first datagram left by the present socket; 0.0: none yet.
        unsent: datagrams that the host refused to send: no address, no route.
    """

    def __init__(self, token: bytes, host: Host, entities: int) -> None:
        self._token, self._entities = token, entities
        self.heard: list[tuple[float, int]] = []
        self.unsent = 0
        self._frame = 0
        self._out = np.zeros(DATAGRAM_BYTES, np.uint8)
        self._socket: socket.socket | None = None
        self.restart(host)

    def restart(self, host: Host) -> None:
        """Begin anew with the same token, as a client that was started again, from a port of ``host``."""
        self.sessions = ClientSessions(1, self._entities)
        self.sessions.add(self._token)
        self.move_to(host)

    def move_to(self, host: Host) -> None:
        """Go on from a new socket on ``host``: the session knows nothing of it."""
        self.close()
        self.sent_from_s = 0.0
        try:
            with host.entered():
                self._socket = open_to_any(self.sessions.addresses_of(0))
        except OSError:
            self.unsent += 1  # no way there from here

    def close(self) -> None:
        """Close the socket."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def frame(self, now_s: float) -> None:
        """Take in what has arrived, then send this frame's datagram."""
        self._frame += 1
        if self._socket is None:
            return
        for _ in range(MAX_READS):
            try:
                datagram = self._socket.recv(DATAGRAM_BYTES)
            except OSError:
                break
            self._take_in(datagram, now_s)
        east = FULL_SPEED if self._frame // TURN_FRAMES % 2 else -FULL_SPEED
        length = int(client_transmit(self.sessions.state, 0, now_s, east, 0, 0, 0, 0.0, self._out))
        if length == 0:
            return
        try:
            self._socket.send(self._out[:length].tobytes())
            self.sent_from_s = self.sent_from_s or now_s
        except OSError:
            self.unsent += 1

    def _take_in(self, datagram: bytes, now_s: float) -> None:
        room = np.zeros(DATAGRAM_BYTES, np.uint8)
        room[: len(datagram)] = np.frombuffer(datagram, np.uint8)
        if client_receive(self.sessions.state, 0, room, len(datagram), now_s) == RECEIVED_SNAPSHOT:
            self.heard.append((now_s, int(self.sessions.sessions["snapshot_tick"][0])))

    @property
    def connected(self) -> bool:
        """Whether it is in the match now."""
        return bool(self.sessions.sessions["state"][0] == CLIENT_CONNECTED)

    @property
    def newest_tick(self) -> int:
        """Of the newest snapshot; 0: none yet."""
        return self.heard[-1][1] if self.heard else 0

    def heard_between(self, from_s: float, until_s: float) -> list[tuple[float, int]]:
        """The part of ``heard`` within these moments."""
        return [each for each in self.heard if from_s <= each[0] < until_s]

    def longest_gap_s(self, from_s: float, until_s: float) -> float:
        """The longest time without a snapshot between two moments."""
        moments = [from_s, *(at_s for at_s, _ in self.heard_between(from_s, until_s)), until_s]
        return max(later - earlier for earlier, later in itertools.pairwise(moments))


def figures_of(players: Sequence[Player], began_s: float, ended_s: float) -> dict[str, Any]:
    """How many joined, how soon, how often each heard of the match, and how long it was silent at most."""
    heard = [player.heard_between(began_s, ended_s) for player in players]
    joined = [each[0][0] for each in heard if each]
    rates = [len(each) / (ended_s - each[0][0]) for each in heard if each]
    gaps = [
        player.longest_gap_s(each[0][0], ended_s) for player, each in zip(players, heard, strict=True) if each
    ]
    return {
        "players": len(players),
        "joined": len(joined),
        "connected_at_end": sum(player.connected for player in players),
        "join_s": round(max(joined, default=ended_s) - began_s, 3),
        "snapshots_a_second": round(min(rates, default=0.0), 1),
        "longest_gap_s": round(max(gaps, default=ended_s - began_s), 3),
    }


def run_frames(
    players: Sequence[Player], seconds: float, each_frame: Callable[[float], None] = lambda now_s: None
) -> tuple[float, float]:
    """Play so many seconds, a frame of every player 60 times a second; return when it began and ended.

    ``each_frame`` is called with the time before each frame.
    """
    _load_kernels()
    began_s = time.monotonic()
    frame = 0
    while (now_s := time.monotonic()) < began_s + seconds:
        each_frame(now_s)
        for player in players:
            player.frame(now_s)
        frame += 1
        time.sleep(max(began_s + frame / TICK_HZ - time.monotonic(), 0.0))
    return began_s, time.monotonic()


def _load_kernels() -> None:
    """Load or compile what a frame calls, which is no player's wait."""
    sessions = ClientSessions(1, 1)
    room = np.zeros(DATAGRAM_BYTES, np.uint8)
    client_transmit(sessions.state, 0, 0.0, 0, 0, 0, 0, 0.0, room)
    client_receive(sessions.state, 0, room, 0, 0.0)

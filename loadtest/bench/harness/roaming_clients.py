"""The clients' process where players roam: each has a socket, and gets another one in mid-match.

A player who *moves* goes on with the same session from another port after a short silence, as from Wi-Fi to
a mobile network, or behind an address translator that has forgotten them. A player who *restarts* begins a
session anew with the token that they have, from another port. Each change is timed from the first datagram of
the new port to the first snapshot that is taken in there.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Final

import numpy as np

from dedicated_server.protocol.client.receive import RECEIVED_SNAPSHOT, client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.datagrams import TIME_OUT_S
from dedicated_server.protocol.fields import TICK_HZ
from loadtest.bench.harness.poller import Poller, StepLoop
from loadtest.bench.harness.run_config import RoamingClientFigures, RunConfig, ServerReady
from loadtest.bench.harness.shared_state import SharedState, Window
from loadtest.bench.harness.worker import Send
from loadtest.bots.udp import DATAGRAM_BYTES, open_socket

STEPS_PER_FRAME: Final = 4  # a quarter of the clients sends in each step: their frames are not synchronised
STEP_HZ: Final = TICK_HZ * STEPS_PER_FRAME
MOVED, RESTARTED = KINDS = ("moved", "restarted")
# Between a player's changes: long enough for an address to prove itself, which takes half a second.
LEAST_REST_S: Final = 1.5
MEAN_REST_S: Final = 1.5  # … and as much more, on average
MOST_SILENCE_S: Final = 0.3  # between two networks
FULL_SPEED: Final = 127
BY_ADDRESS: Final = "by_address"  # a fault: the server is sent no connection id that it could go by


@dataclass(slots=True)
class Roamer:
    """A player.

    Attributes:
        token: their connect token.
        session: index of their session.
        socket: that they have now.
        change_s: when they change it next.
        silent_until_s: when the first datagram leaves by it.
        kind: of the change under way; "" while there is none.
        began_s: when its first datagram left; 0: not yet.
    """

    token: bytes
    session: int
    socket: socket.socket
    change_s: float
    silent_until_s: float = 0.0
    kind: str = ""
    began_s: float = 0.0


class Roamers:
    """All players of a run, closed with the stack that they are entered in.

    Args:
        tokens: a connect token a player.
        config: of the run.
    """

    def __init__(self, tokens: Sequence[bytes], config: RunConfig) -> None:
        self._random = np.random.default_rng((config.seed, len(tokens)))
        self._fault = config.fault
        self._clients = ClientSessions(2 * len(tokens), config.players)
        self._room = np.zeros(DATAGRAM_BYTES, np.uint8)
        self.back_s: dict[str, list[float]] = {kind: [] for kind in KINDS}
        self.lost: dict[str, int] = dict.fromkeys(KINDS, 0)
        self._players = []
        for token in tokens:
            session = self._clients.add(token)
            opened = open_socket(*self._clients.address_of(session))
            self._players.append(Roamer(token, session, opened, float("inf")))

    def close(self) -> None:
        """Close the sockets."""
        for player in self._players:
            player.socket.close()

    def begin(self, now_s: float) -> None:
        """Let the players roam from now on."""
        for player in self._players:
            player.change_s = now_s + self._random.uniform(0.0, LEAST_REST_S + MEAN_REST_S)

    def step(self, number: int, now_s: float) -> None:
        """Take in what has come for everybody; a quarter of the players acts."""
        for player in self._players:
            self._read(player, now_s)
        for player in self._players[number % STEPS_PER_FRAME :: STEPS_PER_FRAME]:
            if player.kind and player.began_s and now_s - player.began_s > TIME_OUT_S:
                self.lost[player.kind] += 1
                self._change(player, RESTARTED, now_s)
            elif not player.kind and now_s >= player.change_s:
                self._change(player, KINDS[int(self._random.integers(len(KINDS)))], now_s)
            if now_s >= player.silent_until_s:
                self._send(player, now_s)

    @property
    def connected(self) -> int:
        """How many are in the match now, or on their way back."""
        states = self._clients.sessions["state"]
        return sum(
            bool(player.kind or states[player.session] == CLIENT_CONNECTED) for player in self._players
        )

    @property
    def dropped(self) -> dict[str, int]:
        """Datagrams that the clients dropped, by reason."""
        return {name: count for name, count in self._clients.drops_by_reason().items() if count}

    def _change(self, player: Roamer, kind: str, now_s: float) -> None:
        player.kind, player.began_s = kind, 0.0
        player.silent_until_s = now_s + self._random.uniform(0.0, MOST_SILENCE_S)
        if kind == RESTARTED:
            self._clients.free(player.session)
            player.session = self._clients.add(player.token)
        elif self._fault == BY_ADDRESS:
            self._clients.sessions["connection_tag"][player.session] = 0
        player.socket.close()
        player.socket = open_socket(*self._clients.address_of(player.session))

    def _send(self, player: Roamer, now_s: float) -> None:
        state, room = self._clients.state, self._room
        length = int(client_transmit(state, player.session, now_s, FULL_SPEED, 0, 0, 0, 0, room))
        if length == 0:
            return
        player.began_s = player.began_s or now_s
        try:
            player.socket.send(room[:length].tobytes())
        except OSError:
            return  # no room, or the server has ended: the network loses datagrams, too

    def _read(self, player: Roamer, now_s: float) -> None:
        while True:
            try:
                length = player.socket.recv_into(self._room.data)
            except OSError:
                return
            state = self._clients.state
            found = int(client_receive(state, player.session, self._room, length, now_s))
            if found == RECEIVED_SNAPSHOT and player.kind:
                self.back_s[player.kind].append(now_s - player.began_s)
                player.kind = ""
                player.change_s = now_s + LEAST_REST_S + float(self._random.exponential(MEAN_REST_S))


def play(shared: SharedState, _send: Send, config: RunConfig, opened: ServerReady) -> RoamingClientFigures:
    """Connect all clients and let them roam while the window is open. Raises BenchError where it never is."""
    with ExitStack() as stack:
        poller = stack.enter_context(Poller())
        roamers = Roamers(opened.tokens, config)
        stack.callback(roamers.close)
        steps = StepLoop(shared, poller, STEP_HZ, STEPS_PER_FRAME, lambda _rows, _now_s: None)
        roaming = False
        for number, now_s, _late, window in steps:
            if window == Window.OPEN and not roaming:
                roaming = True
                roamers.begin(now_s)
            roamers.step(number, now_s)
        return RoamingClientFigures(
            back_s=roamers.back_s,
            lost=roamers.lost,
            connected=roamers.connected,
            missed_steps=steps.missed,
            dropped=roamers.dropped,
        )


def prepare(shared: SharedState, _send: Send) -> bool:
    """Compile or load the kernels."""
    sessions = ClientSessions(1, 1)
    room = np.zeros(DATAGRAM_BYTES, np.uint8)
    client_transmit(sessions.state, 0, 0.0, 0, 0, 0, 0, 0, room)
    client_receive(sessions.state, 0, room, 0, 0.0)
    return True

"""What is fired at a server, and what it counts of it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import numpy as np
import pytest

from dedicated_server.protocol.client.state import CLIENT_CONNECTED
from dedicated_server.simulation.reserve import MAX_RESERVE
from dedicated_server.simulation.world import CLAMPED_REWINDS, REFUSED_INPUTS
from loadtest.bench.harness.hostile_traffic import (
    EXTRA_INPUTS,
    HIJACKED_CLIENTS,
    HostileTraffic,
    send_cheating_inputs,
    send_rows,
)
from loadtest.bots.udp import open_socket
from tests.dedicated_server.replication.lossy import LossyTable, Weather
from tests.dedicated_server.tick.swarm import Intent

PERFECT = Weather(delay_s=0.001, jitter_s=0.0, least_s=0.001, loss=0.0)
ROOM = 1_216


def stand(_table: LossyTable, _client: int) -> Intent:
    return 0, 0, 0, 0


@pytest.fixture
def ears() -> Iterator[socket.socket]:
    """A socket that hears everything sent to it."""
    heard = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    heard.bind(("127.0.0.1", 0))
    heard.settimeout(5.0)
    with heard:
        yield heard


def test_a_volley_goes_round_the_table_and_the_sockets(ears: socket.socket) -> None:
    data = np.arange(5, dtype=np.uint8)[:, None] * np.ones((1, ROOM), np.uint8)
    lengths = np.array([1, 2, 3, 4, 5], np.int32)
    with open_socket(*ears.getsockname()) as one, open_socket(*ears.getsockname()) as other:
        ports = [one.getsockname()[1], other.getsockname()[1]]
        assert send_rows(np.array([one.fileno(), other.fileno()], np.int32), data, lengths, 3, 4) == 4
        heard = [ears.recvfrom(ROOM) for _ in range(4)]
    assert [(bytes(datagram), address[1]) for datagram, address in heard] == [
        (bytes([row] * (row + 1)), ports[number % 2]) for number, row in ((3, 3), (4, 4), (5, 0), (6, 1))
    ]


def test_a_cheats_datagrams_are_refused_clamped_or_dropped_and_its_session_goes_on(
    ears: socket.socket,
) -> None:
    laid = LossyTable(2, stand, weather=PERFECT, spawn_radius_m=200.0, match_s=600.0)
    laid.play(60)
    out = np.zeros(ROOM, np.uint8)
    with open_socket(*ears.getsockname()) as mouth:
        for _ in range(60):
            count = send_cheating_inputs(laid.state, 0, mouth.fileno(), laid.now_s, out)
            assert count == EXTRA_INPUTS + 1
            for _ in range(count):
                laid.transport.deliver(ears.recv(ROOM), ("198.51.100.1", 40_000))
            laid.play(1)
    status = laid.engine.match.world.status
    assert laid.engine.wire.drops_by_reason()["future_ack"] == 60
    assert status[REFUSED_INPUTS, 0] > 60 * (EXTRA_INPUTS - 1) - 2 * MAX_RESERVE
    assert status[CLAMPED_REWINDS, 0] > 0
    assert status[REFUSED_INPUTS, 1] == status[CLAMPED_REWINDS, 1] == 0
    assert (laid.sessions["state"] == CLIENT_CONNECTED).all()


def test_who_is_not_connected_does_not_cheat() -> None:
    laid = LossyTable(2, stand)
    assert send_cheating_inputs(laid.state, 0, -1, laid.now_s, np.zeros(ROOM, np.uint8)) == 0


def test_fire_is_made_of_what_was_overheard_and_keeps_its_rate(ears: socket.socket) -> None:
    laid = LossyTable(12, stand, weather=PERFECT, spawn_radius_m=200.0, match_s=600.0)
    laid.play(60)
    with open_socket(*ears.getsockname()) as mouth:
        descriptors = np.full(12, mouth.fileno(), np.int32)
        with HostileTraffic(laid.state, descriptors, ears.getsockname()[1], 1_000, seed=5) as fire:
            overheard = 0
            while not fire.ready:
                fire.capture(laid.now_s)
                overheard += HIJACKED_CLIENTS
            assert overheard >= 512
            for _ in range(50):
                fire.step(0.001, laid.now_s, False)
            assert fire.sent == 50

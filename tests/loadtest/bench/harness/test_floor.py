"""The floor carries what it is told to carry."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator

import numpy as np
import pytest

from loadtest.bench.harness.floor import Floor, receive_and_send

CLIENTS = 5


@pytest.fixture
def floor() -> Iterator[Floor]:
    with contextlib.closing(Floor("127.0.0.1", 2 * CLIENTS)) as opened:
        yield opened


@pytest.fixture
def clients(floor: Floor) -> Iterator[list[socket.socket]]:
    with contextlib.ExitStack() as stack:
        opened = [
            stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)) for _ in range(CLIENTS)
        ]
        for client in opened:
            client.settimeout(5.0)
            client.connect(("127.0.0.1", floor.port))
        floor.set_targets("127.0.0.1", np.array([client.getsockname()[1] for client in opened], np.int32))
        yield opened


def test_a_turn_takes_in_all_that_waits_and_sends_the_lengths_asked_for(
    floor: Floor, clients: list[socket.socket]
) -> None:
    for client in clients:
        client.send(bytes(60))

    received, sent, receive_ns, send_ns = floor.turn(np.array([10, 200, 1_200, 33, 1], np.int32))

    assert (received, sent) == (CLIENTS, CLIENTS)
    assert receive_ns > 0
    assert send_ns > 0
    assert [len(client.recv(2_000)) for client in clients] == [10, 200, 1_200, 33, 1]


def test_a_turn_with_nothing_to_do_does_nothing(floor: Floor) -> None:
    received, sent, _, _ = floor.turn(np.zeros(0, np.int32))

    assert (received, sent) == (0, 0)


def test_a_target_that_is_refused_does_not_keep_the_others_from_theirs(
    floor: Floor, clients: list[socket.socket]
) -> None:
    ports = np.array([client.getsockname()[1] for client in clients], np.int32)
    ports[1] = 0  # no datagram can be sent there
    floor.set_targets("127.0.0.1", ports)

    _, sent, _, _ = floor.turn(np.full(CLIENTS, 50, np.int32))

    assert sent == CLIENTS - 1
    assert len(clients[-1].recv(100)) == 50


def test_the_kernel_reports_nothing_received_from_a_descriptor_that_is_none() -> None:
    nothing = np.zeros((1, 8), np.uint64)

    assert receive_and_send(-1, nothing, nothing, 0, np.zeros(4, np.int64)) == (0, 0)

from __future__ import annotations

import select
import socket
import time
from collections.abc import Iterator

import numpy as np
import pytest

from loadtest.bots.udp import (
    MAX_BATCH_DATAGRAMS,
    arrival_time_s,
    enable_timestamps,
    new_inbox,
    open_socket,
    open_to_any,
    receive_batch,
)

LENGTHS = np.zeros(MAX_BATCH_DATAGRAMS, np.int64)


@pytest.fixture
def far_end() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound


@pytest.fixture
def near_end(far_end: socket.socket) -> Iterator[socket.socket]:
    with open_socket(*far_end.getsockname()) as opened:
        enable_timestamps(opened)
        yield opened


def test_all_that_has_come_is_read_in_one_call_in_order(
    near_end: socket.socket, far_end: socket.socket
) -> None:
    inbox = new_inbox()
    for number in range(MAX_BATCH_DATAGRAMS + 2):
        far_end.sendto(bytes([number]) * (number + 1), near_end.getsockname())
    assert receive_batch(near_end.fileno(), inbox, LENGTHS) == MAX_BATCH_DATAGRAMS
    assert LENGTHS.tolist() == list(range(1, MAX_BATCH_DATAGRAMS + 1))
    assert [int(row[0]) for row in inbox.data] == list(range(MAX_BATCH_DATAGRAMS))
    assert receive_batch(near_end.fileno(), inbox, LENGTHS) == 2
    assert receive_batch(near_end.fileno(), inbox, LENGTHS) == 0


def test_a_datagram_counts_from_when_the_system_had_it_however_late_it_is_read(
    near_end: socket.socket, far_end: socket.socket
) -> None:
    inbox = new_inbox()
    before_s = time.monotonic()
    far_end.sendto(b"early", near_end.getsockname())
    select.select([near_end], [], [], 10.0)
    after_s = time.monotonic()
    now_s = after_s + 0.5  # as if nobody had looked for a while
    assert receive_batch(near_end.fileno(), inbox, LENGTHS) == 1
    came_s = arrival_time_s(inbox, 0, time.time() - time.monotonic(), before_s - 1.0, now_s)
    assert before_s - 0.02 < came_s < after_s + 0.02  # two clocks, read one after the other


def test_a_stamp_outside_of_the_turn_is_moved_into_it(
    near_end: socket.socket, far_end: socket.socket
) -> None:
    inbox = new_inbox()
    far_end.sendto(b"x", near_end.getsockname())
    assert receive_batch(near_end.fileno(), inbox, LENGTHS) == 1
    ahead_s = time.time() - time.monotonic()
    assert arrival_time_s(inbox, 0, ahead_s - 3_600.0, 1.0, 2.0) == 2.0  # somebody set the clock
    assert arrival_time_s(inbox, 0, ahead_s + 1e9, 1.0, 2.0) == 1.0


def test_without_a_stamp_a_datagram_counts_from_when_it_is_read(far_end: socket.socket) -> None:
    inbox = new_inbox()
    with open_socket(*far_end.getsockname()) as opened:
        far_end.sendto(b"x", opened.getsockname())
        assert receive_batch(opened.fileno(), inbox, LENGTHS) == 1
    assert arrival_time_s(inbox, 0, 0.0, 5.0, 7.0) == 7.0


def test_a_closed_port_is_no_datagram(far_end: socket.socket) -> None:
    inbox = new_inbox()
    with open_socket(*far_end.getsockname()) as opened:
        far_end.close()
        opened.send(b"anybody there?")
        select.select([opened], [], [], 10.0)
        assert [receive_batch(opened.fileno(), inbox, LENGTHS) for _ in range(2)] == [0, 0]


def test_a_socket_goes_to_the_first_address_that_there_is_a_way_to(far_end: socket.socket) -> None:
    nowhere = ("255.255.255.255", 9)  # a broadcast, for which the socket did not ask
    with open_to_any([nowhere, far_end.getsockname()]) as opened:
        assert opened.getpeername() == far_end.getsockname()
    with pytest.raises(OSError, match=r"\S"):
        open_to_any([nowhere])

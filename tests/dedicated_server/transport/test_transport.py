"""What both transports promise; every test runs on each."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedicated_server.native.mmsg import ADDRESS_BYTES, pack_sockaddr, socket_name, unpack_sockaddr
from dedicated_server.protocol.datagrams import MAX_DATAGRAM_BYTES, ROW_BYTES
from dedicated_server.transport import (
    PortInUseError,
    Transport,
    TransportError,
    TransportKind,
    granted_buffers,
    open_transport,
)
from dedicated_server.transport.base import first_row
from tests.waiting import until

CAPACITY = 32
HAS_IPV6 = socket.has_ipv6 and Path("/proc/net/if_inet6").exists()

Received = list[tuple[bytes, tuple[str, int]]]


@pytest.fixture(params=["mmsg", "asyncio"])
def kind(request: pytest.FixtureRequest) -> TransportKind:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture(
    params=["127.0.0.1", pytest.param("::1", marks=pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here"))]
)
def host(request: pytest.FixtureRequest) -> str:
    return request.param  # type: ignore[no-any-return]


@pytest.fixture
async def transport(kind: TransportKind, host: str) -> AsyncIterator[Transport]:
    opened = await open_transport(host, 0, kind, capacity=CAPACITY)
    yield opened
    await opened.close()


def peer_at(host: str) -> socket.socket:
    opened = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind((host, 0))
    opened.settimeout(10)
    return opened


def name_of(opened: socket.socket) -> tuple[str, int]:
    host, port = opened.getsockname()[:2]
    return str(host), int(port)


@pytest.fixture
def peer(host: str) -> Iterator[socket.socket]:
    with peer_at(host) as opened:
        yield opened


def drain_into(received: Received, transport: Transport) -> None:
    for row in range(transport.drain()):
        datagram = transport.inbox.data[row, : transport.inbox.length[row]].tobytes()
        received.append((datagram, unpack_sockaddr(transport.inbox.address[row].tobytes())))


async def receive(transport: Transport, wanted: int) -> Received:
    received: Received = []

    def enough() -> bool:
        drain_into(received, transport)
        return len(received) >= wanted

    await until(enough)
    return received


def has_sent(transport: Transport, wanted: int) -> bool:
    return transport.traffic.tx_datagrams == wanted


def rows_for(
    datagrams: list[bytes], target: tuple[str, int]
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int32], npt.NDArray[np.uint8]]:
    data = np.zeros((len(datagrams), MAX_DATAGRAM_BYTES + 40), dtype=np.uint8)
    length = np.array([len(datagram) for datagram in datagrams], dtype=np.int32)
    address = np.zeros((len(datagrams), ADDRESS_BYTES), dtype=np.uint8)
    for row, datagram in enumerate(datagrams):
        data[row, : len(datagram)] = np.frombuffer(datagram, dtype=np.uint8)
        address[row] = np.frombuffer(pack_sockaddr(*target), dtype=np.uint8)
    return data, length, address


async def test_what_a_peer_sends_is_drained_with_the_peers_address(
    transport: Transport, peer: socket.socket
) -> None:
    sent = [bytes([number]) * (number + 1) for number in range(20)]
    for datagram in sent:
        peer.sendto(datagram, (transport.host, transport.port))

    received = await receive(transport, len(sent))

    assert received == [(datagram, name_of(peer)) for datagram in sent]
    assert transport.traffic.rx_datagrams == len(sent)


async def test_a_drain_with_nothing_to_drain_returns_zero_at_once(transport: Transport) -> None:
    assert transport.drain() == 0


async def test_a_drain_hands_over_each_datagram_once(transport: Transport, peer: socket.socket) -> None:
    peer.sendto(b"once", (transport.host, transport.port))
    await receive(transport, 1)
    await asyncio.sleep(0)

    assert transport.drain() == 0


async def test_every_row_reaches_its_own_address(transport: Transport, peer: socket.socket) -> None:
    with peer_at(transport.host) as other:
        data, length, address = rows_for([b"to the first", b"to the second"], name_of(peer))
        address[1] = np.frombuffer(pack_sockaddr(*name_of(other)), dtype=np.uint8)

        assert transport.send(data, length, address, 2) == 2
        await until(lambda: transport.traffic.tx_datagrams == 2)

        for heard, said in ((peer, b"to the first"), (other, b"to the second")):
            datagram, sender = heard.recvfrom(2048)
            assert (datagram, sender[:2]) == (said, (transport.host, transport.port))


async def test_rows_of_length_zero_and_rows_beyond_the_count_are_not_sent(
    transport: Transport, peer: socket.socket
) -> None:
    data, length, address = rows_for([b"first", b"", b"third", b"beyond"], name_of(peer))

    assert transport.send(data, length, address, 3) == 2
    await until(lambda: transport.traffic.tx_datagrams == 2)

    assert [peer.recv(2048), peer.recv(2048)] == [b"first", b"third"]
    peer.setblocking(False)
    with pytest.raises(BlockingIOError):
        peer.recv(2048)


async def test_more_rows_than_the_inbox_has_are_sent_all_the_same_when_the_target_has_room(
    kind: TransportKind, host: str, peer: socket.socket
) -> None:
    transport = await open_transport(host, 0, kind, capacity=128)
    try:
        sent = [bytes([number]) for number in range(128)]
        data, length, address = rows_for(sent, name_of(peer))
        assert transport.send(data, length, address, len(sent)) == len(sent)
        await until(lambda: transport.traffic.tx_datagrams == len(sent))
        assert [peer.recv(2048) for _ in sent] == sent
    finally:
        await transport.close()


async def test_the_largest_datagram_passes_whole_and_a_longer_one_shows_as_too_long(
    transport: Transport, peer: socket.socket
) -> None:
    peer.sendto(b"a" * MAX_DATAGRAM_BYTES, (transport.host, transport.port))
    peer.sendto(b"b" * (MAX_DATAGRAM_BYTES + 300), (transport.host, transport.port))

    (largest, _), (longer, _) = await receive(transport, 2)

    assert largest == b"a" * MAX_DATAGRAM_BYTES
    assert len(longer) == ROW_BYTES


async def test_a_target_that_cannot_be_reached_costs_only_its_own_datagram(
    transport: Transport, peer: socket.socket
) -> None:
    data, length, address = rows_for([b"refused", b"arrives"], name_of(peer))
    # a broadcast, for which we did not ask; a link-local address of an interface that there is not
    nobody = ("255.255.255.255", 9) if transport.host == "127.0.0.1" else ("fe80::1", 9, 0, 99_999)
    address[0] = np.frombuffer(pack_sockaddr(*nobody), dtype=np.uint8)

    transport.send(data, length, address, 2)

    await until(lambda: transport.traffic.tx_datagrams + transport.traffic.tx_dropped == 2)
    assert peer.recv(2048) == b"arrives"
    assert transport.traffic.tx_dropped == 1


async def test_a_flood_is_bounded_by_the_inbox_and_the_next_datagrams_still_arrive(
    transport: Transport, peer: socket.socket
) -> None:
    for number in range(20 * CAPACITY):
        peer.sendto(number.to_bytes(4, "big"), (transport.host, transport.port))
        if number % CAPACITY == 0:
            await asyncio.sleep(0)
    count = transport.drain()
    assert count <= CAPACITY

    received: Received = []

    def quiet_then_heard() -> bool:
        drain_into(received, transport)
        peer.sendto(b"after", (transport.host, transport.port))
        return received[-1:] == [(b"after", name_of(peer))]

    await until(quiet_then_heard)


async def test_a_port_in_use_is_said_to_be_in_use(transport: Transport, kind: TransportKind) -> None:
    with pytest.raises(PortInUseError, match=str(transport.port)):
        await open_transport(transport.host, transport.port, kind)


async def test_an_address_that_is_not_ours_is_refused_with_a_reason(kind: TransportKind) -> None:
    with pytest.raises(TransportError, match=r"192\.0\.2\.1"):
        await open_transport("192.0.2.1", 0, kind)


async def test_closing_twice_is_harmless_and_frees_the_port(kind: TransportKind, host: str) -> None:
    first = await open_transport(host, 0, kind)
    port = first.port
    await first.close()
    await first.close()
    await (await open_transport(host, port, kind)).close()


@pytest.mark.skipif(not HAS_IPV6, reason="no IPv6 here")
async def test_a_socket_of_all_addresses_serves_peers_of_both_families(kind: TransportKind) -> None:
    transport = await open_transport("::", 0, kind, capacity=CAPACITY)
    try:
        with peer_at("127.0.0.1") as fourth, peer_at("::1") as sixth:
            for number, peer in enumerate((fourth, sixth), 1):
                peer.sendto(b"hello", (name_of(peer)[0], transport.port))
                assert await receive(transport, 1) == [(b"hello", name_of(peer))]
                rows = transport.inbox.address[:1].copy()
                transport.send(np.full((1, 3), 7, np.uint8), np.array([3], np.int32), rows, 1)
                await until(partial(has_sent, transport, number))
                datagram, sender = peer.recvfrom(2048)
                assert (datagram, sender[:2]) == (b"\7\7\7", (name_of(peer)[0], transport.port))
    finally:
        await transport.close()


async def test_the_event_loop_does_not_read_behind_the_fast_transports_back(peer: socket.socket) -> None:
    transport = await open_transport(name_of(peer)[0], 0, "mmsg", capacity=CAPACITY)
    try:
        for _ in range(10):
            peer.sendto(b"for the tick", (transport.host, transport.port))
            await asyncio.sleep(0)
        assert transport.drain() == 10
    finally:
        await transport.close()


@pytest.mark.parametrize("host", ["203.0.113.7", "2001:db8::7", "::1"])
def test_addresses_survive_packing(host: str) -> None:
    packed = pack_sockaddr(host, 54_321)
    assert len(packed) == ADDRESS_BYTES
    assert unpack_sockaddr(packed) == (host, 54_321)


def test_a_mapped_address_is_read_as_the_ipv4_address_that_it_is() -> None:
    assert unpack_sockaddr(pack_sockaddr("::ffff:203.0.113.7", 1)) == ("203.0.113.7", 1)


def test_the_interface_of_a_link_local_address_survives_packing() -> None:
    assert socket_name(pack_sockaddr("fe80::7%eth0", 1, 0, 4)) == ("fe80::7", 1, 0, 4)


async def test_a_socket_is_given_its_options_and_says_what_it_was_granted(transport: Transport) -> None:
    granted = transport.buffers
    assert granted.receive_bytes > 0
    assert granted.send_bytes > 0
    if sys.platform == "linux":
        assert granted == granted_buffers()


@given(count=st.integers(10, 500), share=st.floats(0.5, 0.95), turn=st.integers(0, 10_000))
def test_wherever_the_room_ends_everybody_is_sent_to_in_one_turn_of_a_few(
    count: int, share: float, turn: int
) -> None:
    sent = np.zeros((20, count), np.bool_)
    for row in range(20):
        first = first_row(turn + row, count)
        assert 0 <= first < count
        sent[row, (first + np.arange(round(share * count))) % count] = True
    for client in sent.T:
        gaps = np.diff(np.flatnonzero(np.concatenate(([True], client, [True]))))
        assert gaps.max() <= 4, "left out three times in a row"
    assert sent.mean(axis=0).min() >= share - 0.15


async def test_which_row_is_first_turns_and_all_go(transport: Transport, peer: socket.socket) -> None:
    names = [bytes([number]) for number in range(10)]
    data, length, address = rows_for(names, name_of(peer))
    first: set[bytes] = set()
    for turn in range(1, 9):
        assert transport.send(data, length, address, len(names)) == len(names)
        await until(partial(has_sent, transport, turn * len(names)))
        heard = [peer.recv(16) for _ in names]
        assert sorted(heard) == names
        assert heard == names[names.index(heard[0]) :] + names[: names.index(heard[0])]
        first.add(heard[0])
    assert len(first) >= 6


async def test_a_peer_that_cannot_be_sent_to_costs_the_others_nothing_whoever_is_first(
    transport: Transport, peer: socket.socket
) -> None:
    names = [bytes([number]) for number in range(6)]
    data, length, address = rows_for(names, name_of(peer))
    address[2] = np.frombuffer(pack_sockaddr(transport.host, 0), dtype=np.uint8)  # no port: always refused
    for turn in range(1, 7):
        transport.send(data, length, address, len(names))
        await until(partial(has_sent, transport, turn * (len(names) - 1)))
        assert sorted(peer.recv(16) for _ in range(len(names) - 1)) == names[:2] + names[3:]
    await until(lambda: transport.traffic.tx_dropped == 6)

"""Connections are taken in bulk, whatever else the loop does."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

import pytest
import structlog
import uvloop

from launchday.resilience import acceptor
from launchday.resilience.acceptor import Acceptor
from launchday.resilience.descriptor_budget import DescriptorBudget
from tests.waiting import until


class Counted(asyncio.Protocol):
    made = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        type(self).made += 1
        transport.close()


async def turns_for(connections: int, *, accepting: bool) -> int:
    """Return in how many turns of a loop connections that wait already are taken."""
    Counted.made = 0
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Counted, "127.0.0.1", 0, backlog=connections)
    (listener,) = server.sockets
    clients = [socket.create_connection(listener.getsockname()) for _ in range(connections)]
    acceptor = Acceptor(listener, Counted, None) if accepting else None
    turns = 0
    while Counted.made < connections:
        await asyncio.sleep(0)
        turns += 1
        assert turns < 10 * connections
    if acceptor is not None:
        acceptor.close()
    server.close()
    for client in clients:
        client.close()
    return turns


@pytest.mark.parametrize("connections", [100])
def test_a_hundred_connections_are_taken_in_a_few_turns(connections: int) -> None:
    assert uvloop.run(turns_for(connections, accepting=True)) < connections / 4


def test_the_loop_alone_takes_one_a_turn() -> None:
    """Where this fails, uvloop takes them in bulk again, and the acceptor can go."""
    assert uvloop.run(turns_for(50, accepting=False)) >= 50


def test_a_closed_acceptor_leaves_the_listener_to_the_loop() -> None:
    async def closed() -> int:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(Counted, "127.0.0.1", 0)
        (listener,) = server.sockets
        Acceptor(listener, Counted, None).close()
        Counted.made = 0
        with socket.create_connection(listener.getsockname()):
            await until(lambda: Counted.made, "the loop takes it")
        server.close()
        return Counted.made

    assert uvloop.run(closed()) == 1


def test_a_connection_that_gets_one_of_the_last_descriptors_is_cut_off_before_any_protocol() -> None:
    async def cut_off() -> tuple[bytes, int]:
        loop = asyncio.get_running_loop()
        Counted.made = 0
        with socket.create_server(("127.0.0.1", 0)) as listener:
            taker = Acceptor(listener, Counted, None, DescriptorBudget(refuse_from=0, cut_from=0))
            reader, writer = await asyncio.open_connection(*listener.getsockname())
            said = await reader.read()
            taker.close()
            writer.close()
        assert loop.is_running()
        return said, Counted.made

    before = acceptor.CUT_OFF._value.get()
    assert uvloop.run(cut_off()) == (b"", 0)
    assert acceptor.CUT_OFF._value.get() == before + 1


def test_a_process_without_descriptors_rests_says_so_once_and_goes_on_when_there_are_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Asking again at once would only spin."""
    monkeypatch.setattr(acceptor, "REST_S", 0.001)
    tries = 0

    class Exhausted(socket.socket):
        def accept(self) -> tuple[socket.socket, object]:
            nonlocal tries
            tries += 1
            if tries < 4:
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return super().accept()

    monkeypatch.setattr(
        socket, "fromfd", lambda number, family, kind: Exhausted(family, kind, fileno=os.dup(number))
    )

    async def exhausted() -> int:
        Counted.made = 0
        with socket.create_server(("127.0.0.1", 0)) as listener:
            taker = Acceptor(listener, Counted, None)
            with socket.create_connection(listener.getsockname()):
                await until(lambda: Counted.made, "it is taken at last")
            taker.close()
        return Counted.made

    with structlog.testing.capture_logs() as logs:
        assert uvloop.run(exhausted()) == 1
    assert [each["error"] for each in logs] == [str(OSError(errno.EMFILE, os.strerror(errno.EMFILE)))]


@pytest.mark.parametrize("descriptors", [64, 256, 1_024, 8_192, 1 << 20])
def test_a_budget_keeps_room_for_the_process_itself_whatever_the_limit(descriptors: int) -> None:
    budget = DescriptorBudget.of(descriptors)
    clients = budget.refuse_from
    own = descriptors - clients - budget.crowd - budget.at_once - (descriptors - budget.cut_from)
    assert clients >= descriptors / 2
    assert own >= min(150, descriptors / 8)
    assert budget.refuse_from < budget.cut_from < descriptors

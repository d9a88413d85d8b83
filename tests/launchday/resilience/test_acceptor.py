"""Connections are taken in bulk, whatever else the loop does."""

from __future__ import annotations

import asyncio
import socket

import pytest
import uvloop

from launchday.resilience.acceptor import Acceptor
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

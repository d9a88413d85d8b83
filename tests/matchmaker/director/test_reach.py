"""What a director hears when it asks a game server whose clock is wrong."""

from __future__ import annotations

import asyncio
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from dedicated_server.native.mmsg import sockaddr
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from launchday.clock import ManualClock
from matchmaker.director.reach import TokenRefusedError, directors_token, probe

FLEET_KEY = bytes(range(32))
MATCH = UUID(int=7)
HOST = "127.0.0.1"


class WireServer(asyncio.DatagramProtocol):
    """The wire of a game server whose clock is so many seconds ahead; it forges what it is told to first."""

    def __init__(self, now_s: float, ahead_s: float, forged: bytes = b"") -> None:
        self._now_s, self._ahead_s, self._forged = now_s, ahead_s, forged

    def connection_made(self, transport: Any) -> None:
        self._transport = transport
        port = transport.get_extra_info("sockname")[1]
        self._wire = ServerWire(
            fleet_key=FLEET_KEY,
            match_id=MATCH,
            player_ids=[1],
            host=HOST,
            port=port,
            secret=bytes(SECRET_BYTES),
        )
        self._wire.token_ahead_s = self._ahead_s

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if self._forged:
            self._transport.sendto(self._forged, addr)
        wire, sender = self._wire, sockaddr(*addr)
        batch = np.frombuffer(data.ljust(1300, b"\0"), np.uint8)[None, :]
        wire.open_batch(batch, np.array([len(data)], np.int32), sender[None, :], 1, self._now_s, 1)
        for row in range(int(wire.out_count[0])):
            self._transport.sendto(wire.out_buf[row, : wire.out_len[row]].tobytes(), addr)


@pytest.mark.parametrize("forged", [b"", b"\x06\x01" + bytes(24)])
@pytest.mark.parametrize("ahead_s", [3600.0, -3600.0])
async def test_a_server_that_takes_tokens_for_expired_says_so_and_which_time_it_has(
    ahead_s: float, forged: bytes
) -> None:
    clock = ManualClock()
    server = WireServer(clock.wall(), ahead_s, forged)
    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: server, local_addr=(HOST, 0)
    )
    port = transport.get_extra_info("sockname")[1]
    token = directors_token(FLEET_KEY, str(MATCH), HOST, port, clock)
    if ahead_s < 0:
        assert await probe(HOST, port, token, 30.0)
    else:
        with pytest.raises(TokenRefusedError) as caught:
            await probe(HOST, port, token, 30.0)
        assert caught.value.refusal.name == "expired"
        assert caught.value.refusal.at == clock.wall() + ahead_s
    transport.close()

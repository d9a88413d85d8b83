"""Whether a game server can be reached: the first datagram that a player would send it, and whether an answer comes.

The request is stateless at the server: it answers with a challenge and remembers nothing, so asking takes no player's place.
"""

from __future__ import annotations

import asyncio
import contextlib

from dedicated_server.protocol import connect_token, datagrams

REPEAT_S = 0.1  # a datagram may be lost


class _ProbeProtocol(asyncio.DatagramProtocol):
    def __init__(self, answered: asyncio.Future[bool]) -> None:
        self._answered = answered

    def datagram_received(self, data: bytes, addr: object) -> None:
        if data and data[0] == datagrams.CHALLENGE and not self._answered.done():
            self._answered.set_result(True)

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet: the server may still be opening its socket."""


async def probe(address: str, port: int, token: bytes, patience_s: float) -> bool:
    """Whether the server at an address answers the request of a player's connect token within ``patience_s``."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bool] = loop.create_future()
    request = bytes([datagrams.REQUEST]) + connect_token.read_public(token).request_part
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _ProbeProtocol(answered), remote_addr=(address, port)
        )
    except OSError:
        return False
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(patience_s):
                while not answered.done():
                    transport.sendto(request)
                    await asyncio.wait([answered], timeout=REPEAT_S)
        return answered.done()
    finally:
        transport.close()
        answered.cancel()

"""Whether a game server answers: the first datagram of a player's, with a token of the director's own.

With a player's token a healthy server would look dead where just that player was refused at the check-out:
their seat is vacant, so their request is dropped without a word.
"""

from __future__ import annotations

import asyncio
import contextlib
from uuid import UUID

from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.reasons import EXPIRED
from dedicated_server.protocol.refusal import Refusal, read_refusal
from launchday.clock import Clock
from matchmaker.errors import MatchmakerError

PROBE_REPEAT_S = 0.1  # a datagram may be lost
TOKEN_S = 60.0
NOBODY = 0  # no player has this id


class TokenRefusedError(MatchmakerError):
    """Raised when a server does not take the token that it was asked with: its machine's clock is wrong.

    Attributes:
        refusal: what the server said.
    """

    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"the server does not take the director's token: {refusal.name}")
        self.refusal = refusal


def directors_token(fleet_key: bytes, match_id: str, address: str, port: int, clock: Clock) -> bytes:
    """Return a token with which a director asks the server of a match whether it answers; it takes no slot.

    Args:
        fleet_key: seals it; 32 bytes.
        match_id: canonical UUID.
        address, port: of the server; an IP literal.
        clock: when it was issued, and its nonce.
    """
    now = clock.wall()
    return connect_token.seal(
        fleet_key,
        match_id=UUID(match_id),
        player_id=NOBODY,
        entity=connect_token.DIRECTOR_ENTITY,
        team=0,
        address=address,
        port=port,
        issued_at=now,
        expires_at=now + TOKEN_S,
        random=clock.random("connect-token").randbytes(connect_token.RANDOM_BYTES),
    )


async def probe(address: str, port: int, token: bytes, timeout_s: float) -> bool:
    """Return whether a game server answers the first datagram that a player would send it.

    The request is stateless at the server: it answers with a challenge and remembers nothing, so asking takes
    no player's slot.

    Args:
        address, port: of the server.
        token: the director's own.
        timeout_s: seconds to wait for the answer; the request is repeated meanwhile.

    Raises:
        TokenRefusedError: it does answer, and no player would get in.
    """
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Refusal | None] = loop.create_future()
    request = datagrams.request_of(connect_token.read_public(token).request_part)
    try:
        transport, _ = await loop.create_datagram_endpoint(
            lambda: _ProbeProtocol(token, answered), remote_addr=(address, port)
        )
    except OSError:
        return False
    try:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                while not answered.done():
                    transport.sendto(request)
                    await asyncio.wait([answered], timeout=PROBE_REPEAT_S)
        if not answered.done():
            return False
        if (refusal := answered.result()) is not None:
            raise TokenRefusedError(refusal)
        return True
    finally:
        transport.close()
        answered.cancel()


class _ProbeProtocol(asyncio.DatagramProtocol):
    def __init__(self, token: bytes, answered: asyncio.Future[Refusal | None]) -> None:
        self._token = token
        self._answered = answered

    def datagram_received(self, data: bytes, addr: object) -> None:
        if self._answered.done() or not data:
            return
        if data[0] == datagrams.CHALLENGE:
            self._answered.set_result(None)
        elif (refusal := read_refusal(self._token, data)) is not None and refusal.reason == EXPIRED:
            self._answered.set_result(refusal)  # by any other reason it is another match's server still

    def error_received(self, exc: Exception) -> None:
        """Nobody listens there yet: the server may still be opening its socket."""

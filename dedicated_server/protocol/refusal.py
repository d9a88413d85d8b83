"""What a server tells a player whose connect token it does not take, as Python reads it.

The compiled client reads it in `protocol.client.receive`; this is for who asks without being a client.
"""

from __future__ import annotations

import hashlib
import hmac
from typing import NamedTuple

from dedicated_server.protocol import connect_token, datagrams, reasons

_AT_MAC = datagrams.REFUSAL_BYTES - datagrams.MAC_BYTES


class Refusal(NamedTuple):
    """A server's refusal.

    Attributes:
        reason: its number, of `reasons`.
        at: the server's Unix seconds.
    """

    reason: int
    at: float

    @property
    def name(self) -> str:
        """The reason in a word."""
        return reasons.name_of(self.reason)


def read_refusal(token: bytes, datagram: bytes) -> Refusal | None:
    """Return the refusal of a token that a datagram holds; None where it is none, or is forged.

    Raises ConnectTokenError.
    """
    public = connect_token.read_public(token)
    if len(datagram) != datagrams.REFUSAL_BYTES or datagram[0] != datagrams.REFUSAL:
        return None
    tag = public.request_part[-connect_token.TAG_BYTES :]
    mac = hashlib.blake2b(
        datagram[:_AT_MAC] + tag, digest_size=datagrams.MAC_BYTES, key=public.server_to_client_key
    ).digest()
    if not hmac.compare_digest(mac, datagram[_AT_MAC:]):
        return None
    at_ms = int.from_bytes(datagram[datagrams.REFUSAL_TIME_AT : _AT_MAC], "little")
    return Refusal(datagram[1], at_ms / 1000)

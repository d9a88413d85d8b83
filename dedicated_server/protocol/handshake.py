"""The three datagrams before the first sealed one: layouts and keyed hashes, for both ends.

The keys of the connect token only ever key BLAKE2b, told apart by the first byte of what is hashed; what
seals datagrams are keys derived from them and the challenge's salt, which never repeats. So a reconnect
with the same token starts at sequence 0 without using a nonce twice.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.native.compilation import INNER, Bytes, njit
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import connect_token, datagrams, sealing
from dedicated_server.protocol.bits import copy_bytes, read_uint, same_bytes

# Offsets in a request, and in the response, which repeats it.
AT_TOKEN = 1
AT_CIPHER = AT_TOKEN + len(connect_token.VERSION)
AT_EXPIRES = AT_CIPHER + 1
AT_NONCE = AT_TOKEN + connect_token.ASSOCIATED.size
AT_SEALED = AT_NONCE + connect_token.NONCE_BYTES
AT_TOKEN_TAG = AT_SEALED + connect_token.PRIVATE.size
AT_LENGTHS = AT_TOKEN + connect_token.REQUEST_PART_BYTES
AT_RESPONSE_COOKIE = AT_LENGTHS + datagrams.CLIENT_LENGTHS_BYTES
AT_RESPONSE_MAC = AT_RESPONSE_COOKIE + datagrams.COOKIE_BYTES

# Offsets in a challenge, and in the cookie that the response repeats.
AT_CHALLENGE_COOKIE = 1
AT_LAYOUT = AT_CHALLENGE_COOKIE + datagrams.COOKIE_BYTES
AT_CHALLENGE_MAC = AT_LAYOUT + datagrams.SERVER_LAYOUT_BYTES
IN_COOKIE_COUNTER = 16  # of challenges, then the entity that the server challenged: never two of one
COUNTER_BYTES = 6
IN_COOKIE_ENTITY = IN_COOKIE_COUNTER + COUNTER_BYTES
ENTITY_BYTES = 2
IN_COOKIE_TIME = datagrams.SALT_BYTES
IN_COOKIE_MAC = IN_COOKIE_TIME + 8

AT_REFUSAL_MAC = datagrams.REFUSAL_TIME_AT + 8

# Offsets in a token's private part.
IN_MATCH, IN_PLAYER, IN_ENTITY, _, IN_ADDRESS, _, IN_ISSUED, IN_UP_KEY, IN_DOWN_KEY = (
    connect_token.PRIVATE_OFFSETS
)

TAG_BYTES = connect_token.TAG_BYTES
KEY_BYTES = connect_token.KEY_BYTES
# First bytes of what session keys and the connection's tag are derived from; 1, 2 and 6 are the kinds of the
# datagrams with a MAC.
SESSION_LABEL = 5
CONNECTION_LABEL = 8

_VERSION = np.frombuffer(connect_token.VERSION, np.uint8)


@njit(cache=True, nogil=True, **INNER)
def is_our_version(datagram: Bytes) -> bool:
    """Whether a request or response speaks this version, and names a cipher that there is."""
    if not same_bytes(datagram, AT_TOKEN, _VERSION, 0, len(_VERSION)):
        return False
    cipher = datagram[AT_CIPHER]
    return cipher in (sealing.CIPHER_AEGIS_128L, sealing.CIPHER_CHACHA20_POLY1305)


@njit(cache=True, nogil=True, **INNER)
def cookie_mac(
    out: Bytes,
    out_at: int,
    workspace: Bytes,
    cookie_key: Bytes,
    address: Bytes,
    datagram: Bytes,
    cookie: Bytes,
    cookie_at: int,
) -> None:
    """Authenticate source address, token and challenge: the server's memory, kept by the client."""
    copy_bytes(workspace, 0, address, 0, ADDRESS_BYTES)
    copy_bytes(workspace, ADDRESS_BYTES, datagram, AT_TOKEN_TAG, TAG_BYTES)
    copy_bytes(workspace, ADDRESS_BYTES + TAG_BYTES, cookie, cookie_at, IN_COOKIE_MAC)
    hashed_bytes = ADDRESS_BYTES + TAG_BYTES + IN_COOKIE_MAC
    sealing.short_hash(out.ctypes.data + out_at, workspace.ctypes.data, hashed_bytes, cookie_key.ctypes.data)


@njit(cache=True, nogil=True, **INNER)
def challenge_mac(
    out: Bytes,
    out_at: int,
    workspace: Bytes,
    down_key_at: int,
    challenge: Bytes,
    token_tag: Bytes,
    token_tag_at: int,
) -> None:
    """What proves a challenge to come from a server that opened the token; ``down_key_at`` is an address."""
    _down_mac(out, out_at, workspace, down_key_at, challenge, AT_CHALLENGE_MAC, token_tag, token_tag_at)


@njit(cache=True, nogil=True, **INNER)
def refusal_mac(
    out: Bytes,
    out_at: int,
    workspace: Bytes,
    down_key_at: int,
    refusal: Bytes,
    token_tag: Bytes,
    token_tag_at: int,
) -> None:
    """What proves a refusal to come from a server that opened the token; ``down_key_at`` is an address."""
    _down_mac(out, out_at, workspace, down_key_at, refusal, AT_REFUSAL_MAC, token_tag, token_tag_at)


@njit(cache=True, nogil=True, **INNER)
def _down_mac(
    out: Bytes,
    out_at: int,
    workspace: Bytes,
    down_key_at: int,
    datagram: Bytes,
    length: int,
    token_tag: Bytes,
    token_tag_at: int,
) -> None:
    """Authenticate the first ``length`` bytes of a datagram to the client, and the token it answers."""
    copy_bytes(workspace, 0, datagram, 0, length)
    copy_bytes(workspace, length, token_tag, token_tag_at, TAG_BYTES)
    sealing.keyed_hash(
        out.ctypes.data + out_at, datagrams.MAC_BYTES, workspace.ctypes.data, length + TAG_BYTES,
        down_key_at, KEY_BYTES,
    )  # fmt: skip


@njit(cache=True, nogil=True, **INNER)
def response_mac(out: Bytes, out_at: int, response: Bytes, up_key_at: int) -> None:
    """Prove that a response comes from the token's player; ``up_key_at`` is the address of the key."""
    sealing.keyed_hash(
        out.ctypes.data + out_at,
        datagrams.MAC_BYTES,
        response.ctypes.data,
        AT_RESPONSE_MAC,
        up_key_at,
        KEY_BYTES,
    )


@njit(cache=True, nogil=True, **INNER)
def session_key(out: Bytes, workspace: Bytes, token_key_at: int, cookie: Bytes, cookie_at: int) -> None:
    """Derive one direction's sealing key from the token's key and the challenge's salt."""
    workspace[0] = SESSION_LABEL
    copy_bytes(workspace, 1, cookie, cookie_at, datagrams.SALT_BYTES)
    sealing.keyed_hash(
        out.ctypes.data, KEY_BYTES, workspace.ctypes.data, 1 + datagrams.SALT_BYTES, token_key_at, KEY_BYTES
    )


@njit(cache=True, nogil=True, **INNER)
def connection_tag(workspace: Bytes, up_key_at: int, cookie: Bytes, cookie_at: int) -> int:
    """What a session's datagrams to the server bear behind the entity: an earlier session's had another.

    Both ends derive it from the token's client-to-server key (``up_key_at`` is its address) and the
    challenge's salt: no datagram brings it.
    """
    workspace[0] = CONNECTION_LABEL
    copy_bytes(workspace, 1, cookie, cookie_at, datagrams.SALT_BYTES)
    hashed = 1 + datagrams.SALT_BYTES
    at = workspace.ctypes.data
    sealing.keyed_hash(at + hashed, datagrams.MAC_BYTES, at, hashed, up_key_at, KEY_BYTES)
    return read_uint(workspace, hashed, datagrams.CONNECTION_TAG_BYTES)

"""Connect tokens: what a director gives a player so that one game server lets that player in.

The public part tells the client where to go and holds its two session keys; it travels over the reliable
lane (HTTPS). The private part says the same to the server, sealed with the fleet's key
(XChaCha20-Poly1305), and is all that the client repeats over UDP. ``PROTOCOL.md`` has the layout. Nothing
here needs numba, so a director starts fast.
"""

from __future__ import annotations

import ipaddress
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

import nacl.bindings
import nacl.exceptions
from nacl._sodium import ffi, lib

from dedicated_server.errors import DedicatedServerError
from dedicated_server.native import sodium_library

# The wire's major version: a client and a server of two majors do not talk. A token is sealed for one of
# them, and begins with it. What may be added without a new one stands in `layout`.
MAJOR = 3
VERSION = b"LDWIRE%02d" % MAJOR
KEY_BYTES = 32
NONCE_BYTES = 24
TAG_BYTES = 16
RANDOM_BYTES = NONCE_BYTES + 2 * KEY_BYTES  # drawn for each token

CIPHER_CHACHA20_POLY1305 = 1
CIPHER_AEGIS_128L = 2
CIPHERS = {CIPHER_CHACHA20_POLY1305: "ChaCha20-Poly1305", CIPHER_AEGIS_128L: "AEGIS-128L"}
# As a client names those that it has, when it asks for a match.
CIPHER_NAMES = {"chacha20-poly1305": CIPHER_CHACHA20_POLY1305, "aegis-128l": CIPHER_AEGIS_128L}
EVERY_CLIENTS = 1 << CIPHER_CHACHA20_POLY1305  # what any client has: bit n is cipher n

# version, cipher, expiry: sent in the clear, sealed in as associated data
ASSOCIATED = struct.Struct("<8sBQ")
# What is sealed, in order; little endian, without padding.
PRIVATE_FIELDS = (
    ("match", "16s"),
    ("player", "q"),
    ("entity", "H"),
    ("team", "H"),
    ("address", "16s"),  # IPv6, or IPv4 in its mapped form
    ("port", "H"),
    ("issued", "Q"),  # Unix time in milliseconds
    ("client_to_server_key", "32s"),
    ("server_to_client_key", "32s"),
)
PRIVATE = struct.Struct("<" + "".join(kind for _, kind in PRIVATE_FIELDS))
# The byte at which each of them begins.
PRIVATE_OFFSETS = tuple(
    struct.calcsize("<" + "".join(kind for _, kind in PRIVATE_FIELDS[:place]))
    for place in range(len(PRIVATE_FIELDS))
)
# associated data, nonce, then the sealed private part, then what only the client reads:
# address, one of the other family (zeros: none), port, entity, team, client-to-server key,
# server-to-client key
SEALED_BYTES = PRIVATE.size + TAG_BYTES
REQUEST_PART_BYTES = ASSOCIATED.size + NONCE_BYTES + SEALED_BYTES
CLIENT_PART = struct.Struct("<16s16sHHH32s32s")
NO_ADDRESS = bytes(16)
TOKEN_BYTES = REQUEST_PART_BYTES + CLIENT_PART.size

Family = Literal["ipv4", "ipv6"]

# In a token of a director's own, which asks whether a server answers and plays in no slot. No entity of a
# match is that large: an index has 11 bits on the wire.
DIRECTOR_ENTITY = 0xFFFF


class ConnectTokenError(DedicatedServerError, ValueError):
    """Raised for what is no connect token of this version, or is sealed with another fleet's key.

    Ask for a new token.
    """


@dataclass(frozen=True, slots=True)
class PublicToken:
    """What the client reads. ``request_part`` goes into its connection request as it is.

    The server is reached at ``address`` and, where it has one of the other family, at ``other_address``, at
    the same port: the client takes whichever its network has.
    """

    request_part: bytes
    cipher: int
    expires_at: float
    address: str
    other_address: str  # "": none
    port: int
    entity: int
    team: int
    client_to_server_key: bytes
    server_to_client_key: bytes

    def addresses(self, prefer: Family | None = None) -> tuple[str, ...]:
        """Where the server is reached: the preferred family first; None: as the token has them."""
        found = (self.address, self.other_address) if self.other_address else (self.address,)
        return tuple(sorted(found, key=lambda each: prefer is not None and family_of(each) != prefer))


@dataclass(frozen=True, slots=True)
class PrivateToken:
    """What the server reads, after opening it with the fleet's key."""

    cipher: int
    expires_at: float
    match_id: UUID
    player_id: int
    entity: int
    team: int
    address: str
    port: int
    issued_at: float
    client_to_server_key: bytes
    server_to_client_key: bytes


def best_cipher() -> int:
    """AEGIS-128L where this processor has AES (0.07 µs for 400 bytes), else ChaCha20-Poly1305 (0.9 µs).

    Servers support both; directors and game servers of a fleet are assumed to be of one make.
    """
    return CIPHER_AEGIS_128L if sodium_library.has_aes() else CIPHER_CHACHA20_POLY1305


def known_ciphers(names: Iterable[str]) -> int:
    """The ciphers of these names that there are, bit n for cipher n, and what every client has."""
    return sum({1 << CIPHER_NAMES[name] for name in names if name in CIPHER_NAMES} | {EVERY_CLIENTS})


def cipher_for(known: int) -> int:
    """The cipher for a client that has these, bit n for cipher n: the best of both, else what all have."""
    best = best_cipher()
    return best if known >> best & 1 else CIPHER_CHACHA20_POLY1305


def seal(
    fleet_key: bytes,
    *,
    match_id: UUID,
    player_id: int,
    entity: int,
    team: int,
    address: str,
    port: int,
    issued_at: float,
    expires_at: float,
    random: bytes,
    cipher: int | None = None,
    other_address: str = "",
) -> bytes:
    """Issue a token, to be given to the client over a lane that others cannot read.

    ``entity`` is the player's index in the match's roster, ``address`` an IPv4 or IPv6 literal,
    ``other_address`` one of the other family or "", the times are Unix seconds. ``random``: RANDOM_BYTES
    bytes, fit for keys, never used before: nonce, client-to-server key, server-to-client key.
    """
    if len(fleet_key) != KEY_BYTES:
        raise ValueError("the fleet key must have 32 bytes")
    cipher = best_cipher() if cipher is None else cipher
    if cipher not in CIPHERS:
        raise ValueError(f"no such cipher: {cipher}")
    if len(random) != RANDOM_BYTES:
        raise ValueError(f"a token is made from {RANDOM_BYTES} random bytes, not {len(random)}")
    nonce, up, down = random[:NONCE_BYTES], random[NONCE_BYTES:-KEY_BYTES], random[-KEY_BYTES:]
    associated = ASSOCIATED.pack(VERSION, cipher, _milliseconds(expires_at))
    ip = pack_address(address)
    private = PRIVATE.pack(
        match_id.bytes, player_id, entity, team, ip, port, _milliseconds(issued_at), up, down
    )
    sealed: bytes = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_encrypt(
        private, associated, nonce, fleet_key
    )
    other = pack_address(other_address)
    return associated + nonce + sealed + CLIENT_PART.pack(ip, other, port, entity, team, up, down)


def seal_roster(
    fleet_key: bytes,
    roster: Sequence[tuple[int, int, int]],
    *,
    match_id: UUID,
    address: str,
    port: int,
    issued_at: float,
    expires_at: float,
    random: bytes,
    ciphers: Sequence[int],
    other_address: str = "",
) -> list[bytes]:
    """The tokens of many players of a match, as `seal` would issue them, at two fifths of the cost.

    ``roster``: (player id, entity, team) of each; ``random``: RANDOM_BYTES for each; ``ciphers``: of each, as
    `cipher_for` chose it.
    """
    if len(fleet_key) != KEY_BYTES:
        raise ValueError("the fleet key must have 32 bytes")
    if len(random) != RANDOM_BYTES * len(roster):
        raise ValueError(f"tokens are made from {RANDOM_BYTES} random bytes each")
    heads = {
        cipher: ASSOCIATED.pack(VERSION, cipher, _milliseconds(expires_at)) for cipher in sorted(CIPHERS)
    }
    ip, other = pack_address(address), pack_address(other_address)
    match, issued_ms = match_id.bytes, _milliseconds(issued_at)
    sealed = ffi.new("unsigned char[]", SEALED_BYTES)
    view = ffi.buffer(sealed, SEALED_BYTES)
    tokens = []
    for place, ((player_id, entity, team), cipher) in enumerate(zip(roster, ciphers, strict=True)):
        associated = heads[cipher]
        at = place * RANDOM_BYTES
        nonce = random[at : at + NONCE_BYTES]
        up = random[at + NONCE_BYTES : at + NONCE_BYTES + KEY_BYTES]
        down = random[at + NONCE_BYTES + KEY_BYTES : at + RANDOM_BYTES]
        private = PRIVATE.pack(match, player_id, entity, team, ip, port, issued_ms, up, down)
        # PyNaCl's own wrapper checks type and size of each argument, which takes twice as long as the
        # encryption.
        lib.crypto_aead_xchacha20poly1305_ietf_encrypt(
            sealed, ffi.NULL, private, PRIVATE.size, associated, ASSOCIATED.size, ffi.NULL, nonce, fleet_key
        )
        tokens.append(
            associated + nonce + view[:] + CLIENT_PART.pack(ip, other, port, entity, team, up, down)
        )
    return tokens


def read_public(token: bytes) -> PublicToken:
    """Read the client's part. Raises ConnectTokenError."""
    if len(token) != TOKEN_BYTES:
        raise ConnectTokenError(f"a connect token has {TOKEN_BYTES} bytes, not {len(token)}")
    cipher, expires_ms = _read_associated(token)
    ip, other, port, entity, team, up, down = CLIENT_PART.unpack_from(token, REQUEST_PART_BYTES)
    return PublicToken(
        token[:REQUEST_PART_BYTES],
        cipher,
        expires_ms / 1000,
        unpack_address(ip),
        "" if other == NO_ADDRESS else unpack_address(other),
        port,
        entity,
        team,
        up,
        down,
    )


def open_private(fleet_key: bytes, token: bytes) -> PrivateToken:
    """Open the server's part of a token, or of the part of it that a request repeats.

    Raises ConnectTokenError.

    The game server does the same in compiled code. This function is for tools, and for the tests that compare
    the two.
    """
    if len(token) < REQUEST_PART_BYTES:
        raise ConnectTokenError("too short for a connect token")
    cipher, expires_ms = _read_associated(token)
    associated = token[: ASSOCIATED.size]
    nonce = token[ASSOCIATED.size : ASSOCIATED.size + NONCE_BYTES]
    sealed = token[ASSOCIATED.size + NONCE_BYTES : REQUEST_PART_BYTES]
    try:
        private = nacl.bindings.crypto_aead_xchacha20poly1305_ietf_decrypt(
            sealed, associated, nonce, fleet_key
        )
    except nacl.exceptions.CryptoError as error:
        raise ConnectTokenError("not sealed with this fleet's key, or changed on its way") from error
    match, player_id, entity, team, ip, port, issued_ms, up, down = PRIVATE.unpack(private)
    return PrivateToken(
        cipher, expires_ms / 1000, UUID(bytes=match), player_id, entity, team, unpack_address(ip), port,
        issued_ms / 1000, up, down,
    )  # fmt: skip


def pack_address(address: str) -> bytes:
    """16 bytes of an IPv6 address; an IPv4 address in its mapped form, ``::ffff:a.b.c.d``; zeros for ""."""
    if not address:
        return NO_ADDRESS
    ip = ipaddress.ip_address(address)
    return ip.packed if ip.version == 6 else bytes(10) + b"\xff\xff" + ip.packed


def family_of(address: str) -> Family:
    """The family of an IP literal."""
    return "ipv6" if ":" in address else "ipv4"


def unpack_address(packed: bytes) -> str:
    """The reverse of `pack_address`."""
    ip = ipaddress.IPv6Address(packed)
    return str(ip.ipv4_mapped or ip)


def _read_associated(token: bytes) -> tuple[int, int]:
    version, cipher, expires_ms = ASSOCIATED.unpack_from(token)
    if version != VERSION:
        raise ConnectTokenError("another version of the protocol")
    if cipher not in CIPHERS:
        raise ConnectTokenError(f"unknown cipher {cipher}")
    return cipher, expires_ms


def _milliseconds(seconds: float) -> int:
    return round(seconds * 1000)

"""Sealing: libsodium called from compiled code for datagrams, connect tokens and keyed hashes.

And the replay window.

The functions are bound by name (``types.ExternalFunction``), so kernels that call them can be cached;
ctypes function pointers would compile too, but never be cached. A cached kernel whose library is missing
would crash the process, so it is loaded and checked here, at import, before any kernel can be.

The replay window accepts each sequence number once, and only while it is among the newest 256.
`check_sequence` comes before a datagram is opened, because it is cheaper; `mark_sequence` comes after,
because only an authentic datagram may move the window. Swapped, one forged number would shut out the real
client.
"""

from __future__ import annotations

import llvmlite.binding
import numpy as np
from numba import types

from dedicated_server.native import sodium_library
from dedicated_server.native.compilation import INNER, STAGE, Bytes, Window, int64, njit
from dedicated_server.protocol import connect_token
from dedicated_server.protocol.datagrams import REPLAY_WINDOW

sodium_library.load()
llvmlite.binding.load_library_permanently(str(sodium_library.path()))

CIPHER_CHACHA20_POLY1305 = connect_token.CIPHER_CHACHA20_POLY1305
CIPHER_AEGIS_128L = connect_token.CIPHER_AEGIS_128L
AEGIS_TAG_BYTES = 32
CHACHA_TAG_BYTES = 16
MAX_TAG_BYTES = AEGIS_TAG_BYTES
SEQUENCE_NONCE_BYTES = 16  # AEGIS-128L reads 16 bytes, ChaCha20-Poly1305 the first 12

_address = types.uintp
_size = types.uint64
# (out, out length, message, message length, associated, associated length, secret nonce, nonce, key)
_encrypt_type = types.int32(
    _address, _address, _address, _size, _address, _size, _address, _address, _address
)
# (out, out length, secret nonce, sealed, sealed length, associated, associated length, nonce, key)
_decrypt_type = types.int32(
    _address, _address, _address, _address, _size, _address, _size, _address, _address
)
_aegis_encrypt = types.ExternalFunction("crypto_aead_aegis128l_encrypt", _encrypt_type)
_aegis_decrypt = types.ExternalFunction("crypto_aead_aegis128l_decrypt", _decrypt_type)
_chacha_encrypt = types.ExternalFunction("crypto_aead_chacha20poly1305_ietf_encrypt", _encrypt_type)
_chacha_decrypt = types.ExternalFunction("crypto_aead_chacha20poly1305_ietf_decrypt", _decrypt_type)
_xchacha_decrypt = types.ExternalFunction("crypto_aead_xchacha20poly1305_ietf_decrypt", _decrypt_type)
# (out, out length, message, message length, key, key length)
_generichash = types.ExternalFunction(
    "crypto_generichash", types.int32(_address, _size, _address, _size, _address, _size)
)
# (out, message, message length, key)
_shorthash = types.ExternalFunction(
    "crypto_shorthash_siphashx24", types.int32(_address, _address, _size, _address)
)


@njit(cache=True, nogil=True, **INNER)
def tag_bytes(cipher: int) -> int:
    """How many bytes sealing adds: 32 for AEGIS-128L, 16 for ChaCha20-Poly1305."""
    return AEGIS_TAG_BYTES if cipher == CIPHER_AEGIS_128L else CHACHA_TAG_BYTES


@njit(cache=True, nogil=True, **INNER)
def write_sequence_nonce(nonce: Bytes, sequence: int) -> None:
    """The nonce of a datagram: its sequence number, little endian, then zeros. Never twice with one key."""
    for byte in range(4):
        nonce[byte] = (sequence >> (8 * byte)) & 0xFF


@njit(cache=True, nogil=True, **INNER)
def seal(
    cipher: int,
    key_at: int,
    nonce_at: int,
    associated_at: int,
    associated_bytes: int,
    plain_at: int,
    plain_bytes: int,
    out_at: int,
) -> int:
    """Seal ``plain`` into ``out`` (addresses); returns the bytes written, tag included."""
    no = np.uint64(0)
    if cipher == CIPHER_AEGIS_128L:
        _aegis_encrypt(
            out_at, no, plain_at, np.uint64(plain_bytes), associated_at, np.uint64(associated_bytes), no,
            nonce_at, key_at,
        )  # fmt: skip
        return plain_bytes + AEGIS_TAG_BYTES
    _chacha_encrypt(
        out_at, no, plain_at, np.uint64(plain_bytes), associated_at, np.uint64(associated_bytes), no,
        nonce_at, key_at,
    )  # fmt: skip
    return plain_bytes + CHACHA_TAG_BYTES


@njit(cache=True, nogil=True, **INNER)
def unseal(
    cipher: int,
    key_at: int,
    nonce_at: int,
    associated_at: int,
    associated_bytes: int,
    sealed_at: int,
    sealed_bytes: int,
    out_at: int,
) -> int:
    """Open ``sealed`` into ``out`` (addresses); returns the plain bytes, or −1 where the tag does not fit."""
    no = np.uint64(0)
    tag = tag_bytes(cipher)
    if sealed_bytes < tag:
        return -1
    if cipher == CIPHER_AEGIS_128L:
        refused = _aegis_decrypt(
            out_at, no, no, sealed_at, np.uint64(sealed_bytes), associated_at, np.uint64(associated_bytes),
            nonce_at, key_at,
        )  # fmt: skip
    else:
        refused = _chacha_decrypt(
            out_at, no, no, sealed_at, np.uint64(sealed_bytes), associated_at, np.uint64(associated_bytes),
            nonce_at, key_at,
        )  # fmt: skip
    return -1 if refused != 0 else sealed_bytes - tag


@njit(cache=True, nogil=True, **INNER)
def unseal_token(
    key_at: int,
    nonce_at: int,
    associated_at: int,
    associated_bytes: int,
    sealed_at: int,
    sealed_bytes: int,
    out_at: int,
) -> bool:
    """Open the private part of a connect token (XChaCha20-Poly1305); False where the tag does not fit."""
    no = np.uint64(0)
    refused: int = _xchacha_decrypt(
        out_at, no, no, sealed_at, np.uint64(sealed_bytes), associated_at, np.uint64(associated_bytes),
        nonce_at, key_at,
    )  # fmt: skip
    return refused == 0


@njit(cache=True, nogil=True, **INNER)
def keyed_hash(
    out_at: int, out_bytes: int, message_at: int, message_bytes: int, key_at: int, key_bytes: int
) -> None:
    """BLAKE2b with a key: message authentication and key derivation of the handshake."""
    _generichash(
        out_at, np.uint64(out_bytes), message_at, np.uint64(message_bytes), key_at, np.uint64(key_bytes)
    )


@njit(cache=True, nogil=True, **INNER)
def short_hash(out_at: int, message_at: int, message_bytes: int, key_at: int) -> None:
    """SipHash-2-4 with 16 bytes of output and of key: authenticates what this server says to itself.

    A quarter of `keyed_hash`'s time: a flood of forgeries is asked it before anything else is done for them.
    """
    _shorthash(out_at, message_at, np.uint64(message_bytes), key_at)


FRESH, TOO_OLD, REPLAYED = range(3)


@njit(cache=True, nogil=True, **STAGE)
def check_sequence(window: Window, newest: int, sequence: int) -> int:
    """Judge a sequence number: FRESH, TOO_OLD or REPLAYED.

    ``window`` (uint32[REPLAY_WINDOW]) holds sequence + 1 at sequence % REPLAY_WINDOW; ``newest`` begins at
    −1.
    """
    if sequence + REPLAY_WINDOW <= newest:
        return TOO_OLD
    if int64(window[sequence % REPLAY_WINDOW]) == sequence + 1:
        return REPLAYED
    return FRESH


@njit(cache=True, nogil=True, **STAGE)
def mark_sequence(window: Window, newest: int, sequence: int) -> int:
    """Remember an authentic sequence number; return the newest so far."""
    window[sequence % REPLAY_WINDOW] = np.uint32(sequence + 1)
    return max(newest, sequence)

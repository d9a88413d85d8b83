"""Where libsodium is, and what this processor makes of it. No numba here: the director imports this too."""

from __future__ import annotations

import ctypes
import functools
from pathlib import Path

import nacl

from dedicated_server.errors import DedicatedServerError

USED_SYMBOLS = (
    "crypto_aead_aegis128l_decrypt",
    "crypto_aead_aegis128l_encrypt",
    "crypto_aead_chacha20poly1305_ietf_decrypt",
    "crypto_aead_chacha20poly1305_ietf_encrypt",
    "crypto_aead_xchacha20poly1305_ietf_decrypt",
    "crypto_generichash",
    "crypto_shorthash_siphashx24",
)


class SodiumMissingError(DedicatedServerError, ImportError):
    """PyNaCl's libsodium was not found or lacks a function we call: reinstall PyNaCl from its wheel."""


@functools.cache
def path() -> Path:
    """The shared library inside PyNaCl's wheel. Raises `SodiumMissing`."""
    for candidate in sorted(Path(nacl.__file__).parent.glob("_sodium*")):
        if candidate.suffix in {".so", ".pyd", ".dylib"}:
            return candidate
    raise SodiumMissingError("PyNaCl carries no _sodium library beside it; reinstall PyNaCl from its wheel")


@functools.cache
def load() -> ctypes.CDLL:
    """The initialised library. Raises `SodiumMissing`.

    ``sodium_init`` must run before the first call: without it libsodium stays with portable code, 26 µs
    instead of 0.07 µs for 400 bytes of AEGIS-128L (measured).
    """
    try:
        library = ctypes.CDLL(str(path()))
    except OSError as error:
        raise SodiumMissingError(f"{path()} cannot be loaded: {error}") from error
    for symbol in USED_SYMBOLS:
        if not hasattr(library, symbol):
            raise SodiumMissingError(f"{path()} does not offer {symbol}; PyNaCl 1.6 or newer does")
    if library.sodium_init() < 0:
        raise SodiumMissingError(f"{path()}: sodium_init failed")
    return library


@functools.cache
def has_aes() -> bool:
    """Whether this processor has AES instructions, without which AEGIS is slower than ChaCha20."""
    library = load()
    return bool(library.sodium_runtime_has_aesni() or library.sodium_runtime_has_armcrypto())

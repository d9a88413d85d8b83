"""Passwords, kept as argon2id hashes (libsodium's, RFC 9106), computed beside the event loop."""

from __future__ import annotations

import asyncio
import functools

from nacl import pwhash
from nacl.exceptions import InvalidkeyError

# OWASP's recommendation for argon2id with one lane: 2 passes over 19 MiB; measured 30 ms on one core.
PASSES = 2
MEMORY_BYTES = 19 * 1024 * 1024
MAX_CONCURRENT_HASHES = 4  # bounds the memory, and leaves the event loop a core: the others wait here


class Passwords:
    """Hashes and checks passwords, a few at a time. One per event loop."""

    def __init__(self) -> None:
        self._turn = asyncio.Semaphore(MAX_CONCURRENT_HASHES)

    async def hash(self, password: str) -> str:
        """The text to keep: parameters, salt and hash."""
        async with self._turn:
            return await asyncio.to_thread(_hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether it is the password; takes as long when there is none, so that nobody learns which names exist."""
        async with self._turn:
            return await asyncio.to_thread(_verify, kept, password)


def _hash(password: str) -> str:
    kept: bytes = pwhash.argon2id.str(password.encode(), opslimit=PASSES, memlimit=MEMORY_BYTES)
    return kept.decode()


@functools.cache
def _nobodys() -> str:
    return _hash("the password of nobody")


def _verify(kept: str | None, password: str) -> bool:
    try:
        pwhash.verify((kept or _nobodys()).encode(), password.encode())
    except InvalidkeyError:
        return False
    return kept is not None

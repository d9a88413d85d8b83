"""Names and passwords of accounts: kept in the store, and in the cache for logins without the store.

Passwords are kept as argon2id hashes (libsodium's, RFC 9106), which are computed beside the event loop.
"""

from __future__ import annotations

import asyncio
import functools

import asyncpg
import structlog
from nacl import pwhash
from nacl.exceptions import InvalidkeyError
from redis.exceptions import RedisError

from launchday.clock import Clock
from meta_service.cache import keys
from meta_service.cache.cache import Cache
from meta_service.errors import (
    NameTakenError,
    StoreUnavailableError,
    TooManyAttemptsError,
    WrongPasswordError,
)
from meta_service.store.store import Store

MAX_ATTEMPTS = 10  # wrong passwords for one name in ATTEMPTS_S; argon2 alone would allow some thirty a second
ATTEMPTS_WINDOW_S = 60

# OWASP's recommendation for argon2id with one lane: 2 passes over 19 MiB; measured 30 ms on one core.
PASSES = 2
MEMORY_BYTES = 19 * 1024 * 1024
MAX_CONCURRENT_HASHES = 4  # bounds the memory, and leaves the event loop a core; further ones wait their turn


log = structlog.get_logger()


class Passwords:
    """Hashes and checks passwords, a few at a time. One per event loop."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turn = asyncio.Semaphore(MAX_CONCURRENT_HASHES)

    async def hash(self, password: str) -> str:
        """The text to store: parameters, salt and hash."""
        async with self._turn:
            return await self._clock.run_in_thread(_hash, password)

    async def matches(self, kept: str | None, password: str) -> bool:
        """Whether ``password`` is the one whose hash is ``kept``.

        Takes as long when there is no hash, so that nobody learns which names exist.
        """
        async with self._turn:
            return await self._clock.run_in_thread(_verify, kept, password)


class Credentials:
    """Sets and checks passwords. A name belongs to one account for good, so caches agree about it."""

    def __init__(self, store: Store, cache: Cache, clock: Clock) -> None:
        self._store = store
        self._cache = cache
        self._passwords = Passwords(clock)

    async def set(self, player_id: int, name: str, password: str, current: str | None) -> None:
        """Give an account a name and a password, or a new password.

        Args:
            player_id: whose account it is.
            name: lower case; the account keeps it for good.
            password: the new one.
            current: the password so far, where there is one.

        Raises NameTakenError, WrongPasswordError, TooManyAttemptsError, or StoreUnavailableError.
        """
        rows = await self._store.read(
            "SELECT name, password_hash FROM credentials WHERE player_id = $1", player_id
        )
        before: str | None = rows[0]["password_hash"] if rows else None
        if before is not None:
            old_name = rows[0]["name"]
            if name != old_name:
                raise NameTakenError(f"the account's name is {old_name}, and stays so")
            await self._limit(old_name)
            if not await self._passwords.matches(before, current or ""):
                raise WrongPasswordError("the current password is wrong")
        kept = await self._passwords.hash(password)

        async def write(connection: asyncpg.Connection) -> bool:
            if before is None:
                statement = (
                    "INSERT INTO credentials VALUES ($1, $2, $3) ON CONFLICT DO NOTHING RETURNING true"
                )
                return bool(await connection.fetchval(statement, player_id, name, kept))
            # Only over the password that was checked: another change may have come between.
            statement = (
                "UPDATE credentials SET password_hash = $2"
                " WHERE player_id = $1 AND password_hash = $3 RETURNING true"
            )
            return bool(await connection.fetchval(statement, player_id, kept, before))

        if not await self._store.transact(write):
            raise NameTakenError("the name, or the account, has a password already")
        await self._remember(name, player_id, kept)

    async def check(self, name: str, password: str) -> int:
        """The player whose name and password these are.

        The store is asked first, so that a changed password counts at once; the cache only when it does not
        answer. Raises WrongPasswordError, TooManyAttemptsError, or StoreUnavailableError.
        """
        await self._limit(name)
        try:
            rows = await self._store.read(
                "SELECT player_id, password_hash FROM credentials WHERE name = $1", name
            )
            found = (rows[0]["player_id"], rows[0]["password_hash"]) if rows else None
        except StoreUnavailableError:
            found = await self._cache.credential(name)
            if found is None:
                raise  # the store may know the name
        if not await self._passwords.matches(found[1] if found else None, password) or found is None:
            raise WrongPasswordError("the name or the password is wrong")
        await self._cache.redis.delete(keys.attempts(name))
        await self._remember(name, *found)
        return int(found[0])

    async def _limit(self, name: str) -> None:
        if await self._cache.count_within(keys.attempts(name), ATTEMPTS_WINDOW_S) > MAX_ATTEMPTS:
            raise TooManyAttemptsError("too many attempts for this name: wait a minute")

    async def _remember(self, name: str, player_id: int, kept: str) -> None:
        try:
            await self._cache.cache_credential(name, player_id, kept)
        except RedisError as error:  # known again after the next login
            log.warning("password not cached", player_id=player_id, reason=repr(error))


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

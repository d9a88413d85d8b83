"""Names and passwords of accounts: kept in the store, and in the cache for logins without the store.

Passwords are kept as argon2id hashes, which `hashing` computes. Wrong ones are counted for each name and
address: counted for the name alone, ten guesses a minute would keep its owner out for ever.
"""

from __future__ import annotations

import structlog
from redis.exceptions import RedisError

from meta_service.cache.cache import Cache
from meta_service.domain.hashing import Passwords
from meta_service.errors import (
    NameTakenError,
    StoreUnavailableError,
    TooManyAttemptsError,
    UnknownPlayerError,
    WrongPasswordError,
)
from meta_service.store.store import Store

MAX_ATTEMPTS = 10  # wrong passwords for one name from one address in ATTEMPTS_WINDOW_S
ATTEMPTS_WINDOW_S = 60

log = structlog.get_logger()


class Credentials:
    """Sets and checks passwords. A name belongs to one account for good, so caches agree about it."""

    def __init__(self, store: Store, cache: Cache, passwords: Passwords) -> None:
        self._store = store
        self._cache = cache
        self._passwords = passwords

    async def set(self, player_id: int, name: str, password: str, current: str | None, source: str) -> None:
        """Give an account a name and a password, or a new password.

        Args:
            player_id: whose account it is.
            name: lower case; the account keeps it for good.
            password: the new one.
            current: the password so far, where there is one.
            source: the address of the caller.

        Raises NameTakenError, WrongPasswordError, TooManyAttemptsError, HashingBusyError, UnknownPlayerError
        for who was deleted meanwhile, or StoreUnavailableError.
        """
        rows = await self._store.read(
            "SELECT name, password_hash FROM credentials WHERE player_id = $1", player_id
        )
        before: str | None = rows[0]["password_hash"] if rows else None
        if before is not None:
            old_name = rows[0]["name"]
            if name != old_name:
                raise NameTakenError(f"the account's name is {old_name}, and stays so")
            await self._limit(old_name, source)
            if not await self._passwords.matches(before, current or "", (source, name)):
                await self._count_wrong(old_name, source)
                raise WrongPasswordError("the current password is wrong")
        kept = await self._passwords.hash(password, (source, name))

        if before is None:
            changed = await self._store.change(
                "INSERT INTO credentials SELECT $1, $2, $3"
                " WHERE NOT EXISTS (SELECT FROM erasures WHERE player_id = $1)"
                " ON CONFLICT DO NOTHING RETURNING true",
                *(player_id, name, kept),
            )
        else:  # only over the password that was checked: another change may have come between
            changed = await self._store.change(
                "UPDATE credentials SET password_hash = $2"
                " WHERE player_id = $1 AND password_hash = $3 RETURNING true",
                *(player_id, kept, before),
            )
        if not changed:
            if await self._store.read("SELECT 1 FROM erasures WHERE player_id = $1", player_id):
                raise UnknownPlayerError(f"player {player_id} is not known: log in")
            raise NameTakenError("the name, or the account, has a password already")
        await self._remember(name, player_id, kept)

    async def check(self, name: str, password: str, source: str) -> int:
        """The player whose name and password these are; ``source`` is the address of the caller.

        The store is asked first, so that a changed password counts at once; the cache only when it does not
        answer. Raises WrongPasswordError, TooManyAttemptsError, HashingBusyError, or StoreUnavailableError.
        """
        await self._limit(name, source)
        try:
            rows = await self._store.read(
                "SELECT player_id, password_hash FROM credentials WHERE name = $1", name
            )
            found = (rows[0]["player_id"], rows[0]["password_hash"]) if rows else None
        except StoreUnavailableError:
            found = await self._cache.credential(name)
            if found is None:
                raise  # the store may know the name
        kept = found[1] if found else None
        if not await self._passwords.matches(kept, password, (source, name)) or found is None:
            await self._count_wrong(name, source)
            raise WrongPasswordError("the name or the password is wrong")
        await self._cache.redis.delete(self._cache.keys.attempts(name, source))
        await self._remember(name, *found)
        return int(found[0])

    async def name_of(self, player_id: int) -> str | None:
        """The name with which a player logs in; None without a password. Raises StoreUnavailableError."""
        rows = await self._store.read("SELECT name FROM credentials WHERE player_id = $1", player_id)
        return rows[0]["name"] if rows else None

    async def _limit(self, name: str, source: str) -> None:
        # What is being checked meanwhile is not counted yet: the gate lets few passwords in at once.
        if int(await self._cache.redis.get(self._cache.keys.attempts(name, source)) or 0) >= MAX_ATTEMPTS:
            raise TooManyAttemptsError("too many attempts for this name from your address: wait a minute")

    async def _count_wrong(self, name: str, source: str) -> None:
        await self._cache.count_within(self._cache.keys.attempts(name, source), ATTEMPTS_WINDOW_S)

    async def _remember(self, name: str, player_id: int, kept: str) -> None:
        try:
            await self._cache.cache_credential(name, player_id, kept)
        except RedisError as error:  # known again after the next login
            log.warning("password not cached", player_id=player_id, reason=repr(error))

"""The ways to log in to an account beside its password: devices, and identities of platforms.

Each is known by a hash of 32 bytes alone. The first one of an account is the one that its player's id follows
from (`meta_service.domain.accounts`), so it works in every region and while the store does not answer.
Others are linked to the account, in the store; the cache knows them after their first login: a key points
from the hash to the player, and the player's own hash, which the store refreshes, says whether that is still
so.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, cast

from redis.exceptions import RedisError

from meta_service.domain import accounts
from meta_service.domain.players import Players
from meta_service.errors import LoginLinkError, StoreUnavailableError, UnknownPlayerError
from meta_service.oidc.verifier import PlatformIdentity

MAX_LOGINS = 16  # linked to one account
SHOWN_DIGITS = 16  # of a hash, by which a player names a login

_OWNER = "SELECT player_id FROM logins WHERE login_hash = $1"
_LINK = "SELECT refusal, former FROM login_link($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)"
_UNLINK = "SELECT refusal, unlinked FROM login_unlink($1, $2, $3, $4)"
_LIST = """
SELECT login_hash, kind, issuer, subject, extract(epoch FROM linked_at)::float8 AS linked_at
FROM logins WHERE player_id = $1
UNION ALL
SELECT device_hash, 'device', '', '', extract(epoch FROM created_at)::float8
FROM accounts WHERE player_id = $1 AND device_hash <> '' AND NOT EXISTS (
    SELECT FROM logins WHERE login_hash = device_hash
)
ORDER BY linked_at, login_hash
"""

REFUSALS = {
    "login-taken": (409, "it logs in to another account: ask with take to move it to this one"),
    "too-many-logins": (409, f"an account has at most {MAX_LOGINS} linked logins: unlink one first"),
    "unknown-login": (404, "the account has no such login"),
    "last-login": (409, "it is the only way to log in to the account: link another or set a password first"),
}


@dataclass(frozen=True, slots=True)
class Login:
    """A way to log in.

    Attributes:
        digest: the 32 bytes that identify it.
        kind: ``device`` or ``platform``.
        issuer, subject: of a platform's identity; empty for a device.
    """

    digest: bytes
    kind: str
    issuer: str = ""
    subject: str = ""

    @staticmethod
    def of_device(device_id: str) -> Login:
        """The login of a device. Raises PlaceholderDeviceError for an id that many devices send."""
        accounts.check_device(device_id)
        return Login(accounts.device_hash(device_id), "device")

    @staticmethod
    def of_platform(identity: PlatformIdentity) -> Login:
        """The login of a platform's identity."""
        digest = accounts.platform_hash(identity.issuer, identity.subject)
        return Login(digest, "platform", identity.issuer, identity.subject)


class Logins:
    """Finds the player of a login, links and unlinks logins. Times are Unix seconds given by the caller."""

    def __init__(self, players: Players) -> None:
        self._players = players
        self._store = players.store
        self._cache = players.cache
        self._redis = players.cache.redis

    async def log_in(self, login: Login, now: float) -> tuple[int, bool]:
        """The player that a login belongs to, and whether the account is new.

        Works while the store does not answer, too, for logins that were seen here. Raises MetaError when
        every candidate id is taken.
        """
        player_id, created = await self._find_or_open(login, now)
        if login.kind == "platform" and not await self._is_linked(player_id, login):
            with contextlib.suppress(StoreUnavailableError, LoginLinkError):  # at the next login then
                await self.link(player_id, login, take=False, now=now)
        return player_id, created

    async def link(self, player_id: int, login: Login, *, take: bool, now: float) -> None:
        """Let a login open a player's account; repeating it changes nothing.

        Args:
            player_id: whose account.
            login: which the caller has shown to be theirs.
            take: also where it opens another account, which loses it.
            now: Unix seconds.

        Raises LoginLinkError, UnknownPlayerError, or StoreUnavailableError.
        """
        (row,) = await self._store.change(
            _LINK,
            *(player_id, login.digest, accounts.candidate_ids(login.digest)),
            *(login.kind, login.issuer, login.subject, take, MAX_LOGINS, now, self._cache.region),
        )
        if row["refusal"]:
            raise _refusal(row["refusal"], player_id)
        if row["former"] is not None:
            await self._players.show_account(row["former"], now)
        await self._players.show_account(player_id, now)
        await self._point(login, player_id)

    async def unlink(self, player_id: int, beginning: str, now: float) -> None:
        """End a way to log in, named by the beginning of its hash; never the last one.

        Raises LoginLinkError or StoreUnavailableError.
        """
        (row,) = await self._store.change(_UNLINK, player_id, beginning, now, self._cache.region)
        if row["refusal"]:
            raise _refusal(row["refusal"], player_id)
        await self._players.show_account(player_id, now)
        await self._redis.delete(self._cache.keys.login(bytes(row["unlinked"]).hex()))

    async def of_player(self, player_id: int) -> list[dict[str, Any]]:
        """A player's logins, the oldest first, each named by the beginning of its hash.

        Raises StoreUnavailableError.
        """
        rows = await self._store.read(_LIST, player_id)
        return [{**row, "login": bytes(row["login_hash"]).hex()[:SHOWN_DIGITS]} for row in rows]

    async def _find_or_open(self, login: Login, now: float) -> tuple[int, bool]:
        candidates = accounts.candidate_ids(login.digest)
        first = await self._cache.player(candidates[0])
        if first is not None and first.loaded and first.device == login.digest.hex():
            return first.player_id, False  # one round trip for nearly everybody
        linked = await self._linked(login, now)
        if linked is not None:
            return linked, False
        return await self._players.log_in(login.digest, candidates, now)

    async def _linked(self, login: Login, now: float) -> int | None:
        """The player whom a login was linked to, as far as cache or store can tell."""
        with contextlib.suppress(UnknownPlayerError, StoreUnavailableError):
            pointed = await self._cache.text(self._cache.keys.login(login.digest.hex()))
            if pointed is not None:
                await self._players.profile(int(pointed), now)  # it is in the cache after this
                if await self._is_linked(int(pointed), login):
                    return int(pointed)
            rows = await self._store.read(_OWNER, login.digest)
            if rows:
                await self._players.profile(rows[0]["player_id"], now)
                await self._point(login, rows[0]["player_id"])
                return int(rows[0]["player_id"])
        return None

    async def _is_linked(self, player_id: int, login: Login) -> bool:
        field = f"login:{login.digest.hex()}"
        return bool(await cast(Any, self._redis.hexists(self._cache.keys.player(player_id), field)))

    async def _point(self, login: Login, player_id: int) -> None:
        with contextlib.suppress(RedisError):  # the store tells it at the next login
            key = self._cache.keys.login(login.digest.hex())
            await self._redis.set(key, player_id, ex=self._cache.player_ttl_s)


def _refusal(slug: str, player_id: int) -> LoginLinkError | UnknownPlayerError:
    if slug == "unknown-player":
        return UnknownPlayerError(f"player {player_id} is not known: log in")
    status, detail = REFUSALS[slug]
    return LoginLinkError(status, slug, detail)

"""Sessions: one live session an account, short access tokens, refresh tokens that are good for one exchange.

The cache knows each player's live session, and a token names the session it belongs to. A login elsewhere
opens another session, and the next request of the older one is refused. Changes are written behind like
loadouts, so a lost cache does not revive a session. A refresh token that comes back after its successor was
used has been copied, so it ends the session (RFC 9700 §4.14.2). A token of the successor's generation that
was used, access or refresh, says that the answer arrived; until then the predecessor may be exchanged again,
for whoever asks again has not heard the answer: a phone that slept, a network that was away.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast

from launchday.clock import Clock
from launchday.identity import REFRESH, Identity, InvalidTokenError, Signer
from meta_service.cache.cache import Cache
from meta_service.cache.kept_ban import KeptBan
from meta_service.domain.players import Players, banned, ensure_live_session
from meta_service.errors import SessionEndedError, SessionUnknownError, StoreUnavailableError, session_ended

SPREADS_S = (
    10.0  # within which a login of another region is in the store, unless that region is cut off from it
)
LOOKS_S = (0.0, 0.4, 0.8)  # pauses before each look for it: usually it takes 0.2 s and two round trips
SUPERSEDED = session_ended("superseded").slug
SLACK_S = 1.0  # a token says the whole second in which it was issued


@dataclass(frozen=True, slots=True)
class TokenPair:
    """A pair of tokens; times are Unix seconds."""

    access: str
    access_expires_at: float
    refresh: str
    refresh_expires_at: float


class Sessions:
    """Opens, checks, renews and ends sessions. Times are Unix seconds given by the caller.

    Args:
        access_s: seconds an access token is valid.
        refresh_s: seconds a refresh token is valid.
        repeat_s: seconds for which an exchange may be repeated whose outcome nobody has used.
    """

    def __init__(
        self,
        players: Players,
        signer: Signer,
        access_s: float,
        refresh_s: float,
        repeat_s: float,
        clock: Clock,
    ) -> None:
        self._clock = clock
        self._players = players
        self._cache: Cache = players.cache
        self._signer = signer
        self._access_s = access_s
        self._refresh_s = refresh_s
        self._repeat_ms = int(repeat_s * 1000)

    async def open(self, player_id: int, now: float) -> TokenPair:
        """Open a session, and end the one the account had. Raises BannedError."""
        await self._players.refresh_from_region(player_id, now)
        session_id = f"{self._clock.random('session-id').getrandbits(64):016x}"
        await self._change("open", player_id, session_id, now)
        return self._tokens(player_id, session_id, 0)

    async def check(self, caller: Identity, now: float) -> None:
        """Raise BannedError where a ban holds, or SessionEndedError unless the token's session is the live
        one.

        The store is asked about a player whom the cache has lost, or of whom it may hold older data; while it
        does not answer, what the cache has, or the token's signature, must do.
        """
        live = await self._cache.live_session(caller.player_id)
        if not live.loaded:
            with contextlib.suppress(StoreUnavailableError):
                await self._players.own_profile(caller.player_id, now)
                live = await self._cache.live_session(caller.player_id)
        await self.ensure_live(caller, live.session_id, live.state, live.ban, now)
        await self.note_use(caller, live.seen, now)

    async def ensure_live(
        self, caller: Identity, live: str, state: str, ban: KeptBan | None, now: float
    ) -> None:
        """Raise as `ensure_live_session`, unless the token's session was opened in another region since.

        Raises SessionUnknownError where that may be, and cannot be found out yet.
        """
        try:
            ensure_live_session(caller.session_id, live, state, ban, now)
        except SessionEndedError as error:
            if not await self.was_opened_elsewhere(caller, error, now):
                raise

    async def was_opened_elsewhere(self, caller: Identity, told: SessionEndedError, now: float) -> bool:
        """Whether the token's session, of which the cache told that, is the live one by what the store has.

        A player who logs in in one region and goes to another at once is there before the word of it, which
        takes a second or two. Only a token that was issued after the live session was opened can be that, so
        devices whose session was superseded do not ask the store. Raises SessionUnknownError, and where the
        session is another one or has ended SessionEndedError or BannedError.
        """
        if not self._cache.region or told.slug != SUPERSEDED:
            return False
        issued_at = caller.expires_at - self._access_s
        key = self._cache.keys.player(caller.player_id)
        opened_ms = await cast(Any, self._cache.redis.hget(key, "session_opened"))
        if issued_at < int(opened_ms or 0) / 1000 - SLACK_S:
            return False
        for pause_s in LOOKS_S:
            await self._clock.sleep(pause_s)
            try:
                await self._players.load_anew([caller.player_id], now)
            except StoreUnavailableError as error:
                raise SessionUnknownError from error
            live = await self._cache.live_session(caller.player_id)
            if live.session_id == caller.session_id:
                ensure_live_session(caller.session_id, live.session_id, live.state, live.ban, now)
                return True
            if self._clock.wall() - issued_at > SPREADS_S:
                return False
        raise SessionUnknownError

    async def note_use(self, caller: Identity, seen: int, now: float) -> None:
        """Note that a token of the caller's generation was used: its predecessor is no longer good.

        ``seen`` is what is noted already; so this asks the cache once for each pair of tokens, and never for
        those of a login.
        """
        if caller.generation > seen:
            await self._cache.session("seen", caller.player_id, caller.session_id, now, (caller.generation,))

    async def refresh(self, token: str, now: float) -> tuple[int, TokenPair]:
        """Exchange a refresh token for the session's next pair; return it with the player's id.

        Raises SessionEndedError, BannedError or InvalidTokenError.
        """
        claims = self._signer.verify(token, self._signer.time(self._clock))
        if REFRESH not in claims.roles:
            raise InvalidTokenError("this is not a refresh token")
        player_id = int(claims.subject)
        refresh = (claims.generation, self._repeat_ms)
        outcome, generation = await self._change("refresh", player_id, claims.session_id, now, refresh)
        if outcome == "reused":
            raise SessionEndedError(
                "refresh-token-reused", "the token was used before, so its session was ended: log in again"
            )
        if outcome != "ok":
            raise session_ended(outcome)
        return player_id, self._tokens(player_id, claims.session_id, generation)

    async def revoke(self, player_id: int, now: float, session_id: str = "") -> bool:
        """End a session, or the live one where none is given; return whether there was one."""
        outcome, _ = await self._change("revoke", player_id, session_id, now)
        return outcome == "ok"

    async def _change(
        self, what: str, player_id: int, session_id: str, now: float, more: Sequence[int] = ()
    ) -> tuple[str, int]:
        answer = await self._cache.session(what, player_id, session_id, now, more)
        if answer[0] == "stale":  # the store may know better; while it does not answer, the cache will do
            with contextlib.suppress(StoreUnavailableError):
                await self._players.load([player_id], now)
            answer = await self._cache.session(what, player_id, session_id, now, more, final=True)
        elif answer[0] == "unknown":  # the cache knows of no session, but the store may
            await self._players.own_profile(player_id, now)
            answer = await self._cache.session(what, player_id, session_id, now, more, final=True)
        if answer[0] == "banned":
            raise banned(await self._cache.ban(player_id))
        return answer

    def _tokens(self, player_id: int, session_id: str, generation: int) -> TokenPair:
        now = self._clock.wall()
        return TokenPair(
            self._signer.player_token(player_id, now, self._access_s, session_id, generation),
            int(now + self._access_s),  # as in the token, which holds whole seconds
            self._signer.refresh_token(player_id, now, self._refresh_s, session_id, generation),
            int(now + self._refresh_s),
        )

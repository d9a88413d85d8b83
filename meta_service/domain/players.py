"""Players: read from the cache first, and from the store where the cache has lost them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from uuid import UUID

import structlog
from redis.exceptions import RedisError

from launchday.clock import Clock
from meta_service.cache.cache import Cache, LoadoutFields, LoadoutResult, PlayerRecord
from meta_service.cache.fill import CacheFiller
from meta_service.cache.kept_ban import KeptBan
from meta_service.cache.leases import CheckoutResult, Leases, TicketFacts
from meta_service.domain import accounts
from meta_service.domain.wardrobe import Wardrobe
from meta_service.errors import (
    BannedError,
    LoadoutError,
    LoginLinkError,
    MatchClosedError,
    MetaError,
    StoreUnavailableError,
    UnknownPlayerError,
    WriteBehindFullError,
    session_ended,
)
from meta_service.messages.leases import PlayerCommit
from meta_service.store.load_players import DEFAULT_SKIN
from meta_service.store.store import Store

ERASED = "erased"  # stands for the session of a player who was deleted
ASK_THE_STORE = ("unknown-player", "not-loaded")  # a check-out's refusals that the store may end

log = structlog.get_logger()


class Players:
    """What players and game servers do, over one cache and one store. Times are given, in Unix seconds."""

    def __init__(self, cache: Cache, store: Store, clock: Clock, wardrobe: Wardrobe | None = None) -> None:
        self.cache = cache
        self.store = store
        self.leases = Leases(cache)
        self.wardrobe = wardrobe or Wardrobe(store, cache, clock)
        self._filler = CacheFiller(cache, store, clock)

    async def log_in(self, device: bytes, candidates: Sequence[int], now: float) -> tuple[int, bool]:
        """The player whose id follows from a login's hash, and whether the account is new.

        Args:
            device: the hash.
            candidates: the ids that follow from it, in the order to try.
            now: Unix seconds.

        Works while the store does not answer, too. Raises MetaError when every candidate id is taken.
        """
        was_its_own = False
        for player_id in candidates:
            player = await self.cache.player(player_id)
            created = False
            if player is None:
                created, owner = await self._open_account(player_id, device, now)
            else:
                owner = player.device
            if owner == device.hex():
                return player_id, created
            was_its_own |= owner == ""
        if was_its_own:
            raise LoginLinkError(
                409, "deleted-too-often", "accounts of this login were deleted too often lately: use another"
            )
        raise MetaError("every candidate id of a device belongs to other devices")

    async def profile(self, player_id: int, now: float) -> PlayerRecord:
        """Read a player. Raises UnknownPlayerError, or StoreUnavailableError if only the store could know."""
        player = await self.cache.player(player_id)
        if player is None:
            await self.load([player_id], now)
            player = await self.cache.player(player_id)
        elif not player.loaded and await self._try_load([player_id], now):
            # Created while the store, which may know the player, did not answer, or the cache came back with
            # older data. If the store still does not answer, the cache will do.
            player = await self.cache.player(player_id)
        if player is None:
            raise _unknown(player_id)
        return player

    async def own_profile(self, player_id: int, now: float) -> PlayerRecord:
        """Read the player who asks: as `profile`, but who was deleted gets SessionEndedError."""
        try:
            return await self.profile(player_id, now)
        except UnknownPlayerError:
            await self._ensure_not_erased(player_id)
            raise

    async def load(self, player_ids: Sequence[int], now: float) -> None:
        """Merge what the store knows of players into the cache. Raises StoreUnavailableError."""
        await self._filler.load(player_ids, now)

    async def show_account(self, player_id: int, now: float) -> None:
        """Bring what the store says of an account into the cache, after a change that was made there.

        What cannot be shown now is shown by the next load: the change itself is made.
        """
        try:
            await self.cache.load(await self.store.load([player_id]), [player_id], now)
        except (RedisError, StoreUnavailableError) as error:
            log.warning("account not shown", player_id=player_id, reason=repr(error))

    async def refresh_from_region(self, player_id: int, now: float) -> None:
        """Load a player anew whose last login was in another region, if the store answers."""
        player = await self.cache.player(player_id) if self.cache.region else None
        if player is not None and player.home_region != self.cache.region:
            try:
                await self.load_anew([player_id], now)
            except StoreUnavailableError as error:
                log.warning("store unavailable", reason=str(error))

    async def load_anew(self, player_ids: Sequence[int], now: float) -> None:
        """Merge what the store has now of players whom the cache may know. Raises StoreUnavailableError."""
        await self.cache.load(await self.store.load(player_ids), player_ids, now)

    async def set_loadout(
        self, player_id: int, change: LoadoutFields, now: float, session_id: str = ""
    ) -> LoadoutResult:
        """Accept a change of a loadout and return the whole loadout.

        Raises as ``profile`` does, SessionEndedError, BannedError, WriteBehindFullError, or LoadoutError for
        what the player may not wear.

        The script that accepts the change also checks the session and what is owned, so this stays one round
        trip.
        """
        needed = self.wardrobe.wearables.to_be_owned(change)
        answer = await self.cache.set_loadout(player_id, change, now, session_id, needed)
        if answer.refusal == "stale":
            await self._try_load([player_id], now)
            answer = await self.cache.set_loadout(player_id, change, now, session_id, needed, final=True)
        elif not answer.version and not answer.refusal:
            await self.load([player_id], now)  # final: the cache's epoch may be another one by now
            answer = await self.cache.set_loadout(player_id, change, now, session_id, needed, final=True)
        if answer.refusal == "not-owned":  # or it was got in another region, or not shown after its commit
            await self.show_account(player_id, now)
            answer = await self.cache.set_loadout(player_id, change, now, session_id, needed, final=True)
        if answer.refusal == "not-owned":
            raise LoadoutError(409, "not-owned", f"{answer.item} is not yours: get it first")
        if answer.refusal == "banned":
            raise banned(await self.cache.ban(player_id))
        if answer.refusal == "full":
            raise WriteBehindFullError("too many changes wait for the store: try again later")
        if answer.refusal:
            raise session_ended(answer.refusal)
        if not answer.version:
            await self._ensure_not_erased(player_id)
            raise _unknown(player_id)
        return answer

    async def ticket_facts(self, mode: str, player_ids: Sequence[int], now: float) -> list[TicketFacts]:
        """What decides about each player's ticket, in order. One round trip to the cache.

        The prior stands for a rating that there is not.
        """
        prior = (accounts.DEFAULT_MU, accounts.DEFAULT_SIGMA)
        return await self.leases.ticket_facts(mode, player_ids, now, prior)

    async def check_out(
        self, match_id: UUID, server: str, region: str, now: float, ttl_s: float, player_ids: Sequence[int]
    ) -> list[CheckoutResult]:
        """Lease players to a server; two round trips to the cache unless it has lost some of them, or they
        wear what nobody has looked at yet.

        With several regions one more, and a question to the store where players' home is another region: a
        match there holds them, too. Raises MatchClosedError for a match that was closed, also for one that is
        closed meanwhile.
        """
        if self.cache.region and (guests := await self._guests(player_ids)):
            try:
                await self.load_anew(guests, now)
            except StoreUnavailableError as error:
                log.warning("store unavailable", reason=str(error))
        if not await self.leases.admit(match_id, player_ids, ttl_s):
            raise _match_closed(match_id)
        answers = await self.leases.check_out(match_id, server, region, now, ttl_s, player_ids)
        unknown = [answer.player_id for answer in answers if answer.reason in ASK_THE_STORE]
        if unknown:
            await self._try_load(unknown, now)
            again = await self.leases.check_out(match_id, server, region, now, ttl_s, unknown, final=True)
            found = {answer.player_id: answer for answer in again}
            answers = [found.get(answer.player_id, answer) for answer in answers]
        if any(answer.reason == "match-closed" for answer in answers):
            raise _match_closed(match_id)  # what was leased before the tombstone, the close ends
        if look := [answer.player_id for answer in answers if answer.look]:
            skins = await self.wardrobe.look_at(look, now)
            answers = [
                replace(answer, skin=skins.get(answer.player_id, answer.skin)) if answer.look else answer
                for answer in answers
            ]
        return answers

    async def commit(
        self, match_id: UUID, now: float, rows: Sequence[PlayerCommit], wall: float
    ) -> list[tuple[int, str]]:
        """Commit results; one round trip to the cache unless it has lost some of the players.

        Returns (player id, reason) of each row, in order; the reason is empty where the result was taken.
        Raises StoreUnavailableError when only the store could know a lease: a refusal would lose the
        result, so repeat the whole commit.
        """
        answers = await self.leases.commit(match_id, now, rows, wall)
        unloaded = {player_id for player_id, reason in answers if reason == "not-loaded"}
        if unloaded:
            await self.load(sorted(unloaded), now)
            asked = [row for row in rows if row.player_id in unloaded]
            found = dict(await self.leases.commit(match_id, now, asked, wall, final=True))
            answers = [(player_id, found.get(player_id, reason)) for player_id, reason in answers]
        return answers

    async def close_match(
        self, match_id: UUID, player_ids: Sequence[int], now: float, *, force: bool
    ) -> bool:
        """Give a match up: its tombstone refuses later check-outs, and its leases end.

        Args:
            match_id: the match.
            player_ids: the players of its check-out; those who are known to have come are added.
            now: Unix seconds.
            force: close it also when it has come.

        Returns False when it has come: then nothing changed. May be repeated, and has to be after an error:
        only an answer says that no lease of the match is left. Raises StoreUnavailableError when only the
        store could know of a lease.
        """
        come = False
        if not force:
            come, missing = await self.leases.have_come(match_id, player_ids)
            if missing:
                await self.load(missing, now)
                come, _ = await self.leases.have_come(match_id, player_ids)
        arrived = await self.leases.close(match_id, force=force, come=come)
        if arrived is None:
            return False
        players = list(dict.fromkeys([*player_ids, *arrived]))
        if missing := await self.leases.close_players(match_id, now, players):
            await self._close_unloaded(match_id, missing, now)
        log.info("match closed", match_id=str(match_id), players=len(players), had_come=len(arrived))
        return True

    async def _close_unloaded(self, match_id: UUID, player_ids: Sequence[int], now: float) -> None:
        """End the leases of players of whom the cache does not know all."""
        try:
            await self.load(player_ids, now)
        except StoreUnavailableError:
            # Players who came while the store was away are known by the cache alone. Of others it may have
            # lost a lease: nothing but the store can end that.
            if await self.leases.close_players(match_id, now, player_ids, final=True):
                raise
        else:
            await self.leases.close_players(match_id, now, player_ids)

    async def _guests(self, player_ids: Sequence[int]) -> list[int]:
        """The players among these whose last login was in another region."""
        pipeline = self.cache.redis.pipeline(transaction=False)
        for player_id in player_ids:
            pipeline.hget(self.cache.keys.player(player_id), "home")
        homes = await pipeline.execute()
        return [
            id_ for id_, home in zip(player_ids, homes, strict=True) if home not in (None, self.cache.region)
        ]

    async def _ensure_not_erased(self, player_id: int) -> None:
        if (await self.cache.live_session(player_id)).state == ERASED:
            raise session_ended(ERASED)

    async def _open_account(self, player_id: int, device: bytes, now: float) -> tuple[bool, str]:
        loaded = await self._try_load([player_id], now)
        return await self.cache.open_account(
            player_id,
            device,
            accounts.default_name(player_id),
            DEFAULT_SKIN,
            now,
            loaded=loaded,
        )

    async def _try_load(self, player_ids: Sequence[int], now: float) -> bool:
        try:
            await self.load(player_ids, now)
        except StoreUnavailableError as error:
            log.warning("store unavailable", reason=str(error))
            return False
        return True


def _unknown(player_id: int) -> UnknownPlayerError:
    return UnknownPlayerError(f"player {player_id} is not known: log in")


def _match_closed(match_id: UUID) -> MatchClosedError:
    return MatchClosedError(f"match {match_id} was given up: nobody is checked out for it any more")


def ensure_live_session(
    token_session: str, live: str, state: str, ban: KeptBan | None = None, now: float = 0.0
) -> None:
    """Raise BannedError where a ban holds at ``now``, or SessionEndedError unless ``token_session`` is live.

    Two cases pass without a comparison of sessions: a token that names no session was signed by a service,
    which holds the key; and a player without a session was loaded from elsewhere.
    """
    if ban is not None and ban.holds(now):
        raise banned(ban)
    if state == ERASED:
        raise session_ended(ERASED)
    if not token_session or not live:
        return
    if token_session != live:
        raise session_ended("superseded")
    if state == "revoked":
        raise session_ended("revoked")


def banned(ban: KeptBan | None) -> BannedError:
    """The error for a player who is kept out; None: the ban was lifted a moment ago."""
    return BannedError("", None) if ban is None else BannedError(ban.reason, ban.ends_at)

"""Players: read from the cache first, and from the store where the cache has lost them."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import structlog

from launchday.clock import Clock
from meta_service.cache.cache import Cache, LoadoutFields, LoadoutResult, PlayerRecord
from meta_service.cache.fill import CacheFiller
from meta_service.cache.leases import CheckoutResult, HeldLease, Leases
from meta_service.domain import accounts
from meta_service.errors import (
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

ASK_THE_STORE = ("unknown-player", "not-loaded")  # a check-out's refusals that the store may end

log = structlog.get_logger()


class Players:
    """What players and game servers do, over one cache and one store. Times are given, in Unix seconds."""

    def __init__(self, cache: Cache, store: Store, clock: Clock) -> None:
        self.cache = cache
        self.store = store
        self.leases = Leases(cache)
        self._filler = CacheFiller(cache, store, clock)

    async def login(self, device_id: str, now: float) -> tuple[int, bool]:
        """The player that a device belongs to, and whether the account is new.

        Works while the store does not answer, too. Raises MetaError when every candidate id is taken.
        """
        device = accounts.device_hash(device_id)
        for player_id in accounts.candidate_ids(device):
            player = await self.cache.player(player_id)
            created = False
            if player is None:
                created, owner = await self._open_account(player_id, device, now)
            else:
                owner = player.device
            if owner == device.hex():
                return player_id, created
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
            raise UnknownPlayerError(f"player {player_id} is not known: log in")
        return player

    async def load(self, player_ids: Sequence[int], now: float) -> None:
        """Merge what the store knows of players into the cache. Raises StoreUnavailableError."""
        await self._filler.load(player_ids, now)

    async def refresh_from_region(self, player_id: int, now: float) -> None:
        """Load a player anew whose last login was in another region, if the store answers."""
        player = await self.cache.player(player_id) if self.cache.region else None
        if player is not None and player.home_region != self.cache.region:
            try:
                await self.cache.load(await self.store.load([player_id]), [player_id], now)
            except StoreUnavailableError as error:
                log.warning("store unavailable", reason=str(error))

    async def set_loadout(
        self, player_id: int, change: LoadoutFields, now: float, session_id: str = ""
    ) -> LoadoutResult:
        """Accept a change of a loadout and return the whole loadout.

        Raises as ``profile`` does, SessionEndedError, or WriteBehindFullError.

        The script that accepts the change also checks the session, so this stays one round trip.
        """
        answer = await self.cache.set_loadout(player_id, change, now, session_id)
        if answer.refusal == "stale":
            await self._try_load([player_id], now)
            answer = await self.cache.set_loadout(player_id, change, now, session_id, final=True)
        elif not answer.version and not answer.refusal:
            await self.load([player_id], now)
            answer = await self.cache.set_loadout(player_id, change, now, session_id)
        if answer.refusal == "full":
            raise WriteBehindFullError("too many changes wait for the store: try again later")
        if answer.refusal:
            raise session_ended(answer.refusal)
        if not answer.version:
            raise UnknownPlayerError(f"player {player_id} is not known: log in")
        return answer

    async def skills(
        self, mode: str, player_ids: Sequence[int], now: float
    ) -> list[tuple[int, tuple[float, float], HeldLease | None, bool]]:
        """Of each player: the id, (mu, sigma) in a mode, the lease that holds them now, and whether they are
        logged out.

        The prior stands for a rating that there is not. One round trip to the cache.
        """
        prior = (accounts.DEFAULT_MU, accounts.DEFAULT_SIGMA)
        found = await self.leases.ratings_and_holders(mode, player_ids, now)
        return [
            (id_, rating or prior, holder, logged_out)
            for id_, (rating, holder, logged_out) in zip(player_ids, found, strict=True)
        ]

    async def check_out(
        self, match_id: UUID, server: str, region: str, now: float, ttl_s: float, player_ids: Sequence[int]
    ) -> list[CheckoutResult]:
        """Lease players to a server; two round trips to the cache unless it has lost some of them.

        Raises MatchClosedError for a match that was closed, also for one that is closed meanwhile.
        """
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


def _match_closed(match_id: UUID) -> MatchClosedError:
    return MatchClosedError(f"match {match_id} was given up: nobody is checked out for it any more")


def ensure_live_session(token_session: str, live: str, state: str) -> None:
    """Raise SessionEndedError unless ``token_session`` is the live one.

    Two cases pass without a comparison: a token that names no session was signed by a service, which holds
    the key; and a player without a session was loaded from elsewhere.
    """
    if not token_session or not live:
        return
    if token_session != live:
        raise session_ended("superseded")
    if state == "revoked":
        raise session_ended("revoked")

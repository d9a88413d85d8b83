"""Leases in the regional cache: who is checked out for which match, and which matches are closed.

One key a match is the arbiter between a late server and those who have given it up. A check-out first asks
that key, which notes that the match **has come** or refuses; only then are the players leased, each by a
script of their own. A close first writes the match's **tombstone** there, then ends the players' leases one
by one. A check-out that passed the key before a forced close finds the mark that the close leaves at each
player.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, cast
from uuid import UUID

from launchday.telemetry import request_id
from meta_service.cache import keys, packed, scripts
from meta_service.cache.cache import Cache, parse_rating
from meta_service.cache.kept_ban import KeptBan, is_banned
from meta_service.cache.keys import Partition
from meta_service.messages.leases import LONGEST_LEASE_S, PlayerCommit

# A server whose clock says that its match ended so long before its check-out knows no time at all.
MAX_SKEW_MS = 24 * 3600 * 1000
MAX_EXPIRED_PER_CALL = 500  # leases ended in one round trip: some milliseconds of the cache's time, in pieces


@dataclass(frozen=True, slots=True)
class CheckoutResult:
    """One player's answer to a check-out: a fence, or the reason for the refusal and the server that
    holds the player. ``look``: nobody has looked yet whether the player may wear what they wear."""

    player_id: int
    fence: int = 0
    skin: str = ""
    level: int = 0
    reason: str = ""
    held_by: str = ""
    look: bool = False


@dataclass(frozen=True, slots=True)
class HeldLease:
    """Where a player is: the match, its server, and until when the lease holds (Unix milliseconds)."""

    match_id: UUID
    server: str
    until_ms: int


class TicketFacts(NamedTuple):
    """What decides about a player's ticket.

    Attributes:
        rating: (mu, sigma) in the mode.
        holder: the lease that holds the player now; None: none does.
        logged_out: whether their session was ended, or the player was deleted.
        ban: that holds; None: none does.
        queued: the claim with which their party queues; None: it does not, or tickets are made already.
        void_claim: the claim with which their party queued before it changed, while it would be good; None:
            there is none.
    """

    rating: tuple[float, float]
    holder: HeldLease | None
    logged_out: bool
    ban: KeptBan | None
    queued: UUID | None
    void_claim: UUID | None


class Leases:
    """The leases of a region. Times are Unix seconds given by the caller. Errors are redis-py's."""

    def __init__(self, cache: Cache) -> None:
        redis = cache.redis
        self._cache = cache
        self._keys = cache.keys
        self._redis = redis
        self._admit = redis.register_script(scripts.source("admit"))
        self._close = redis.register_script(scripts.source("close"))
        self._check_out = scripts.PlayerScript(redis, self._keys, "checkout", _keys_of_leases)
        self._commit = scripts.PlayerScript(redis, self._keys, "commit", _keys_of_leases)
        self._close_player = scripts.PlayerScript(redis, self._keys, "close_player", _keys_of_leases)
        self._expire = scripts.PlayerScript(redis, self._keys, "expire", _keys_of_leases)

    async def admit(self, match_id: UUID, player_ids: Sequence[int], ttl_s: float) -> bool:
        """Note that a match has come, with these players; return False when it was closed."""
        key = self._keys.match(match_id)
        admitted = await cast(Any, self._admit(keys=[key], args=[max(_ms(ttl_s), 1), _listed(player_ids)]))
        return bool(admitted)

    async def check_out(
        self,
        match_id: UUID,
        server: str,
        region: str,
        now: float,
        ttl_s: float,
        player_ids: Sequence[int],
        *,
        final: bool = False,
    ) -> list[CheckoutResult]:
        """Lease the players of an admitted match to a server for ``ttl_s`` seconds, each by themselves.

        Args:
            match_id: the match.
            server: its server's name.
            region: where it is played.
            now: Unix seconds.
            ttl_s: how long the leases hold.
            player_ids: whom.
            final: decide by what the cache has: the store was asked, or does not answer.

        Returns one result a player, in the order asked. The reason ``match-closed`` says that the match was
        closed since it was admitted: then it has none of its players.
        """
        begin = (str(match_id), server, region, _ms(now), _ms(now + ttl_s), json.dumps(request_id()))
        mark, epochs = self._cache.wearables_mark, self._cache.epochs
        answers = await self._check_out.run(
            ((id_, (id_,)) for id_ in player_ids),
            lambda partition: (*begin, "" if final else epochs[partition.number], mark),
        )
        return [
            CheckoutResult(id_, fence, skin=first, level=int(second), look=bool(look))
            if fence
            else CheckoutResult(id_, reason=first, held_by=second)
            for id_, (fence, first, second, *look) in zip(player_ids, answers, strict=True)
        ]

    async def commit(
        self,
        match_id: UUID,
        now: float,
        rows: Sequence[PlayerCommit],
        wall: float,
        *,
        final: bool = False,
    ) -> list[tuple[int, str]]:
        """Commit results and release the leases, each player by themselves.

        Args:
            match_id: the match.
            now: Unix seconds.
            rows: the results.
            wall: Unix seconds of the wall clock: no match ended later.
            final: decide by what the cache has: the store was asked.

        Returns (player id, reason) of each row, in order; the reason is empty where the result was taken.
        """
        begin, epochs = (str(match_id), _ms(now), json.dumps(request_id())), self._cache.epochs
        reasons = await self._commit.run(
            (
                (
                    row.player_id,
                    (
                        row.player_id,
                        row.fence,
                        row.placement,
                        row.kills,
                        row.played_s,
                        _ended_ms(row, wall),
                    ),
                )
                for row in rows
            ),
            lambda partition: (*begin, -1 if final else epochs[partition.number]),
        )
        return [(row.player_id, reason) for row, reason in zip(rows, reasons, strict=True)]

    async def have_come(self, match_id: UUID, player_ids: Sequence[int]) -> tuple[bool, list[int]]:
        """Whether the last lease of any of the players was of this match, and the players who are not loaded.

        For a match whose key the cache has lost.
        """
        pipeline = self._redis.pipeline(transaction=False)
        for player_id in player_ids:
            pipeline.hmget(self._keys.player(player_id), ["lease_match", "loaded", "skin"])
        answers = await cast(Any, pipeline.execute())
        come = any(match == str(match_id) for match, _, _ in answers)
        states = zip(player_ids, answers, strict=True)
        return come, [
            id_
            for id_, (_, loaded, skin) in states
            if not self._cache.is_fresh(id_, loaded) and (loaded is not None or skin is None)
        ]

    async def close(self, match_id: UUID, *, force: bool, come: bool) -> list[int] | None:
        """Write a match's tombstone; return the players who had come, or None when it has come and stays.

        Args:
            match_id: the match.
            force: close it also when it has come.
            come: a player's lease says that it has, see ``have_come``.
        """
        key = self._keys.match(match_id)
        closed, players = await cast(
            Any, self._close(keys=[key], args=[int(force), int(come), _ms(LONGEST_LEASE_S)])
        )
        return [int(id_) for id_ in players.split(",") if id_] if closed else None

    async def close_players(
        self, match_id: UUID, now: float, player_ids: Sequence[int], *, final: bool = False
    ) -> list[int]:
        """End the leases of a closed match; return the players of whom only the store could know.

        ``final``: the store is away, so what the cache knows of players has to do.
        """
        begin, epochs = (str(match_id), _ms(now), _ms(now + LONGEST_LEASE_S)), self._cache.epochs
        answers = await self._close_player.run(
            ((id_, (id_,)) for id_ in player_ids),
            lambda partition: (*begin, "" if final else epochs[partition.number]),
        )
        return [id_ for id_, answer in zip(player_ids, answers, strict=True) if answer == "not-loaded"]

    async def ticket_facts(
        self, mode: str, player_ids: Sequence[int], now: float, prior: tuple[float, float]
    ) -> list[TicketFacts]:
        """What decides about each player's ticket, in order; ``prior`` stands for a missing rating."""
        fields = [
            f"rating:{mode}",
            "session_state",
            "ban",
            "queued",
            "void_claim",
            *("lease_state", "lease_until", "lease_match", "lease_server"),
        ]
        commands = []
        for player_id in player_ids:
            hash_key, claims_key = self._keys.player(player_id), keys.claims(player_id)
            commands.append(packed.command(hash_key, "HMGET", hash_key, *fields))
            commands.append(packed.command(claims_key, "HMGET", claims_key, "queued", "void_claim"))
        answers = await packed.ask(self._redis, commands)
        return [
            TicketFacts(
                parse_rating(rating) if rating else prior,
                _held(lease, _ms(now)),
                session in ("revoked", "erased"),
                KeptBan.read(ban) if is_banned(ban, now) else None,
                *_claims(claims, older, _ms(now)),
            )
            for (rating, session, ban, *older_and_lease), claims in zip(
                answers[::2], answers[1::2], strict=True
            )
            for older, lease in [(older_and_lease[:2], older_and_lease[2:])]
        ]

    async def expire(self, now: float) -> int:
        """End every lease whose time is over; return how many."""
        total = 0
        most = -(-MAX_EXPIRED_PER_CALL // len(self._keys))
        while True:
            over = await packed.ask(
                self._redis,
                [
                    packed.command(
                        *(each.leases, "ZRANGEBYSCORE", each.leases, "-inf", _ms(now), "LIMIT", 0, most)
                    )
                    for each in self._keys.partitions
                ],
            )
            ended = await self._expire.run((int(id_), (id_, _ms(now))) for ids in over for id_ in ids)
            total += int(sum(ended))
            if all(len(ids) < most for ids in over):
                return total


def _keys_of_leases(partition: Partition) -> tuple[str, ...]:
    return partition.counters, partition.leases, partition.stream, partition.unsettled


def _claims(
    kept: Sequence[str | None], older: Sequence[str | None], now_ms: int
) -> tuple[UUID | None, UUID | None]:
    """The claim with which a player's party queues, and the one that is void.

    ``older``: where a process of an earlier release keeps both, which may run beside during an upgrade.
    """
    queued, void_claim = (_claim(text, now_ms) for text in kept)
    older_queued, older_void = (_claim(text, now_ms) for text in older)
    if queued is None and older_queued != void_claim:
        queued = older_queued
    return queued, void_claim or older_void


def _claim(kept: str | None, now_ms: int) -> UUID | None:
    if kept is None:
        return None
    claim, _, until_ms = kept.partition(",")
    return UUID(claim) if int(until_ms) > now_ms else None


def _held(lease: Sequence[str | None], now_ms: int) -> HeldLease | None:
    state, until_ms, match_id, server = lease
    if state != "held" or not match_id or int(until_ms or 0) <= now_ms:
        return None
    return HeldLease(UUID(match_id), server or "", int(until_ms or 0))


def _ended_ms(row: PlayerCommit, wall: float) -> int:
    """When a result's match ended: by its server's word, where that is between its check-out and now."""
    if row.ended_at is None or row.ended_at > wall or _ms(row.ended_at) < row.fence - MAX_SKEW_MS:
        return _ms(wall)
    return _ms(row.ended_at)


def _listed(player_ids: Iterable[int]) -> str:
    return f",{','.join(map(str, player_ids))},"


def _ms(seconds: float) -> int:
    return int(seconds * 1000)

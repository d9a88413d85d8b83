"""Parties: players who want to play together. They live in the regional cache alone and end when unused.

The leader queues the party for a mode, which gives it a claim: a statement of who is in it and what they
play, signed by this service. Every member reads it and makes a ticket of their own with it, so the matchmaker
knows the members without asking. Whoever joins, leaves, is removed, is not ready any more or logs out voids
the claim in the same step, and the stream of party changes tells the matchmaker, which takes the tickets
back.

A step concerns all members, and in some cases other parties. A script's caller names every key that it
touches, so whoever is concerned is looked for first; where that has changed until the step, it does nothing,
and is made anew. All keys of parties lie in the home partition.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple, cast
from uuid import UUID

import msgspec

from launchday.clock import Clock
from launchday.identity import Signer
from meta_service.cache import keys, scripts
from meta_service.domain.accounts import default_name
from meta_service.domain.blocks import Blocks
from meta_service.domain.players import Players
from meta_service.errors import PartyError
from meta_service.messages.base import PlayerId
from meta_service.messages.party_claims import CLAIM_TTL_S, PartyClaim
from meta_service.messages.social import Invitation, LeaveResponse, Party, PartyMember, PartyQueue

PARTY_TTL_S = 2 * 3600  # a party that nobody uses for so long is deleted
INVITATION_TTL_S = 300  # time enough to finish a match
MAX_INVITATIONS = 16  # open at once of one party: twice its seats
MAX_INCOMING = 32  # open at once of one player, then the oldest makes room: a list is 1 ms of the cache
DECLINED_S = 24 * 3600  # for so long whoever asked does not ask again
MAX_LOOKS = 10  # at a party that changes between a look and the step, before the caller is to try again

REFUSALS = {
    "in-a-party": (409, "leave the party you are in first"),
    "unknown-party": (404, "there is no such party: it has ended"),
    "no-party": (404, "you are in no party"),
    "not-a-member": (404, "you are not in this party"),
    "not-invited": (403, "you are not invited to this party, or no longer"),
    "not-the-leader": (403, "only the party's leader may do this"),
    "not-in-the-party": (409, "that player is not in the party"),
    "not-all-ready": (409, "not every member is ready"),
    "party-full": (409, "the party has as many members as it may have"),
    "party-of-one": (409, "you are alone in the party: queue without it"),
    "party-too-large": (409, "the party is larger than the mode's teams: the leader removes members first"),
    "member-logged-out": (409, "a member has logged out: wait for them, or remove them"),
    "player-blocked": (409, "you block that player: end that first"),
    "too-many-invitations": (409, "too many invitations are open: wait for their answers"),
    "unknown-player": (404, "there is no such player"),
    "party-busy": (409, "the party changes all the time: try again"),
}


class _Concerned(NamedTuple):
    """Whose keys a step names, in the order in which the script expects them.

    Attributes:
        players: the caller, the other, and all members.
        invited: who lose their invitation if the party ends.
        parties: others that it touches.
    """

    players: list[int]
    invited: list[str]
    parties: list[str]

    def ids(self) -> list[int | str]:
        """The three lists, each behind its length."""
        return [part for of in self for part in (len(of), *of)]

    def keys(self) -> list[str]:
        """The keys of each."""
        found = []
        for player_id in self.players:
            found += [
                keys.party_of(player_id),
                keys.invitations(player_id),
                keys.declined(player_id),
                keys.claims(player_id),
            ]
        found += [keys.invitations(int(player_id)) for player_id in self.invited]
        return found + [keys.party(party_id) for party_id in self.parties]


class Parties:
    """Steps of parties; each is one script, and repeating one that was made changes nothing.

    Times are Unix seconds given by the caller. What a party refuses is raised as PartyError.
    """

    def __init__(self, players: Players, blocks: Blocks, signer: Signer, clock: Clock) -> None:
        self._players = players
        self._blocks = blocks
        self._signer = signer
        self._clock = clock
        self._redis = players.cache.redis
        self._keys = players.cache.keys
        self._script = self._redis.register_script(scripts.source("party"))
        self._invitations = self._redis.register_script(scripts.source("invitations"))

    async def create(self, player_id: int, size_limit: int, now: float) -> Party:
        """Open a party of at most ``size_limit`` members with the player as its leader.

        A player who leads a party already gets that one.
        """
        try:
            return await self._run_script("create", self._clock.uuid(), player_id, now, size_limit)
        except PartyError as error:
            party = await self.party_of(player_id, now) if error.slug == "in-a-party" else None
            if party is None or party.leader != player_id:
                raise
            return party

    async def party_of(self, player_id: int, now: float) -> Party | None:
        """The party a player is in, or None."""
        party_id = await cast(Any, self._redis.get(keys.party_of(player_id)))
        if party_id is None:
            return None
        try:
            party = await self._run_script("read", UUID(party_id), player_id, now)
        except PartyError:
            return None
        return party if any(member.player_id == player_id for member in party.members) else None

    async def read(self, party_id: UUID, now: float) -> Party:
        """Read a party, without the claim with which it queues: that is for its members."""
        return await self._run_script("read", party_id, 0, now)

    async def invite(self, player_id: int, other: int, now: float) -> Party:
        """Invite ``other`` to the caller's party; raises UnknownPlayerError when there is no such player.

        One who blocks the caller, or has declined an invitation of theirs within a day, does not hear of it,
        and the caller not of that.
        """
        await self._players.profile(other, now)  # it is in the cache after this
        until_ms = int((now + INVITATION_TTL_S) * 1000)
        mine = await self._own_party_id(player_id)
        blocked = await self._blocks.of([player_id, other])
        if other in blocked[player_id]:
            raise _refusal("player-blocked")
        more = (until_ms, MAX_INVITATIONS, MAX_INCOMING, int(player_id in blocked[other]))
        return await self._run_script("invite", mine, player_id, now, *more, other=other)

    async def invitations(self, player_id: int, now: float) -> list[Invitation]:
        """The parties a player is invited to, and until when; not by whom they block."""
        ids = await cast(Any, self._redis.zrange(keys.invitations(player_id), 0, -1))
        if not ids:
            return []
        rows = await cast(
            Any,
            self._invitations(
                keys=[keys.invitations(player_id), *map(keys.party, ids)],
                args=[int(now * 1000), player_id, *ids],
            ),
        )
        if not rows:
            return []
        blocked = (await self._blocks.of([player_id]))[player_id]
        found = [
            (UUID(party_id), int(until_ms) / 1000, fields)
            for party_id, until_ms, flat in rows
            if int((fields := _fields(flat)).get(f"b:{player_id}", fields["leader"])) not in blocked
        ]
        names = await self._names(id_ for _, _, fields in found for _, id_, _ in _joined(fields))
        return [Invitation(_party(party_id, fields, names), until) for party_id, until, fields in found]

    async def accept(self, player_id: int, party_id: UUID, now: float) -> Party:
        """Join a party to which the player is invited."""
        return await self._run_script("accept", party_id, player_id, now)

    async def decline(self, player_id: int, party_id: UUID, now: float) -> None:
        """Turn an invitation down; whoever asked does not ask again for a day."""
        try:
            await self._run_script("decline", party_id, player_id, now, int((now + DECLINED_S) * 1000))
        except PartyError:
            await cast(Any, self._redis.zrem(keys.invitations(player_id), str(party_id)))

    async def leave(self, player_id: int, now: float) -> LeaveResponse:
        """Leave the player's party."""
        try:
            await self._run_script("leave", await self._own_party_id(player_id), player_id, now)
        except PartyError:
            return LeaveResponse(left=False)
        return LeaveResponse(left=True)

    async def log_out(self, player_id: int, now: float) -> None:
        """A player has logged out, or was: they are not ready, and a party that queues does not any more."""
        with contextlib.suppress(PartyError):
            await self._run_script("absent", await self._own_party_id(player_id), player_id, now)

    async def kick(self, player_id: int, other: int, now: float) -> Party:
        """Remove a member, or an invitation."""
        return await self._run_script(
            "kick", await self._own_party_id(player_id), player_id, now, other=other
        )

    async def promote(self, player_id: int, other: int, now: float) -> Party:
        """Make another member the leader."""
        return await self._run_script(
            "promote", await self._own_party_id(player_id), player_id, now, other=other
        )

    async def set_ready(self, player_id: int, ready: bool, now: float) -> Party:
        """Set whether the player is ready to play."""
        return await self._run_script(
            "ready", await self._own_party_id(player_id), player_id, now, int(ready)
        )

    async def queue(self, player_id: int, mode: str, now: float, largest: int | None = None) -> Party:
        """Queue the party of a leader; its members must all be ready. The answer has the claim.

        A party that queues already does it anew: the claim before is void.

        Args:
            player_id: the leader.
            mode: what they play.
            now: Unix seconds.
            largest: the most members that the mode's teams seat; None: not known here.
        """
        until_ms = int((now + CLAIM_TTL_S) * 1000)
        claim = (str(self._clock.uuid()), mode, until_ms, largest or 0)
        return await self._run_script("queue", await self._own_party_id(player_id), player_id, now, *claim)

    async def unqueue(self, player_id: int, now: float) -> Party:
        """Take the player's party out of the queue; nothing happens where it does not queue."""
        return await self._run_script("unqueue", await self._own_party_id(player_id), player_id, now)

    async def _own_party_id(self, player_id: int) -> UUID:
        party_id = await cast(Any, self._redis.get(keys.party_of(player_id)))
        if party_id is None:
            raise _refusal("no-party")
        return UUID(party_id)

    async def _run_script(
        self, what: str, party_id: UUID, caller: int, now: float, *more: int | str, other: int | None = None
    ) -> Party:
        for _ in range(MAX_LOOKS):
            concerned, version = await self._look(what, party_id, caller, other, now)
            seen = (version, await self._logged_out(concerned.players)) if what == "queue" else ()
            arguments = [
                *(what, int(now * 1000), PARTY_TTL_S * 1000, str(party_id)),
                *(caller, "" if other is None else other),
                *concerned.ids(),
                *more,
                *seen,
            ]
            refusal, flat = await cast(
                Any,
                self._script(
                    keys=[keys.party(party_id), keys.PARTY_CHANGES, *concerned.keys()], args=arguments
                ),
            )
            if refusal != "anew":
                break
        else:
            raise _refusal("party-busy")
        if refusal:
            raise _refusal(refusal)
        fields = _fields(flat)
        party = _party(party_id, fields, await self._names(id_ for _, id_, _ in _joined(fields)))
        if any(member.player_id == caller for member in party.members):
            return msgspec.structs.replace(party, queue=self._queue_of(party_id, fields, now))
        return party

    async def _look(
        self, what: str, party_id: UUID, caller: int, other: int | None, now: float
    ) -> tuple[_Concerned, str]:
        """Whom and which other parties a step concerns, and the party's version; empty: there is none."""
        pipeline = self._redis.pipeline(transaction=False)
        pipeline.hgetall(keys.party(party_id))
        pipeline.get(keys.party_of(caller))
        if what == "invite":
            pipeline.zrangebyscore(keys.invitations(other or 0), f"({int(now * 1000)}", "+inf")
        fields, current, *listed = await cast(Any, pipeline.execute())
        players = [caller, *([] if other is None else [other]), *(id_ for _, id_, _ in _joined(fields))]
        invited = [name[2:] for name in fields if name.startswith("i:")] if what in ("leave", "kick") else []
        parties = [current] if current and what in ("create", "accept") else []
        for ids in listed:
            rivals = [id_ for id_ in ids if id_ != str(party_id)]
            parties += rivals[: max(len(rivals) + 1 - MAX_INCOMING, 0)]
        return _Concerned(list(dict.fromkeys(players)), invited, parties), fields.get("version", "")

    async def _logged_out(self, player_ids: Sequence[int]) -> str:
        """Those among players who have logged out, or were, as ``,id,id,``."""
        pipeline = self._redis.pipeline(transaction=False)
        for player_id in player_ids:
            pipeline.hget(self._keys.player(player_id), "session_state")
        states = zip(player_ids, await cast(Any, pipeline.execute()), strict=True)
        return f",{','.join(str(id_) for id_, state in states if state == 'revoked')},"

    async def _names(self, player_ids: Iterable[int]) -> dict[int, str]:
        """The display names of players, in one round trip."""
        ids = list(dict.fromkeys(player_ids))
        pipeline = self._redis.pipeline(transaction=False)
        for player_id in ids:
            pipeline.hget(self._keys.player(player_id), "display_name")
        names = await pipeline.execute()
        return {id_: name or default_name(id_) for id_, name in zip(ids, names, strict=True)}

    def _queue_of(self, party_id: UUID, fields: dict[str, str], now: float) -> PartyQueue | None:
        """What its members need to make their tickets; None where the party does not queue."""
        if "claim" not in fields or (expires_at := int(fields["claim_until"]) / 1000) <= now:
            return None
        claim = PartyClaim(
            claim_id=UUID(fields["claim"]),
            party_id=party_id,
            version=int(fields["claim_version"]),
            mode=fields["claim_mode"],
            members=[player_id for _, player_id, _ in _joined(fields)],
            expires_at=expires_at,
        )
        return PartyQueue(claim.mode, claim.sign(self._signer), expires_at)


def _fields(flat: Sequence[str]) -> dict[str, str]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _joined(fields: dict[str, str]) -> list[tuple[int, int, bool]]:
    """When each member joined (Unix milliseconds), who they are, whether they are ready; in that order."""
    return sorted(
        (int(value.partition(",")[0]), int(name[2:]), value.endswith(",1"))
        for name, value in fields.items()
        if name.startswith("m:")
    )


def _party(party_id: UUID, fields: dict[str, str], names: dict[int, str]) -> Party:
    leader = int(fields.get("leader", 0))
    return Party(
        party_id=party_id,
        leader=PlayerId(leader),
        version=int(fields.get("version", 0)),
        size_limit=int(fields.get("limit", 0)),
        members=[
            PartyMember(PlayerId(player_id), names[player_id], ready or player_id == leader, at_ms / 1000)
            for at_ms, player_id, ready in _joined(fields)
        ],
        invited=sorted(PlayerId(name[2:]) for name in fields if name.startswith("i:")),
    )


def _refusal(slug: str) -> PartyError:
    status, detail = REFUSALS[slug]
    return PartyError(status, slug, detail)

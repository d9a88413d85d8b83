"""Parties: players who want to play together. They live in the regional cache alone and end when unused.

A party queues as one ticket. The matchmaker asks for its members with ``queue``, which refuses unless the
leader asks and all the others are ready. From then until ``unqueue`` nobody joins, is kicked or changes
their mind. A member who leaves takes the party out of the queue, and the answer names the ticket to cancel.
"""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from launchday.clock import Clock
from meta_service.cache import keys, scripts
from meta_service.domain.accounts import default_name
from meta_service.domain.players import Players
from meta_service.errors import PartyError
from meta_service.messages.base import PlayerId
from meta_service.messages.social import Invitation, LeaveResponse, Party, PartyMember

PARTY_TTL_S = 2 * 3600  # a party that nobody uses for so long is deleted
INVITATION_TTL_S = 300  # time enough to finish a match
MAX_INVITATIONS = 16  # open at once of one party: twice its seats

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
    "party-queued": (409, "the party is in the queue: cancel its ticket first"),
    "too-many-invitations": (409, "too many invitations are open: wait for their answers"),
    "unknown-player": (404, "there is no such player"),
}


class Parties:
    """Steps of parties; each is one script, and repeating one that was made changes nothing.

    Times are Unix seconds given by the caller. What a party refuses is raised as PartyError.
    """

    def __init__(self, players: Players, clock: Clock) -> None:
        self._players = players
        self._clock = clock
        self._redis = players.cache.redis
        self._script = self._redis.register_script(scripts.source("party"))

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
            party = await self.read(UUID(party_id), now)
        except PartyError:
            return None
        return party if any(member.player_id == player_id for member in party.members) else None

    async def read(self, party_id: UUID, now: float) -> Party:
        """Read a party."""
        return await self._run_script("read", party_id, 0, now)

    async def invite(self, player_id: int, other: int, now: float) -> Party:
        """Invite ``other`` to the caller's party; raises UnknownPlayerError when there is no such player."""
        await self._players.profile(other, now)  # it is in the cache after this
        until_ms = int((now + INVITATION_TTL_S) * 1000)
        mine = await self._own_party_id(player_id)
        return await self._run_script("invite", mine, player_id, now, until_ms, MAX_INVITATIONS, other=other)

    async def invitations(self, player_id: int, now: float) -> list[Invitation]:
        """The parties a player is invited to, and until when."""
        rows = await cast(
            Any,
            self._redis.zrangebyscore(
                keys.invitations(player_id), f"({int(now * 1000)}", "+inf", withscores=True
            ),
        )
        found = []
        for party_id, until_ms in rows:
            try:
                party = await self.read(UUID(party_id), now)
            except PartyError:
                continue  # ended since
            if player_id in party.invited:
                found.append(Invitation(party, until_ms / 1000))
        return found

    async def accept(self, player_id: int, party_id: UUID, now: float) -> Party:
        """Join a party to which the player is invited."""
        return await self._run_script("accept", party_id, player_id, now)

    async def decline(self, player_id: int, party_id: UUID, now: float) -> None:
        """Turn an invitation down."""
        try:
            await self._run_script("decline", party_id, player_id, now)
        except PartyError:
            await cast(Any, self._redis.zrem(keys.invitations(player_id), str(party_id)))

    async def leave(self, player_id: int, now: float) -> LeaveResponse:
        """Leave the player's party; the answer names the ticket with which the party had queued."""
        party = await self.party_of(player_id, now)
        if party is None:
            return LeaveResponse(left=False, ticket_id=None)
        try:
            await self._run_script("leave", party.party_id, player_id, now)
        except PartyError:
            return LeaveResponse(left=False, ticket_id=None)
        return LeaveResponse(left=True, ticket_id=party.ticket_id)

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

    async def queue(self, player_id: int, ticket_id: UUID, now: float) -> Party:
        """Queue the party of a leader under a ticket; its members must all be ready."""
        return await self._run_script(
            "queue", await self._own_party_id(player_id), player_id, now, str(ticket_id)
        )

    async def unqueue(self, party_id: UUID, ticket_id: UUID, now: float) -> Party:
        """Take a party out of the queue when its ticket has ended; another ticket's end changes nothing."""
        return await self._run_script("unqueue", party_id, 0, now, str(ticket_id))

    async def _own_party_id(self, player_id: int) -> UUID:
        party_id = await cast(Any, self._redis.get(keys.party_of(player_id)))
        if party_id is None:
            raise _refusal("no-party")
        return UUID(party_id)

    async def _run_script(
        self, what: str, party_id: UUID, caller: int, now: float, *more: int | str, other: int | None = None
    ) -> Party:
        concerned = [caller, caller if other is None else other]
        names = [keys.party(party_id)]
        for player_id in concerned:
            names += [keys.party_of(player_id), keys.invitations(player_id), keys.player(player_id)]
        arguments = [
            what,
            int(now * 1000),
            PARTY_TTL_S * 1000,
            str(party_id),
            caller,
            "" if other is None else other,
            keys.PARTY_OF_PREFIX,
            keys.INVITATIONS_PREFIX,
            *more,
        ]
        refusal, flat = await cast(Any, self._script(keys=names, args=arguments))
        if refusal:
            raise _refusal(refusal)
        return await self._party(party_id, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def _party(self, party_id: UUID, fields: dict[str, str]) -> Party:
        leader = int(fields.get("leader", 0))
        joined = sorted(
            (int(value.partition(",")[0]), int(name[2:]), value.endswith(",1"))
            for name, value in fields.items()
            if name.startswith("m:")
        )
        pipeline = self._redis.pipeline(transaction=False)
        for _, player_id, _ in joined:
            pipeline.hget(keys.player(player_id), "display_name")
        names = await pipeline.execute()
        ticket = fields.get("ticket", "")
        return Party(
            party_id=party_id,
            leader=PlayerId(leader),
            version=int(fields.get("version", 0)),
            size_limit=int(fields.get("limit", 0)),
            ticket_id=UUID(ticket) if ticket else None,
            members=[
                PartyMember(
                    PlayerId(player_id),
                    name or default_name(player_id),
                    ready or player_id == leader,
                    at_ms / 1000,
                )
                for (at_ms, player_id, ready), name in zip(joined, names, strict=True)
            ],
            invited=sorted(PlayerId(name[2:]) for name in fields if name.startswith("i:")),
        )


def _refusal(slug: str) -> PartyError:
    status, detail = REFUSALS[slug]
    return PartyError(status, slug, detail)

"""Calls for services: skills, check-out, commit, close, parties, counters."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

from meta_service.client.calls import Calls
from meta_service.messages.base import PlayerId
from meta_service.messages.leases import (
    CheckoutRequest,
    CheckoutResponse,
    CloseRequest,
    CloseResponse,
    CommitRequest,
    CommitResponse,
    MetaCounters,
    PlayerCommit,
    Skills,
    SkillsRequest,
)
from meta_service.messages.operators import Kicks, Revocations
from meta_service.messages.rejected_changes import RejectedChanges, ResendRequest, ResendResponse
from meta_service.messages.sessions import Ended, RevocationRequest, SessionEnds
from meta_service.messages.social import MatchReport, Party, PartyChanges


class ServerCalls(Calls):
    """What matchmakers and game servers do. They need a service token."""

    async def skills(self, mode: str, player_ids: Sequence[int], *, blocks: bool = False) -> Skills:
        """Skill in a mode by player id, the prior without a rating; who is checked out, and where; and with
        ``blocks``, whom the players block.
        """
        body = SkillsRequest(mode, [PlayerId(id_) for id_ in player_ids], blocks)
        return await self.call("POST", "/v1/internal/skills", Skills, self.token, body)

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: Sequence[int]
    ) -> CheckoutResponse:
        """Lease a match's players to ``server`` for ``ttl_s`` seconds. A repeat gets the same fences.

        Raises MetaUnavailableError or MetaRefusedError, its kind ``match-closed`` for a match that was given
        up.
        """
        ids = [PlayerId(id_) for id_ in player_ids]
        body = CheckoutRequest(match_id, server, region, ttl_s, ids)
        return await self.call("POST", "/v1/internal/checkouts", CheckoutResponse, self.token, body)

    async def commit(self, match_id: UUID, players: Sequence[PlayerCommit]) -> CommitResponse:
        """Commit results and release the leases. May be repeated: the answer stays the same."""
        rows = [
            PlayerCommit(
                PlayerId(row.player_id), row.fence, row.placement, row.kills, row.played_s, row.ended_at
            )
            for row in players
        ]
        body = CommitRequest(match_id, rows)
        return await self.call("POST", "/v1/internal/commits", CommitResponse, self.token, body)

    async def close_match(self, match_id: UUID, player_ids: Sequence[int], force: bool = False) -> bool:
        """Give a match up; return True when it is closed, False when it has come and goes on.

        Args:
            match_id: the match.
            player_ids: whom its server was to check out; others who came are found.
            force: close it also when it has come, as after the death of its server.

        When it is closed none of its players is held, none will be checked out for it, and no result of
        theirs is taken any more. May be repeated; repeat it until it is answered. Raises MetaUnavailableError
        or MetaRefusedError.
        """
        body = CloseRequest([PlayerId(id_) for id_ in player_ids], force)
        path = f"/v1/internal/matches/{match_id}/close"
        answer = await self.call("POST", path, CloseResponse, self.token, body)
        return answer.outcome == "closed"

    async def revoke(self, player_id: int) -> bool:
        """End a player's session, whichever it is; return whether there was one."""
        body = RevocationRequest(PlayerId(player_id))
        return (await self.call("POST", "/v1/internal/revocations", Ended, self.token, body)).ended

    async def session_ends(self, after: str = "0-0") -> SessionEnds:
        """Sessions that were ended after a cursor, and left their players logged out; see `SessionEnds`."""
        return await self.call("GET", f"/v1/internal/sessions/ends?after={after}", SessionEnds, self.token)

    async def revocations(self, after: str = "0-0") -> Revocations:
        """Tokens that open nothing any more before they expire, after a cursor; see `Revocation`."""
        return await self.call("GET", f"/v1/internal/revocations?after={after}", Revocations, self.token)

    async def kicks(self, match_id: UUID, after: str = "0-0") -> Kicks:
        """Players who are to leave a match, after a cursor."""
        path = f"/v1/internal/matches/{match_id}/kicks?after={after}"
        return await self.call("GET", path, Kicks, self.token)

    async def party_changes(self, after: str = "0-0") -> PartyChanges:
        """Parties that changed after they had queued, after a cursor; see `PartyChanges`."""
        return await self.call("GET", f"/v1/internal/parties/changes?after={after}", PartyChanges, self.token)

    async def party(self, party_id: UUID) -> Party:
        """A party and its members."""
        return await self.call("GET", f"/v1/internal/parties/{party_id}", Party, self.token)

    async def match(self, match_id: UUID) -> MatchReport:
        """What the store knows of every player who was checked out for a match."""
        return await self.call("GET", f"/v1/internal/matches/{match_id}", MatchReport, self.token)

    async def counters(self) -> MetaCounters:
        """The durable counters."""
        return await self.call("GET", "/v1/internal/counters", MetaCounters, self.token)

    async def rejected_changes(self, limit: int = 20) -> RejectedChanges:
        """The newest changes that the store could not take."""
        path = f"/v1/internal/rejected-changes?limit={limit}"
        return await self.call("GET", path, RejectedChanges, self.token)

    async def resend_changes(self, entries: Sequence[str]) -> list[str]:
        """Send rejected changes to the store again; return those that were there. May be repeated."""
        path = "/v1/internal/rejected-changes/resend"
        answer = await self.call("POST", path, ResendResponse, self.token, ResendRequest(list(entries)))
        return answer.resent

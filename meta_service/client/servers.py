"""Calls for services: skills, check-out, commit, books."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from meta_service.client.answers import CheckoutResponse, CommitResponse, Ended, MetaCounters, Skill, Skills
from meta_service.client.calls import Calls
from meta_service.client.social_answers import MatchReport, Party


@dataclass(frozen=True, slots=True)
class PlayerCommit:
    """One player's result, to commit; ``fence`` is the one from the check-out."""

    player_id: int
    fence: int
    placement: int
    kills: int
    played_s: float


class ServerCalls(Calls):
    """What matchmakers and game servers do. They need a service token."""

    async def skills(self, mode: str, player_ids: Sequence[int]) -> dict[int, Skill]:
        """Skill in a mode by player id; the prior for who has none."""
        body = {"mode": mode, "player_ids": [str(id_) for id_ in player_ids]}
        return (await self.call("POST", "/v1/internal/skills", Skills, self.token, body)).skills

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: Sequence[int]
    ) -> CheckoutResponse:
        """Lease a match's players to ``server`` for ``ttl_s`` seconds. May be repeated: the fences stay the same."""
        body = {
            "match_id": str(match_id),
            "server": server,
            "region": region,
            "ttl_s": ttl_s,
            "player_ids": [str(id_) for id_ in player_ids],
        }
        return await self.call("POST", "/v1/internal/checkouts", CheckoutResponse, self.token, body)

    async def commit(self, match_id: UUID, players: Sequence[PlayerCommit]) -> CommitResponse:
        """Commit results and release the leases. May be repeated: the answer stays the same."""
        body = {
            "match_id": str(match_id),
            "players": [
                {
                    "player_id": str(player.player_id),
                    "fence": player.fence,
                    "placement": player.placement,
                    "kills": player.kills,
                    "played_s": player.played_s,
                }
                for player in players
            ],
        }
        return await self.call("POST", "/v1/internal/commits", CommitResponse, self.token, body)

    async def revoke(self, player_id: int) -> bool:
        """End a player's session, whichever it is; return whether there was one."""
        body = {"player_id": str(player_id)}
        return (await self.call("POST", "/v1/internal/revocations", Ended, self.token, body)).ended

    async def queue_party(self, leader: int, ticket_id: UUID) -> Party:
        """Take a leader's party into the queue under one ticket: its members as they are from now on.

        May be repeated. Raises MetaRefusedError: ``no-party``, ``not-the-leader``, ``not-all-ready`` or ``party-queued``.
        """
        body = {"leader": str(leader), "ticket_id": str(ticket_id)}
        return await self.call("POST", "/v1/internal/parties/queue", Party, self.token, body)

    async def party(self, party_id: UUID) -> Party:
        """A party: whether it still has the ticket, and who is in it. Somebody may have left since it was queued."""
        return await self.call("GET", f"/v1/internal/parties/{party_id}", Party, self.token)

    async def unqueue_party(self, party_id: UUID, ticket_id: UUID) -> Party:
        """Tell that a party's ticket has ended: assigned, cancelled, expired or failed."""
        body = {"ticket_id": str(ticket_id)}
        return await self.call("POST", f"/v1/internal/parties/{party_id}/unqueue", Party, self.token, body)

    async def match(self, match_id: UUID) -> MatchReport:
        """What the store knows of everybody who was checked out for a match."""
        return await self.call("GET", f"/v1/internal/matches/{match_id}", MatchReport, self.token)

    async def counters(self) -> MetaCounters:
        """The durable counters."""
        return await self.call("GET", "/v1/internal/books", MetaCounters, self.token)

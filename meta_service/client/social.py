"""Calls about parties, friends, leaderboards and past matches, each for one player's session token."""

from __future__ import annotations

from typing import Literal
from uuid import UUID

from meta_service.client.calls import Calls
from meta_service.messages.base import PlayerId
from meta_service.messages.social import (
    BlockList,
    BoardName,
    ChangeResponse,
    Friend,
    FriendList,
    Invitation,
    Invitations,
    Leaderboard,
    LeaveResponse,
    Party,
    PartyOptions,
    PastMatch,
    PastMatches,
    PlayerChoice,
    PresenceUpdate,
    QueueRequest,
    Readiness,
)


class SocialCalls(Calls):
    """What players do together. A refusal is MetaRefusedError, its ``kind`` such as ``party-full``."""

    async def create_party(self, session_token: str, size_limit: int = 4) -> Party:
        """Open a party; a player who leads one already gets that."""
        return await self.call("POST", "/v1/party", Party, session_token, PartyOptions(size_limit))

    async def my_party(self, session_token: str) -> Party:
        """The player's party; refused with ``no-party``."""
        return await self.call("GET", "/v1/party", Party, session_token)

    async def invite_to_party(self, session_token: str, player_id: int) -> Party:
        """Invite another player to the party."""
        body = PlayerChoice(PlayerId(player_id))
        return await self.call("POST", "/v1/party/invitations", Party, session_token, body)

    async def party_invitations(self, session_token: str) -> list[Invitation]:
        """The parties that the player may join."""
        return (await self.call("GET", "/v1/party/invitations", Invitations, session_token)).invitations

    async def accept_party(self, session_token: str, party_id: UUID) -> Party:
        """Join a party to which the player is invited."""
        return await self.call("POST", f"/v1/party/invitations/{party_id}/accept", Party, session_token)

    async def decline_party(self, session_token: str, party_id: UUID) -> None:
        """Turn an invitation down."""
        await self.call("DELETE", f"/v1/party/invitations/{party_id}", ChangeResponse, session_token)

    async def leave_party(self, session_token: str) -> LeaveResponse:
        """Leave the party; where it queues, its tickets are taken back."""
        return await self.call("POST", "/v1/party/leave", LeaveResponse, session_token)

    async def kick_from_party(self, session_token: str, player_id: int) -> Party:
        """Remove a member, or take an invitation back."""
        return await self.call("DELETE", f"/v1/party/members/{player_id}", Party, session_token)

    async def promote_in_party(self, session_token: str, player_id: int) -> Party:
        """Make another member the leader."""
        return await self.call("POST", f"/v1/party/members/{player_id}/promote", Party, session_token)

    async def set_ready(self, session_token: str, ready: bool = True) -> Party:
        """Set whether the player is ready to play."""
        return await self.call("PUT", "/v1/party/ready", Party, session_token, Readiness(ready))

    async def queue_party(self, session_token: str, mode: str) -> Party:
        """Queue the party for a mode, as its leader: every member makes a ticket with ``queue.claim`` of the
        answer, which they find in `my_party`. A repeat makes a newer claim, and the one before is void.
        """
        return await self.call("POST", "/v1/party/queue", Party, session_token, QueueRequest(mode))

    async def unqueue_party(self, session_token: str) -> Party:
        """Take the party out of the queue."""
        return await self.call("DELETE", "/v1/party/queue", Party, session_token)

    async def friends(self, session_token: str) -> list[Friend]:
        """Friends and requests, with presence."""
        return (await self.call("GET", "/v1/friends", FriendList, session_token)).friends

    async def request_friendship(self, session_token: str, player_id: int) -> None:
        """Ask another player to be friends; one who had asked first becomes a friend."""
        await self.call(
            "POST", "/v1/friends", ChangeResponse, session_token, PlayerChoice(PlayerId(player_id))
        )

    async def accept_friendship(self, session_token: str, player_id: int) -> None:
        """Become friends with a player who asked."""
        await self.call("POST", f"/v1/friends/{player_id}/accept", ChangeResponse, session_token)

    async def end_friendship(self, session_token: str, player_id: int) -> bool:
        """End a friendship, take a request back, or turn one down; return whether there was one."""
        return (await self.call("DELETE", f"/v1/friends/{player_id}", ChangeResponse, session_token)).done

    async def blocks(self, session_token: str) -> list[int]:
        """The players whom the player blocks, the newest first."""
        return list((await self.call("GET", "/v1/blocks", BlockList, session_token)).blocked)

    async def block(self, session_token: str, player_id: int) -> None:
        """Block a player, who is not told."""
        await self.call("PUT", f"/v1/blocks/{player_id}", ChangeResponse, session_token)

    async def unblock(self, session_token: str, player_id: int) -> bool:
        """Block a player no longer; return whether they were."""
        return (await self.call("DELETE", f"/v1/blocks/{player_id}", ChangeResponse, session_token)).done

    async def set_presence(self, session_token: str, presence: Literal["online", "away"] = "online") -> None:
        """Set the player's presence to ``online`` or ``away``; it holds for a minute."""
        await self.call("PUT", "/v1/presence", PresenceUpdate, session_token, PresenceUpdate(presence))

    async def leaderboard(
        self,
        session_token: str,
        board: BoardName = "kills",
        *,
        season: str | None = None,
        offset: int = 0,
        limit: int = 20,
    ) -> Leaderboard:
        """A season's board (``kills``, ``wins`` or ``matches``) from the best down."""
        chosen = f"&season={season}" if season else ""
        path = f"/v1/leaderboards/{board}?offset={offset}&limit={limit}{chosen}"
        return await self.call("GET", path, Leaderboard, session_token)

    async def leaderboard_around_me(
        self,
        session_token: str,
        board: BoardName = "kills",
        *,
        season: str | None = None,
        neighbours: int = 5,
    ) -> Leaderboard:
        """The player's own place and up to ``neighbours`` others on each side."""
        chosen = f"&season={season}" if season else ""
        return await self.call(
            "GET", f"/v1/leaderboards/{board}/me?neighbours={neighbours}{chosen}", Leaderboard, session_token
        )

    async def matches(
        self, session_token: str, *, before: int | None = None, limit: int = 20
    ) -> list[PastMatch]:
        """The player's matches, newest first; ``before`` is the last fence of the page before."""
        page = f"?limit={limit}" + (f"&before={before}" if before is not None else "")
        return (await self.call("GET", f"/v1/matches{page}", PastMatches, session_token)).matches

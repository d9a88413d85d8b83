"""Calls about parties, friends, leaderboards and past matches, for the player whose session token is given."""

from __future__ import annotations

from uuid import UUID

from meta_service.client.calls import Calls
from meta_service.client.social_answers import (
    ChangeResponse,
    Friend,
    FriendList,
    Invitation,
    Invitations,
    Leaderboard,
    LeaveResponse,
    Party,
    PastMatch,
    PastMatches,
    PresenceUpdate,
)


class SocialCalls(Calls):
    """What players do together. A refusal is MetaRefusedError, its ``kind`` such as ``party-full``."""

    async def create_party(self, session_token: str, size_limit: int = 4) -> Party:
        """Open a party; who leads one already gets that."""
        return await self.call("POST", "/v1/party", Party, session_token, {"size_limit": size_limit})

    async def my_party(self, session_token: str) -> Party:
        """The party one is in; refused with ``no-party``."""
        return await self.call("GET", "/v1/party", Party, session_token)

    async def invite_to_party(self, session_token: str, player_id: int) -> Party:
        """Invite a player to one's party."""
        body = {"player_id": str(player_id)}
        return await self.call("POST", "/v1/party/invitations", Party, session_token, body)

    async def party_invitations(self, session_token: str) -> list[Invitation]:
        """The parties one may join."""
        return (await self.call("GET", "/v1/party/invitations", Invitations, session_token)).invitations

    async def accept_party(self, session_token: str, party_id: UUID) -> Party:
        """Join a party that one is invited to."""
        return await self.call("POST", f"/v1/party/invitations/{party_id}/accept", Party, session_token)

    async def decline_party(self, session_token: str, party_id: UUID) -> None:
        """Turn an invitation down."""
        await self.call("DELETE", f"/v1/party/invitations/{party_id}", ChangeResponse, session_token)

    async def leave_party(self, session_token: str) -> LeaveResponse:
        """Leave one's party; a ticket in the answer is to be cancelled."""
        return await self.call("POST", "/v1/party/leave", LeaveResponse, session_token)

    async def kick_from_party(self, session_token: str, player_id: int) -> Party:
        """Remove a member, or take an invitation back."""
        return await self.call("DELETE", f"/v1/party/members/{player_id}", Party, session_token)

    async def promote_in_party(self, session_token: str, player_id: int) -> Party:
        """Make another member the leader."""
        return await self.call("POST", f"/v1/party/members/{player_id}/promote", Party, session_token)

    async def set_ready(self, session_token: str, ready: bool = True) -> Party:
        """Say whether one is ready to play."""
        return await self.call("PUT", "/v1/party/ready", Party, session_token, {"ready": ready})

    async def friends(self, session_token: str) -> list[Friend]:
        """Friends and requests, with presence."""
        return (await self.call("GET", "/v1/friends", FriendList, session_token)).friends

    async def request_friendship(self, session_token: str, player_id: int) -> None:
        """Ask a player to be friends; who had asked becomes a friend."""
        await self.call("POST", "/v1/friends", ChangeResponse, session_token, {"player_id": str(player_id)})

    async def accept_friendship(self, session_token: str, player_id: int) -> None:
        """Become friends with a player who asked."""
        await self.call("POST", f"/v1/friends/{player_id}/accept", ChangeResponse, session_token)

    async def end_friendship(self, session_token: str, player_id: int) -> bool:
        """End a friendship, take a request back, or turn one down; whether there was one."""
        return (await self.call("DELETE", f"/v1/friends/{player_id}", ChangeResponse, session_token)).done

    async def set_presence(self, session_token: str, presence: str = "online") -> None:
        """Say that one is ``online`` or ``away``; it holds for a minute."""
        await self.call("PUT", "/v1/presence", PresenceUpdate, session_token, {"presence": presence})

    async def leaderboard(
        self,
        session_token: str,
        board: str = "kills",
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
        self, session_token: str, board: str = "kills", *, season: str | None = None, reach: int = 5
    ) -> Leaderboard:
        """One's own place and up to ``reach`` neighbours on each side."""
        chosen = f"&season={season}" if season else ""
        return await self.call(
            "GET", f"/v1/leaderboards/{board}/me?reach={reach}{chosen}", Leaderboard, session_token
        )

    async def matches(
        self, session_token: str, *, before: int | None = None, limit: int = 20
    ) -> list[PastMatch]:
        """One's matches, newest first; ``before`` is the last fence of the page before."""
        page = f"?limit={limit}" + (f"&before={before}" if before is not None else "")
        return (await self.call("GET", f"/v1/matches{page}", PastMatches, session_token)).matches

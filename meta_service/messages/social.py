"""Bodies of the requests and answers about parties, friends, leaderboards and past matches."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from meta_service.domain.friends import Presence, Relation
from meta_service.domain.leaderboards import BoardName
from meta_service.domain.parties import MAX_MEMBERS
from meta_service.messages.base import Message, PlayerId, PlayerIdText

Season = Annotated[str, Field(pattern=r"^[0-9]{4}-q[1-4]$", examples=["2026-q4"])]


class PartyOptions(Message):
    """What a new party shall be like."""

    size_limit: Annotated[int, Field(ge=2, le=MAX_MEMBERS, strict=True, examples=[4])] = 4


class PartyMember(Message):
    """A player in a party."""

    player_id: PlayerIdText
    display_name: str
    ready: bool = Field(description="The leader counts as ready.")
    joined_at: float


class PartyView(Message):
    """A party as its members see it."""

    party_id: UUID
    leader: PlayerIdText
    version: int = Field(description="Grows with every change.")
    size_limit: int
    ticket_id: UUID | None = Field(description="The matchmaker's ticket while the party is queued.")
    members: list[PartyMember]
    invited: list[PlayerIdText]


class PlayerChoice(Message):
    """The other player."""

    player_id: PlayerId


class Readiness(Message):
    """Whether one is ready to play."""

    ready: Annotated[bool, Field(strict=True)]


class Invitation(Message):
    """A party one may join."""

    party: PartyView
    expires_at: float


class Invitations(Message):
    """All parties one may join."""

    invitations: list[Invitation]


class LeaveResponse(Message):
    """Whether one was in a party, and the ticket it had queued with: cancel that."""

    left: bool
    ticket_id: UUID | None


class ChangeResponse(Message):
    """Whether this request changed something."""

    done: bool


class PartyTicket(Message):
    """A leader's party enters the queue under a ticket."""

    leader: PlayerId
    ticket_id: UUID


class PartyTicketEnd(Message):
    """A ticket of a party has ended."""

    ticket_id: UUID


class FriendView(Message):
    """A friend, or somebody who asked or was asked to be one."""

    player_id: PlayerIdText
    display_name: str
    relation: Relation = Field(description="asked: by you; invited: they asked you.")
    since: float
    presence: Presence = Field(description="Only friends see it.")
    match_id: UUID | None = Field(description="The match a friend is in.")


class FriendList(Message):
    """All friends and requests."""

    friends: list[FriendView]


class PresenceUpdate(Message):
    """Where one is. It holds for a minute: say it twice in that time."""

    presence: Literal["online", "away"]


class StandingView(Message):
    """One line of a leaderboard."""

    rank: int
    player_id: PlayerIdText
    display_name: str
    score: int


class LeaderboardView(Message):
    """A part of a season's leaderboard."""

    season: Season
    board: BoardName
    total: int = Field(description="Players on the board.")
    standings: list[StandingView]


class PastMatch(Message):
    """A match that the player was checked out for."""

    match_id: UUID
    fence: int = Field(description="Give the last one as ``before`` for the next page.")
    server: str | None
    region: str | None
    outcome: Literal["playing", "committed", "expired", "refused"] = Field(
        description="expired: the server never said how it ended; refused: it said so too late."
    )
    placement: int | None
    kills: int | None
    played_s: float | None
    checked_out_at: float | None
    ended_at: float | None


class PastMatches(Message):
    """The player's matches, newest first."""

    matches: list[PastMatch]


class MatchPlayer(PastMatch):
    """One player's part in a match."""

    player_id: PlayerIdText


class MatchReport(Message):
    """Everybody who was checked out for a match."""

    match_id: UUID
    players: list[MatchPlayer]

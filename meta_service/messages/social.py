"""Messages about parties, friends, leaderboards and past matches."""

from __future__ import annotations

from typing import Annotated, Literal
from uuid import UUID

from msgspec import Meta

from meta_service.messages.base import Message, PlayerId
from meta_service.messages.party_claims import ClaimText, QueueModeName

MAX_PARTY_MEMBERS = 10  # as many as the matchmaker's queue takes for one party

Relation = Literal["friends", "asked", "invited"]
Presence = Literal["online", "away", "in-match", "offline"]
BoardName = Literal["kills", "wins", "matches"]
Outcome = Literal["playing", "committed", "expired", "refused", "closed"]


class PartyOptions(Message, frozen=True):
    """What a new party shall be like."""

    size_limit: Annotated[int, Meta(ge=2, le=MAX_PARTY_MEMBERS, examples=[4])] = 4


class PartyMember(Message, frozen=True):
    """A player in a party."""

    player_id: PlayerId
    display_name: str
    ready: Annotated[bool, Meta(description="The leader counts as ready.")]
    joined_at: float


class PartyQueue(Message, frozen=True):
    """The party queues: what each member makes their ticket with, until ``expires_at``."""

    mode: QueueModeName
    claim: ClaimText
    expires_at: float


class Party(Message, frozen=True):
    """A party, its members in the order in which they joined, and the players whom it has invited."""

    party_id: UUID
    leader: PlayerId
    version: Annotated[int, Meta(description="Grows with every change.")]
    size_limit: int
    members: list[PartyMember]
    invited: list[PlayerId]
    queue: Annotated[
        PartyQueue | None,
        Meta(description="While tickets can be made for the party that queues; members alone see it."),
    ] = None
    ticket_id: Annotated[
        UUID | None, Meta(description="Always null: each member has a ticket of their own.")
    ] = None


class PlayerChoice(Message, frozen=True):
    """The other player."""

    player_id: PlayerId


class Readiness(Message, frozen=True):
    """Whether the player is ready to play."""

    ready: bool


class Invitation(Message, frozen=True):
    """A party that the player may join until ``expires_at``."""

    party: Party
    expires_at: float


class Invitations(Message, frozen=True):
    """All parties that the player may join."""

    invitations: list[Invitation]


class LeaveResponse(Message, frozen=True):
    """Whether the player was in a party. Where it queued, the tickets are taken back."""

    left: bool
    ticket_id: Annotated[
        UUID | None, Meta(description="Always null: each member has a ticket of their own.")
    ] = None


class ChangeResponse(Message, frozen=True):
    """Whether this request changed something."""

    done: bool


class QueueRequest(Message, frozen=True):
    """What the party is to play."""

    mode: QueueModeName


class PartyChange(Message, frozen=True):
    """A party has changed since it queued: its claim is void."""

    claim_id: UUID
    why: Annotated[
        str,
        Meta(
            description="joined, left, kicked, not-ready, logged-out, withdrawn, queued-anew; later releases "
            "may add to it.",
            examples=["left"],
        ),
    ]
    changed_at: Annotated[float, Meta(description="Unix seconds.", examples=[1796083200.5])]


class PartyChanges(Message, frozen=True):
    """Changes of parties that queued, the oldest first."""

    changes: list[PartyChange]
    cursor: Annotated[str, Meta(description="Ask for what comes after it.")]


class BlockList(Message, frozen=True):
    """The players whom the player blocks, the newest first."""

    blocked: list[PlayerId]


class Friend(Message, frozen=True):
    """A friend, or a player with a pending request, in either direction."""

    player_id: PlayerId
    display_name: str
    relation: Annotated[
        Relation, Meta(description="asked: by the player; invited: the other one asked the player.")
    ]
    since: float
    presence: Annotated[Presence, Meta(description="Only friends see it; others are offline to each other.")]
    match_id: Annotated[UUID | None, Meta(description="The match a friend is in.")]


class FriendList(Message, frozen=True):
    """All friends and requests."""

    friends: list[Friend]


class PresenceUpdate(Message, frozen=True):
    """Where the player is. It holds for a minute: send it twice in that time."""

    presence: Literal["online", "away"]


class Standing(Message, frozen=True):
    """One line of a leaderboard; the best has rank 1."""

    rank: int
    player_id: PlayerId
    display_name: str
    score: int


class Leaderboard(Message, frozen=True):
    """A part of a season's leaderboard."""

    season: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,64}$", examples=["launch"])]
    board: BoardName
    total: Annotated[int, Meta(description="Players on the board.")]
    standings: list[Standing]


class PastMatch(Message, frozen=True):
    """A match that the player was checked out for."""

    match_id: UUID
    fence: Annotated[int, Meta(description="Give the last one as ``before`` for the next page.")]
    server: str | None
    region: str | None
    outcome: Annotated[
        Outcome,
        Meta(
            description="expired: the server never said how it ended; refused: it said so too late;"
            " closed: the match was given up."
        ),
    ]
    placement: int | None
    kills: int | None
    played_s: float | None
    checked_out_at: float | None
    ended_at: float | None


class PastMatches(Message, frozen=True):
    """The player's matches, newest first."""

    matches: list[PastMatch]


class MatchPlayer(PastMatch, frozen=True, kw_only=True):
    """One player's part in a match."""

    player_id: PlayerId


class MatchReport(Message, frozen=True):
    """All players who were checked out for a match."""

    match_id: UUID
    players: list[MatchPlayer]

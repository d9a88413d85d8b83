"""The answers about parties, friends, leaderboards and past matches. Ids are numbers, times Unix seconds."""

from __future__ import annotations

from uuid import UUID

import msgspec


class PartyMember(msgspec.Struct, frozen=True):
    """A player in a party; the leader counts as ready."""

    player_id: int
    display_name: str
    ready: bool
    joined_at: float


class Party(msgspec.Struct, frozen=True):
    """A party, its members in the order in which they joined; ``ticket_id`` while it is queued."""

    party_id: UUID
    leader: int
    version: int
    size_limit: int
    ticket_id: UUID | None
    members: list[PartyMember]
    invited: list[int]


class Invitation(msgspec.Struct, frozen=True):
    """A party that one may join until ``expires_at``."""

    party: Party
    expires_at: float


class Invitations(msgspec.Struct, frozen=True):
    """All parties that one may join."""

    invitations: list[Invitation]


class LeaveResponse(msgspec.Struct, frozen=True):
    """Whether one was in a party, and the ticket it had queued with."""

    left: bool
    ticket_id: UUID | None


class ChangeResponse(msgspec.Struct, frozen=True):
    """Whether the request changed something."""

    done: bool


class Friend(msgspec.Struct, frozen=True):
    """A friend (``relation`` friends), or somebody who was ``asked`` or has ``invited`` the player to be one.

    ``presence``: online, away, in-match (then ``match_id`` says which) or offline; of friends alone.
    """

    player_id: int
    display_name: str
    relation: str
    since: float
    presence: str
    match_id: UUID | None


class FriendList(msgspec.Struct, frozen=True):
    """All friends and requests."""

    friends: list[Friend]


class PresenceUpdate(msgspec.Struct, frozen=True):
    """Where one is."""

    presence: str


class Standing(msgspec.Struct, frozen=True):
    """One line of a leaderboard; the best has rank 1."""

    rank: int
    player_id: int
    display_name: str
    score: int


class Leaderboard(msgspec.Struct, frozen=True):
    """A part of a season's leaderboard; ``total`` players are on it."""

    season: str
    board: str
    total: int
    standings: list[Standing]


class PastMatch(msgspec.Struct, frozen=True):
    """A match that a player was checked out for; ``outcome``: playing, committed, expired or refused."""

    match_id: UUID
    fence: int
    server: str | None
    region: str | None
    outcome: str
    placement: int | None
    kills: int | None
    played_s: float | None
    checked_out_at: float | None
    ended_at: float | None


class PastMatches(msgspec.Struct, frozen=True):
    """A player's matches, newest first."""

    matches: list[PastMatch]


class MatchPlayer(PastMatch, frozen=True, kw_only=True):
    """One player's part in a match."""

    player_id: int


class MatchReport(msgspec.Struct, frozen=True):
    """Everybody who was checked out for a match."""

    match_id: UUID
    players: list[MatchPlayer]

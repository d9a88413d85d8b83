"""Names of everything the meta service keeps in the cache; one hash tag, so that a script may touch all of it."""

from __future__ import annotations

from uuid import UUID

COUNTERS = "{meta}:books"  # hash: durable counters
LEASES = "{meta}:leases"  # sorted set: player id by the millisecond its lease ends
STREAM = "{meta}:writebehind"  # stream: accepted changes that are not stored yet
REJECTED = "{meta}:writebehind:rejected"  # stream: changes the store cannot take, with reasons
CONSUMER_GROUP = "store"  # consumer group of the write-behind workers
PLAYER_PREFIX = "{meta}:player:"
PARTY_PREFIX = "{meta}:party:"
PARTY_OF_PREFIX = "{meta}:party-of:"
INVITATIONS_PREFIX = "{meta}:invitations:"


def player(player_id: int) -> str:
    """The hash of one player."""
    return f"{PLAYER_PREFIX}{player_id}"


def commits(match_id: UUID) -> str:
    """The hash of what was committed of one match: player id to fence."""
    return f"{{meta}}:commits:{match_id}"


def credential(name: str) -> str:
    """The hash of a name's password hash, for logins while the store is away."""
    return f"{{meta}}:credential:{name}"


def attempts(name: str) -> str:
    """The counter of wrong passwords for a name."""
    return f"{{meta}}:attempts:{name}"


def fill_lock(player_id: int) -> str:
    """The mark of who is loading a player from the store just now."""
    return f"{{meta}}:loading:{player_id}"


def party(party_id: UUID) -> str:
    """The hash of one party."""
    return f"{PARTY_PREFIX}{party_id}"


def party_of(player_id: int) -> str:
    """The id of the party a player is in."""
    return f"{PARTY_OF_PREFIX}{player_id}"


def invitations(player_id: int) -> str:
    """The sorted set of the parties a player is invited to, by the millisecond the invitation ends."""
    return f"{INVITATIONS_PREFIX}{player_id}"


def friends(player_id: int) -> str:
    """The hash of a player's friends as the store last told them, for while it is away."""
    return f"{{meta}}:friends:{player_id}"


def presence(player_id: int) -> str:
    """What a player said of late, for as long as it holds."""
    return f"{{meta}}:presence:{player_id}"


def board(season: str, name: str) -> str:
    """The sorted set of a season's leaderboard: player id by score."""
    return f"{{meta}}:board:{season}:{name}"


def boards_built(season: str) -> str:
    """Says that the season's leaderboards hold all that the store does."""
    return f"{{meta}}:board:{season}:built"


def boards_build_lock(season: str) -> str:
    """The mark of who is rebuilding the season's leaderboards just now."""
    return f"{{meta}}:board:{season}:building"

"""Names of everything the meta service keeps in the cache; one hash tag, so that a script may touch all of it."""

from __future__ import annotations

from uuid import UUID

BOOKS = "{meta}:books"  # hash: durable counters
LEASES = "{meta}:leases"  # sorted set: player id by the millisecond its lease ends
STREAM = "{meta}:writebehind"  # stream: accepted changes that are not stored yet
REJECTED = "{meta}:writebehind:rejected"  # stream: changes the store cannot take, with reasons
GROUP = "store"  # consumer group of the write-behind workers
PLAYER_PREFIX = "{meta}:player:"


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

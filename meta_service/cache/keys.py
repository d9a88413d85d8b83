"""The names of all keys in the cache; they share one hash tag, so that a script may touch any of them."""

from __future__ import annotations

from uuid import UUID

COUNTERS = "{meta}:counters"  # hash: durable counters
OLD_COUNTERS = "{meta}:books"  # their earlier name; a worker renames them when it starts
LEASES = "{meta}:leases"  # sorted set: player id by the millisecond its lease ends
UNSETTLED = "{meta}:unsettled"  # sorted set: player id by the millisecond of the last change
STREAM = "{meta}:writebehind"  # stream: accepted changes that are not stored yet
REJECTED = "{meta}:writebehind:rejected"  # stream: changes the store cannot take, with reasons
EPOCH = "{meta}:epoch"  # the number of this cache's life, and the mark it was given for
BEAT = "{meta}:beat"  # counts up at every look at the epoch: it goes back when older data came back
SESSION_ENDS = "{meta}:session-ends"  # stream: players whose session was ended lately, for the matchmaker
REVOCATIONS = "{meta}:revocations"  # stream: sessions and players to whom no door opens any more
KICKS = "{meta}:kicks"  # stream: players who are to leave the match they are in, for its game server
PARTY_CHANGES = "{meta}:party-changes"  # stream: parties that changed while they queued, for the matchmaker
REGIONS_SEEN = "{meta}:regions-seen"  # up to when (the store's Unix seconds) other regions' changes are here
WEARABLES = "{meta}:wearables"  # the mark of the newest catalogue that a process has read
CONSUMER_GROUP = "store"  # consumer group of the write-behind workers
PLAYER_PREFIX = "{meta}:player:"
PARTY_PREFIX = "{meta}:party:"
PARTY_OF_PREFIX = "{meta}:party-of:"
INVITATIONS_PREFIX = "{meta}:invitations:"


def player(player_id: int) -> str:
    """The hash of one player."""
    return f"{PLAYER_PREFIX}{player_id}"


def match(match_id: UUID) -> str:
    """The hash of one match: whether it has come or was closed, and its players. It expires."""
    return f"{{meta}}:match:{match_id}"


def wearables(mark: str) -> str:
    """The hash of what can be worn under a mark of the catalogue: item → "kind" or "kind,free"."""
    return f"{WEARABLES}:{mark}"


def credential(name: str) -> str:
    """The hash that keeps a name's password hash, for logins while the store does not answer."""
    return f"{{meta}}:credential:{name}"


def login(digest: str) -> str:
    """The player whom a linked login (its hash, hexadecimal) was seen to open."""
    return f"{{meta}}:login:{digest}"


def name(player_id: int) -> str:
    """The display name of a player whom this cache does not hold, as the store last gave it."""
    return f"{{meta}}:name:{player_id}"


def attempts(name: str, source: str) -> str:
    """The counter of wrong passwords for a name from one address: its owner is elsewhere."""
    return f"{{meta}}:attempts:{name}:{source}"


def fill_lock(player_id: int) -> str:
    """The lock of the process that loads a player from the store."""
    return f"{{meta}}:fill-lock:{player_id}"


def party(party_id: UUID) -> str:
    """The hash of one party."""
    return f"{PARTY_PREFIX}{party_id}"


def party_of(player_id: int) -> str:
    """The id of the party a player is in."""
    return f"{PARTY_OF_PREFIX}{player_id}"


def invitations(player_id: int) -> str:
    """The sorted set of the parties a player is invited to, by the millisecond the invitation ends."""
    return f"{INVITATIONS_PREFIX}{player_id}"


def declined(player_id: int) -> str:
    """The sorted set of players whose invitation a player declined, by the millisecond they may ask again."""
    return f"{{meta}}:declined:{player_id}"


def blocks(player_id: int) -> str:
    """The players whom a player blocks, as JSON, as the store last gave them."""
    return f"{{meta}}:blocks:{player_id}"


def friends(player_id: int) -> str:
    """A player's friends as JSON, as the store last gave them, for the time when it does not answer."""
    return f"{{meta}}:friends:{player_id}"


def presence(player_id: int) -> str:
    """The presence that a player set, for as long as it holds."""
    return f"{{meta}}:presence:{player_id}"


def board(season: str, name: str) -> str:
    """The sorted set of a season's leaderboard: players by the numbers of `meta_service.cache.ranking`."""
    return f"{{meta}}:ranked:{season}:{name}"


def boards_built(season: str) -> str:
    """The epoch in which the season's leaderboards were filled with all that the store had."""
    return f"{{meta}}:ranked:{season}:built"


def older_boards(season: str) -> tuple[str, ...]:
    """A season's leaderboards as earlier releases keep them: player id by score."""
    return tuple(f"{{meta}}:board:{season}:{name}" for name in ("kills", "wins", "matches"))


def boards_build_lock(season: str) -> str:
    """The lock of the process that rebuilds the season's leaderboards."""
    return f"{{meta}}:ranked:{season}:building"

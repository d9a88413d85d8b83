"""The names of all keys in the cache.

Valkey Cluster keeps a key by its hash tag, what stands in braces, on one of its nodes, and a script touches
keys of one tag alone. So what belongs to a player has the tag of the player's **partition**: their hash, and
whatever a script touches with it: the leases, the counters, the streams, of which each partition has its own.
Partitions lie evenly over all 16,384 slots. What belongs to no player, such as parties and leaderboards, and
all that a party's step touches, has the tag of the home partition, ``{meta}``.

With one partition every key has that tag, and the names are those of a cache on one node. How many there are
is kept in the cache (`meta_service.cache.partitions`), for with another number nothing would be found.
"""

from __future__ import annotations

import functools
import zlib
from uuid import UUID

from redis.crc import key_slot

HOME_TAG = "{meta}"
SLOTS = 16_384  # of Valkey Cluster
MAX_PARTITIONS = 256  # a follower's cursor has a place in a stream of each: 2 kB at most
CONSUMER_GROUP = "store"  # consumer group of the write-behind workers

OLD_COUNTERS = "{meta}:books"  # an earlier name of the counters; a worker renames them when it starts
PARTITIONS = "{meta}:partitions"  # how many there are
PARTY_CHANGES = "{meta}:party-changes"  # stream: parties that changed while they queued, for the matchmaker
REGIONS_SEEN = "{meta}:regions-seen"  # up to when (the store's Unix seconds) other regions' changes are here
WEARABLES = "{meta}:wearables"  # the mark of the newest catalogue that a process has read

_GOLDEN = 0x9E3779B97F4A7C15  # 2⁶⁴ ÷ golden ratio: spreads ids that follow each other, too
_WORD = (1 << 64) - 1


class Partition:
    """The keys of some of the players: all have one hash tag.

    Attributes:
        number: 0 is the home partition.
        counters: hash: durable counters.
        leases: sorted set: player id by the millisecond its lease ends.
        unsettled: sorted set: player id by the millisecond of the last change.
        stream: stream: accepted changes that are not stored yet.
        rejected: stream: changes the store cannot take, with reasons.
        epoch: the number of this partition's life, and the mark it was given for.
        beat: counts up at every look at the epoch: it goes back when older data came back.
        session_ends: stream: players whose session was ended lately, for the matchmaker.
        revocations: stream: sessions and players to whom no door opens any more.
        kicks: stream: players who are to leave the match they are in, for its game server.
    """

    __slots__ = (
        "_fill_locks",
        "_players",
        "beat",
        "counters",
        "epoch",
        "kicks",
        "leases",
        "number",
        "rejected",
        "revocations",
        "session_ends",
        "stream",
        "tag",
        "unsettled",
    )

    def __init__(self, number: int, tag: str) -> None:
        self.number = number
        self.tag = tag
        self.counters = f"{tag}:counters"
        self.leases = f"{tag}:leases"
        self.unsettled = f"{tag}:unsettled"
        self.stream = f"{tag}:writebehind"
        self.rejected = f"{tag}:writebehind:rejected"
        self.epoch = f"{tag}:epoch"
        self.beat = f"{tag}:beat"
        self.session_ends = f"{tag}:session-ends"
        self.revocations = f"{tag}:revocations"
        self.kicks = f"{tag}:kicks"
        self._players = f"{tag}:player:"
        self._fill_locks = f"{tag}:fill-lock:"

    def player(self, player_id: int | str) -> str:
        """The hash of one player of this partition."""
        return f"{self._players}{player_id}"

    def fill_lock(self, player_id: int) -> str:
        """The lock of the process that loads a player from the store."""
        return f"{self._fill_locks}{player_id}"

    def wearables(self, mark: str) -> str:
        """The hash of what can be worn under a mark of the catalogue: item → "kind" or "kind,free".

        Each partition has it, for the script that looks at a player's clothes.
        """
        return f"{self.tag}:wearables:{mark}"


class Keys:
    """The names of a cache's keys.

    Args:
        partitions: how many there are, 1 to MAX_PARTITIONS.

    Attributes:
        partitions: all of them, by number.
        home: the one with what belongs to no player; with one partition it is the only one.
    """

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = tuple(Partition(number, tag) for number, tag in enumerate(_tags(partitions)))
        self.home = self.partitions[0]
        self._count = partitions

    def __len__(self) -> int:
        return self._count

    def of(self, player_id: int) -> Partition:
        """A player's partition: the same for ever, in every cache of so many."""
        if self._count == 1:
            return self.home
        return self.partitions[(player_id * _GOLDEN & _WORD) * self._count >> 64]

    def player(self, player_id: int) -> str:
        """The hash of one player."""
        return self.of(player_id).player(player_id)

    def fill_lock(self, player_id: int) -> str:
        """The lock of the process that loads a player from the store."""
        return self.of(player_id).fill_lock(player_id)

    def name(self, player_id: int) -> str:
        """The display name of a player whom this cache does not hold, as the store last gave it."""
        return f"{self.of(player_id).tag}:name:{player_id}"

    def blocks(self, player_id: int) -> str:
        """The players whom a player blocks, as JSON, as the store last gave them."""
        return f"{self.of(player_id).tag}:blocks:{player_id}"

    def friends(self, player_id: int) -> str:
        """A player's friends as JSON, as the store last gave them, for the time when it does not answer."""
        return f"{self.of(player_id).tag}:friends:{player_id}"

    def presence(self, player_id: int) -> str:
        """The presence that a player set, for as long as it holds."""
        return f"{self.of(player_id).tag}:presence:{player_id}"

    def match(self, match_id: UUID) -> str:
        """The hash of one match: whether it has come or was closed, and its players. It expires."""
        return f"{self._any(str(match_id))}:match:{match_id}"

    def credential(self, name: str) -> str:
        """The hash that keeps a name's password hash, for logins while the store does not answer."""
        return f"{self._any(name)}:credential:{name}"

    def login(self, digest: str) -> str:
        """The player whom a linked login (its hash, hexadecimal) was seen to open."""
        return f"{self._any(digest)}:login:{digest}"

    def attempts(self, name: str, source: str) -> str:
        """The counter of wrong passwords for a name from one address: its owner is elsewhere."""
        return f"{self._any(name)}:attempts:{name}:{source}"

    def _any(self, text: str) -> str:
        """A partition's tag for what has no neighbours."""
        return HOME_TAG if self._count == 1 else self.partitions[zlib.crc32(text.encode()) % self._count].tag


def party(party_id: UUID | str) -> str:
    """The hash of one party."""
    return f"{{meta}}:party:{party_id}"


def party_of(player_id: int) -> str:
    """The id of the party a player is in."""
    return f"{{meta}}:party-of:{player_id}"


def claims(player_id: int) -> str:
    """The hash of the claims with which a player's party queues, or queued before it changed; of one who is
    being deleted, a mark that says so."""
    return f"{{meta}}:claims:{player_id}"


def invitations(player_id: int) -> str:
    """The sorted set of the parties a player is invited to, by the millisecond the invitation ends."""
    return f"{{meta}}:invitations:{player_id}"


def declined(player_id: int) -> str:
    """The sorted set of players whose invitation a player declined, by the millisecond they may ask again."""
    return f"{{meta}}:declined:{player_id}"


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


@functools.cache
def _tags(partitions: int) -> tuple[str, ...]:
    """The hash tag of each partition, whose slot lies in a part of all slots that is its own.

    The parts begin at the home tag's slot. Of ``{meta1}``, ``{meta2}``, … each partition has the first whose
    slot lies in its part.
    """
    if not 1 <= partitions <= MAX_PARTITIONS:
        raise ValueError(f"a cache has 1 to {MAX_PARTITIONS} partitions, not {partitions}")
    first = key_slot(HOME_TAG.encode())
    found = {0: HOME_TAG}
    number = 0
    while len(found) < partitions:
        number += 1
        tag = f"{{meta{number}}}"
        part = (key_slot(tag.encode()) - first) % SLOTS * partitions // SLOTS
        found.setdefault(part, tag)
    return tuple(found[part] for part in range(partitions))


ONE = Keys(1)
"""The names in a cache of one partition."""

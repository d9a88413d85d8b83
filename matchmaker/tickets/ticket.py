"""A ticket between the API and the director: the fields, and the fixed-size record in which the queue carries
them.

The API makes a `Ticket` of each request and writes those of one moment as records, one after the other, into
one entry of the queue's stream. A director reads a thousand records in one call; the numpy dtype of
`RecordFormat` is their only layout.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import NamedTuple
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray

from dedicated_server.protocol.connect_token import EVERY_CLIENTS
from matchmaker.messages import PLATFORMS


class Ticket(msgspec.Struct, frozen=True):
    """A ticket that is about to be queued.

    Attributes:
        ticket_id: random, and unique.
        player_id: whose it is.
        enqueued_at, expires_at: Unix seconds.
        platform: one of ``PLATFORMS``.
        cross_play: whether the player meets other platforms.
        client_key: the client's name for the request; empty: none.
        latency_ms: the round trip to each region of the fleet, in its order; infinite where it was not
            measured.
        party, party_size: the party that it belongs to (empty: none), and its number of players.
        attributes: as JSON what the player brings to the mode's rules; None where the rules read nothing.
        watched: whether it ends without signs of life of its player: one that a service made does not.
        wish: what the client key stands for, see ``matchmaker.tickets.wish``; empty where there is no key.
        by_service: a service made it, and answers for its player's party.
        party_until: Unix seconds until which the party's tickets may be made; 0: no claim says it.
        ciphers: what the client can seal datagrams with, bit n for cipher n of `connect_token`.
    """

    ticket_id: UUID
    player_id: int
    enqueued_at: float
    expires_at: float
    platform: str
    cross_play: bool
    client_key: str
    latency_ms: tuple[float, ...]
    party: str = ""
    party_size: int = 1
    attributes: str | None = None
    watched: bool = False
    wish: str = ""
    by_service: bool = False
    party_until: float = 0.0
    ciphers: int = EVERY_CLIENTS

    @property
    def party_terms(self) -> str:
        """What all tickets of a party must have in common, beside the mode."""
        return f"{self.party_size}:{self.group}"

    @property
    def party_number(self) -> int:
        """The party as 64 bits; 0 for none."""
        if not self.party:
            return 0
        return int.from_bytes(blake2b(self.party.encode(), digest_size=8).digest(), "little") or 1

    @property
    def group(self) -> int:
        """Who may meet: 0 for all who cross-play, else a number for each platform."""
        return 0 if self.cross_play else 1 + self.platform_number

    @property
    def platform_number(self) -> int:
        """The platform's place among PLATFORMS."""
        return PLATFORMS.index(self.platform)


class RequeueRecord(NamedTuple):
    """The tickets of a match as the queue had them, kept so that they can be queued again where the match is
    lost.

    Attributes:
        records: in RecordFormat.
        attributes: what each ticket brings, as JSON; empty where the mode's rules read nothing.
    """

    records: bytes = b""
    attributes: Sequence[str] = ()


NO_REQUEUE_RECORD = RequeueRecord()


class RecordFormat:
    """The queue's fixed-size record of a ticket: little endian, without padding.

    Args:
        regions: the number of the fleet's regions.

    Attributes:
        dtype: ids are the 16 bytes of a UUID as two uint64; times are Unix seconds; ``skill_mean`` and
            ``skill_deviation`` are of the player's rating; ``party`` is 0 for none; ``latency_ms`` has one
            round trip a region, infinite where not measured; ``ciphers`` has bit n for cipher n of
            `connect_token`, 0: the client did not say.
    """

    def __init__(self, regions: int) -> None:
        self.dtype = np.dtype(
            [
                ("ticket_id", "<u8", (2,)),
                ("player_id", "<i8"),
                ("enqueued_at", "<f8"),
                ("expires_at", "<f8"),
                ("skill_mean", "<f4"),
                ("skill_deviation", "<f4"),
                ("group", "<i4"),
                ("party", "<u8"),
                ("party_size", "<i4"),
                # One number of 32 bits before there were ciphers: what another release wrote reads as none.
                ("platform", "<i2"),
                ("ciphers", "<u2"),
                ("latency_ms", "<f4", (regions,)),
            ]
        )

    def pack(self, tickets: Sequence[Ticket], skills: Mapping[int, tuple[float, float]]) -> bytes:
        """Return the records of tickets, one after the other.

        Args:
            tickets: with as many latencies as the format has regions.
            skills: mean and deviation of each player's rating.
        """
        records = np.empty(len(tickets), self.dtype)
        ids = b"".join([ticket.ticket_id.bytes for ticket in tickets])
        records["ticket_id"] = np.frombuffer(ids, "<u8").reshape(-1, 2)
        for field in ("player_id", "enqueued_at", "expires_at", "group", "party_size", "latency_ms"):
            records[field] = [getattr(ticket, field) for ticket in tickets]
        records["party"] = np.array([ticket.party_number for ticket in tickets], np.uint64)
        records["platform"] = [ticket.platform_number for ticket in tickets]
        records["ciphers"] = [ticket.ciphers for ticket in tickets]
        rated = [skills[ticket.player_id] for ticket in tickets]
        records["skill_mean"] = [mean for mean, _ in rated]
        records["skill_deviation"] = [deviation for _, deviation in rated]
        return records.tobytes()

    @classmethod
    def of_tickets(cls, payload: bytes, count: int) -> RecordFormat:
        """The format of so many records (at least one), by how long they are."""
        regions = (len(payload) // count - cls(0).dtype.itemsize) // 4
        return cls(max(regions, 0))

    def unpack(self, payload: bytes) -> NDArray[np.void]:
        """Return the records of a queue entry, [N], without a copy."""
        return np.frombuffer(payload, self.dtype)


def text_ids(ids: NDArray[np.uint64]) -> list[str]:
    """Return the canonical strings of ticket ids, uint64[N, 2] as they lie in the records."""
    digits = np.ascontiguousarray(ids).tobytes().hex()
    return [
        f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-{digits[i + 12 : i + 16]}"
        f"-{digits[i + 16 : i + 20]}-{digits[i + 20 : i + 32]}"
        for i in range(0, len(digits), 32)
    ]


def binary_ids(texts: Sequence[str]) -> NDArray[np.uint64]:
    """Return uint64[N, 2] as in the records, of canonical strings: the inverse of text_ids."""
    return np.frombuffer(bytes.fromhex("".join(texts).replace("-", "")), "<u8").reshape(-1, 2)

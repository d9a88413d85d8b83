"""Tickets in each of their three shapes: what a player asks, the record in the queue, what the player reads back."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from os import urandom
from typing import Annotated, Any, Literal, NamedTuple, Protocol
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

State = Literal["searching", "proposed", "accepted", "assigned", "cancelled", "expired", "failed"]
SEARCHING: State = "searching"
ASSIGNED: State = "assigned"
FINAL_STATES: tuple[State, ...] = (ASSIGNED, "cancelled", "expired", "failed")

PLATFORMS = ("pc", "playstation", "xbox", "switch", "mobile")
MAX_REGIONS = 256  # five times as many as any cloud has
MAX_PARTY = 10
MAX_BATCH = 500  # tickets made in one call

Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
Region = Annotated[str, Field(min_length=1, max_length=64)]

MAX_ATTRIBUTES = 50  # of one ticket
MAX_ITEMS = 100  # strings of a list, keys of a map
MAX_CHARS = 100  # of a string, and of a key
AttributeName = Annotated[str, Field(min_length=1, max_length=MAX_CHARS)]
ItemText = Annotated[str, Field(min_length=1, max_length=MAX_CHARS)]
Finite = Annotated[float, Field(allow_inf_nan=False, strict=True)]


class AttributeValue(BaseModel):
    """An attribute's value, by its type: exactly one of them."""

    model_config = ConfigDict(extra="forbid")

    N: Finite | None = Field(None, description="A number.")
    S: str | None = Field(None, min_length=1, max_length=MAX_CHARS, description="A string.")
    SL: list[ItemText] | None = Field(None, max_length=MAX_ITEMS, description="A string_list.")
    SDM: dict[ItemText, Finite] | None = Field(None, max_length=MAX_ITEMS, description="A string_number_map.")


class PartyWish(BaseModel):
    """A party that a ticket belongs to: it is complete when ``size`` players have made theirs."""

    model_config = ConfigDict(extra="forbid")

    party_id: str = Field(
        min_length=1, max_length=64, description="The same for all its players, and theirs alone."
    )
    size: int = Field(ge=2, le=MAX_PARTY)


class TicketRequest(BaseModel):
    """What a player asks for."""

    model_config = ConfigDict(extra="forbid")

    mode: str = Field(max_length=64, examples=["battle_royale"])
    latencies_ms: dict[Region, Milliseconds] = Field(
        max_length=MAX_REGIONS,
        description="Round trips that the player measured, by region.",
        examples=[{"west-europe": 18.0, "east-us": 88.0}],
    )
    platform: Literal["pc", "playstation", "xbox", "switch", "mobile"] = "pc"
    cross_play: bool = Field(
        True, description="False: only meet players of the same platform who say so too."
    )
    client_key: str | None = Field(
        None,
        min_length=1,
        max_length=64,
        description="A name of the client's for this wish: asking again with the same one gives the same ticket.",
    )

    party: PartyWish | None = Field(
        None, description="Queue together with others; the party waits for all of them."
    )
    attributes: dict[AttributeName, AttributeValue] | None = Field(
        None,
        max_length=MAX_ATTRIBUTES,
        description="What the mode's rule set asks of a player, by the names of its playerAttributes; what is left out has the rule set's default.",
        examples=[{"map": {"S": "harbour"}, "roles": {"SL": ["healer", "tank"]}}],
    )


class PlayerTicketRequest(TicketRequest):
    """What a service asks for on a player's behalf."""

    player_id: int = Field(ge=1, le=2**63 - 1)


class TicketBatchRequest(BaseModel):
    """Many tickets of one mode."""

    model_config = ConfigDict(extra="forbid")

    tickets: list[PlayerTicketRequest] = Field(min_length=1, max_length=MAX_BATCH)


class BatchedTicket(BaseModel):
    """What became of one of many: its state, or why it was not made."""

    player_id: int
    ticket_id: UUID | None
    outcome: Literal["created", "repeated", "busy", "mismatch", "refused"]
    detail: str = ""


class TicketBatch(BaseModel):
    """The answer to a creation of many, in their order."""

    tickets: list[BatchedTicket]


class TicketCreated(BaseModel):
    """The answer to a creation."""

    ticket_id: UUID
    state: State
    created_at: float


class Assignment(BaseModel):
    """Where a player's match is."""

    match_id: UUID
    region: str
    address: str
    port: int
    connect_token: str = Field(description="Base64; opens the game server for this player alone.")
    team: int
    entity: int = Field(description="The player's slot in the match.")


class TicketView(BaseModel):
    """What a player reads of a ticket."""

    ticket_id: UUID
    state: State
    reason: str | None
    assignment: Assignment | None
    requeued_as: UUID | None = Field(
        None,
        description="Where the match was lost with its game server: the player's new ticket, as old as this one. It is searched for once the player looks at it, and taken back if he does not for a minute.",
    )
    accept_by: float | None = Field(None, description="While proposed: Unix seconds until when to accept.")


def live_view(ticket_id: str, state: str = SEARCHING, accept_by: bytes | None = None) -> bytes:
    """The JSON of a ticket that has no end yet."""
    asked = b',"accept_by":%b' % accept_by if accept_by else b""
    return b'{"ticket_id":"%b","state":"%b","reason":null,"assignment":null%b}' % (
        ticket_id.encode(),
        state.encode(),
        asked,
    )


def assigned_view(ticket_id: str, assignment: dict[str, Any]) -> bytes:
    """The JSON of an assigned ticket."""
    return msgspec.json.encode(
        {"ticket_id": ticket_id, "state": ASSIGNED, "reason": None, "assignment": assignment}
    )


class Wish(Protocol):
    """What a ticket is made of, however it was read."""

    @property
    def mode(self) -> str: ...  # noqa: D102
    @property
    def latencies_ms(self) -> dict[str, float]: ...  # noqa: D102
    @property
    def platform(self) -> str: ...  # noqa: D102
    @property
    def cross_play(self) -> bool: ...  # noqa: D102
    @property
    def client_key(self) -> str | None: ...  # noqa: D102
    @property
    def party(self) -> Party | None: ...  # noqa: D102
    @property
    def attributes(self) -> Mapping[str, Any] | None: ...  # noqa: D102


class Party(Protocol):
    """A party, however it was read."""

    @property
    def party_id(self) -> str: ...  # noqa: D102
    @property
    def size(self) -> int: ...  # noqa: D102


def random_uuid() -> UUID:
    """A random UUID (version 4), at half the cost of the standard library's."""
    value = int.from_bytes(urandom(16), "big")
    return UUID(int=value & ~(0xF000 << 64) & ~(0xC000 << 48) | 4 << 76 | 0x8000 << 48)


@dataclass(frozen=True, slots=True)
class Ticket:
    """A ticket that is about to be queued. Times are Unix seconds; ``latency_ms`` has one entry a region of the fleet."""

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
    attributes: str | None = None  # JSON, where the mode's rules read any

    @property
    def party_terms(self) -> str:
        """What all tickets of a party must have in common."""
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
    """What players had asked for: their tickets' records in RecordFormat, and what each brings; nothing where the mode's rules read nothing."""

    records: bytes = b""
    attributes: Sequence[str] = ()


NO_REQUEUE_RECORD = RequeueRecord()


class RecordFormat:
    """The queue's fixed-size record of a ticket, so that a director reads a thousand of them in one call.

    Little endian: ticket id (16 bytes), player id (int64), enqueued at, expires at (float64, Unix seconds), mean and
    deviation of the skill (float32), group (int32), party (uint64, 0: none), its size and the platform (int32), then a float32 round trip (ms, inf: not measured) for each region.
    """

    def __init__(self, regions: int) -> None:
        self._layout = struct.Struct(f"<16sqddffiQii{regions}f")
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
                ("platform", "<i4"),
                ("latency_ms", "<f4", (regions,)),
            ]
        )
        assert self.dtype.itemsize == self._layout.size

    def pack(self, ticket: Ticket, skill: tuple[float, float]) -> bytes:
        """One ticket's record."""
        return self._layout.pack(
            ticket.ticket_id.bytes,
            ticket.player_id,
            ticket.enqueued_at,
            ticket.expires_at,
            *skill,
            ticket.group,
            ticket.party_number,
            ticket.party_size,
            ticket.platform_number,
            *ticket.latency_ms,
        )

    def unpack(self, payload: bytes) -> NDArray[np.void]:
        """All records of a queue entry."""
        return np.frombuffer(payload, self.dtype)


def text_ids(ids: NDArray[np.uint64]) -> list[str]:
    """Canonical strings of ticket ids, uint64[N, 2] as they lie in the records."""
    digits = np.ascontiguousarray(ids).tobytes().hex()
    return [
        f"{digits[i : i + 8]}-{digits[i + 8 : i + 12]}-{digits[i + 12 : i + 16]}-{digits[i + 16 : i + 20]}-{digits[i + 20 : i + 32]}"
        for i in range(0, len(digits), 32)
    ]


def binary_ids(texts: Sequence[str]) -> NDArray[np.uint64]:
    """uint64[N, 2] as in the records, of canonical strings: the inverse of text_ids."""
    return np.frombuffer(bytes.fromhex("".join(texts).replace("-", "")), "<u8").reshape(-1, 2)

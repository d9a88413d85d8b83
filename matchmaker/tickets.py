"""Tickets in each of their three shapes: what a player asks, the record in the queue, what the player reads back."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from uuid import UUID

import msgspec
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

State = Literal["searching", "assigned", "cancelled", "expired", "failed"]
SEARCHING: State = "searching"
ASSIGNED: State = "assigned"
FINAL_STATES: tuple[State, ...] = (ASSIGNED, "cancelled", "expired", "failed")

PLATFORMS = ("pc", "playstation", "xbox", "switch", "mobile")
MAX_REGIONS = 256  # five times as many as any cloud has

Milliseconds = Annotated[float, Field(ge=0, le=60_000, allow_inf_nan=False)]
Region = Annotated[str, Field(min_length=1, max_length=64)]


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


def searching_view(ticket_id: str) -> bytes:
    """The JSON of a ticket that has no end yet."""
    return b'{"ticket_id":"%b","state":"searching","reason":null,"assignment":null}' % ticket_id.encode()


def assigned_view(ticket_id: str, assignment: dict[str, Any]) -> bytes:
    """The JSON of an assigned ticket."""
    return msgspec.json.encode(
        {"ticket_id": ticket_id, "state": ASSIGNED, "reason": None, "assignment": assignment}
    )


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

    @property
    def group(self) -> int:
        """Who may meet: 0 for all who cross-play, else a number for each platform."""
        return 0 if self.cross_play else 1 + PLATFORMS.index(self.platform)


class RecordFormat:
    """The queue's fixed-size record of a ticket, so that a director reads a thousand of them in one call.

    Little endian: ticket id (16 bytes), player id (int64), enqueued at, expires at (float64, Unix seconds), mean and
    deviation of the skill (float32), group (int32), then a float32 round trip (ms, inf: not measured) for each region.
    """

    def __init__(self, regions: int) -> None:
        self._layout = struct.Struct(f"<16sqddffi{regions}f")
        self.dtype = np.dtype(
            [
                ("ticket_id", "<u8", (2,)),
                ("player_id", "<i8"),
                ("enqueued_at", "<f8"),
                ("expires_at", "<f8"),
                ("skill_mean", "<f4"),
                ("skill_deviation", "<f4"),
                ("group", "<i4"),
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

"""The routes of running matches: their game servers offer free seats, and are told who is to come."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, model_validator

from launchday.problems import ProblemError
from launchday.service import ServiceCaller
from matchmaker.director.backfill import BackfillOffer
from matchmaker.queue.scripts import Scripts
from matchmaker.rules import modes
from matchmaker.tickets.ticket import Region

MAX_SLOTS = 1600  # of a match
MAX_PLAYER_ID = 2**63 - 1
MAX_REVISION = 2**53  # what Lua counts exactly

Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Player = Annotated[int, Field(ge=1, le=MAX_PLAYER_ID)]
Seat = Annotated[int, Field(ge=0, lt=MAX_SLOTS)]
Mode = Annotated[str, Field(min_length=1, max_length=64)]

router = APIRouter(prefix="/v1/internal/matches", tags=["internal"])


class FreeSlot(BaseModel):
    """A seat that nobody has: the entity, and its team."""

    model_config = ConfigDict(extra="forbid")

    entity: Seat
    team: Seat


class BackfillRequest(BaseModel):
    """What a running match offers. Repeated once a second; one that is not repeated for 5 s offers nothing any more."""

    model_config = ConfigDict(extra="forbid")

    mode: Mode
    region: Region
    address: IPvAnyAddress = Field(description="Of its game server, as connect tokens name it.")
    port: int = Field(ge=1, le=65535)
    group: int = Field(ge=0, le=255, description="Whom its players meet, as its terms of backfill said.")
    skill_lowest: Number
    skill_highest: Number
    opened_at: float = Field(
        ge=0,
        le=1e12,
        allow_inf_nan=False,
        description="Unix seconds; the match that is open longest is filled first.",
    )
    revision: int = Field(
        ge=1,
        le=MAX_REVISION,
        description="Grows with each announcement: one that comes late changes nothing.",
    )
    slots: list[FreeSlot] = Field(max_length=MAX_SLOTS)
    seated: list[UUID] = Field([], max_length=MAX_SLOTS, description="Joinings that have been let in.")
    refused: list[UUID] = Field([], max_length=MAX_SLOTS, description="Joinings that will not be.")
    excluded: list[Player] = Field(
        [], max_length=MAX_SLOTS, description="Players who may not come (again): they left, or were refused."
    )
    over: bool = Field(False, description="The match is decided: nobody comes any more.")

    @model_validator(mode="after")
    def _is_consistent(self) -> BackfillRequest:
        if self.skill_lowest > self.skill_highest:
            raise ValueError("skill_lowest must not be above skill_highest")
        if len({seat.entity for seat in self.slots}) != len(self.slots):
            raise ValueError("a seat is offered twice")
        return self


class BackfillPlayer(BaseModel):
    """A player who is to come, and the seat that is reserved for him."""

    player_id: int
    entity: int
    team: int
    waited_s: float
    skill: float


class BackfillProposal(BaseModel):
    """Players who come together, whole or not at all."""

    proposal_id: UUID
    state: Literal["told", "seated", "assigned"]
    players: list[BackfillPlayer]


class BackfillAnswer(BaseModel):
    """Who is to come into the match: check him out, open his seat, and say that he is seated; or refuse him."""

    proposals: list[BackfillProposal]


class Queues(Protocol):
    """What these routes need of the service."""

    modes: dict[str, modes.QueueMode]
    regions: tuple[str, ...]
    scripts: Scripts


@router.put("/{match_id}/openings")
async def request_backfill(
    match_id: UUID, openings: BackfillRequest, _: ServiceCaller, request: Request
) -> BackfillAnswer:
    """Offer the free seats of a running match, and learn who is reserved for some."""
    here: Queues = request.app.state.matchmaker
    _known_mode(here, openings.mode)
    if openings.region not in here.regions:
        raise ProblemError(
            422,
            "unknown-region",
            f"there is no region {openings.region!r}; regions: {', '.join(here.regions)}",
        )
    offer = BackfillOffer(
        region=openings.region,
        address=str(openings.address),
        port=openings.port,
        group=openings.group,
        skill_lowest=openings.skill_lowest,
        skill_highest=openings.skill_highest,
        opened_at=openings.opened_at,
        teams={seat.entity: seat.team for seat in openings.slots},
        excluded=openings.excluded,
    )
    told = await here.scripts.request_backfill(
        [
            str(match_id),
            openings.mode,
            openings.revision,
            msgspec.json.encode(offer),
            msgspec.json.encode([seat.entity for seat in openings.slots]),
            msgspec.json.encode([str(id_) for id_ in openings.seated]),
            msgspec.json.encode([str(id_) for id_ in openings.refused]),
            "1" if openings.over else "",
        ]
    )
    return BackfillAnswer(
        proposals=[
            BackfillProposal(
                proposal_id=UUID(id_.decode()),
                state=state.decode(),
                players=[BackfillPlayer(**player) for player in msgspec.json.decode(players)],
            )
            for id_, state, players in zip(told[::3], told[1::3], told[2::3], strict=True)
        ]
    )


@router.delete("/{match_id}/openings", status_code=204)
async def close_backfill(
    match_id: UUID, mode: Annotated[Mode, Query()], _: ServiceCaller, request: Request
) -> None:
    """Offer no seats of a match any more. Players on their way into it search again, unless they know already where to go."""
    here: Queues = request.app.state.matchmaker
    _known_mode(here, mode)
    await here.scripts.close_backfill([str(match_id), mode])


def _known_mode(here: Queues, mode: str) -> None:
    if mode not in here.modes:
        raise ProblemError(422, "unknown-mode", f"there is no mode {mode!r}; modes: {', '.join(here.modes)}")

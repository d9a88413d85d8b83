"""The routes of running matches: their game servers offer free seats, and are told who is to come."""

from __future__ import annotations

from typing import Annotated, Literal, Protocol
from uuid import UUID

import msgspec
from fastapi import APIRouter, Query, Request
from pydantic import BaseModel, ConfigDict, Field, IPvAnyAddress, model_validator

from launchday.problems import Problem
from launchday.service import ServiceCaller
from matchmaker import modes
from matchmaker.backfill import Offer
from matchmaker.scripts import Scripts
from matchmaker.tickets import Region

MOST_SEATS = 1600  # of a match
MOST_ID = 2**63 - 1
MOST_REVISION = 2**53  # what Lua counts exactly

Number = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
Player = Annotated[int, Field(ge=1, le=MOST_ID)]
Seat = Annotated[int, Field(ge=0, lt=MOST_SEATS)]
Mode = Annotated[str, Field(min_length=1, max_length=64)]

router = APIRouter(prefix="/v1/internal/matches", tags=["internal"])


class FreeSeat(BaseModel):
    """A seat that nobody has: the entity, and its team."""

    model_config = ConfigDict(extra="forbid")

    entity: Seat
    team: Seat


class OpeningsAnnouncement(BaseModel):
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
        le=MOST_REVISION,
        description="Grows with each announcement: one that comes late changes nothing.",
    )
    seats: list[FreeSeat] = Field(max_length=MOST_SEATS)
    seated: list[UUID] = Field([], max_length=MOST_SEATS, description="Joinings that have been let in.")
    refused: list[UUID] = Field([], max_length=MOST_SEATS, description="Joinings that will not be.")
    excluded: list[Player] = Field(
        [], max_length=MOST_SEATS, description="Players who may not come (again): they left, or were refused."
    )
    over: bool = Field(False, description="The match is decided: nobody comes any more.")

    @model_validator(mode="after")
    def _is_consistent(self) -> OpeningsAnnouncement:
        if self.skill_lowest > self.skill_highest:
            raise ValueError("skill_lowest must not be above skill_highest")
        if len({seat.entity for seat in self.seats}) != len(self.seats):
            raise ValueError("a seat is offered twice")
        return self


class JoiningPlayer(BaseModel):
    """A player who is to come, and the seat that is reserved for him."""

    player_id: int
    entity: int
    team: int
    waited_s: float
    skill: float


class Joining(BaseModel):
    """Players who come together, whole or not at all."""

    joining_id: UUID
    state: Literal["told", "seated", "assigned"]
    players: list[JoiningPlayer]


class OpeningsAnswer(BaseModel):
    """Who is to come into the match: check him out, open his seat, and say that he is seated; or refuse him."""

    joiners: list[Joining]


class Queues(Protocol):
    """What these routes need of the service."""

    modes: dict[str, modes.Mode]
    regions: tuple[str, ...]
    scripts: Scripts


@router.put("/{match_id}/openings")
async def announce_openings(
    match_id: UUID, openings: OpeningsAnnouncement, _: ServiceCaller, request: Request
) -> OpeningsAnswer:
    """Offer the free seats of a running match, and learn who is reserved for some."""
    here: Queues = request.app.state.matchmaker
    _known_mode(here, openings.mode)
    if openings.region not in here.regions:
        raise Problem(
            422,
            "unknown-region",
            f"there is no region {openings.region!r}; regions: {', '.join(here.regions)}",
        )
    offer = Offer(
        region=openings.region,
        address=str(openings.address),
        port=openings.port,
        group=openings.group,
        skill_lowest=openings.skill_lowest,
        skill_highest=openings.skill_highest,
        opened_at=openings.opened_at,
        teams={seat.entity: seat.team for seat in openings.seats},
        excluded=openings.excluded,
    )
    told = await here.scripts.announce_openings(
        [
            str(match_id),
            openings.mode,
            openings.revision,
            msgspec.json.encode(offer),
            msgspec.json.encode([seat.entity for seat in openings.seats]),
            msgspec.json.encode([str(id_) for id_ in openings.seated]),
            msgspec.json.encode([str(id_) for id_ in openings.refused]),
            "1" if openings.over else "",
        ]
    )
    return OpeningsAnswer(
        joiners=[
            Joining(
                joining_id=UUID(id_.decode()),
                state=state.decode(),
                players=[JoiningPlayer(**player) for player in msgspec.json.decode(players)],
            )
            for id_, state, players in zip(told[::3], told[1::3], told[2::3], strict=True)
        ]
    )


@router.delete("/{match_id}/openings", status_code=204)
async def close_openings(
    match_id: UUID, mode: Annotated[Mode, Query()], _: ServiceCaller, request: Request
) -> None:
    """Offer no seats of a match any more. Players on their way into it search again, unless they know already where to go."""
    here: Queues = request.app.state.matchmaker
    _known_mode(here, mode)
    await here.scripts.close_openings([str(match_id), mode])


def _known_mode(here: Queues, mode: str) -> None:
    if mode not in here.modes:
        raise Problem(422, "unknown-mode", f"there is no mode {mode!r}; modes: {', '.join(here.modes)}")

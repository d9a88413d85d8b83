"""The match that a server was allocated for, read from its annotation. All of it is checked, for it comes
from outside.
"""

from __future__ import annotations

import math
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dedicated_server.cards import MAX_PLAYERS
from dedicated_server.errors import DedicatedServerError
from dedicated_server.modes import MODES

MAX_ID = 2**63 - 1


class MalformedMatchError(DedicatedServerError):
    """Raised when the annotation is no match. The server reports a failed match and shuts down."""


class RosterEntry(BaseModel):
    """One player of the roster.

    Attributes:
        player_id: the player.
        team: their team.
        entity: their place in the roster.
        waited_s: seconds that they waited for the match; None: unknown.
    """

    model_config = ConfigDict(frozen=True)

    player_id: Annotated[int, Field(ge=1, le=MAX_ID)]
    team: Annotated[int, Field(ge=0, lt=MAX_PLAYERS)]
    entity: Annotated[int, Field(ge=0, lt=MAX_PLAYERS)]
    waited_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None


class BackfillTerms(BaseModel):
    """The terms on which free slots of the match may be given to others; backfill requests repeat them.

    Attributes:
        queue: the mode whose players may come.
        until_s: seconds of play until which slots are offered.
        group: whom the match's players meet, as the matchmaker numbers them.
        skill_lowest, skill_highest: of the players that the match was made of.
    """

    model_config = ConfigDict(frozen=True)

    queue: Annotated[str, Field(pattern=r"^[a-z0-9_-]{1,64}$")]
    until_s: Annotated[float, Field(gt=0, le=4 * 3600)]
    group: Annotated[int, Field(ge=0, le=2**31 - 1)]
    skill_lowest: Annotated[float, Field(ge=-1e6, le=1e6)]
    skill_highest: Annotated[float, Field(ge=-1e6, le=1e6)]


class MatchSpec(BaseModel):
    """A match to play.

    Attributes:
        match_id: the match.
        mode: one of ``modes.MODES``.
        region: where it is played.
        seed: decides everything random in it.
        match_s: seconds of play until the zone has closed.
        players: the roster, in the order of its entities 0, 1, 2, …
        allocated_at: Unix seconds at which the director asked for the server.
        quality: how even the teams are expected to be, 0 to 1; None: unknown.
        backfill: the terms on which free slots are offered; None: they are not.
    """

    model_config = ConfigDict(frozen=True)

    match_id: UUID
    mode: str
    region: Annotated[str, Field(pattern=r"^[a-z0-9-]{1,64}$")]
    seed: Annotated[int, Field(ge=0, le=MAX_ID)]
    match_s: Annotated[float, Field(gt=0, le=4 * 3600)]
    players: Annotated[tuple[RosterEntry, ...], Field(min_length=1, max_length=MAX_PLAYERS)]
    allocated_at: Annotated[float, Field(ge=0)] = 0.0
    quality: Annotated[float, Field(ge=0, le=1)] | None = None
    backfill: BackfillTerms | None = None

    @model_validator(mode="after")
    def _can_be_played(self) -> MatchSpec:
        if self.mode not in MODES:
            raise ValueError(f"there is no mode {self.mode!r:.40}, only {', '.join(MODES)}")
        if [entry.entity for entry in self.players] != list(range(len(self.players))):
            raise ValueError("the entities of the players must be 0, 1, 2, … in order")
        if len({entry.player_id for entry in self.players}) != len(self.players):
            raise ValueError("a player is in the roster twice")
        if not math.isfinite(self.allocated_at):
            raise ValueError("allocated_at must be a time")
        return self


def parse_match_spec(annotation: str | None) -> MatchSpec:
    """Read the annotation; raises MalformedMatchError, which says what is wrong and where."""
    if annotation is None:
        raise MalformedMatchError("the server was allocated without a match")
    try:
        return MatchSpec.model_validate_json(annotation)
    except ValidationError as error:
        faults = (f"{'/'.join(map(str, item['loc'])) or '.'}: {item['msg']}" for item in error.errors()[:5])
        raise MalformedMatchError(f"the match is malformed: {'; '.join(faults)}") from error

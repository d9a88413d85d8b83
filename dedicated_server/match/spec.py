"""The match that a server was allocated for, read from its annotation. All of it is checked, for it comes
from outside.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Annotated
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from dedicated_server.cards import MAX_PLAYERS, ModeCard, unknown_mode
from dedicated_server.errors import DedicatedServerError

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
        mode: the name of its mode.
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
        if [entry.entity for entry in self.players] != list(range(len(self.players))):
            raise ValueError("the entities of the players must be 0, 1, 2, … in order")
        if len({entry.player_id for entry in self.players}) != len(self.players):
            raise ValueError("a player is in the roster twice")
        if not math.isfinite(self.allocated_at):
            raise ValueError("allocated_at must be a time")
        return self


def parse_match_spec(annotation: str | None, cards: Mapping[str, ModeCard]) -> MatchSpec:
    """Read the annotation of a match in one of the modes of ``cards``.

    Raises MalformedMatchError, which says what is wrong and where.
    """
    if annotation is None:
        raise MalformedMatchError("the server was allocated without a match")
    try:
        spec = MatchSpec.model_validate_json(annotation)
    except ValidationError as error:
        faults = (f"{'/'.join(map(str, item['loc'])) or '.'}: {item['msg']}" for item in error.errors()[:5])
        raise MalformedMatchError(f"the match is malformed: {'; '.join(faults)}") from error
    forbidden = list(_faults(spec, cards))
    if forbidden:
        raise MalformedMatchError(f"the match is malformed: {'; '.join(forbidden[:5])}")
    return spec


def _faults(spec: MatchSpec, cards: Mapping[str, ModeCard]) -> Iterator[str]:
    """What the mode's card forbids."""
    card = cards.get(spec.mode)
    if card is None:
        yield f"mode: {spec.mode!r:.40} {unknown_mode(spec.mode, cards)}"
        return
    sizes = Counter(entry.team for entry in spec.players)
    if card.each_alone:
        most, largest = MAX_PLAYERS if card.sized_by_settings else card.players_full, 1
    else:
        most, largest = card.teams * card.team_size_max, card.team_size_max
        yield from (
            f"players/{place}/team: {card.name} has {card.teams} teams, from 0"
            for place, entry in enumerate(spec.players)
            if entry.team >= card.teams
        )
    if len(spec.players) > most:
        yield f"players: {card.name} has at most {most}, not {len(spec.players)}"
    yield from (
        f"players: team {team} has {size} of them, {card.name} at most {largest}"
        for team, size in sorted(sizes.items())
        if size > largest
    )

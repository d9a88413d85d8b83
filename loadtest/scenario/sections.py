"""What the sections of a scenario have in common: their base class, kinds of values, and files that they
name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from dedicated_server.cards import cards_in_force
from launchday.settings import settings
from loadtest.scenario.regions import regions

SHARE_TOLERANCE = 1e-6
FOLDER = "folder"  # key of the validation context: the folder of the scenario's file


# What a key does in one of the two worlds, in words, begins with one of these where that is not all it says.
NOTHING, PARTLY = "nothing: ", "partly: "
ACTS = "acts"
# Why a key does nothing in virtual time.
# Of hunters, campers and players who leave when they have died.
MATCH_PARTLY = "partly: that some kinds of players end a match before its duration_s is left out"
MATCH_LASTS = "nothing: a match lasts its duration_s, whatever its players do"
ALL_STAY = "nothing: nobody leaves a match early, or comes back into it"
NO_LOGINS = "nothing: nobody logs in or shops"
NO_DATAGRAMS = "nothing: no datagrams are sent, so of a link its latency alone counts"
NO_TICKS = "nothing: no match is computed, so there are no ticks"
NO_RETRIES = "nothing: no request fails, so none is repeated"
NO_SERVICES = "nothing: services are not simulated yet"


def acts(
    flood: str = ACTS, simulate: str = ACTS, *, own_backend: bool = False, neutral: Any = ...
) -> dict[str, Any]:
    """What a key does in each world; goes into the field's ``json_schema_extra``.

    Args:
        flood, simulate: in words. ``nothing: why`` makes the world name the key as left out where a scenario
            asks for it; ``partly: …`` says that a function of :mod:`loadtest.scenario.left_out` decides.
        own_backend: it sets the backend up, so a flood of one that is up already leaves it out.
        neutral: the value that asks for nothing; ...: the default.
    """
    said: dict[str, Any] = {"flood": flood, "simulate": simulate, "own_backend": own_backend}
    return said if neutral is ... else said | {"neutral": neutral}


class Section(BaseModel):
    """A mapping of a scenario file.

    It refuses unknown keys, text where a number belongs, and infinite numbers.
    """

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)


def _known_region(name: str) -> str:
    regions().index(name)
    return name


def _sum_to_one(shares: dict[str, float]) -> dict[str, float]:
    total = math.fsum(shares.values())
    if abs(total - 1.0) > SHARE_TOLERANCE:
        raise ValueError(f"the shares sum to {total:g}, not to 1")
    return shares


Region = Annotated[str, AfterValidator(_known_region)]
Share = Annotated[float, Field(gt=0, le=1)]
Shares = Annotated[dict[str, Share], Field(min_length=1), AfterValidator(_sum_to_one)]
RegionShares = Annotated[dict[Region, Share], Field(min_length=1), AfterValidator(_sum_to_one)]
NUMBER, BY_REGION = "number", "by_region"  # the two forms of a number of game servers


def form_of(value: Any) -> str:
    """Which form a number of game servers has: one number, or a mapping of regions."""
    return BY_REGION if isinstance(value, dict) else NUMBER


PartyShares = Annotated[
    dict[Annotated[int, Field(ge=1, le=8)], Share], Field(min_length=1), AfterValidator(_sum_to_one)
]


def file_beside(name: str, context: Any) -> Path:
    """The path of a file that a scenario names, relative to its own folder.

    Raises ValueError where there is none.
    """
    folder = context.get(FOLDER) if isinstance(context, Mapping) else None
    path = Path(folder or ".", name)
    if not path.is_file():
        raise ValueError(f"no such file: {path}")
    return path


def rule_set_file(name: str, context: Any) -> Path:
    """The file of a rule set that is given by the name of a mode, whose folder has one, or by a path.

    Raises ValueError where there is none.
    """
    shipped = {mode: card.rule_set for mode, card in cards_in_force(settings().modes).items()}
    if name in shipped:
        return shipped[name]
    try:
        return file_beside(name, context)
    except ValueError as error:
        raise ValueError(f"{error}, and no mode of that name has one: {', '.join(shipped)}") from error


def rule_set_players(file: str) -> int | None:
    """The players of a full match by a rule set's file; None where it does not say, or is none."""
    try:
        teams = json.loads(Path(file).read_text(encoding="utf-8"))["teams"] if file else []
        return sum(int(team["maxPlayers"]) * int(team.get("quantity", 1)) for team in teams) or None
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return None

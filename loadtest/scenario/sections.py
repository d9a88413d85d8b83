"""What every section of a scenario has in common, and the kinds of values that several of them use."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from loadtest.scenario.regions import regions

SHARE_TOLERANCE = 1e-6


class Section(BaseModel):
    """A mapping of a scenario file: no key that it does not know, no text where a number belongs, nothing infinite."""

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
PartyShares = Annotated[
    dict[Annotated[int, Field(ge=1, le=8)], Share], Field(min_length=1), AfterValidator(_sum_to_one)
]

"""How a scenario says what players bring to the rules of a mode."""

from __future__ import annotations

from typing import Annotated, Literal

import numpy as np
from pydantic import Field, model_validator

from loadtest.scenario.sections import Section, acts

NOT_IN_FLOODS = acts(flood="nothing: players bring the rule set's defaults")
Chance = Annotated[float, Field(ge=0, le=1)]


class AttributeDraw(Section):
    """A number, a text, or a list of texts that each player of a mode brings."""

    mean: float | None = Field(
        None,
        description="Of a number that is drawn from a normal distribution.",
        json_schema_extra=NOT_IN_FLOODS,
    )
    spread: float = Field(0.0, ge=0, description="Its standard deviation.", json_schema_extra=NOT_IN_FLOODS)
    least: float | None = Field(
        None, description="The number is at least this.", json_schema_extra=NOT_IN_FLOODS
    )
    most: float | None = Field(
        None, description="The number is at most this.", json_schema_extra=NOT_IN_FLOODS
    )
    digits: int = Field(
        2, ge=0, le=6, description="Digits behind the point.", json_schema_extra=NOT_IN_FLOODS
    )
    one_of: dict[str, Annotated[float, Field(gt=0)]] = Field(
        {},
        description="Texts, each with its weight: a player brings one.",
        json_schema_extra=NOT_IN_FLOODS,
    )
    some_of: dict[str, Chance] = Field(
        {},
        description="Texts, each with the chance that a player brings it; all bring at least one.",
        json_schema_extra=NOT_IN_FLOODS,
    )

    @property
    def kind(self) -> Literal["number", "string", "string_list"]:
        """The type of what is drawn, as rule sets name it."""
        if self.mean is not None:
            return "number"
        return "string" if self.one_of else "string_list"

    @model_validator(mode="after")
    def _one_way(self) -> AttributeDraw:
        if (self.mean is not None) + bool(self.one_of) + bool(self.some_of) != 1:
            raise ValueError("needs exactly one of mean, one_of and some_of")
        return self

    def draw(self, rng: np.random.Generator) -> float | str | tuple[str, ...]:
        """Draw one player's."""
        if self.mean is not None:
            value = float(rng.normal(self.mean, self.spread))
            value = max(value, self.least) if self.least is not None else value
            value = min(value, self.most) if self.most is not None else value
            return round(value, self.digits)
        if self.one_of:
            weights = np.cumsum(list(self.one_of.values()))
            return list(self.one_of)[int(np.searchsorted(weights, rng.random() * weights[-1], side="right"))]
        drawn = tuple(text for text, chance in self.some_of.items() if rng.random() < chance)
        return drawn or (max(self.some_of, key=lambda text: self.some_of[text]),)

"""What progress gives: pieces of an item, or money; one form for tiers of a pass and for challenges.

A file says ``{item: spray-launch}``, ``{item: supply-crate, quantity: 3}`` or
``{currency: coins, amount: 100}``, or a list of such.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

MAX_GIVEN = 1_000_000_000  # pieces or units at once: far inside a bigint, however often it is given

_SLUG = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"


class Give(BaseModel):
    """One thing that is given: an item of the catalogue, or an amount of a currency."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    item: str | None = Field(None, pattern=_SLUG, description="Of the catalogue.")
    quantity: int = Field(1, ge=1, le=MAX_GIVEN, description="Pieces of the item.")
    currency: str | None = Field(None, pattern=_SLUG)
    amount: int | None = Field(None, ge=1, le=MAX_GIVEN, description="In the currency's smallest unit.")

    @model_validator(mode="after")
    def _is_one_thing(self) -> Self:
        if (self.item is None) == (self.currency is None):
            raise ValueError("give an `item`, or a `currency` with its `amount`")
        if (self.currency is None) != (self.amount is None):
            raise ValueError("`amount` belongs to a `currency`, and a `currency` needs one")
        if self.currency is not None and self.quantity != 1:
            raise ValueError("`quantity` belongs to an `item`")
        return self

    def as_json(self) -> dict[str, str | int]:
        """The thing as files and messages say it: item and quantity, or currency and amount."""
        if self.item is not None:
            return {"item": self.item, "quantity": self.quantity}
        return {"currency": str(self.currency), "amount": int(self.amount or 0)}


def _listed(value: object) -> object:
    return value if isinstance(value, (list, tuple)) else (value,)


Gives = Annotated[tuple[Give, ...], BeforeValidator(_listed)]
"""A field that takes one thing or a list of things."""


def with_reward(values: object) -> object:
    """Read the older ``reward: NAME`` as an item that is given; for a model's validator ``before``.

    Raises ValueError where both are there.
    """
    if not isinstance(values, dict) or "reward" not in values:
        return values
    if "gives" in values:
        raise ValueError("`reward` is the older word for an item in `gives`: write one of them")
    rest = {name: value for name, value in values.items() if name != "reward"}
    return rest | {"gives": {"item": values["reward"]}}


def items(gives: Iterable[Give]) -> set[str]:
    """The items among things that are given."""
    return {give.item for give in gives if give.item is not None}


def currencies(gives: Iterable[Give]) -> set[str]:
    """The currencies among things that are given."""
    return {give.currency for give in gives if give.currency is not None}

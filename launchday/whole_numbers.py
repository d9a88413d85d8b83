"""Integers as JSON Schema has them: 133.0 is one, however it is written.

Decoders of ours read JSON strictly, and to them 133.0 is no integer. Languages with one type of number write
integers so now and then. So a body that was refused for that is looked at once more; one that is right at
once costs nothing.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Any

REFUSED = "Expected `int"
"""What msgspec's error begins with where a number is no integer to it, ``Expected `int`, got `float```."""
MAX_DIGITS = 20  # an integer of ours has 64 bits; 1e999999999 would fill the memory


def with_whole_numbers(value: Any) -> Any:
    """Return parsed JSON in which every number without a fraction is an int.

    Args:
        value: of dicts, lists, texts and numbers; these may be floats or Decimals. It stays as it is.

    Raises RecursionError where it is nested a thousand deep.
    """
    match value:
        case dict():
            return {name: with_whole_numbers(one) for name, one in value.items()}
        case list():
            return [with_whole_numbers(one) for one in value]
        case float() if value.is_integer() and abs(value) < 10.0**MAX_DIGITS:
            return int(value)
        case Decimal() if (
            value.is_finite() and value.adjusted() < MAX_DIGITS and value == value.to_integral()
        ):
            return int(value)
    return value

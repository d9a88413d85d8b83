from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from launchday.whole_numbers import with_whole_numbers


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ({"a": [133.0, {"b": 1e2}]}, {"a": [133, {"b": 100}]}),
        ([Decimal("133.0"), Decimal("-7"), Decimal("1e2")], [133, -7, 100]),
        ([1.5, Decimal("0.5"), True, None, "2.0"], [1.5, Decimal("0.5"), True, None, "2.0"]),
        ([1e300, Decimal("1e999999999"), Decimal("NaN")], None),
    ],
)
def test_what_has_no_fraction_is_an_integer_and_the_rest_stays(given: Any, found: Any) -> None:
    converted = with_whole_numbers(given)
    assert repr(converted) == repr(given if found is None else found)

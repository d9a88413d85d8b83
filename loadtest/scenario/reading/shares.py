"""Shares that do not sum to 1, in the content of a file: also where other things are wrong in the same
mapping.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from loadtest.scenario.sections import SHARE_TOLERANCE

PATHS = (
    ("players", "locations"),
    ("players", "parties"),
    ("players", "platforms"),
    ("links", "shares"),
    ("behaviours", "shares"),
    ("modes",),
)


def sum_mistakes(content: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """The path of each mapping whose shares do not sum to 1, and what they sum to.

    A mapping in which anything is no number is left out: nobody knows what it was to be.
    """
    for path in PATHS:
        found = content
        for key in path:
            found = found.get(key) if isinstance(found, Mapping) else None
        if not isinstance(found, Mapping) or not found:
            continue
        shares = [_share_of_mode(each) if path == ("modes",) else each for each in found.values()]
        if not all(_is_number(share) for share in shares):
            continue
        total = math.fsum(shares)
        if abs(total - 1.0) > SHARE_TOLERANCE:
            yield path, sum_message(total)


def sum_message(total: float) -> str:
    """What is said of shares that sum to ``total``."""
    return f"the shares sum to {total:g}, not to 1"


def _share_of_mode(mode: Any) -> Any:
    return mode.get("share", 1.0) if isinstance(mode, Mapping) else None


def _is_number(share: Any) -> bool:
    return isinstance(share, int | float) and not isinstance(share, bool) and math.isfinite(share)

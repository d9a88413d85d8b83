"""What players play on: a scenario's platforms have any names, and our matchmaker knows a few."""

from __future__ import annotations

from collections.abc import Sequence

BACKEND_PLATFORMS = ("pc", "playstation", "xbox", "switch", "mobile")  # as a ticket may name them


def backend_platforms(names: Sequence[str]) -> dict[str, str]:
    """The matchmaker's platform for each of a scenario's.

    One that the matchmaker knows is itself; the others take those that are left, in order, and where none is
    left, pc.
    """
    left = [known for known in BACKEND_PLATFORMS if known not in names]
    found = {}
    for name in names:
        if name in BACKEND_PLATFORMS:
            found[name] = name
        else:
            found[name] = left.pop(0) if left else BACKEND_PLATFORMS[0]
    return found

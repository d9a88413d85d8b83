"""How the example servers form matches: whoever has waited longest first, and parties whole."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar


class Waiting(Protocol):
    """A player who waits."""

    @property
    def party(self) -> str:
        """Whose members are not to be split."""
        ...

    @property
    def party_size(self) -> int:
        """How many they are."""
        ...

    @property
    def since_s(self) -> float:
        """Since when, by a monotonic clock."""
        ...


W = TypeVar("W", bound=Waiting)


def next_match(waiting: Iterable[W], match_players: int, fill_s: float, now_s: float) -> list[W]:
    """The players of the next match; empty where there are too few.

    Args:
        waiting: the players of one pool, who came first before the others.
        match_players: of a full match.
        fill_s: seconds of the oldest's wait after which a match starts with fewer, but with two at least.
        now_s: by the clock of ``since_s``.
    """
    parties: dict[str, list[W]] = {}
    for player in waiting:
        parties.setdefault(player.party, []).append(player)
    chosen: list[W] = []
    for members in parties.values():
        whole = len(members) >= members[0].party_size
        if whole and len(chosen) + len(members) <= match_players:
            chosen += members
        if len(chosen) == match_players:
            return chosen
    waited_s = max((now_s - player.since_s for player in chosen), default=0.0)
    return chosen if len(chosen) > 1 and waited_s > fill_s else []

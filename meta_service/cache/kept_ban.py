"""A player's newest ban as the cache keeps it: one field of the player's hash, ``version,end,reason``.

The end is in Unix milliseconds, FOR_GOOD_MS or NOT_BANNED_MS. Whoever reads the field asks whether it holds
by now, so a ban ends by itself, in every process at the same time.
"""

from __future__ import annotations

from dataclasses import dataclass

from meta_service.store.load_players import FOR_GOOD_MS


@dataclass(frozen=True, slots=True)
class KeptBan:
    """One ban.

    Attributes:
        ends_ms: Unix milliseconds; FOR_GOOD_MS: never; NOT_BANNED_MS: it was lifted.
        reason: as the operator wrote it.
    """

    ends_ms: int
    reason: str

    @classmethod
    def read(cls, text: str | None) -> KeptBan | None:
        """The ban that a field holds; None without one."""
        if text is None:
            return None
        _, ends_ms, reason = text.split(",", 2)
        return cls(int(ends_ms), reason)

    def holds(self, now: float) -> bool:
        """Whether the player is banned at ``now`` (Unix seconds)."""
        return self.ends_ms == FOR_GOOD_MS or self.ends_ms > now * 1000

    @property
    def ends_at(self) -> float | None:
        """When it ends (Unix seconds); None: never."""
        return None if self.ends_ms == FOR_GOOD_MS else self.ends_ms / 1000


def is_banned(text: str | None, now: float) -> bool:
    """Whether the ban that a field holds keeps its player out at ``now`` (Unix seconds)."""
    ban = KeptBan.read(text)
    return ban is not None and ban.holds(now)

"""How many tickets a player may make: so many a second, ten seconds' worth at once.

One number a player, the time at which his allowance would be whole again (the generic cell rate algorithm). Each API process counts for itself.
"""

from __future__ import annotations

BURST_S = 10.0
MOST_PLAYERS = 200_000  # remembered at once: about 20 MB


class PlayerRate:
    """Counts the tickets of each player. Times are seconds of any one clock.

    Args:
        per_s: tickets a second; 0: any number.
    """

    def __init__(self, per_s: float) -> None:
        self._interval_s = 1.0 / per_s if per_s else 0.0
        self._burst_s = max(BURST_S, self._interval_s)
        self._whole_at: dict[int, float] = {}

    def wait_s(self, player_id: int, now: float) -> float:
        """Count one ticket; 0 where it may be made, else the seconds after which one may."""
        if not self._interval_s:
            return 0.0
        whole_at = max(self._whole_at.get(player_id, now), now) + self._interval_s
        if whole_at - now > self._burst_s:
            return whole_at - now - self._burst_s
        if len(self._whole_at) >= MOST_PLAYERS:
            # Who has been quiet is forgotten; if nobody was, all are: a moment of leniency, not a growing table.
            kept = {player: at for player, at in self._whole_at.items() if at > now}
            self._whole_at = kept if len(kept) < MOST_PLAYERS else {}
        self._whole_at[player_id] = whole_at
        return 0.0

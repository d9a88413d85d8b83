"""What makes a match, a mode at a time."""

from __future__ import annotations

from dataclasses import dataclass

from launchday.settings import Settings

BATTLE_ROYALE = "battle_royale"


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one mode; a mode has one queue.

    Attributes:
        mode: the mode's name, which is its queue's name too.
        players: tickets in a full match.
        min_players: tickets with which a match may start once its oldest has waited ``fill_s``.
        fill_s: seconds the oldest ticket waits for a full match; after half of it a ticket may also fill a match
            away from its nearest region.
        max_latency_ms: round trip above which a region is never chosen for a ticket.
        match_s: seconds a match lasts at most.
    """

    mode: str
    players: int
    min_players: int
    fill_s: float
    max_latency_ms: float
    match_s: float

    @property
    def roam_s(self) -> float:
        """Seconds after which a ticket may play away from its nearest region, to fill an overdue match there."""
        return self.fill_s / 2

    def team(self, entity: int) -> int:
        """The team of the player in slot ``entity``: battle royale is each against all."""
        return entity


def load_rules(settings: Settings) -> dict[str, Rules]:
    """The rules of every mode that can be queued for, by mode."""
    battle_royale = Rules(
        mode=BATTLE_ROYALE,
        players=settings.match_players,
        min_players=min(settings.match_min_players, settings.match_players),
        fill_s=settings.match_fill_s,
        max_latency_ms=settings.max_latency_ms,
        match_s=settings.match_s,
    )
    return {battle_royale.mode: battle_royale}

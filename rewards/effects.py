"""What events do to players: a pure fold of a batch into one row a player."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rewards.events import Envelope
from rewards.rules import Rules


@dataclass(slots=True)
class Gains:
    """What one player gains from a batch; all of it adds up, so the order of events does not matter."""

    xp: int = 0
    kills: int = 0
    deaths: int = 0
    matches: int = 0


@dataclass(slots=True)
class Effects:
    """The gains of a batch's players, and how many events of each kind made them."""

    players: dict[int, Gains] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)

    def of(self, player_id: int) -> Gains:
        """The gains of one player, to be added to."""
        gains = self.players.get(player_id)
        if gains is None:
            gains = self.players[player_id] = Gains()
        return gains


def fold(events: Iterable[Envelope], rules: Rules) -> Effects:
    """Add up what these events are worth. Kinds that are worth nothing are only counted."""
    effects = Effects()
    xp = rules.xp
    for envelope in events:
        kind = envelope.WhichOneof("event") or "unknown"
        effects.kinds[kind] = effects.kinds.get(kind, 0) + 1
        if kind == "kill":
            gains = effects.of(envelope.kill.killer_id)
            gains.kills += 1
            gains.xp += xp.kill
        elif kind == "death":
            effects.of(envelope.death.victim_id).deaths += 1
        elif kind == "match_ended":
            for entry in envelope.match_ended.placements:
                gains = effects.of(entry.player_id)
                gains.matches += 1
                gains.xp += xp.match_played + (xp.win if entry.placement == 1 else 0)
        elif kind == "xp_granted":
            effects.of(envelope.xp_granted.player_id).xp += envelope.xp_granted.xp
    return effects

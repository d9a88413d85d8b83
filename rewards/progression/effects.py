"""The effects of events on players: a pure fold of a batch into one row for each player."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from rewards.events import Envelope
from rewards.progression.challenges import CountKey, contributions
from rewards.progression.rules import Rules


@dataclass(slots=True)
class Gains:
    """What one player gains from a batch. All of it adds up, so the order of events does not matter."""

    xp: int = 0
    kills: int = 0
    deaths: int = 0
    matches: int = 0


@dataclass(slots=True)
class Effects:
    """What a batch of events does.

    Attributes:
        players: gains by player.
        kinds: the number of events of each kind.
        counts: what is added to challenges.
        seasons: points gained by (player, season); challenges' points come on top when they are completed.
        results: the match results, in the order of the log: ratings depend on it.
    """

    players: dict[int, Gains] = field(default_factory=dict)
    kinds: dict[str, int] = field(default_factory=dict)
    challenge_counts: dict[CountKey, int] = field(default_factory=dict)
    season_xp: dict[tuple[int, str], int] = field(default_factory=dict)
    results: list[Envelope] = field(default_factory=list)

    def gains_of(self, player_id: int) -> Gains:
        """Return the gains of one player, to be added to."""
        gains = self.players.get(player_id)
        if gains is None:
            gains = self.players[player_id] = Gains()
        return gains

    def credit(self, player_id: int, xp: int, season: str | None) -> Gains:
        """Add points to a player and to the season's pass; return the player's gains."""
        gains = self.gains_of(player_id)
        gains.xp += xp
        if season is not None and xp:
            place = (player_id, season)
            self.season_xp[place] = self.season_xp.get(place, 0) + xp
        return gains


def fold(events: Iterable[Envelope], rules: Rules) -> Effects:
    """Add up the effects of events. Kinds that give no points are only counted."""
    effects = Effects()
    xp = rules.xp
    challenges_of = rules.challenges_of
    for envelope in events:
        kind = envelope.WhichOneof("event") or "unknown"
        effects.kinds[kind] = effects.kinds.get(kind, 0) + 1
        if kind == "death":
            effects.gains_of(envelope.death.victim_id).deaths += 1
            continue
        if kind not in _SCORING_KINDS:
            continue
        season = rules.season_at(envelope.occurred_at)
        if kind == "kill":
            effects.credit(envelope.kill.killer_id, xp.kill, season).kills += 1
        elif kind == "match_ended":
            effects.results.append(envelope)
            for entry in envelope.match_ended.placements:
                won = xp.win if entry.placement == 1 else 0
                effects.credit(entry.player_id, xp.match_played + won, season).matches += 1
        elif kind == "xp_granted":
            effects.credit(envelope.xp_granted.player_id, envelope.xp_granted.xp, season)
        if challenges := challenges_of.get(kind):
            for place, count in contributions(challenges, envelope, kind, season):
                effects.challenge_counts[place] = effects.challenge_counts.get(place, 0) + count
    return effects


_SCORING_KINDS = frozenset({"kill", "match_ended", "xp_granted", "damage_summary"})

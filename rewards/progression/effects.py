"""The effects of events on players: a pure fold of a batch into one row for each player."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from rewards.events import Envelope
from rewards.progression.challenges import CountKey, period_of
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

    def credit(self, player_id: int, xp: int, season: str | None) -> None:
        """Add points to a player and to the season's pass."""
        self.gains_of(player_id).xp += xp
        if season is not None and xp:
            place = (player_id, season)
            self.season_xp[place] = self.season_xp.get(place, 0) + xp


def fold(events: Iterable[Envelope], rules: Rules) -> Effects:
    """Add up the effects of events. Kinds that count for nothing are only counted themselves."""
    effects = Effects()
    players, kinds, counts, season_xp = (
        effects.players,
        effects.kinds,
        effects.challenge_counts,
        effects.season_xp,
    )
    counting, season_at = rules.counting, rules.season_at
    for envelope in events:
        kind = envelope.WhichOneof("event") or "unknown"
        kinds[kind] = kinds.get(kind, 0) + 1
        if (totals := _TOTALS.get(kind)) is not None:
            totals(effects, envelope)
        if (counted := counting.get(kind)) is None:
            continue
        event = getattr(envelope, kind)
        season = season_at(envelope.occurred_at)
        for amounts, points in counted.awards:
            for player_id, amount in amounts(event):  # what `credit` does: its call would be a tenth of all
                gains = players.get(player_id) or effects.gains_of(player_id)
                gains.xp += points * amount
                if season is not None:
                    place = player_id, season
                    season_xp[place] = season_xp.get(place, 0) + points * amount
        for amounts, index, challenge in counted.challenges:
            if (challenge.per != "season" or challenge.season == season) and (found := amounts(event)):
                period = period_of(challenge, envelope)
                for player_id, amount in found:
                    key = player_id, index, period
                    counts[key] = counts.get(key, 0) + amount
    return effects


def _add_kill(effects: Effects, envelope: Envelope) -> None:
    effects.gains_of(envelope.kill.killer_id).kills += 1


def _add_death(effects: Effects, envelope: Envelope) -> None:
    effects.gains_of(envelope.death.victim_id).deaths += 1


def _add_result(effects: Effects, envelope: Envelope) -> None:
    effects.results.append(envelope)
    for entry in envelope.match_ended.placements:
        effects.gains_of(entry.player_id).matches += 1


# What is kept of players beside points, whatever the rules say.
_TOTALS: dict[str, Callable[[Effects, Envelope], None]] = {
    "kill": _add_kill,
    "death": _add_death,
    "match_ended": _add_result,
}

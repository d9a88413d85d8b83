"""Ratings from match results: OpenSkill's Plackett-Luce model (Weng & Lin 2011), by mode.

A rating depends on the order of results. All results share one partition of the log and are applied in its
order, and a match counts once; so the same log gives the same ratings, bit for bit.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from openskill.models import PlackettLuce

from rewards.events import Envelope

_MODEL = PlackettLuce()


@dataclass(frozen=True, slots=True)
class Rating:
    """One player's skill in one mode: mean, standard deviation, and the number of matches behind it."""

    mu: float
    sigma: float
    matches: int


PRIOR = Rating(_MODEL.mu, _MODEL.sigma, 0)

RatingKey = tuple[int, str]
"""Player id and mode."""


def outcome_id(result: Envelope) -> uuid.UUID:
    """Make an id of how a match ended: of its mode and everybody's team, place and kills, but of no time."""
    ended = result.match_ended
    places = sorted((each.player_id, each.team, each.placement, each.kills) for each in ended.placements)
    return uuid.UUID(bytes=hashlib.sha256(repr((ended.mode, places)).encode()).digest()[:16], version=5)


def rated_players(results: Iterable[Envelope]) -> list[RatingKey]:
    """Return whose ratings these results move, sorted."""
    return sorted(
        {
            (entry.player_id, result.match_ended.mode)
            for result in results
            for entry in result.match_ended.placements
        }
    )


def rate(results: Iterable[Envelope], ratings: Mapping[RatingKey, Rating]) -> dict[RatingKey, Rating]:
    """Rate the players of match results.

    Args:
        results: envelopes of ``match_ended``, in the order of the log.
        ratings: the ratings before; a player who is not in it begins at PRIOR.

    Returns:
        the ratings that moved.
    """
    moved: dict[RatingKey, Rating] = {}
    for result in results:
        mode = result.match_ended.mode
        sides: dict[int, list[int]] = {}
        places: dict[int, int] = {}
        for entry in result.match_ended.placements:
            sides.setdefault(entry.team, []).append(entry.player_id)
            places[entry.team] = min(entry.placement, places.get(entry.team, entry.placement))
        if len(sides) < 2:
            continue  # only one side: nothing to rate
        before = {
            player_id: moved.get((player_id, mode)) or ratings.get((player_id, mode), PRIOR)
            for side in sides.values()
            for player_id in side
        }
        teams = [
            [_MODEL.rating(mu=before[player_id].mu, sigma=before[player_id].sigma) for player_id in side]
            for side in sides.values()
        ]
        after = _MODEL.rate(teams, ranks=[float(places[team]) for team in sides])
        for side, rated_side in zip(sides.values(), after, strict=True):
            for player_id, skill in zip(side, rated_side, strict=True):
                moved[player_id, mode] = Rating(skill.mu, skill.sigma, before[player_id].matches + 1)
    return moved

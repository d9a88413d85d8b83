"""Do ratings find out how good players are? Players of known skill queue, the real kernel makes their matches, the real ratings rate them.

Everybody begins at the prior, as after a launch. The matching kernel sees the ratings alone, never the skill. Who does how well in a
match is drawn: places are the order of ``skill + luck · g`` with ``g`` from Gumbel's distribution, which is the model of Plackett and
Luce that the ratings assume. The luck of the game is measured: in floods of a hundred players a match the rank correlation of skill and
kills is 0.20 to 0.24, and with the shipped spread of skill, 7.2 points, a luck of 26 points gives as much.

Ratings have no zero and no scale of their own, so what is measured is what they tell: the skill that a straight line through all players
tells from the rating, and how far off that is.
"""

from __future__ import annotations

import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from launchday.settings import Settings
from loadtest.report.quality import spearman
from loadtest.scenario.players import SKILL_SOURCES
from loadtest.scenario.population import SKILL_LIMITS
from matchmaker.matching.kernel import Tickets, match_tickets
from matchmaker.rules.rules import BATTLE_ROYALE, Rules, load_rules
from rewards.events import Envelope, EventIds, PlayerPlacement, Source, match_ended
from rewards.progression.ratings import PRIOR, Rating, RatingKey, rate

LUCK = 26.0
MATCH_S = 45.0
NOW_S = 1_795_000_000.0  # any moment: results carry a time

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """How well ratings tell skill after so many matches of each player.

    Attributes:
        matches: of each player so far, on average.
        error: root mean square of the skill minus what the rating tells of it, in points.
        rank_correlation: Spearman's, of rating and skill; 0 before the first match.
        sigma: the uncertainty that the ratings themselves admit, mean over the players.
    """

    matches: float
    error: float
    rank_correlation: float
    sigma: float

    def as_json(self) -> dict[str, float]:
        """The point as JSON."""
        return {
            "matches": round(self.matches, 2),
            "error": round(self.error, 3),
            "rank_correlation": round(self.rank_correlation, 3),
            "sigma": round(self.sigma, 3),
        }


def converge(
    players: int, match_players: int, rounds: int, seed: int, *, luck: float = LUCK
) -> Iterator[Point]:
    """The point before anything, and one after each round, in which all who queue play a match.

    Args:
        players: how many there are; with each round a few of them find no full match, and play in the next.
        luck: what a match has of it, in points of skill; inf: it says nothing of skill.
    """
    rng = np.random.default_rng(seed)
    skill = np.clip(rng.normal(*SKILL_SOURCES["large_team"], players), *SKILL_LIMITS)
    settings = Settings.model_construct(match_players=match_players, match_min_players=match_players)
    rules = load_rules(settings)[BATTLE_ROYALE]
    ids = EventIds(random.Random(seed).getrandbits)
    source = Source("server-1", "west-europe", uuid.UUID(int=seed), ids)
    ratings: dict[RatingKey, Rating] = {}
    yield measure(skill, ratings)
    for _ in range(rounds):
        mu = np.array([_rating(ratings, player).mu for player in range(players)])
        for match in _matches(rules, mu, rng):
            performance = _performance(skill[match], luck, rng)
            places = match[np.argsort(-performance)]
            ratings |= rate([_result(source, places)], ratings)
        yield measure(skill, ratings)


def measure(skill: Floats, ratings: dict[RatingKey, Rating]) -> Point:
    """What the ratings tell of the skill."""
    known = [_rating(ratings, player) for player in range(len(skill))]
    mu, sigma = np.array([each.mu for each in known]), np.array([each.sigma for each in known])
    matches = float(np.mean([each.matches for each in known]))
    told = np.full(len(skill), skill.mean())
    if float(mu.std()) > 0.0:
        slope = float(np.cov(mu, skill, bias=True)[0, 1] / mu.var())
        told += slope * (mu - mu.mean())
    error = float(np.sqrt(np.mean((skill - told) ** 2)))
    return Point(matches, error, spearman(mu, skill) or 0.0, float(sigma.mean()))


def _rating(ratings: dict[RatingKey, Rating], player: int) -> Rating:
    return ratings.get((player + 1, BATTLE_ROYALE), PRIOR)


def _matches(rules: Rules, mu: Floats, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """The matches that the kernel makes of everybody, who queue within a second in random order."""
    count = len(mu)
    formed = match_tickets(
        rules,
        NOW_S + 1.0,
        Tickets(
            latency_ms=np.full((count, 1), 20.0, np.float32),
            skill=mu.astype(np.float32),
            enqueued_at=NOW_S + rng.random(count),
            group=np.zeros(count, np.int32),
            player_id=np.arange(count, dtype=np.int64),
        ),
    )
    return [np.flatnonzero(formed.match_of == number) for number in range(len(formed.region_of))]


def _performance(skill: Floats, luck: float, rng: np.random.Generator) -> Floats:
    noise = rng.gumbel(size=len(skill))
    found: Any = noise if np.isinf(luck) else skill + luck * noise
    return np.asarray(found, np.float64)


def _result(source: Source, places: NDArray[np.int64]) -> Envelope:
    return match_ended(
        source,
        now_s=NOW_S,
        tick=0,
        mode=BATTLE_ROYALE,
        duration_s=MATCH_S,
        placements=[
            PlayerPlacement(int(player) + 1, place, place + 1, 0, MATCH_S)
            for place, player in enumerate(places)
        ],
    )

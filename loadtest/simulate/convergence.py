"""Whether ratings converge to skill: players of known skill queue, the real kernel matches them, the real
ratings rate them.

Every player begins at the prior, as after a launch. The matching kernel sees only the ratings, never the
skill. The places of a match are drawn: they are the order of ``skill + luck · g`` with ``g`` from Gumbel's
distribution, which is the model of Plackett and Luce that the ratings assume. The luck was measured: in
floods with a hundred players a match the rank correlation of skill and kills is 0.20 to 0.24, and with the
shipped spread of skill, 7.2 points, a luck of 26 points gives the same.

Ratings have no zero and no scale of their own. So the error is that of the skill which a straight line
through all players predicts from the rating.
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
from matchmaker.matching.arrays import make_tickets
from matchmaker.matching.kernel import match_tickets
from matchmaker.rules.modes import load_rules
from matchmaker.rules.rules import Rules
from rewards.events import Envelope, EventIds, PlayerPlacement, Source, match_ended
from rewards.progression.ratings import PRIOR, Rating, RatingKey, rate

LUCK = 26.0
MATCH_S = 45.0
NOW_S = 1_795_000_000.0  # any moment: results carry a time stamp

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Point:
    """How well ratings predict skill after some matches of each player.

    Attributes:
        matches: of each player so far, on average.
        error: root mean square of the skill minus its prediction from the rating, in points.
        rank_correlation: Spearman's, of rating and skill; 0 before the first match.
        sigma: the uncertainty that the ratings themselves state, mean over the players.
    """

    matches: float
    error: float
    rank_correlation: float
    sigma: float

    def as_json(self) -> dict[str, float]:
        """Return the point as JSON."""
        return {
            "matches": round(self.matches, 2),
            "error": round(self.error, 3),
            "rank_correlation": round(self.rank_correlation, 3),
            "sigma": round(self.sigma, 3),
        }


def converge(
    players: int, match_players: int, rounds: int, seed: int, *, luck: float = LUCK
) -> Iterator[Point]:
    """Yield the point before the first round, and one after each round.

    Args:
        players: how many queue in each round; a few find no full match in a round and play in the next.
        match_players: of a match.
        rounds: how many.
        seed: the same seed gives the same points.
        luck: of a match, in points of skill; inf: matches do not depend on skill.
    """
    rng = np.random.default_rng(seed)
    skill = np.clip(rng.normal(*SKILL_SOURCES["large_team"], players), *SKILL_LIMITS)
    settings = Settings.model_construct(match_players=match_players, match_min_players=match_players)
    rules = load_rules(settings)["battle_royale"]
    ids = EventIds(random.Random(seed).getrandbits)
    source = Source("server-1", "west-europe", uuid.UUID(int=seed), ids=ids)
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
    """Return the point of some ratings.

    Args:
        skill: float64[P], the true skill of each player.
        ratings: of the players who have one; the others have the prior.
    """
    known = [_rating(ratings, player) for player in range(len(skill))]
    mu, sigma = np.array([each.mu for each in known]), np.array([each.sigma for each in known])
    matches = float(np.mean([each.matches for each in known]))
    predicted = np.full(len(skill), skill.mean())
    if float(mu.std()) > 0.0:
        slope = float(np.cov(mu, skill, bias=True)[0, 1] / mu.var())
        predicted += slope * (mu - mu.mean())
    error = float(np.sqrt(np.mean((skill - predicted) ** 2)))
    return Point(matches, error, spearman(mu, skill) or 0.0, float(sigma.mean()))


def _rating(ratings: dict[RatingKey, Rating], player: int) -> Rating:
    return ratings.get((player + 1, "battle_royale"), PRIOR)


def _matches(rules: Rules, mu: Floats, rng: np.random.Generator) -> list[NDArray[np.int64]]:
    """Return the matches that the kernel forms of all players, who queue within a second in random order."""
    count = len(mu)
    formed = match_tickets(
        rules,
        NOW_S + 1.0,
        make_tickets(
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
        mode="battle_royale",
        duration_s=MATCH_S,
        placements=[
            PlayerPlacement(int(player) + 1, place, place + 1, 0, MATCH_S)
            for place, player in enumerate(places)
        ],
    )

"""Progress as players read it: what rewards has stored of them, by the rules that rewards goes by.

Rewards publishes its rules in the store; each process looks for newer ones every few seconds. All of a
player's progress is one statement. Without the store there is no answer: the cache knows level and experience
alone, and a pass without its points would look like one that was lost.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import structlog

from launchday import rules_in_force
from launchday.clock import Clock
from launchday.rules_in_force import RulesInForce, ShownChallenge, ShownSeason
from meta_service.messages.progress import ChallengeProgress, Gift, Progress, SeasonProgress, TierProgress
from meta_service.store.store import Store

LOOK_S = 5.0  # the longest that newer rules are not shown
NO_RULES = RulesInForce((), (), ())  # where rewards has never run: nobody has come far, and nothing is given

_RULES = "SELECT rules FROM rules_in_force WHERE name = $1"

# Without a period: that of the player's last match.
_PROGRESS = """
WITH wanted AS (
    SELECT challenge, place, coalesce(period, (
        SELECT replace(match_id::text, '-', '') FROM match_history
        WHERE player_id = $1 ORDER BY fence DESC LIMIT 1
    )) AS period
    FROM unnest($4::text[], $5::text[]) WITH ORDINALITY AS asked (challenge, period, place)
)
SELECT
    coalesce((SELECT xp FROM progression WHERE player_id = $1), 0) AS xp,
    coalesce((SELECT level FROM progression WHERE player_id = $1), 1) AS level,
    coalesce((SELECT xp FROM season_progress WHERE player_id = $1 AND season = $2), 0) AS season_xp,
    ARRAY(SELECT key FROM reward_grants WHERE player_id = $1 AND source = $3) AS given,
    ARRAY(
        SELECT coalesce(count, 0) FROM wanted
        LEFT JOIN challenge_progress AS held
            ON held.player_id = $1 AND held.challenge = wanted.challenge AND held.period = wanted.period
        ORDER BY place
    ) AS counts,
    ARRAY(
        SELECT wanted.challenge FROM wanted JOIN challenge_progress AS held
            ON held.player_id = $1 AND held.challenge = wanted.challenge AND held.period = wanted.period
        WHERE held.completed
    ) AS completed,
    ARRAY(
        SELECT challenge FROM wanted JOIN reward_grants AS held
            ON held.player_id = $1 AND held.source = 'challenge/' || challenge AND held.key = period
    ) AS challenges_given
"""

log = structlog.get_logger()


class ProgressReader:
    """Reads players' progress.

    Args:
        store: has it, and the rules.
        clock: times the looks for newer rules.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._clock = clock
        self._rules = NO_RULES
        self._text = ""
        self._looked_at = -LOOK_S

    async def of(self, player_id: int, wall: float) -> Progress:
        """A player's progress; that of one who has played nothing is at its beginning.

        Args:
            player_id: whose.
            wall: Unix seconds of the wall clock, which decide the season and the day.

        Raises StoreUnavailableError.
        """
        rules = await self._rules_in_force()
        season = rules.season_at(wall)
        challenges = [
            each
            for each in rules.challenges
            if each.per != "season" or (season is not None and each.season == season.name)
        ]
        rows = await self._store.read(
            _PROGRESS,
            player_id,
            season.name if season else "",
            f"season/{season.name}" if season else "",
            [each.name for each in challenges],
            [each.period(wall) for each in challenges],
        )
        found = rows[0]
        further = [needed for needed in rules.thresholds if needed > found["xp"]]
        return Progress(
            level=found["level"],
            xp=found["xp"],
            xp_to_next=further[0] - found["xp"] if further else None,
            season=_season(season, found["season_xp"], set(found["given"])) if season else None,
            challenges=[
                _challenge(
                    each,
                    count,
                    season,
                    wall,
                    completed=each.name in found["completed"],
                    given=each.name in found["challenges_given"],
                )
                for each, count in zip(challenges, found["counts"], strict=True)
            ],
        )

    async def _rules_in_force(self) -> RulesInForce:
        now = self._clock.monotonic()
        if self._rules is NO_RULES or now - self._looked_at >= LOOK_S:
            rows = await self._store.read(_RULES, rules_in_force.NAME)
            if rows and rows[0][0] != self._text:
                self._take(rows[0][0])
            self._looked_at = now
        return self._rules

    def _take(self, text: str) -> None:
        try:
            self._rules, self._text = RulesInForce.read(text), text
        except msgspec.DecodeError as error:  # of a release that has changed their form: those before stay
            log.error("rules of progress cannot be read", reason=str(error))


def _season(season: ShownSeason, xp: int, given: set[str]) -> SeasonProgress:
    return SeasonProgress(
        name=season.name,
        title=season.title,
        ends_at=season.ends,
        xp=xp,
        tiers=[
            TierProgress(tier.name, tier.xp, _gifts(tier.gives), xp >= tier.xp, tier.name in given)
            for tier in season.tiers
        ],
    )


def _challenge(
    challenge: ShownChallenge,
    count: int,
    season: ShownSeason | None,
    wall: float,
    *,
    completed: bool,
    given: bool,
) -> ChallengeProgress:
    ends_at: float | None = None
    if challenge.per == "day":
        ends_at = challenge.day_ends(wall)
    elif challenge.per == "season" and season is not None:
        ends_at = season.ends
    return ChallengeProgress(
        name=challenge.name,
        title=challenge.title,
        per=challenge.per,
        count=count,
        needed=challenge.count,
        ends_at=ends_at,
        completed=completed,
        xp=challenge.xp,
        gives=_gifts(challenge.gives),
        given=given,
    )


def _gifts(gives: Sequence[rules_in_force.Gift]) -> list[Gift]:
    return [Gift(give.item, give.quantity, give.currency, give.amount) for give in gives]

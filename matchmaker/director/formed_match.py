"""What the matching found, as proposals of matches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import msgspec
import numpy as np

from launchday.clock import Clock
from matchmaker.matching.matcher import MatchingResult
from matchmaker.matching.pool import Pool, Rows
from matchmaker.matching.team_balance import match_quality
from matchmaker.queue.proposals import BackfillTerms, MatchProposal
from matchmaker.rules.modes import SearchRules
from matchmaker.rules.rules import Rules
from matchmaker.tickets.ticket import text_ids


@dataclass(frozen=True, slots=True)
class FormedMatch:
    """A formed match and the rows of its tickets, in order of their slots."""

    proposal: MatchProposal
    rows: Rows

    def with_quality(self, pool: Pool) -> FormedMatch:
        """Return the match with its quality; for those alone that are proposed: while servers are short most
        are formed in vain.
        """
        quality = match_quality(pool.skill[self.rows], pool.skill_deviation[self.rows], self.proposal.teams)
        return FormedMatch(msgspec.structs.replace(self.proposal, quality=quality), self.rows)


class MatchMaking:
    """Makes proposals of what a matcher found in a pool.

    Args:
        rules: the mode's rules.
        regions: the fleet's regions.
        clock: draws match ids and seeds.
    """

    def __init__(self, rules: Rules | SearchRules, regions: Sequence[str], clock: Clock) -> None:
        self._rules = rules
        self._regions = regions
        self._clock = clock
        self._seeds = clock.random("match-seed")

    def seed(self) -> int:
        """The next random seed of the matching itself."""
        return self._seeds.getrandbits(31)

    def proposals(self, pool: Pool, found: MatchingResult, now: float) -> list[FormedMatch]:
        """Return the matches found at ``now`` (Unix seconds), the one with the oldest ticket first."""
        match_of, team_of = found.match_of, found.team_of
        by_match = np.lexsort((team_of, match_of))
        by_match = by_match[np.searchsorted(match_of[by_match], 0) :]
        ends = np.cumsum(np.bincount(match_of[by_match], minlength=len(found.region_of)))
        places = np.split(by_match, ends[:-1]) if len(ends) else []
        matches = [
            self._match(pool, found.rows[at], team_of[at].tolist(), int(region), now)
            for at, region in zip(places, found.region_of, strict=True)
        ]
        return sorted(matches, key=lambda match: min(match.proposal.enqueued_at))

    def _match(self, pool: Pool, rows: Rows, teams: list[int], region: int, now: float) -> FormedMatch:
        accept_s = self._rules.accept_s
        teams = list(range(len(rows))) if self._rules.teams == 1 and self._rules.each_alone else teams
        proposal = MatchProposal(
            match_id=str(self._clock.uuid()),
            mode=self._rules.mode,
            region=self._regions[region],
            seed=self._seeds.getrandbits(31),
            match_s=self._rules.match_s,
            formed_at=now,
            ticket_ids=text_ids(pool.ticket_id[rows]),
            player_ids=pool.player_id[rows].tolist(),
            enqueued_at=pool.enqueued_at[rows].tolist(),
            latency_ms=pool.latency_ms[rows, region].tolist(),
            teams=teams,
            accept_by=now + accept_s if accept_s else None,
            game_mode=self._rules.game_mode,
            backfill=self._backfill_terms(pool, rows),
        )
        return FormedMatch(proposal, rows)

    def _backfill_terms(self, pool: Pool, rows: Rows) -> BackfillTerms | None:
        rules, skill = self._rules, pool.skill[rows]
        if rules.backfill_until == 0.0:
            return None
        return BackfillTerms(
            queue=rules.mode,
            until_s=rules.backfill_until * rules.match_s,
            group=int(pool.group[rows].max()),  # above 0 where anybody keeps to their platform
            skill_lowest=float(skill.min()),
            skill_highest=float(skill.max()),
        )

"""What finds the matches of a queue's pool, as the director calls it; and the one that calls the fast kernel.

``rule_set_matcher`` has the other one, for rule sets that ask for more than the kernel has numbers for.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from matchmaker.matching.arrays import UNMATCHED, BackfillRequests, FormedMatches, Tickets
from matchmaker.matching.kernel import match_tickets
from matchmaker.matching.pool import Pool, Rows
from matchmaker.rules.rules import Rules
from matchmaker.tickets.seated import SeatedPlayer

NO_COMMON_REGION = "no region is near enough for all of the party"


class OpenSlots(NamedTuple):
    """The free slots of B running matches, as a matcher may fill them.

    Attributes:
        requests: as the kernel reads them.
        excluded: for each match, ids of the players who may not come (again).
        match_ids: each match's.
        seated: for each match who plays in it, as the rules read them; None where that is not known.
    """

    requests: BackfillRequests
    excluded: Sequence[Collection[int]]
    match_ids: Sequence[str] = ()
    seated: Sequence[Sequence[SeatedPlayer] | None] = ()


class BackfillAssignment(NamedTuple):
    """A solo player or a party for a running match: the pool's rows, which of the requests, and the team
    there.
    """

    rows: Rows
    request: int
    team: int


@dataclass(frozen=True, slots=True)
class MatchingResult:
    """What one cycle found for the pool's rows that it looked at, P of them.

    Attributes:
        rows: int64[P], the rows.
        match_of: int32[P], each row's match, or -1; team_of: int32[P], its team there.
        region_of: int32[M], each match's region, a column of the latencies.
        backfill: who is to come into running matches.
        unmatchable: rows that can never match, by the reason, which is plain ASCII without quotes.
        cut: tickets that the cycle had no work left for: the next one begins with them.
    """

    rows: Rows
    match_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    region_of: NDArray[np.int32]
    backfill: Sequence[BackfillAssignment] = ()
    unmatchable: Mapping[str, Rows] = field(default_factory=dict)
    cut: int = 0


class Matcher(Protocol):
    """Finds the matches of one queue's pool."""

    def add_tickets(self, rows: Rows, attributes: Sequence[str]) -> None:
        """Learn of tickets that have come into the pool: their rows, and the attributes of each."""

    async def match(
        self, pool: Pool, now: float, seed: int, open_slots: OpenSlots | None = None
    ) -> MatchingResult:
        """Form all matches that can be formed at ``now`` (Unix seconds). Changes nothing in the pool.

        Args:
            pool: the tickets.
            now: Unix seconds.
            seed: decides between tickets that are alike.
            open_slots: of running matches; None: there are none.
        """


class KernelMatcher:
    """Forms matches with the fast kernel.

    Args:
        rules: the mode's rules.
    """

    def __init__(self, rules: Rules) -> None:
        self._rules = rules

    def add_tickets(self, rows: Rows, attributes: Sequence[str]) -> None:
        """Do nothing: the pool holds all that the kernel reads."""

    async def match(
        self, pool: Pool, now: float, seed: int, open_slots: OpenSlots | None = None
    ) -> MatchingResult:
        """Form all matches that can be formed at ``now``, and fill open slots; see ``Matcher.match``."""
        tickets, members, first = pool.units(pool.searching(now))
        size = np.diff(first)
        unreachable = (size > 1) & ~(tickets.latency_ms <= self._rules.max_latency_ms).any(axis=1)
        matches = match_tickets(self._rules, now, tickets, seed, open_slots and open_slots.requests)
        if open_slots is not None:
            players = pool.player_id[members]
            matches = self._without_excluded(matches, open_slots, tickets, players, first, now, seed)
        backfill = [
            BackfillAssignment(
                members[first[unit] : first[unit + 1]],
                int(matches.backfill_of[unit]),
                int(matches.team_of[unit]),
            )
            for unit in np.flatnonzero(matches.backfill_of != UNMATCHED)
        ]
        return MatchingResult(
            members,
            np.repeat(matches.match_of, size),
            np.repeat(matches.team_of, size),
            matches.region_of,
            backfill,
            {NO_COMMON_REGION: members[np.repeat(unreachable, size)]} if unreachable.any() else {},
        )

    def _without_excluded(
        self,
        matches: FormedMatches,
        open_slots: OpenSlots,
        tickets: Tickets,
        players: NDArray[np.int64],
        first: NDArray[np.int64],
        now: float,
        seed: int,
    ) -> FormedMatches:
        """Match anew where a ticket was given to a running match that excludes one of its players.

        The requests that excluded anybody stay away from the first matching, so that those tickets may play
        elsewhere; then their slots go to the tickets that are left.
        """
        requests = open_slots.requests
        excluded = _excluded(matches, open_slots, players, first)
        if not excluded:
            return matches
        closed = np.zeros(len(requests.room), np.bool_)
        closed[list(excluded.values())] = True
        others = requests._replace(room=np.where(closed[:, None], 0, requests.room))
        matches = match_tickets(self._rules, now, tickets, seed, others)
        left = (matches.match_of == UNMATCHED) & (matches.backfill_of == UNMATCHED)
        left[list(excluded)] = False
        rest = Tickets._make(column[left] for column in tickets)
        these = requests._replace(room=np.where(closed[:, None], requests.room, 0))
        late = match_tickets(self._rules, now, rest, seed, these)
        matches.backfill_of[left] = late.backfill_of
        matches.team_of[left] = np.where(late.backfill_of == UNMATCHED, matches.team_of[left], late.team_of)
        matches.backfill_of[list(_excluded(matches, open_slots, players, first))] = UNMATCHED
        return matches


def _excluded(
    matches: FormedMatches, open_slots: OpenSlots, players: NDArray[np.int64], first: NDArray[np.int64]
) -> dict[int, int]:
    """Return the tickets that were given to a running match which excludes one of their players, and to
    which.
    """
    excluded = {}
    for unit in np.flatnonzero(matches.backfill_of != UNMATCHED).tolist():
        request = int(matches.backfill_of[unit])
        if not set(open_slots.excluded[request]).isdisjoint(players[first[unit] : first[unit + 1]].tolist()):
            excluded[unit] = request
    return excluded

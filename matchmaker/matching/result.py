"""What one cycle finds for the tickets of a pool, whatever finds it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from matchmaker.matching.pool import Pool, Rows
from matchmaker.queue.queue import QueueEntry

NO_COMMON_REGION = "no region is near enough for all of the party"


class BackfillAssignment(NamedTuple):
    """A solo player or a party for a running match: the pool's rows, which of the openings, and the team there."""

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
        joining: who is to come into running matches.
        never: rows that can never match, by the reason, which is plain ASCII without quotes.
    """

    rows: Rows
    match_of: NDArray[np.int32]
    team_of: NDArray[np.int32]
    region_of: NDArray[np.int32]
    backfill: Sequence[BackfillAssignment] = ()
    unmatchable: Mapping[str, Rows] = field(default_factory=dict)


class Matcher(Protocol):
    """Finds the matches of one queue's pool."""

    def add_tickets(self, rows: Rows, entry: QueueEntry) -> None:
        """Learn of tickets that have come into the pool, in these rows."""

    async def match(self, pool: Pool, now: float, seed: int) -> MatchingResult:
        """Form all matches that can be formed at ``now`` (Unix seconds). Changes nothing in the pool."""

"""What a running match tells the matchmaker of its free seats, and how it is asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from dedicated_server.match.spec import BackfillTerms, MatchSpec
from dedicated_server.simulation.match import RosterPlayer
from matchmaker.client import BackfillProposal

CALL_TIMEOUT_S = 1.0  # for an answer of the matchmaker


class BackfillSink(Protocol):
    """The matchmaker, as a match with free seats needs it."""

    async def request_backfill(
        self, match_id: str, request: Mapping[str, Any], timeout_s: float
    ) -> list[BackfillProposal]:
        """Offer seats; who is reserved for some. Raises MatchmakerClientError."""

    async def close_backfill(self, match_id: str, mode: str, timeout_s: float) -> None:
        """Offer none any more. Raises MatchmakerClientError."""


class BackfillRequests:
    """The openings of one match.

    Args:
        order, terms: the match, and on what terms its seats are offered.
        address: host and port, as connect tokens name its server.
        matchmaker: who is told.
    """

    def __init__(
        self, spec: MatchSpec, terms: BackfillTerms, address: tuple[str, int], matchmaker: BackfillSink
    ) -> None:
        self._spec, self._terms, self._address, self._matchmaker = spec, terms, address, matchmaker
        self._skill = (terms.skill_lowest, terms.skill_highest)
        self._revision = 0
        self._opened_at: float | None = None

    def widen_skill_range(self, skill: float) -> None:
        """Somebody of that skill plays, too."""
        self._skill = (min(self._skill[0], skill), max(self._skill[1], skill))

    async def send(
        self,
        roster: Sequence[RosterPlayer],
        seats: Sequence[int],
        now_s: float,
        *,
        seated: Sequence[str],
        refused: Sequence[str],
        excluded: Sequence[int],
        over: bool,
    ) -> list[BackfillProposal]:
        """Offer seats (entities), say what became of joinings; who is to come. Raises MatchmakerClientError."""
        self._revision += 1
        if not seats:
            self._opened_at = None
        elif self._opened_at is None:
            self._opened_at = now_s
        openings = {
            "mode": self._terms.queue,
            "region": self._spec.region,
            "address": self._address[0],
            "port": self._address[1],
            "group": self._terms.group,
            "skill_lowest": self._skill[0],
            "skill_highest": self._skill[1],
            "opened_at": self._opened_at or now_s,
            "revision": self._revision,
            "seats": [{"entity": entity, "team": roster[entity].team} for entity in seats],
            "seated": list(seated),
            "refused": list(refused),
            "excluded": list(excluded),
            "over": over,
        }
        return await self._matchmaker.request_backfill(str(self._spec.match_id), openings, CALL_TIMEOUT_S)

    async def close(self) -> None:
        """Offer none any more. Raises MatchmakerClientError."""
        await self._matchmaker.close_backfill(str(self._spec.match_id), self._terms.queue, CALL_TIMEOUT_S)

"""Backfill requests: how a running match asks the matchmaker for players for its free slots.

The shape of a request and of its answer is the game server's own; the matchmaker answers it under
``/v1/internal/matches/ID/backfill``. `BackfillSink` is the narrow edge, `HttpBackfillSink` the real one.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Literal, Protocol, Self

import msgspec

from dedicated_server.errors import DedicatedServerError
from dedicated_server.match.spec import BackfillTerms, MatchSpec
from dedicated_server.simulation.match import RosterPlayer
from launchday.clock import Clock
from launchday.resilience.http_client import NoAnswerError, ServiceClient

CALL_TIMEOUT_S = 1.0  # for an answer of the matchmaker


class BackfillUnavailableError(DedicatedServerError):
    """Raised when the matchmaker gave no usable answer. The match plays on, and the request is repeated
    later.
    """


class FreeSlot(msgspec.Struct, frozen=True):
    """A slot that nobody has: its entity, and the team of that entity."""

    entity: int
    team: int


class BackfillRequest(msgspec.Struct, frozen=True, omit_defaults=True):
    """What a running match offers. It is repeated once a second; one that is 5 s old offers nothing any more.

    Attributes:
        mode: the queue whose players may come.
        region: where the match is played.
        address, other_address, port: its game server, as connect tokens name it.
        group: whom its players meet, as its terms of backfill say.
        skill_lowest, skill_highest: of its players.
        opened_at: Unix seconds since which slots are free; the match that waits for longest is filled first.
        revision: grows with each request, so that one that arrives late changes nothing.
        slots: the free slots.
        admitted: proposals whose players are checked out and may come.
        rejected: proposals whose players will not be admitted.
        excluded: players who may not come (again), because they left or were refused.
        over: whether the match is decided, so that nobody comes any more.
    """

    mode: str
    region: str
    address: str
    port: int
    group: int
    skill_lowest: float
    skill_highest: float
    opened_at: float
    revision: int
    slots: list[FreeSlot]
    admitted: list[str]
    rejected: list[str]
    excluded: list[int]
    over: bool
    other_address: str = ""


class BackfillPlayer(msgspec.Struct, frozen=True):
    """A player who is to come, and the slot that is reserved for them.

    Attributes:
        player_id: the player.
        entity, team: the slot.
        waited_s: seconds that they waited for a match.
        skill: their skill.
    """

    player_id: int
    entity: int
    team: int
    waited_s: float
    skill: float


class BackfillProposal(msgspec.Struct, frozen=True):
    """Players who come together or not at all.

    Attributes:
        proposal_id: names the proposal.
        state: "offered" until the match admits or rejects it, "admitted" then, and "assigned" once the
            players have their connect tokens.
        players: the players and their slots.
    """

    proposal_id: str
    state: Literal["offered", "admitted", "assigned"]
    players: list[BackfillPlayer]


class BackfillAnswer(msgspec.Struct, frozen=True):
    """Whom the matchmaker sends into a match."""

    proposals: list[BackfillProposal]


class BackfillSink(Protocol):
    """The matchmaker, as a match with free slots needs it."""

    async def request_backfill(
        self, match_id: str, request: BackfillRequest, timeout_s: float
    ) -> list[BackfillProposal]:
        """Offer slots, and return for whom some are reserved. Raises BackfillUnavailableError."""

    async def close_backfill(self, match_id: str, mode: str, timeout_s: float) -> None:
        """Offer none any more. Raises BackfillUnavailableError."""


class HttpBackfillSink:
    """A `BackfillSink` over HTTP.

    Args:
        base_url: the matchmaker's address.
        token: a service token.
        clock: time and chance; None: the machine's.
    """

    def __init__(self, base_url: str, token: str, *, clock: Clock | None = None) -> None:
        # Repeated by the match itself, a second later and with newer slots.
        self._http = ServiceClient(base_url, token=token, connections=2, clock=clock, retry=False)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def request_backfill(
        self, match_id: str, request: BackfillRequest, timeout_s: float
    ) -> list[BackfillProposal]:
        """See BackfillSink."""
        answer = await self._call("PUT", match_id, timeout_s, content=msgspec.json.encode(request))
        try:
            return msgspec.json.decode(answer, type=BackfillAnswer).proposals
        except msgspec.DecodeError as error:
            raise BackfillUnavailableError(f"the matchmaker's answer is malformed: {error}") from error

    async def close_backfill(self, match_id: str, mode: str, timeout_s: float) -> None:
        """See BackfillSink."""
        await self._call("DELETE", match_id, timeout_s, params={"mode": mode})

    async def _call(
        self,
        method: str,
        match_id: str,
        timeout_s: float,
        content: bytes | None = None,
        params: dict[str, str] | None = None,
    ) -> bytes:
        path = f"/v1/internal/matches/{match_id}/backfill"
        try:
            response = await self._http.request(
                method, path, content=content, params=params, patience_s=timeout_s
            )
        except NoAnswerError as error:
            raise BackfillUnavailableError(f"no answer from the matchmaker: {error}") from error
        if not response.is_success:
            raise BackfillUnavailableError(
                f"the matchmaker answered HTTP {response.status_code}: {response.text[:200]}"
            )
        return response.content


class BackfillRequests:
    """The backfill requests of one match.

    Args:
        spec, terms: the match, and the terms on which its slots are offered.
        address: host of its server, the one of the other family or "", and port, as tokens name it.
        matchmaker: who is asked.
    """

    def __init__(
        self, spec: MatchSpec, terms: BackfillTerms, address: tuple[str, str, int], matchmaker: BackfillSink
    ) -> None:
        self._spec, self._terms, self._address, self._matchmaker = spec, terms, address, matchmaker
        self._skill = (terms.skill_lowest, terms.skill_highest)
        self._revision = 0
        self._opened_at: float | None = None

    def widen_skill_range(self, skill: float) -> None:
        """Note that a player of that skill plays, too."""
        self._skill = (min(self._skill[0], skill), max(self._skill[1], skill))

    async def send(
        self,
        roster: Sequence[RosterPlayer],
        free: Sequence[int],
        now: float,
        *,
        admitted: Sequence[str],
        rejected: Sequence[str],
        excluded: Sequence[int],
        over: bool,
    ) -> list[BackfillProposal]:
        """Offer slots, say what became of proposals, and return the proposals that stand.

        Args:
            roster: the match's, by entity.
            free: entities of the free slots.
            now: Unix seconds.
            admitted, rejected: proposals.
            excluded: players who may not come.
            over: whether the match is decided.

        Raises:
            BackfillUnavailableError: the matchmaker gave no usable answer.
        """
        self._revision += 1
        if not free:
            self._opened_at = None
        elif self._opened_at is None:
            self._opened_at = now
        request = BackfillRequest(
            mode=self._terms.queue,
            region=self._spec.region,
            address=self._address[0],
            other_address=self._address[1],
            port=self._address[2],
            group=self._terms.group,
            skill_lowest=self._skill[0],
            skill_highest=self._skill[1],
            opened_at=self._opened_at or now,
            revision=self._revision,
            slots=[FreeSlot(entity, roster[entity].team) for entity in free],
            admitted=list(admitted),
            rejected=list(rejected),
            excluded=list(excluded),
            over=over,
        )
        return await self._matchmaker.request_backfill(str(self._spec.match_id), request, CALL_TIMEOUT_S)

    async def close(self) -> None:
        """Offer no slots any more. Raises BackfillUnavailableError."""
        await self._matchmaker.close_backfill(str(self._spec.match_id), self._terms.queue, CALL_TIMEOUT_S)

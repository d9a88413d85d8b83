"""From a player's request to the ticket that is queued, or to why it could never match."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dedicated_server.protocol.connect_token import known_ciphers
from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.settings import Settings
from matchmaker.api.party_claims import ClaimReader, TicketParty, party_by_word
from matchmaker.messages import TicketRequest
from matchmaker.rules.attributes import as_members, problem_details
from matchmaker.rules.flexmatch.document import DocumentError
from matchmaker.rules.modes import QueueMode, SearchRules
from matchmaker.tickets.ticket import Ticket
from matchmaker.tickets.wish import wish_of


class TicketMaker:
    """Checks requests.

    Args:
        settings: the fleet's regions, and how long tickets are searched for.
        modes: what can be queued for, by name.
        claims: reads those of parties.
        clock: the tickets' ids.
    """

    def __init__(
        self, settings: Settings, modes: Mapping[str, QueueMode], claims: ClaimReader, clock: Clock
    ) -> None:
        self._modes = modes
        self._claims = claims
        self._regions = settings.region_names
        self._ticket_ttl_s = settings.ticket_ttl_s
        self._clock = clock

    def make(
        self,
        player_id: int,
        request: TicketRequest,
        now: float,
        *,
        watched: bool = False,
        by_service: bool = False,
    ) -> Ticket:
        """Return the ticket of a request at ``now`` (Unix seconds).

        Args:
            player_id: whose it is.
            request: what they ask for.
            now: Unix seconds.
            watched: it ends without signs of life of its player.
            by_service: a service asks, whose word about a party is taken.

        Raises ProblemError where it could never match, or the party is not the player's.
        """
        mode = self._modes.get(request.mode)
        if mode is None:
            raise ProblemError(
                422, "unknown-mode", f"there is no mode {request.mode!r}; modes: {', '.join(self._modes)}"
            )
        rules = mode.rules
        known = request.latencies_ms
        latency_ms = tuple([known.get(region, math.inf) for region in self._regions])
        if min(latency_ms, default=math.inf) > rules.max_latency_ms:
            raise ProblemError(
                422,
                "no-region",
                (
                    f"no region is within {rules.max_latency_ms:g} ms; measure at least one of: "
                    f"{', '.join(self._regions)}"
                ),
            )
        if isinstance(rules, SearchRules) and (reason := rules.unmatchable_reason(known)):
            raise ProblemError(422, "no-region", reason)
        try:
            attributes = mode.attributes.check(request.attributes and as_members(request.attributes))
        except DocumentError as refused:
            detail, errors = problem_details(refused)
            raise ProblemError(422, "bad-attributes", detail, errors=errors) from refused
        party: TicketParty | None = None
        if request.party is not None:
            by_word = by_service and not request.party.claim
            party = (
                party_by_word(request.party)
                if by_word
                else self._claims.party_of(player_id, request.mode, request.party, now)
            )
        if party is not None and party.size > rules.team_size:
            raise ProblemError(
                422,
                "party-too-large",
                f"a party of {party.size} fits into no team of {request.mode}: at most {rules.team_size}",
            )
        return Ticket(
            ticket_id=self._clock.uuid(),
            player_id=player_id,
            enqueued_at=now,
            expires_at=now + self._ticket_ttl_s,
            platform=request.platform,
            cross_play=request.cross_play,
            client_key=request.client_key or "",
            latency_ms=latency_ms,
            party="" if party is None else party.name,
            party_size=1 if party is None else party.size,
            party_until=0.0 if party is None else party.until,
            attributes=attributes,
            watched=watched,
            wish=wish_of(request) if request.client_key else "",
            by_service=by_service,
            ciphers=known_ciphers(request.ciphers),
        )

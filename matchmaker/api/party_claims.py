"""Which party a ticket belongs to: by the meta service's claim for a player, by its own word for a service.

A claim is verified once for all members whose tickets come to the same process, and remembered.
"""

from __future__ import annotations

from dataclasses import dataclass

from launchday.clock import Clock
from launchday.identity import InvalidTokenError, Signer
from launchday.problems import ProblemError
from matchmaker.messages import PartyRequest
from meta_service.client import PartyClaim, read_claim

MAX_KNOWN_CLAIMS = 10_000  # verified before, about 10 MB
CLAIM_PREFIX = "claim:"  # of the name under which the queue knows such a party: no service's name is one


@dataclass(frozen=True, slots=True)
class TicketParty:
    """A ticket's party.

    Attributes:
        name: the same for all of its tickets, and theirs alone.
        size: how many tickets it has.
        until: Unix seconds until which tickets may be made; 0: no claim says it.
    """

    name: str
    size: int
    until: float = 0.0


class ClaimReader:
    """Reads the claims of players' tickets.

    Args:
        signer: verifies them.
        clock: when they have expired.
    """

    def __init__(self, signer: Signer, clock: Clock) -> None:
        self._signer = signer
        self._clock = clock
        self._keys = signer.keys
        self._known: dict[str, PartyClaim] = {}

    def party_of(self, player_id: int, mode: str, request: PartyRequest, now: float) -> TicketParty:
        """The party of a player's ticket at ``now`` (Unix seconds).

        Raises ProblemError: no claim came, or it is not this player's, not for this mode, forged, or over.
        """
        if not request.claim:
            raise ProblemError(
                422,
                "party-claim-needed",
                "a party's ticket needs its claim: the leader queues it (POST /v1/party/queue of the meta "
                "service), GET /v1/party has the claim",
            )
        claim = self._read(request.claim)
        if player_id not in claim.members:
            raise ProblemError(403, "not-a-member", "you are not in the party that queues with this claim")
        if claim.mode != mode:
            raise ProblemError(
                409, "party-mode", f"your party queues for {claim.mode}, and this ticket is for {mode}"
            )
        if claim.expires_at <= now:
            raise ProblemError(
                409, "party-claim-expired", "the party's claim has expired: the leader queues the party again"
            )
        return TicketParty(f"{CLAIM_PREFIX}{claim.claim_id}", len(claim.members), claim.expires_at)

    def _read(self, text: str) -> PartyClaim:
        if self._keys is not self._signer.keys:  # one that was taken out may have signed what is known
            self._keys, self._known = self._signer.keys, {}
        claim = self._known.get(text)
        if claim is None:
            try:
                claim = read_claim(self._signer, text, self._signer.time(self._clock))
            except InvalidTokenError as error:
                raise ProblemError(
                    422, "party-claim-invalid", f"the party's claim is not valid: {error}"
                ) from error
            if len(self._known) >= MAX_KNOWN_CLAIMS:
                self._known.clear()
            self._known[text] = claim
        return claim


def party_by_word(request: PartyRequest) -> TicketParty:
    """The party of a ticket that a service makes, by its own word. Raises ProblemError."""
    if request.party_id is None or request.size is None:
        raise ProblemError(422, "invalid-request", "a service names a party by party_id and size")
    if request.party_id.startswith(CLAIM_PREFIX):
        raise ProblemError(422, "invalid-request", f"a party_id does not begin with {CLAIM_PREFIX}")
    return TicketParty(request.party_id, request.size)

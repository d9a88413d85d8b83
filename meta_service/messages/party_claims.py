"""A party's claim: what the meta service vouches for when a party queues, and each member's ticket carries.

It says who is in the party and what they agreed to play, so the matchmaker asks nobody. It is good for
making tickets for `CLAIM_TTL_S`, and for one queueing: a party that changes voids it, and its tickets are
taken back.
"""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import msgspec
from msgspec import Meta

from launchday.identity import InvalidTokenError, Signer
from meta_service.messages.base import END, Message

KIND = "party"  # of statement
CLAIM_TTL_S = 60.0  # for a member whose client hears of it late; they all have made their tickets by then
READABLE_S = 3_600.0  # a claim is told from a forgery for so long, so that its refusal says that it is over

QueueModeName = Annotated[str, Meta(pattern=rf"^[a-z0-9_-]{{1,64}}{END}", examples=["teams_of_five"])]
ClaimText = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=4_096,
        description="Every member's ticket carries it: party: {claim}.",
        examples=["eyJhbGciOiJIUzI1NiJ9.e30.c2lnbmF0dXJl"],
    ),
]


class PartyClaim(Message, frozen=True):
    """Who queues together, for what.

    Attributes:
        claim_id: of this queueing; the tickets that carry it are one party.
        party_id: the party in the meta service.
        version: the party's, when it queued.
        mode: what all of them play.
        members: player ids; each of them makes a ticket.
        expires_at: Unix seconds until when tickets may be made.
    """

    claim_id: UUID
    party_id: UUID
    version: int
    mode: QueueModeName
    members: Annotated[list[int], Meta(min_length=1, max_length=64)]
    expires_at: float

    def sign(self, signer: Signer) -> str:
        """The claim as a statement of the service that ``signer`` belongs to; the same text every time."""
        began_at = self.expires_at - CLAIM_TTL_S
        return signer.statement(KIND, msgspec.to_builtins(self), began_at, CLAIM_TTL_S + READABLE_S)


def read_claim(signer: Signer, text: str, now: float) -> PartyClaim:
    """Read a claim, which may have expired. Raises InvalidTokenError for what is no claim of ours."""
    body = signer.read_statement(KIND, text, now)
    try:
        return msgspec.convert(body, PartyClaim)
    except msgspec.ValidationError as error:
        raise InvalidTokenError(f"the claim is not valid: {error}") from error

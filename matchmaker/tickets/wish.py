"""What a client key stands for: a retry asks for the same, and who asks for something else needs another key.

The mode, the platform and whom the player meets, the party and the attributes are the wish. Measured round
trips are not: a client that measures once more before it repeats a request wants what it wanted.
"""

from __future__ import annotations

from hashlib import blake2b

import msgspec

from matchmaker.messages import TicketRequest

DIGEST_BYTES = 12  # two wishes of one player that look alike: once in 2^48 pairs

_encode = msgspec.json.Encoder(order="deterministic").encode


def wish_of(request: TicketRequest) -> str:
    """Return a request's wish as 24 characters; the order of its attributes' names does not matter."""
    wish = (request.mode, request.platform, request.cross_play, request.party, request.attributes or None)
    return blake2b(_encode(wish), digest_size=DIGEST_BYTES).hexdigest()

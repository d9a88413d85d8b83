"""The player that a device belongs to: the id, which follows from the device's, and a player's first values.

The id is a hash of the device id. So a login gives the same player in every region, while the store does
not answer, and after the cache was lost, and nobody has to hand out numbers. Among a million players two
devices get the same id with a chance of 5·10⁻⁸. The account's full hash tells them apart, and the second
device takes its next candidate.
"""

from __future__ import annotations

import hashlib

CANDIDATES = 4  # needing even the second is rare, see above
DEFAULT_MU = 25.0  # OpenSkill's prior
DEFAULT_SIGMA = 8.333
_HASH_PERSON = b"launchday-device"  # another use of the same device id gives another hash


def device_hash(device_id: str) -> bytes:
    """The 32 bytes that identify an account; the device id itself, which is a credential, is kept nowhere."""
    return hashlib.blake2b(device_id.encode(), digest_size=32, person=_HASH_PERSON).digest()


def candidate_ids(device: bytes) -> list[int]:
    """The player ids a device may have, in the order to try: positive, 63 bits."""
    step = 32 // CANDIDATES
    words = (device[start : start + step] for start in range(0, 32, step))
    return [(int.from_bytes(word, "big") >> 1) or 1 for word in words]


def default_name(player_id: int) -> str:
    """The name a player has until they choose one."""
    return f"Player {player_id % 1_000_000:06d}"

"""Event ids: UUIDv7 (RFC 9562 §5.7), so that they sort by time and index well."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Self

from launchday.clock import Clock

ID_BYTES = 16


class EventIds:
    """Makes event ids from a time given by the caller and a source of random bits.

    The 12 bits after the version carry the fraction of the millisecond (RFC 9562 §6.2, method 3); 62 bits are
    random.

    Args:
        random_bits: takes a count, and returns that many random bits as an integer. Never seed it with a
            match's seed: two runs of one seed would make the same ids, and the events of the second would not
            count.
    """

    def __init__(self, random_bits: Callable[[int], int]) -> None:
        self._random_bits = random_bits

    @classmethod
    def from_clock(cls, clock: Clock) -> Self:
        """Draw the random bits from the clock's stream ``event-id``: the source of a service."""
        return cls(clock.random("event-id").getrandbits)

    @classmethod
    def of(cls, operation: str) -> Self:
        """Make the id of what one operation did, the same however often it is sent.

        Call ``next`` once, with the operation's own time.

        Args:
            operation: names the operation among all there ever are, as in ``purchase/…``.
        """
        digest = int.from_bytes(hashlib.sha256(operation.encode()).digest(), "big")
        return cls(lambda bits: digest >> (256 - bits))

    def next(self, now_s: float) -> bytes:
        """Make an id for an event that happens at ``now_s`` (Unix seconds); returns 16 bytes."""
        units = int(now_s * 4_096_000)  # 1/4096 ms
        milliseconds, fraction = divmod(units, 4096)
        return (
            ((milliseconds & 0xFFFF_FFFF_FFFF) << 80)
            | (0x7000 | fraction) << 64
            | (0b10 << 62)
            | self._random_bits(62)
        ).to_bytes(ID_BYTES, "big")

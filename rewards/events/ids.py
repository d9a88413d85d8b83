"""Event ids: UUIDv7 (RFC 9562 §5.7), so that they sort by time and index well."""

from __future__ import annotations

import hashlib
import itertools
import uuid
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
        at_s: the time that all ids have (Unix seconds); None: each has that of its event.
    """

    def __init__(self, random_bits: Callable[[int], int], at_s: float | None = None) -> None:
        self._random_bits = random_bits
        self._at_s = at_s

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
        return cls(lambda bits: _bits_of(operation, bits))

    @classmethod
    def of_match(cls, match_id: uuid.UUID, formed_at_s: float, part: str = "") -> Self:
        """Make the ids of a match's events: of the match and a number, which counts the calls of ``next``.

        A match that is told again, at other times and by another process, makes the same ids, so nothing of
        it counts twice. All have the time at which the match was formed, which every telling knows.

        Args:
            match_id: the match.
            formed_at_s: Unix seconds at which it was formed; the inbox keeps ids by the day in them.
            part: of the events, where their numbers shall not depend on how many of others there were.
        """
        numbers = itertools.count()
        return cls(lambda bits: _bits_of(f"match/{match_id}/{part}{next(numbers)}", bits), formed_at_s)

    def next(self, now_s: float) -> bytes:
        """Make an id for an event that happens at ``now_s`` (Unix seconds); returns 16 bytes."""
        units = int((now_s if self._at_s is None else self._at_s) * 4_096_000)  # 1/4096 ms
        milliseconds, fraction = divmod(units, 4096)
        return (
            ((milliseconds & 0xFFFF_FFFF_FFFF) << 80)
            | (0x7000 | fraction) << 64
            | (0b10 << 62)
            | self._random_bits(62)
        ).to_bytes(ID_BYTES, "big")


def _bits_of(operation: str, bits: int) -> int:
    digest = int.from_bytes(hashlib.sha256(operation.encode()).digest(), "big")
    return digest >> (256 - bits)

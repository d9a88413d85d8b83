"""Waiting for replicas: a change is acknowledged once so many of them have it, or it is said to be open.

``WAIT`` counts the replicas that have what *this connection* wrote last. A repeated request that finds its
change there writes nothing, so without a write of its own it would be told "enough" though no replica has the
first one's change. So a small key, the mark, is written before each ``WAIT``: what it waits for is then the
newest of the whole node. In a cluster each node has a mark in a slot of its own that is not being moved, so
that no mark is in the way of a slot's keys.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ConnectionError as AwayError

MARK = b"{meta}:waits"  # of one node: empty
MARK_OF_NODE = b"{meta-%d}:waits"  # of a cluster's, numbered so that its slot is the node's
MARK_KEPT_S = 60
MAX_WAIT_MS = 1500  # below the time that an answer has


class TooFewReplicasError(AwayError):
    """Raised where a change is made, and too few replicas had it in time: it may be lost with its node.

    Callers take it as a cache that went away in the middle: the same request is repeated with the same key.
    """


@dataclass(frozen=True, slots=True)
class Replicas:
    """How many replicas must have a change.

    Attributes:
        count: of them; 0: nobody waits.
        wait_ms: milliseconds that they may take.
    """

    count: int = 0
    wait_ms: int = 500

    def __bool__(self) -> bool:
        return self.count > 0

    def packed(self, mark: bytes) -> bytes:
        """The commands after a change: write a mark, and wait. Their answers go to `check`."""
        return _packed(mark, self.count, self.wait_ms)

    def check(self, marked: Any, reached: Any) -> None:
        """Raise TooFewReplicasError unless both commands were answered as they have to be."""
        if isinstance(marked, Exception):
            raise TooFewReplicasError(f"whether replicas have the change is not known: {marked}")
        if isinstance(reached, Exception) or int(reached) < self.count:
            had = "it is not known how many" if isinstance(reached, Exception) else int(reached)
            raise TooFewReplicasError(
                f"the change is made, and of {self.count} replicas {had} had it within {self.wait_ms} ms: "
                "repeat it with the same key"
            )


NOBODY = Replicas()


@functools.lru_cache(maxsize=1024)
def _packed(name: bytes, count: int, wait_ms: int) -> bytes:
    words = [b"SET", name, b"", b"EX", b"%d" % MARK_KEPT_S], [b"WAIT", b"%d" % count, b"%d" % wait_ms]
    return b"".join(
        b"*%d\r\n" % len(command) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in command)
        for command in words
    )

"""Which errors of the cache say that it is away for the moment, and that the call may be repeated.

A node that ends, a cluster that is choosing a new primary and a replica that was a primary a moment ago all
answer, each in its own words. Whoever calls reads one thing: nothing was changed here, or it is not known;
try again. Other errors, such as those of a script, are faults of ours.

Importing this imports redis-py, which takes 0.2 s: where most processes ask no cache, import it inside a
function.
"""

from __future__ import annotations

from redis import exceptions

CACHE_AWAY: tuple[type[Exception], ...] = (
    exceptions.ConnectionError,  # BusyLoadingError among them: the node reads its file
    exceptions.TimeoutError,
    exceptions.ReadOnlyError,  # a replica, which was the primary a moment ago
    exceptions.OutOfMemoryError,  # it takes no changes until there is room
    exceptions.ClusterDownError,  # MasterDownError among them: a replica without its primary
    exceptions.AskError,  # MovedError among them: a slot that is elsewhere, and stayed so for all tries
    exceptions.TryAgainError,  # a slot that is half here and half there
    exceptions.RedisClusterException,  # SlotNotCoveredError among them: no node has the slot
)
"""The classes that say it; see `is_away` for those that say it by their text alone."""

_AWAY_BY_TEXT = (
    "NOREPLICAS",  # fewer replicas than min-replicas-to-write
    "MISCONF",  # it cannot write its file
    "UNBLOCKED",  # a read that waited, as the primary became a replica
)


def is_away(error: BaseException) -> bool:
    """Whether an error says that the cache is away for the moment."""
    return isinstance(error, CACHE_AWAY) or (
        isinstance(error, exceptions.ResponseError) and str(error).startswith(_AWAY_BY_TEXT)
    )

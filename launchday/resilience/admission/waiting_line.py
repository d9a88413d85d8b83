"""A line of those who wait for their turn: short, by turns between sources, and never old.

Whoever has waited for longer than `LineLimits.age_s` is not served any more: nobody may still want the
answer. A line that has not been empty for `LineLimits.standing_after_s`, but for moments, is no burst but
an overload. In one, whoever is served at the age limit costs as much as whoever has just come, and
everybody is served late; so the line then serves the newest first, and lets nobody get older than
`LineLimits.standing_age_s`.

Sources take turns: the one whose last turn is the longest ago is next, and one that has had none since the
line was empty comes before all others. So a flood from few sources keeps no other source waiting.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")

NEWCOMERS = 1 << 60  # ranks of sources that have had no turn lie below those that have
LOOKED_AT = 8  # of the oldest in a full line, to find one whose source has many
# In an overload everybody who waits may grow too old within one turn of a busy loop. Taken for the end of the
# overload, that began the next burst: at twice the load a line went from 20 ms to 1 s and back, 1.8 s in all.
REST_S = 0.1
TIDY_AT = 1024  # sources that are kept although nobody of theirs waits, before they are forgotten


@dataclass(frozen=True, slots=True)
class LineLimits:
    """How long a line may be, in people and in seconds.

    Attributes:
        places: who comes to a full line pushes one of a source with more out, or is refused.
        age_s: seconds that one may wait.
        standing_after_s: seconds after which a line that has not been empty counts as an overload.
        standing_age_s: seconds that one may wait then.
    """

    places: int = 2000
    age_s: float = 1.0
    standing_after_s: float = 1.0
    standing_age_s: float = 0.02


class Waiting(Generic[T]):
    """One who waits.

    Attributes:
        item: what waits; None once that is over.
        since: monotonic seconds.
        source: the widest of those whose turn it takes.
        queue: of the narrowest.
    """

    __slots__ = ("item", "queue", "since", "source")

    def __init__(self, item: T, since: float, source: Hashable) -> None:
        self.item: T | None = item
        self.since = since
        self.source = source
        self.queue: deque[Waiting[T]] | None = None


class WaitingLine(Generic[T]):
    """The line. Times are monotonic seconds given by the caller.

    Args:
        limits: of length and age.
    """

    def __init__(self, limits: LineLimits) -> None:
        self._limits = limits
        self._turns: Turns[T] = Turns()
        self._by_age: deque[Waiting[T]] = deque()
        self._by_source: dict[Hashable, int] = {}
        self._length = 0
        self._since = 0.0  # when it began, after having been empty for REST_S
        self._busy_at = float("-inf")  # when it was last seen not empty

    def __len__(self) -> int:
        return self._length

    def standing(self, now: float) -> bool:
        """Whether the line has not been empty for so long, but for moments, that it is an overload."""
        stands = self._length > 0 or now - self._busy_at <= REST_S
        return stands and now - self._since >= self._limits.standing_after_s

    def age_limit_s(self, now: float) -> float:
        """Return the seconds that one may wait now."""
        return self._limits.standing_age_s if self.standing(now) else self._limits.age_s

    def join(self, sources: Sequence[Hashable], item: T, now: float) -> tuple[Waiting[T] | None, T | None]:
        """Let one wait.

        Args:
            sources: whose turn it takes, the widest first: an address, or an address and a name.
            item: what waits.
            now: monotonic seconds.

        Returns:
            Its place, None where there is none for it; and who was pushed out to make room, None: nobody.
        """
        source, pushed_out = sources[0], None
        if not self._length:
            if now - self._busy_at > REST_S:
                self._since = now
                self._turns = Turns()
            self._by_age.clear()
        elif self._length >= self._limits.places:
            victim = self._one_of_many()
            if self._by_source.get(victim.source, 0) <= self._by_source.get(source, 0):
                return None, None
            pushed_out = victim.item
            self.leave(victim)
        waiting = Waiting(item, now, source)
        self._turns.add(sources, waiting, newest_first=self.standing(now))
        self._by_age.append(waiting)
        self._by_source[source] = self._by_source.get(source, 0) + 1
        self._length += 1
        self._busy_at = now
        return waiting, pushed_out

    def leave(self, waiting: Waiting[T]) -> None:
        """Take one out who waits no longer. Whoever has left may leave again."""
        if waiting.item is None:
            return
        waiting.item = None
        self._length -= 1
        if (left := self._by_source[waiting.source] - 1) > 0:
            self._by_source[waiting.source] = left
        else:
            del self._by_source[waiting.source]

    def next(self, now: float) -> T | None:
        """Take out whose turn it is; None: nobody waits. Take out who is `too_old` first."""
        if not self._length:
            return None
        self._busy_at = now
        waiting = self._turns.take(newest_first=self.standing(now))
        if waiting is None:
            return None
        item = waiting.item
        self.leave(waiting)
        return item

    def too_old(self, now: float) -> Iterator[T]:
        """Take out all who have waited for too long."""
        oldest = now - self.age_limit_s(now)
        if self._length:
            self._busy_at = now
        while self._by_age and ((waiting := self._by_age[0]).item is None or waiting.since < oldest):
            self._by_age.popleft()
            item = waiting.item
            self.leave(waiting)
            queue = waiting.queue
            while queue and queue[0].item is None:  # else they would pile up behind the newest
                queue.popleft()
            if item is not None:
                yield item

    def _one_of_many(self) -> Waiting[T]:
        """Return one of the oldest, whose source has the most waiting of those that are looked at."""
        oldest: list[Waiting[T]] = []
        for waiting in self._by_age:
            if waiting.item is not None:
                oldest.append(waiting)
                if len(oldest) == LOOKED_AT:
                    break
        return max(oldest, key=lambda waiting: self._by_source[waiting.source])


class Turns(Generic[T]):
    """Who is next, by turns between sources, and within a source between those that it names.

    Whoever has left is passed over when the turn comes.
    """

    def __init__(self) -> None:
        self._queues: dict[Hashable, deque[Waiting[T]] | Turns[T]] = {}
        self._ranks: list[tuple[int, Hashable]] = []  # a heap, each source once; no two ranks are equal
        self._last_turn: dict[Hashable, int] = {}
        self._count = 0
        self._tidy_at = TIDY_AT

    def add(self, sources: Sequence[Hashable], waiting: Waiting[T], *, newest_first: bool) -> None:
        """Put one into the queue of its source."""
        source = sources[0]
        queue = self._queues.get(source)
        if queue is None:
            if len(self._ranks) >= self._tidy_at:
                self._tidy()
            queue = self._queues[source] = deque() if len(sources) == 1 else Turns()
            self._count += 1
            newcomer = (-self._count if newest_first else self._count) - NEWCOMERS
            heapq.heappush(self._ranks, (self._last_turn.get(source, newcomer), source))
        if isinstance(queue, Turns):
            queue.add(sources[1:], waiting, newest_first=newest_first)
        else:
            waiting.queue = queue
            queue.append(waiting)

    def take(self, *, newest_first: bool) -> Waiting[T] | None:
        """Take the next one who still waits; None: there is nobody."""
        while self._ranks:
            source = self._ranks[0][1]
            queue = self._queues[source]
            if isinstance(queue, Turns):
                found = queue.take(newest_first=newest_first)
            else:
                found = _take(queue, newest_first=newest_first)
            if found is None:
                heapq.heappop(self._ranks)
                del self._queues[source]
                continue
            self._count += 1
            self._last_turn[source] = self._count
            heapq.heapreplace(self._ranks, (self._count, source))
            return found
        return None

    def waits(self) -> bool:
        """Whether anybody still waits."""
        return any(_waits(queue) for queue in self._queues.values())

    def _tidy(self) -> None:
        """Forget the sources of which nobody waits: in an overload of many sources they would pile up."""
        self._queues = {source: queue for source, queue in self._queues.items() if _waits(queue)}
        self._ranks = [(rank, source) for rank, source in self._ranks if source in self._queues]
        heapq.heapify(self._ranks)
        self._last_turn = {source: turn for source, turn in self._last_turn.items() if source in self._queues}
        self._tidy_at = max(TIDY_AT, 2 * len(self._ranks))


def _take(queue: deque[Waiting[T]], *, newest_first: bool) -> Waiting[T] | None:
    while queue:
        waiting = queue.pop() if newest_first else queue.popleft()
        if waiting.item is not None:
            return waiting
    return None


def _waits(queue: deque[Waiting[T]] | Turns[T]) -> bool:
    return queue.waits() if isinstance(queue, Turns) else any(one.item is not None for one in queue)

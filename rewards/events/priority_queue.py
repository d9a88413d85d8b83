"""The bounded queue between a tick and Kafka.

When it is full, it drops the least important kind of event first.
"""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice

from rewards.events import events_pb2 as pb
from rewards.events.kinds import KINDS

PRIORITY = tuple(sorted(KINDS, key=lambda kind: KINDS[kind].priority, reverse=True))
"""Kinds of events, most important first: players' progress comes before what only analytics reads."""

_RANK = {kind: rank for rank, kind in enumerate(PRIORITY)}


class EventPriorityQueue:
    """Events that wait to be sent; the oldest of the most important kind leaves first.

    Args:
        capacity: the largest number of events held; at least 1, else ValueError.

    Attributes:
        dropped: the number of events of each kind that were dropped because the queue was full.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("an event queue holds at least one event: give a capacity of 1 or more")
        self.capacity = capacity
        self.dropped: Counter[str] = Counter()
        self._queues: tuple[deque[pb.Envelope], ...] = tuple(deque() for _ in PRIORITY)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, envelope: pb.Envelope) -> bool:
        """Add an event.

        Returns:
            False when the event was dropped: the queue is full of events at least as important.

        Raises ValueError for an envelope without an event.
        """
        kind = envelope.WhichOneof("event")
        if kind is None:
            raise ValueError("the envelope carries no event")
        rank = _RANK[kind]
        if self._size >= self.capacity and not self._make_room(rank):
            self.dropped[kind] += 1
            return False
        self._queues[rank].append(envelope)
        self._size += 1
        return True

    def take(self, limit: int) -> list[pb.Envelope]:
        """Remove and return up to ``limit`` events, the most important kinds first."""
        taken: list[pb.Envelope] = []
        for queue in self._queues:
            count = min(limit - len(taken), len(queue))
            taken += islice(queue, count)
            for _ in range(count):
                queue.popleft()
        self._size -= len(taken)
        return taken

    def _make_room(self, rank: int) -> bool:
        for victim_rank in range(len(PRIORITY) - 1, rank, -1):
            if self._queues[victim_rank]:
                self._queues[victim_rank].popleft()
                self.dropped[PRIORITY[victim_rank]] += 1
                self._size -= 1
                return True
        return False

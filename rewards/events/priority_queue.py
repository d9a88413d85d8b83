"""The bounded queue between a tick and Kafka: when it is full, the least important kind of event goes first."""

from __future__ import annotations

from collections import Counter, deque
from itertools import islice

from rewards.events import events_pb2 as pb

PRIORITY = (
    "match_ended",  # every player's experience of the match
    "xp_granted",
    "kill",
    "death",
    "purchase",
    "match_started",
    "level_up",
    "damage_summary",
    "server_lifecycle",
    "loadout_changed",
    "player_disconnected",
    "player_connected",
)
"""Kinds of events, most important first: what would cost players progress comes before what only analytics reads."""

_RANK = {kind: rank for rank, kind in enumerate(PRIORITY)}


class EventPriorityQueue:
    """Events that wait to be sent, at most ``capacity`` of them; the oldest of the most important kind leaves first.

    Attributes:
        dropped: how many events of each kind had to go.
    """

    def __init__(self, capacity: int) -> None:
        if capacity < 1:
            raise ValueError("a backlog holds at least one event")
        self.capacity = capacity
        self.dropped: Counter[str] = Counter()
        self._queues: tuple[deque[pb.Envelope], ...] = tuple(deque() for _ in PRIORITY)
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def put(self, envelope: pb.Envelope) -> bool:
        """Add an event; False when it was dropped because the backlog is full of what is as or more important.

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
        """Remove and return up to ``limit`` events."""
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

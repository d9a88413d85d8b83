"""The obviously right link: a Python list, sorted, beside the same random streams in Python integers."""

from __future__ import annotations

import math

MASK = (1 << 64) - 1


class NaiveLinks:
    def __init__(self, seeds: list[int], capacity: int) -> None:
        self.random = list(seeds)
        self.delay_s = [0.0] * len(seeds)
        self.jitter_s = [0.0] * len(seeds)
        self.loss = [0.0] * len(seeds)
        self.capacity = capacity
        self.under_way: list[tuple[float, int, int, bytes]] = []
        self.sent = self.lost = self.overflowed = self.delivered = 0

    def uniform(self, link: int) -> float:
        state = (self.random[link] + 0x9E3779B97F4A7C15) & MASK
        self.random[link] = state
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        mixed ^= mixed >> 31
        return (mixed >> 11) / (1 << 53)

    def push(self, link: int, datagram: bytes, now_s: float) -> bool:
        self.sent += 1
        lottery = self.uniform(link)
        queueing = -math.log(1.0 - self.uniform(link))
        if lottery < self.loss[link]:
            self.lost += 1
            return False
        if len(self.under_way) == self.capacity:
            self.overflowed += 1
            return False
        due_s = now_s + self.delay_s[link] + self.jitter_s[link] * queueing
        self.under_way.append((due_s, self.sent, link, datagram))
        return True

    def pop(self, now_s: float) -> tuple[int, bytes] | None:
        self.under_way.sort()
        if not self.under_way or self.under_way[0][0] > now_s:
            return None
        _, _, link, datagram = self.under_way.pop(0)
        self.delivered += 1
        return link, datagram

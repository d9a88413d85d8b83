"""The obviously right link: a Python list, sorted, beside the same random streams in Python integers."""

from __future__ import annotations

import math
from typing import Any

MASK = (1 << 64) - 1
NAMES = [
    "delay_s",
    "jitter_s",
    "loss",
    "loss_bad",
    "to_bad",
    "to_good",
    "duplicate",
    "detour",
    "detour_s",
    "bytes_s",
    "buffer_s",
]


class NaiveLinks:
    def __init__(self, seeds: list[int], capacity: int, lines: list[dict[str, float]]) -> None:
        self.random = list(seeds)
        self.lines = lines
        self.bad = [False] * len(seeds)
        self.busy_until_s = [0.0] * len(seeds)
        self.capacity = capacity
        self.under_way: list[tuple[float, int, int, bytes]] = []
        self.sent = self.lost = self.overflowed = self.delivered = self.congested = self.duplicated = 0

    def uniform(self, link: int) -> float:
        state = (self.random[link] + 0x9E3779B97F4A7C15) & MASK
        self.random[link] = state
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        mixed ^= mixed >> 31
        return (mixed >> 11) / (1 << 53)

    def push(self, link: int, datagram: bytes, now_s: float) -> bool:
        self.sent += 1
        line: Any = dict.fromkeys(NAMES, 0.0) | self.lines[link]
        change, lottery = self.uniform(link), self.uniform(link)
        queueing = -math.log(1.0 - self.uniform(link))
        route, copies = self.uniform(link), self.uniform(link)
        if self.bad[link]:
            self.bad[link] = not change < line["to_good"]
        else:
            self.bad[link] = change < line["to_bad"]
        passed_s = now_s
        if line["bytes_s"]:
            if max(now_s, self.busy_until_s[link]) - now_s > line["buffer_s"]:
                self.congested += 1
                self.lost += 1
                return False
            passed_s = max(now_s, self.busy_until_s[link]) + (len(datagram) + 28) / line["bytes_s"]
            self.busy_until_s[link] = passed_s
        if lottery < (line["loss_bad"] if self.bad[link] else line["loss"]):
            self.lost += 1
            return False
        due_s = passed_s + line["delay_s"] + line["jitter_s"] * queueing
        if route < line["detour"]:
            due_s += line["detour_s"]
        if not self._enter(link, datagram, due_s):
            return False
        if copies < line["duplicate"] and self._enter(link, datagram, due_s):
            self.duplicated += 1
        return True

    def _enter(self, link: int, datagram: bytes, due_s: float) -> bool:
        if len(self.under_way) == self.capacity:
            self.overflowed += 1
            return False
        self.under_way.append((due_s, self.sent, link, datagram))
        return True

    def pop(self, now_s: float) -> tuple[int, bytes] | None:
        self.under_way.sort()
        if not self.under_way or self.under_way[0][0] > now_s:
            return None
        _, _, link, datagram = self.under_way.pop(0)
        self.delivered += 1
        return link, datagram

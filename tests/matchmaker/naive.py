"""The oracle: what the matching kernel must answer, in plain Python, obviously right and slow."""

from __future__ import annotations

import math

from matchmaker.matching import UNMATCHED, Tickets
from matchmaker.rules import Rules


class NaiveMatcher:
    """One matching cycle with lists and sorts, one rule after the other."""

    def __init__(self, rules: Rules, now: float, tickets: Tickets) -> None:
        self.rules = rules
        self.latency = [[float(ms) for ms in row] for row in tickets.latency_ms]
        self.skill = [float(mean) for mean in tickets.skill]
        self.group = [int(group) for group in tickets.group]
        self.age = [now - float(at) for at in tickets.enqueued_at]
        self.oldest_first = sorted(
            range(len(self.age)), key=lambda t: (tickets.enqueued_at[t], tickets.player_id[t])
        )
        self.regions = range(tickets.latency_ms.shape[1])
        self.home = [self._nearest(t) for t in range(len(self.age))]
        self.match_of = [UNMATCHED] * len(self.age)
        self.region_of: list[int] = []

    def run(self) -> tuple[list[int], list[int]]:
        for group in sorted(set(self.group)):
            for region in self.regions:
                self._form_full(group, region)
        for seed in self.oldest_first:
            if self.home[seed] is not None and self.age[seed] >= self.rules.fill_s:
                self._open_around(seed)
        return self.match_of, self.region_of

    def _near(self, ticket: int, region: int) -> bool:
        return self.latency[ticket][region] <= self.rules.max_latency_ms

    def _nearest(self, ticket: int) -> int | None:
        near = [region for region in self.regions if self._near(ticket, region)]
        return min(near, key=lambda region: self.latency[ticket][region], default=None)

    def _free(self, group: int) -> list[int]:
        return [t for t in self.oldest_first if self.match_of[t] == UNMATCHED and self.group[t] == group]

    def _form_full(self, group: int, region: int) -> None:
        at_home = [t for t in self._free(group) if self.home[t] == region]
        full = len(at_home) // self.rules.players * self.rules.players
        admitted = sorted(at_home[:full], key=lambda t: self.skill[t])
        for first in range(0, full, self.rules.players):
            self._form(region, admitted[first : first + self.rules.players])

    def _open_around(self, seed: int) -> None:
        if self.match_of[seed] != UNMATCHED:
            return
        best, best_region, best_rank = None, None, (0, -math.inf)
        for region in self.regions:
            if not self._near(seed, region):
                continue
            others = [t for t in self._free(self.group[seed]) if t != seed and self.home[t] is not None]
            at_home = [t for t in others if self.home[t] == region]
            roaming = [
                t
                for t in others
                if self.home[t] != region and self._near(t, region) and self.age[t] >= self.rules.roam_s
            ]
            match = [seed, *at_home, *roaming][: self.rules.players]
            cost = 0.0
            for ticket in match:
                cost += self.latency[ticket][region]
            rank = (len(match), -cost)
            if len(match) >= self.rules.min_players and rank > best_rank:
                best, best_region, best_rank = match, region, rank
        if best is not None and best_region is not None:
            self._form(best_region, best)

    def _form(self, region: int, tickets: list[int]) -> None:
        for ticket in tickets:
            self.match_of[ticket] = len(self.region_of)
        self.region_of.append(region)

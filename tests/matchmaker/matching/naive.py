"""The oracle: what the matching kernels must answer, in plain Python, obviously right and slow."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field

from matchmaker.matching.arrays import UNMATCHED, BackfillRequests, Tickets
from matchmaker.rules.rules import Rules, Steps, value_at


@dataclass
class Ticket:
    row: int
    latency: list[float]
    skill: float
    waited: float
    group: int
    key: int
    size: int
    platform: int
    home: int | None = None
    eager: float = 0.0


@dataclass
class NaiveMatcher:
    """One matching cycle with lists and sorts, one rule after the other."""

    rules: Rules
    now: float
    rows: Tickets
    requests: BackfillRequests | None = None
    seed: int = 0
    match_of: list[int] = field(default_factory=list)
    backfill_of: list[int] = field(default_factory=list)
    region_of: list[int] = field(default_factory=list)
    matches: list[list[int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        rows, count = self.rows, len(self.rows.skill)
        self.tickets = [
            Ticket(
                row=row,
                latency=[float(ms) for ms in rows.latency_ms[row]],
                skill=float(rows.skill[row]),
                waited=self.now - float(rows.enqueued_at[row]),
                group=int(rows.group[row]),
                key=int(rows.player_id[row]) ^ self.seed,
                size=1 if rows.size is None else int(rows.size[row]),
                platform=-1 if rows.platform is None else int(rows.platform[row]),
            )
            for row in range(count)
        ]
        self.regions = range(rows.latency_ms.shape[1])
        self.match_of, self.backfill_of = [UNMATCHED] * count, [UNMATCHED] * count
        longest = max((value for _, value in self.rules.latency), default=self.rules.max_latency_ms)
        for ticket in self.tickets:
            near = [region for region in self.regions if ticket.latency[region] <= longest]
            ticket.home = min(near, key=lambda region: ticket.latency[region], default=None)
        self.tickets = [ticket for ticket in self.tickets if ticket.home is not None]
        for ticket in self.tickets:
            ticket.eager = ticket.waited * self._eagerness(ticket)

    def run(self) -> None:
        if self.rules.backfill == "high":
            self._fill_openings()
        self._form_full()
        if self.rules.backfill == "normal":
            self._fill_openings()
        self._form_late()
        if self.rules.backfill == "low":
            self._fill_openings()

    # --- limits ---------------------------------------------------------------------------------------------

    def _skill(self, waited: float) -> float:
        return value_at(self.rules.skill, waited)

    def _near(self, ticket: Ticket, region: int, waited: float) -> bool:
        return ticket.latency[region] <= value_at(self.rules.latency, waited, self.rules.max_latency_ms)

    def _fewest(self, waited: float) -> float:
        steps: Steps = self.rules.min_players_by_wait or (
            (0.0, self.rules.players),
            (self.rules.fill_s, self.rules.min_players),
        )
        return value_at(steps, waited)

    def _eagerness(self, ticket: Ticket) -> float:
        line = [t for t in self.tickets if (t.group, t.home) == (ticket.group, ticket.home)]
        reach = self._skill(ticket.waited)
        like_it = sum(t.size for t in line if abs(t.skill - ticket.skill) <= reach)
        missing = self.rules.players - like_it
        if missing <= 0 or self.rules.fully_relaxed_s <= 0:
            return 1.0
        seconds_a_player = max(max(t.waited for t in line), 1.0) / max(like_it, 1)
        full_after = ticket.waited + missing * seconds_a_player
        return min(max(full_after / self.rules.fully_relaxed_s, 1.0), self.rules.max_low_population_factor)

    # --- the three kinds of matches -------------------------------------------------------------------------

    def _free(self) -> list[Ticket]:
        """Free tickets by skill, those alike by age."""
        return sorted(
            (t for t in self.tickets if self.match_of[t.row] < 0 and self.backfill_of[t.row] < 0),
            key=lambda t: (t.skill, -t.waited, t.key),
        )

    def _form_full(self) -> None:
        for group in sorted({ticket.group for ticket in self.tickets}):
            for region in self.regions:
                whole = [t for t in self.tickets if (t.group, t.home) == (group, region)]
                if sum(t.size for t in whole) < self.rules.players:
                    continue
                line = [
                    t
                    for t in self._free()
                    if (t.group, t.home) == (group, region) and self._near(t, region, t.waited)
                ]
                total = sum(t.size for t in line)
                spare = total % self.rules.players
                for ticket in sorted(line, key=lambda t: (t.waited, -t.key)):
                    if spare <= 0:
                        break
                    line.remove(ticket)
                    spare -= ticket.size
                for first in list(line):
                    while self.match_of[first.row] < 0 and (match := self._fill_from(first, line)):
                        self._form(region, match)

    def _fill_from(self, first: Ticket, line: list[Ticket]) -> list[Ticket]:
        match: list[Ticket] = []
        room = [self.rules.team_size] * self.rules.teams
        waited = 0.0
        place = line.index(first)
        for ticket in line[place : place + 4 * self.rules.players]:
            if self.match_of[ticket.row] >= 0:
                continue
            if ticket.skill - first.skill > self._skill(max(waited, ticket.waited)):
                return []
            if not _seat(room, ticket.size):
                continue
            match.append(ticket)
            waited = max(waited, ticket.waited)
            if sum(room) == 0:
                return match if self._fair(match, waited) else []
        return []

    def _form_late(self) -> None:
        for first in sorted(self._free(), key=lambda t: (-t.waited, t.key)):
            if self.match_of[first.row] >= 0 or first.eager < self.rules.region_expansion_s:
                continue
            fewest = self._fewest(first.waited)
            best: list[Ticket] = []
            best_region, best_rank = -1, (0.0, -math.inf)
            for region in self.regions:
                if not self._plays(first, region):
                    continue
                match = self._fill_around(first, region)
                players = sum(t.size for t in match)
                if players < fewest or (len(match) < 2 and players < self.rules.players):
                    continue
                rank = (players, -sum(t.latency[region] * t.size for t in match) / players)
                if rank > best_rank:
                    best, best_region, best_rank = match, region, rank
            if best:
                self._form(best_region, best)

    def _plays(self, ticket: Ticket, region: int) -> bool:
        at_home = ticket.home == region or ticket.eager >= self.rules.region_expansion_s
        return at_home and self._near(ticket, region, ticket.eager)

    def _fill_around(self, first: Ticket, region: int) -> list[Ticket]:
        match: list[Ticket] = []
        largest = self.rules.team_size
        for _ in range(4):
            match, refused = self._gather(first, region, largest)
            largest = max((t.size for t in match[1:]), default=0) - 1
            if sum(t.size for t in match) == self.rules.players or not refused or largest < 1:
                break
        return match if self._fair(match, first.eager) else []

    def _gather(self, first: Ticket, region: int, largest: int) -> tuple[list[Ticket], bool]:
        free = self._free()
        place = free.index(first)
        below, above = free[:place], free[place + 1 :]
        looks = len(free) if first.waited >= self.rules.fully_relaxed_s else 4 * self.rules.players
        room = [self.rules.team_size] * self.rules.teams
        room[0] -= first.size
        match, refused = [first], False
        while looks > 0 and sum(room) > 0 and (below or above):
            looks -= 1
            upwards = not below or (
                bool(above) and above[0].skill - first.skill < first.skill - below[-1].skill
            )
            ticket = above.pop(0) if upwards else below.pop()
            skills = [t.skill for t in match] + [ticket.skill]
            if max(skills) - min(skills) > self._skill(first.eager):
                (above if upwards else below).clear()
                continue
            joins = ticket.group == 0 and ticket.platform + 1 == first.group
            if not self._plays(ticket, region) or not (ticket.group == first.group or joins):
                continue
            if ticket.size > largest:
                continue
            if not _seat(room, ticket.size):
                refused = True
                continue
            match.append(ticket)
        return match, refused

    def _fill_openings(self) -> None:
        if self.requests is None:
            return
        opened = self.requests
        for opening in sorted(range(len(opened.region)), key=lambda o: float(opened.opened_at[o])):
            room = [int(free) for free in opened.room[opening]]
            lowest, highest = float(opened.lowest[opening]), float(opened.highest[opening])
            for ticket in sorted(self._free(), key=lambda t: (-t.waited, t.key)):
                region = int(opened.region[opening])
                if (ticket.group, ticket.home) != (int(opened.group[opening]), region):
                    continue
                low, high = min(lowest, ticket.skill), max(highest, ticket.skill)
                open_s = self.now - float(opened.opened_at[opening])
                if high - low > self._skill(max(ticket.waited, open_s)):
                    continue
                if self._near(ticket, region, ticket.waited) and _seat(room, ticket.size):
                    lowest, highest = low, high
                    self.backfill_of[ticket.row] = opening

    # --- teams ----------------------------------------------------------------------------------------------

    def _fair(self, match: list[Ticket], waited: float) -> bool:
        return self.rules.teams == 1 or least_apart(
            self.rules, [(t.size, t.skill) for t in match]
        ) <= value_at(self.rules.team_gap, waited)

    def _form(self, region: int, match: list[Ticket]) -> None:
        for ticket in match:
            self.match_of[ticket.row] = len(self.region_of)
        self.region_of.append(region)


def least_apart(rules: Rules, tickets: Sequence[tuple[int, float]]) -> float:
    """The least difference of two teams' mean skills, over every deal; teams as even in number as can be come
    first.
    """
    best = (math.inf, math.inf)
    for sides in itertools.product((0, 1), repeat=len(tickets)):
        teams: tuple[list[float], list[float]] = ([], [])
        for side, (size, skill) in zip(sides, tickets, strict=True):
            teams[side].extend([skill] * size)
        sizes = sorted(map(len, teams))
        if sizes[0] == 0 or sizes[1] > rules.team_size:
            continue
        means = [sum(team) / len(team) for team in teams]
        best = min(best, (sizes[1] - sizes[0], abs(means[0] - means[1])))
    return best[1]


def _seat(room: list[int], size: int) -> bool:
    """Take a place in the team with the least room that is enough."""
    fitting = [team for team in range(len(room)) if room[team] >= size]
    if not fitting:
        return False
    room[min(fitting, key=lambda team: room[team])] -= size
    return True

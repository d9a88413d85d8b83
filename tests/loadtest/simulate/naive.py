"""The simulator once more, in plain Python: every cycle of the grid, one ticket and one server after the
other.
"""

from __future__ import annotations

import heapq
import math
from dataclasses import dataclass, field

import numpy as np

from loadtest.bots.rng import next_exponential
from loadtest.simulate.simulator import Setup
from loadtest.simulate.warm_pool import draw_duration
from matchmaker.matching.arrays import make_tickets
from matchmaker.matching.kernel import match_tickets
from matchmaker.rules.rules import Rules

STARTUPS, LENGTHS, DEATHS, RESTS = range(4)
READY, MATCH_OVER, SERVER_DIED, RETURN = range(4)


@dataclass
class NaiveMatch:
    region: int
    tickets: list[int]
    formed_s: float
    ends_s: float
    over: bool = False


@dataclass
class Naive:
    """The state of a run with a fixed buffer of one mode."""

    setup: Setup
    rules: Rules
    buffer: int
    matches: list[NaiveMatch] = field(default_factory=list)
    calendar: list[tuple[float, int]] = field(default_factory=list)
    waiting: list[int] = field(default_factory=list)
    server_s: float = 0.0
    counted_s: float = 0.0

    def __post_init__(self) -> None:
        setup = self.setup
        regions, tickets = len(setup.regions), len(setup.tickets.arrives_s)
        self.streams = np.random.SeedSequence(setup.seed).generate_state(4, np.uint64).astype(np.uint64)
        self.starting, self.allocated = [0] * regions, [0] * regions
        self.ready: list[int] = []
        for region in range(regions):
            room = setup.parameters.max_servers - sum(self.ready)
            self.ready.append(max(0, min(int(setup.ready[region]), int(setup.max_servers[region]), room)))
        self.scarce = [-math.inf] * regions
        self.arrives = setup.tickets.arrives_s.tolist()
        self.state, self.assigned, self.match = [0] * tickets, [math.nan] * tickets, [-1] * tickets
        self.returning = 0

    def live(self, region: int) -> int:
        return self.starting[region] + self.ready[region] + self.allocated[region]

    def count(self, now: float) -> None:
        self.server_s += (now - self.counted_s) * sum(map(self.live, range(len(self.ready))))
        self.counted_s = now

    def fill(self, now: float) -> None:
        parameters = self.setup.parameters
        while (
            sum(map(self.live, range(len(self.ready)))) < parameters.max_servers
            and sum(self.starting) < parameters.max_starting
        ):
            needs = [
                self.buffer - self.ready[r] - self.starting[r]
                if self.live(r) < self.setup.max_servers[r]
                else 0
                for r in range(len(self.ready))
            ]
            if max(needs) <= 0:
                return
            region = needs.index(max(needs))
            self.starting[region] += 1
            takes = draw_duration(
                self.streams,
                STARTUPS,
                parameters.startup_shape,
                self.setup.startup_s[region],
                parameters.startup_spread,
            )
            heapq.heappush(self.calendar, (now + takes, region * 4 + READY))

    def happen(self, what: int, now: float) -> None:
        number, kind = divmod(what, 4)
        if kind == RETURN:
            self.returning -= 1
            self.arrives[number] = now
            self.waiting.append(number)
            self.state[number] = 1
            return
        if kind == READY:
            self.starting[number] -= 1
            self.ready[number] += 1
        else:
            match = self.matches[number]
            self.allocated[match.region] -= 1
            match.over = True
            for ticket in reversed(match.tickets) if kind == MATCH_OVER else ():
                follower = int(self.setup.tickets.next_ticket[ticket])
                if follower >= 0:
                    rest = self.setup.parameters.think_s * next_exponential(self.streams, RESTS)
                    heapq.heappush(self.calendar, (now + rest, follower * 4 + RETURN))
                    self.returning += 1
        self.fill(now)

    def allocate(self, region: int, tickets: list[int], now: float) -> None:
        setup = self.setup
        self.ready[region] -= 1
        self.allocated[region] += 1
        modes = setup.modes
        length = draw_duration(self.streams, LENGTHS, modes.shape[0], modes.match_s[0], modes.spread[0])
        ends, kind = now + setup.parameters.join_s + length + setup.parameters.linger_s, MATCH_OVER
        if setup.parameters.crash_per_s > 0:
            dies = now + next_exponential(self.streams, DEATHS) / setup.parameters.crash_per_s
            if dies < ends:
                ends, kind = dies, SERVER_DIED
        for ticket in tickets:
            self.state[ticket], self.assigned[ticket], self.match[ticket] = 2, now, len(self.matches)
            self.waiting.remove(ticket)
        heapq.heappush(self.calendar, (ends, len(self.matches) * 4 + kind))
        self.matches.append(NaiveMatch(region, tickets, now, ends))
        self.fill(now)

    def form(self, now: float) -> list[tuple[int, list[int]]]:
        tickets, rows = self.setup.tickets, np.array(self.waiting)
        queued = make_tickets(
            tickets.rtt_ms[tickets.location[rows]] + tickets.access_ms[rows][:, None],
            tickets.skill[rows],
            np.array([self.arrives[row] for row in rows]),
            tickets.group[rows],
            rows.astype(np.int64),
            size=tickets.size[rows],
        )
        formed = match_tickets(self.rules, now, queued)
        groups = [
            (int(region), [int(row) for row in rows[formed.match_of == number]])
            for number, region in enumerate(formed.region_of)
        ]
        return sorted(groups, key=lambda group: min(self.arrives[row] for row in group[1]))

    def cycle(self, now: float) -> None:
        regions = range(len(self.ready))
        homes = [int(self.setup.tickets.home[self.setup.tickets.location[row]]) for row in self.waiting]
        sizes = [int(self.setup.tickets.size[row]) for row in self.waiting]
        if not any(self.ready[r] > 0 and now >= self.scarce[r] for r in regions):
            for r in regions:
                at_home = sum(size for home, size in zip(homes, sizes, strict=True) if home == r)
                if self.ready[r] == 0 and at_home >= self.rules.players and now >= self.scarce[r]:
                    self.scarce[r] = now + self.setup.parameters.retry_s
            return
        if sum(sizes) < self.rules.min_players:
            return
        known, asked = [each > -math.inf for each in self.scarce], set()
        self.count(now)
        for region, tickets in self.form(now):
            if known[region] and (region in asked or now < self.scarce[region]):
                continue
            asked.add(region)
            if self.ready[region] > 0:
                self.allocate(region, tickets, now)
                self.scarce[region] = -math.inf
            else:
                self.scarce[region] = now + self.setup.parameters.retry_s

    def run(self) -> None:
        """Until nobody waits, plays or rests."""
        tickets, number, arrived = self.setup.tickets, 0, 0
        self.fill(0.0)
        while True:
            now = number * self.setup.parameters.period_s
            while self.calendar and self.calendar[0][0] <= now:
                at, what = heapq.heappop(self.calendar)
                self.count(at)
                self.happen(what, at)
            while arrived < tickets.independent_count[0] and self.arrives[arrived] <= now:
                self.waiting.append(arrived)
                self.state[arrived] = 1
                arrived += 1
            for row in [r for r in self.waiting if self.arrives[r] + tickets.patience_s[r] < now]:
                self.waiting.remove(row)
                self.state[row] = 3
            home = arrived == tickets.independent_count[0] and not self.waiting and not self.returning
            if home and sum(self.allocated) == 0:
                self.count(now)
                return
            self.cycle(now)
            number += 1

"""The simulator once more, in plain Python: every cycle of the grid, one ticket and one server after the
other, and every player who loses a match by name.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from loadtest.bots.rng import next_exponential, next_uniform
from loadtest.simulate.simulator import Incident, Setup
from loadtest.simulate.warm_pool import draw_duration
from matchmaker.matching.arrays import make_tickets
from matchmaker.matching.kernel import match_tickets
from matchmaker.rules.rules import Rules

STARTUPS, LENGTHS, DEATHS, RESTS, KILLS = range(5)
READY, MATCH_OVER, SERVER_DIED, RETURN = range(4)
NOT_HERE, WAITING, MATCHED, GONE = range(4)


@dataclass
class NaiveTicket:
    """Players who queue together. ``alone``: one of a party that was parted, so the others are elsewhere."""

    row: int  # the drawn ticket that says who they are
    size: int
    queues_s: float
    old_since_s: float
    patience_s: np.float32
    follower: int
    lost: int = 0
    alone: bool = False
    state: int = NOT_HERE
    assigned_s: float = math.nan
    match: int = -1


@dataclass
class NaiveMatch:
    region: int
    tickets: list[int]
    formed_s: float
    ends_s: float
    state: str = "playing"


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
    players_lost: int = 0

    def __post_init__(self) -> None:
        setup, self.regions = self.setup, range(len(self.setup.regions))
        self.streams = np.random.SeedSequence(setup.seed).generate_state(5, np.uint64).astype(np.uint64)
        self.starting, self.allocated = [0 for _ in self.regions], [0 for _ in self.regions]
        self.ready: list[int] = []
        for region in self.regions:
            room = setup.parameters.max_servers - sum(self.ready)
            self.ready.append(max(0, min(int(setup.ready[region]), int(setup.max_servers[region]), room)))
        self.scarce_until = [-math.inf for _ in self.regions]
        self.cuts = [(math.inf, -math.inf) for _ in self.regions]
        self.answers: list[list[float]] = [[] for _ in self.regions]
        drawn = setup.tickets
        self.tickets = [
            NaiveTicket(
                row,
                int(drawn.size[row]),
                float(drawn.arrives_s[row]),
                float(drawn.arrives_s[row]),
                drawn.patience_s[row],
                int(drawn.next_ticket[row]),
            )
            for row in range(int(drawn.drawn_count[0]))
        ]
        self.still_out: dict[int, int] = {}  # members of a parted party, by the ticket of its next match
        self.returning = 0
        self.incidents = list(setup.incidents)

    # --- servers ----------------------------------------------------------------------------------------

    def live(self, region: int) -> int:
        return self.starting[region] + self.ready[region] + self.allocated[region]

    def count(self, now: float) -> None:
        self.server_s += (now - self.counted_s) * sum(map(self.live, self.regions))
        self.counted_s = now

    def fill(self, now: float) -> None:
        parameters = self.setup.parameters
        while (
            sum(map(self.live, self.regions)) < parameters.max_servers
            and sum(self.starting) < parameters.max_starting
        ):
            needs = [
                self.buffer - self.ready[r] - self.starting[r]
                if self.live(r) < self.setup.max_servers[r]
                else 0
                for r in self.regions
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
            ticket = self.tickets[number]
            if ticket.lost == 0:
                ticket.queues_s = ticket.old_since_s = now - self.setup.parameters.login_s
            ticket.state = WAITING
            self.waiting.append(number)
            return
        if kind == READY:
            self.starting[number] -= 1
            self.ready[number] += 1
        elif self.matches[number].ends_s == now and self.matches[number].state in ("playing", "deserted"):
            match = self.matches[number]
            self.allocated[match.region] -= 1
            if match.state == "playing" and kind == SERVER_DIED:
                match.state = "crashed"
                self.lose_to_death(match, now, 0, self.players_of(match))
            elif match.state == "playing":
                match.state = "over"
                for each in reversed(match.tickets):
                    self.go_on(self.tickets[each], now)
        self.fill(now)

    # --- players after a match --------------------------------------------------------------------------

    def players_of(self, match: NaiveMatch) -> int:
        return sum(self.tickets[each].size for each in match.tickets)

    def go_on(self, ticket: NaiveTicket, now: float) -> None:
        """Whoever saw the match to its end may play another; a parted party waits for its last member."""
        if ticket.follower < 0:
            return
        if ticket.alone:
            self.still_out[ticket.follower] -= 1
            if self.still_out[ticket.follower] > 0 or self.tickets[ticket.follower].size == 0:
                return
        rest = self.setup.parameters.think_s * next_exponential(self.streams, RESTS)
        self.come_back(ticket.follower, now + rest + self.setup.parameters.login_s)

    def come_back(self, number: int, at: float) -> None:
        heapq.heappush(self.calendar, (at, number * 4 + RETURN))
        self.returning += 1

    def leave(self, ticket: NaiveTicket, now: float) -> None:
        """One of a parted party plays no more: the others go on without them."""
        if not ticket.alone or ticket.follower < 0:
            return
        later = ticket.follower
        while later >= 0:
            self.tickets[later].size -= 1
            later = self.tickets[later].follower
        self.go_on(ticket, now)

    def told(self, match: NaiveMatch) -> float:
        return match.formed_s + self.setup.parameters.place_s

    def noticed(self, match: NaiveMatch, ticket: NaiveTicket, silent: float) -> float:
        """Five seconds without a datagram, the last of which took half a round trip; ten without any."""
        if self.told(match) + self.setup.parameters.join_s > silent:
            return self.told(match) + 10.0
        tickets = self.setup.tickets
        far = tickets.rtt_ms[tickets.location[ticket.row], match.region] + tickets.access_ms[ticket.row]
        return silent + 5.0 + float(far) / 2_000.0

    def losers(self, match: NaiveMatch, silent: float) -> Iterator[tuple[NaiveTicket, float]]:
        """Tickets of a lost match whose players try again, and when they noticed; the others are lost."""
        for each in reversed(match.tickets):
            ticket = self.tickets[each]
            at = self.noticed(match, ticket, silent)
            if ticket.lost == 3:
                self.players_lost += ticket.size
                self.leave(ticket, at)
            else:
                yield ticket, at

    def lose_to_death(self, match: NaiveMatch, died: float, asked_before: int, herd: int) -> None:
        """New tickets as old as the lost ones lie there for whoever asks for them, twice."""
        for ticket, at in self.losers(match, died):
            asked_before += ticket.size
            there = at + 0.0045 * min(herd, 200) * (1.0 + asked_before / herd)
            self.queue_anew(ticket, ticket.size, at, there, ticket.old_since_s)

    def lose_to_cut(self, match: NaiveMatch, cut: float) -> None:
        """Nobody knows of it: each presses Play once a second until the match is over, and is new then."""
        login = self.setup.parameters.login_s
        for ticket, at in self.losers(match, cut):
            presses = at + 5.0
            presses += max(0.0, math.ceil((match.ends_s - presses) / (1.0 + login))) * (1.0 + login)
            if not ticket.alone and ticket.follower >= 0:
                self.still_out[ticket.follower] = ticket.size
            for _ in range(ticket.size):
                self.queue_anew(ticket, 1, at, presses, presses).alone = True

    def queue_anew(
        self, old: NaiveTicket, size: int, since: float, there: float, old_since: float
    ) -> NaiveTicket:
        patience = self.setup.tickets.patience_s[old.row] + np.float32(there - since)
        new = NaiveTicket(old.row, size, since, old_since, patience, old.follower, old.lost + 1, old.alone)
        self.tickets.append(new)
        self.come_back(len(self.tickets) - 1, there + self.setup.parameters.login_s)
        return new

    # --- faults -----------------------------------------------------------------------------------------

    def break_down(self, until: float) -> None:
        """Let the incidents before ``until`` happen, each in its time."""
        while self.incidents and self.incidents[0].at_s < until:
            incident = self.incidents.pop(0)
            self.let_pass(incident.at_s)
            self.count(incident.at_s)
            if incident.effect == "cut":
                self.cut(incident.region, incident.at_s, incident.for_s)
            else:
                self.kill(incident.region, incident.count, incident.at_s)

    def kill(self, region: int, count: int, now: float) -> None:
        linger = self.setup.parameters.linger_s
        playing = [
            match
            for match in self.matches
            if match.state in ("playing", "deserted")
            and region in (-1, match.region)
            and self.told(match) + 1.0 <= now < match.ends_s - linger
        ]
        victims: list[NaiveMatch] = []
        while playing and len(victims) < count:
            victims.append(playing.pop(int(next_uniform(self.streams, KILLS) * len(playing))))
        if len(victims) < count:  # the others as soon as there are any
            later = Incident(now + 0.25, "kill", region, count - len(victims), "")
            self.incidents = sorted([*self.incidents, later], key=lambda incident: incident.at_s)
        herd, before = sum(map(self.players_of, victims)), 0
        for match in victims:
            was, match.state, match.ends_s = match.state, "crashed", now
            self.allocated[match.region] -= 1
            if was == "playing":
                self.lose_to_death(match, now, before, herd)
            before += self.players_of(match)
        self.fill(now)

    def cut(self, region: int, now: float, for_s: float) -> None:
        self.cuts[region] = (now, now + for_s)
        for number, match in enumerate(self.matches):
            if match.state == "playing" and match.region == region:
                self.meet_cut(number)

    def meet_cut(self, number: int) -> None:
        match, parameters = self.matches[number], self.setup.parameters
        begins, ends = self.cuts[match.region]
        starts = self.told(match) + parameters.join_s
        if starts <= begins:
            if ends - begins <= 5.0 or match.ends_s - parameters.linger_s <= begins:
                return
        elif ends <= starts:
            return
        elif ends < self.told(match) + 10.0:
            match.ends_s += ends - starts
            heapq.heappush(self.calendar, (match.ends_s, number * 4 + MATCH_OVER))
            return
        else:  # its server waits three quarters of a minute for somebody to come
            match.ends_s = self.told(match) + 45.0 + parameters.linger_s
            heapq.heappush(self.calendar, (match.ends_s, number * 4 + MATCH_OVER))
        match.state = "deserted"
        self.lose_to_cut(match, begins)

    # --- the queue --------------------------------------------------------------------------------------

    def allocate(self, region: int, tickets: list[int], now: float) -> None:
        setup = self.setup
        parameters, modes = setup.parameters, setup.modes
        self.ready[region] -= 1
        self.allocated[region] += 1
        length = draw_duration(self.streams, LENGTHS, modes.shape[0], modes.match_s[0], modes.spread[0])
        ends = now + parameters.place_s + parameters.join_s + length + parameters.linger_s
        kind = MATCH_OVER
        if parameters.crash_per_s > 0:
            dies = now + next_exponential(self.streams, DEATHS) / parameters.crash_per_s
            if dies < ends:
                ends, kind = dies, SERVER_DIED
        for each in tickets:
            ticket = self.tickets[each]
            ticket.state, ticket.match = MATCHED, len(self.matches)
            ticket.assigned_s = now + parameters.place_s
            self.waiting.remove(each)
        heapq.heappush(self.calendar, (ends, len(self.matches) * 4 + kind))
        self.matches.append(NaiveMatch(region, tickets, now, ends))
        self.fill(now)

    def form(self, now: float) -> list[tuple[int, list[int]]]:
        drawn, rows = self.setup.tickets, np.array([self.tickets[each].row for each in self.waiting])
        queued = make_tickets(
            drawn.rtt_ms[drawn.location[rows]] + drawn.access_ms[rows][:, None],
            drawn.skill[rows],
            np.array([self.tickets[each].old_since_s for each in self.waiting]),
            drawn.group[rows],
            np.array(self.waiting, np.int64),
            size=np.array([self.tickets[each].size for each in self.waiting]),
        )
        formed = match_tickets(self.rules, now - self.setup.parameters.login_s, queued)
        groups = [
            (int(region), [self.waiting[at] for at in np.flatnonzero(formed.match_of == number)])
            for number, region in enumerate(formed.region_of)
        ]
        return sorted(groups, key=lambda group: min(self.tickets[each].old_since_s for each in group[1]))

    def cycle(self, now: float) -> None:
        parameters = self.setup.parameters
        for region in self.regions:  # who was assigned a server has shown that there are some
            if any(at <= now for at in self.answers[region]):
                self.scarce_until[region] = -math.inf
                self.answers[region] = [at for at in self.answers[region] if at > now]
        homes = [
            int(self.setup.tickets.home[self.setup.tickets.location[self.tickets[each].row]])
            for each in self.waiting
        ]
        sizes = [self.tickets[each].size for each in self.waiting]
        if not any(
            self.ready[r] > 0 and (parameters.openings or now >= self.scarce_until[r]) for r in self.regions
        ):
            for r in self.regions:
                at_home = sum(size for home, size in zip(homes, sizes, strict=True) if home == r)
                if self.ready[r] == 0 and at_home >= self.rules.players and now >= self.scarce_until[r]:
                    self.scarce_until[r] = now + parameters.retry_s
            return
        if sum(sizes) < self.rules.min_players:
            return
        known, asked = [each > -math.inf for each in self.scarce_until], set()
        self.count(now)
        begun = len(self.matches)
        for region, tickets in self.form(now):
            told = parameters.openings and self.ready[region] > 0
            if known[region] and not told and (region in asked or now < self.scarce_until[region]):
                continue
            asked.add(region)
            if self.ready[region] > 0:
                self.allocate(region, tickets, now)
                self.answers[region].append(now + parameters.place_s)
                if known[region]:
                    self.scarce_until[region] = now + parameters.retry_s
            else:
                self.scarce_until[region] = now + parameters.retry_s
        for number in range(begun, len(self.matches)):
            if self.cuts[self.matches[number].region][1] > now:
                self.meet_cut(number)

    def let_pass(self, now: float) -> None:
        while self.calendar and self.calendar[0][0] <= now:
            at, what = heapq.heappop(self.calendar)
            self.count(at)
            self.happen(what, at)

    def run(self) -> None:
        """Until nobody waits, plays or rests."""
        drawn, number, arrived = self.setup.tickets, 0, 0
        login = self.setup.parameters.login_s
        self.fill(0.0)
        while True:
            now = number * self.setup.parameters.period_s
            self.break_down(now)
            self.let_pass(now)
            while arrived < drawn.independent_count[0] and self.tickets[arrived].queues_s + login <= now:
                self.waiting.append(arrived)
                self.tickets[arrived].state = WAITING
                arrived += 1
            for each in list(self.waiting):
                ticket = self.tickets[each]
                if ticket.queues_s + login + ticket.patience_s < now:
                    self.waiting.remove(each)
                    ticket.state = GONE
                    self.leave(ticket, now)
            home = arrived == drawn.independent_count[0] and not self.waiting and not self.returning
            if home and sum(self.allocated) == 0:
                self.count(now)
                return
            self.cycle(now)
            number += 1

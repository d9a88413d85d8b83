"""The whole state of a simulation: structures of arrays that are allocated once and then only written to.

Times are seconds of virtual time since the start. Sizes: T tickets, L locations, R regions, K modes, at most
M matches, at most S samples, Q tickets of players who queue again after their game server was lost.

Only those can be more than was foreseen; ``room.grown`` makes a larger world of a full one then.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.event_queue import EventQueue

MAX_SAMPLES = 2_048  # and at least half as many once the table was full: a curve as fine as a screen


class TicketState(IntEnum):
    """Where a ticket is."""

    NOT_ARRIVED = 0  # not yet, or never: the match before it in the session did not happen
    WAITING = 1
    MATCHED = 2
    ABANDONED = 3  # its players ran out of patience
    REFUSED = 4  # no region is near enough


class MatchState(IntEnum):
    """Where a match is."""

    NONE = 0
    PLAYING = 1
    OVER = 2
    CRASHED = 3  # its server died
    DESERTED = 4  # its players could not reach it; its server played on alone to the end


class Tickets(NamedTuple):
    """The tickets: first those that arrive by themselves, in order of arrival, then those for the later
    matches of a session, then Q spare ones for players who queue again, see ``Requeues``.

    Attributes:
        arrives_s: float64[T], when the players mean to queue: a wait counts from then. inf for a later match
            until the match before it is over.
        patience_s: float32[T], seconds until the players cancel.
        skill: float32[T], what the matchmaker knows: the mean of the ratings.
        size: int32[T], players of the ticket.
        mode: int8[T].
        group: int32[T], which tickets may meet, as the matching kernel has it.
        platform: int32[T].
        location: int16[T], a row of ``rtt_ms``.
        access_ms: float32[T], latency of the slowest access link of the ticket's players.
        next_ticket: int32[T], the ticket of the next match of the session, or -1.
        rtt_ms: float32[L, R], inf where no round trip is published.
        home: int16[L], each location's nearest region; -1 where none is published.
        independent_count: int64[1], how many tickets arrive by themselves.
        drawn_count: int64[1], how many tickets are not spare.
    """

    arrives_s: NDArray[np.float64]
    patience_s: NDArray[np.float32]
    skill: NDArray[np.float32]
    size: NDArray[np.int32]
    mode: NDArray[np.int8]
    group: NDArray[np.int32]
    platform: NDArray[np.int32]
    location: NDArray[np.int16]
    access_ms: NDArray[np.float32]
    next_ticket: NDArray[np.int32]
    rtt_ms: NDArray[np.float32]
    home: NDArray[np.int16]
    independent_count: NDArray[np.int64]
    drawn_count: NDArray[np.int64]


class Requeues(NamedTuple):
    """What is known beyond ``Tickets`` of the tickets of players who queue again after their game server was
    lost: Q of them, in the order of the spare tickets.

    Attributes:
        aged_s: float64[Q], since when the matchmaker counts the age of the ticket; it is kept where the
            matchmaker knows of the loss.
        origin: int32[Q], the drawn ticket that they had first.
        member: int16[Q], which of its players queues alone; -1: all of them queue together.
        lost: uint8[Q], how many game servers they have lost.
        members_out: int32[T − Q] where there are sessions of several matches, else int32[0]: how many
            members of a party that was parted are still out before it queues for that later match.
    """

    aged_s: NDArray[np.float64]
    origin: NDArray[np.int32]
    member: NDArray[np.int16]
    lost: NDArray[np.uint8]
    members_out: NDArray[np.int32]


class ModeTable(NamedTuple):
    """The modes; fields [K]. Shapes and spreads are those of ``warm_pool.draw_duration``.

    Attributes:
        players, min_players: of a full match, and of the smallest.
        max_latency_ms: round trip above which a ticket is refused.
        match_s: length of a match.
        spread, shape: of the match length.
        planned: bool[K], whether a plan forms the matches, and not the fast kernel.
    """

    players: NDArray[np.int64]
    min_players: NDArray[np.int64]
    max_latency_ms: NDArray[np.float64]
    match_s: NDArray[np.float64]
    spread: NDArray[np.float64]
    shape: NDArray[np.int64]
    planned: NDArray[np.bool_]


class Parameters(NamedTuple):
    """The parameters of a run, one number each.

    Attributes:
        groups: one more than the largest group.
        period_s: between two matching cycles.
        retry_s: between two tries to get a server in a region that had none.
        openings: whether the fleet says when such a region has one, and a match asks in the next cycle.
        window: the least number of tickets of one home region that a cycle looks at, the oldest first.
        join_s: from the assignment until the match begins.
        linger_s: from the end of a match until its server is gone.
        login_s: from the moment at which players mean to queue until their ticket is searched for.
        place_s: from the matching cycle until the players are assigned to the match's server.
        startup_spread, startup_shape: of the time that a server takes to start.
        think_s: between two matches of a session, on average.
        crash_per_s: rate at which an allocated server dies.
        max_servers: of all regions together.
        max_starting: servers that may be starting at once, all regions together.
        sample_s: between two samples, at first.
        give_up_at_s: when all tickets that still wait are abandoned.
    """

    groups: int
    period_s: float
    retry_s: float
    openings: bool
    window: int
    join_s: float
    linger_s: float
    startup_spread: float
    startup_shape: int
    think_s: float
    crash_per_s: float
    max_servers: int
    max_starting: int
    sample_s: float
    give_up_at_s: float
    login_s: float = 0.0
    place_s: float = 0.0


class TicketRecords(NamedTuple):
    """What became of each ticket.

    Attributes:
        state: uint8[T], a TicketState.
        assigned_s: float64[T], NaN without a match.
        match: int32[T], or -1.
        next_in_match: int32[T], another ticket of the same match, or -1.
    """

    state: NDArray[np.uint8]
    assigned_s: NDArray[np.float64]
    match: NDArray[np.int32]
    next_in_match: NDArray[np.int32]


class Matches(NamedTuple):
    """The matches, in the order in which they got a server; fields [M].

    Attributes:
        state: a MatchState.
        region, mode: where it is played, and what.
        players: how many.
        formed_s: when it got its server; its players are told ``Parameters.place_s`` later.
        ends_s: when its server is released.
        first_ticket: one of its tickets; ``TicketRecords.next_in_match`` leads to the others.
    """

    state: NDArray[np.uint8]
    region: NDArray[np.int16]
    mode: NDArray[np.int8]
    players: NDArray[np.int32]
    formed_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]
    first_ticket: NDArray[np.int32]


class FleetState(NamedTuple):
    """The servers of each region; fields [R].

    Attributes:
        target: wanted servers without a match, ready or starting.
        max_servers: limit of the region.
        startup_s: from the start of a server until it is ready.
        closed: OPEN, CLOSED or PAUSED of ``warm_pool``.
        starting, ready, allocated: servers now.
        peak: the most servers so far.
        started, died: servers so far.
        matches: matches so far that got a server.
        unmet: times so far that a match asked for a server and got none.
        server_s, idle_s: server-seconds so far, of all servers and of ready ones.
        counted_s: up to when the two are counted.
        retry_at_s: when a match may ask again after one got no server; -inf where the last one got one.
        answer_s, last_answer_s: when the first and the last of the matches that have got a server, and are
            not assigned yet, will be: then the region is known to have servers. inf and -inf without one.
        cut_from_s, cut_until_s: when the region was cut off last, and until when; inf and -inf before.
    """

    target: NDArray[np.int64]
    max_servers: NDArray[np.int64]
    startup_s: NDArray[np.float64]
    closed: NDArray[np.uint8]
    starting: NDArray[np.int64]
    ready: NDArray[np.int64]
    allocated: NDArray[np.int64]
    peak: NDArray[np.int64]
    started: NDArray[np.int64]
    died: NDArray[np.int64]
    matches: NDArray[np.int64]
    unmet: NDArray[np.int64]
    server_s: NDArray[np.float64]
    idle_s: NDArray[np.float64]
    counted_s: NDArray[np.float64]
    retry_at_s: NDArray[np.float64]
    answer_s: NDArray[np.float64]
    last_answer_s: NDArray[np.float64]
    cut_from_s: NDArray[np.float64]
    cut_until_s: NDArray[np.float64]


class Queue(NamedTuple):
    """The tickets that wait.

    Attributes:
        rows: int32[N]; the tickets of mode k are the ``used[k]`` places from ``starts[k]``, in the order in
            which they came: by age, but for those of players who queue again. Some of them have left the
            queue already.
        starts: int64[K + 1].
        used: int64[K].
        waiting: int64[K, R], waiting players by home region.
        arrived: int64[R], players queued so far, by home region.
    """

    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    used: NDArray[np.int64]
    waiting: NDArray[np.int64]
    arrived: NDArray[np.int64]


class Samples(NamedTuple):
    """The state at some instants: ``at_s`` [S], then four fields [S, R], then four [S].

    When the table is full, every second sample is dropped.
    """

    at_s: NDArray[np.float64]
    waiting: NDArray[np.int32]
    starting: NDArray[np.int32]
    ready: NDArray[np.int32]
    allocated: NDArray[np.int32]
    arrived: NDArray[np.int64]
    playing: NDArray[np.int64]
    abandoned: NDArray[np.int64]
    server_s: NDArray[np.float64]


class Counter(IntEnum):
    """Places in ``SimulatedWorld.counters``."""

    CYCLE = 0  # the number of the next matching cycle
    ARRIVED = 1  # tickets that have arrived by themselves
    MATCHES = 2
    SAMPLES = 3
    SAMPLE_EVERY = 4  # samples are this many times ``Parameters.sample_s`` apart
    CYCLES = 5  # runs of the matching kernel
    CAPPED = 6  # runs in which it saw the window and not the whole queue
    PEAK = 7  # the most servers there were at once, all regions together
    ARRIVED_PLAYERS = 8
    PLAYING = 9  # players in a match now
    ABANDONED = 10  # players so far
    RETURNING = 11  # tickets that will arrive when their players have rested, or noticed their loss
    REQUEUED = 12  # spare tickets in use: players who queued again
    LOST = 13  # players whose game servers died again and again
    PLANNED = 14  # one more than the mode whose cycle is run outside of compiled time now; 0: none


class SimulatedWorld(NamedTuple):
    """The whole state.

    ``counters`` is int64[len(Counter)]; ``streams`` is uint64[5]: start-ups, match lengths, deaths of
    servers, rests, and whom a fault kills.
    """

    tickets: Tickets
    requeues: Requeues
    modes: ModeTable
    records: TicketRecords
    matches: Matches
    fleet: FleetState
    queue: Queue
    events: EventQueue
    samples: Samples
    counters: NDArray[np.int64]
    streams: NDArray[np.uint64]


def session_of(world: SimulatedWorld) -> NDArray[np.int64]:
    """Return int64[T], the first ticket of the session that each ticket belongs to; of a spare one that is
    not in use, itself.
    """
    tickets, requeues = world.tickets, world.requeues
    first = np.arange(len(tickets.arrives_s))
    rows = np.arange(int(tickets.independent_count[0]))
    while len(rows := rows[tickets.next_ticket[rows] >= 0]):
        following = tickets.next_ticket[rows]
        first[following] = first[rows]
        rows = following.astype(np.int64)
    drawn, used = int(tickets.drawn_count[0]), int(world.counters[Counter.REQUEUED])
    first[drawn : drawn + used] = first[requeues.origin[:used]]
    return first

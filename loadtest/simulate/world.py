"""Everything that a simulation knows and changes: structures of arrays, made once and then only filled in.

Times are seconds of virtual time since the start. T tickets, L locations, R regions, K modes, M matches at most, S samples at most.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.event_queue import EventQueue, empty_event_queue

MAX_SAMPLES = 2_048  # at most; at least half as many once it was full: a curve as fine as a screen


class TicketState(IntEnum):
    """What became of a ticket."""

    NOT_ARRIVED = 0  # has not arrived yet, or never will: the match before it did not happen
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


class Tickets(NamedTuple):
    """The tickets: first those of players who come by themselves, in order of arrival, then those for a session's later matches.

    Attributes:
        arrives_s: float64[T]; of a later match inf, until the one before it is over.
        patience_s: float32[T], seconds until the players cancel.
        skill: float32[T], what the matchmaker believes: the mean of the ratings.
        size: int32[T], players of the ticket.
        mode: int8[T].
        group: int32[T], who may meet, as the matching kernel has it.
        platform: int32[T].
        location: int16[T], a row of ``rtt_ms``.
        access_ms: float32[T], the line of the player with the slowest.
        following: int32[T], the ticket of the next match of the session, or -1.
        rtt_ms: float32[L, R], inf where no round trip is published.
        home: int16[L], each location's nearest region; -1 where none is published.
        first: int64[1], how many tickets come by themselves.
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


class ModeTable(NamedTuple):
    """The ways to play; fields [K]. Shapes and spreads are those of ``durations``.

    Attributes:
        players, min_players: of a match.
        max_latency_ms: round trip above which a ticket is refused.
        match_s: length of a match.
        spread: float64, see ``durations``.
        shape: int64, see ``durations``.
    """

    players: NDArray[np.int64]
    min_players: NDArray[np.int64]
    max_latency_ms: NDArray[np.float64]
    match_s: NDArray[np.float64]
    spread: NDArray[np.float64]
    shape: NDArray[np.int64]


class Parameters(NamedTuple):
    """The rules of the run, one number each.

    Attributes:
        groups: one more than the largest group.
        period_s: between two matching cycles.
        scarce_s: between two tries to get a server in a region that had none.
        window: tickets of one home region that a cycle looks at, at least; the oldest.
        join_s: from the assignment until the match begins.
        linger_s: from the end of a match until its server is gone.
        startup_spread, startup_shape: see ``durations``.
        think_s: between two matches of a session, on average.
        crash_per_s: rate at which a server with a match dies.
        most: servers at most, all regions together.
        at_once: starts under way at most, all regions together.
        sample_s: between two samples, at first.
        last_s: then whoever still waits gives up.
    """

    groups: int
    period_s: float
    retry_s: float
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


class TicketRecords(NamedTuple):
    """What became of each ticket.

    Attributes:
        state: uint8[T], a Fate.
        assigned_s: float64[T], NaN without a match.
        match: int32[T], or -1.
        beside: int32[T], another ticket of the same match, or -1.
    """

    state: NDArray[np.uint8]
    assigned_s: NDArray[np.float64]
    match: NDArray[np.int32]
    next_in_match: NDArray[np.int32]


class Matches(NamedTuple):
    """The matches, in the order in which they got a server; fields [M].

    Attributes:
        state: a MatchState.
        region, mode: where and what.
        players: how many.
        formed_s: when it got its server.
        ends_s: when the server is free of it.
        first: one of its tickets; ``Fates.beside`` leads to the others.
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
        target: servers wanted that are ready or nearly, without a match.
        most: servers at most.
        startup_s: from the start of a server until it is ready.
        closed: OPEN, CLOSED or PAUSED of ``warm_pool``.
        starting, ready, allocated: servers now.
        peak: the most servers there ever were.
        started, died: servers so far.
        matches: matches so far that got a server.
        unmet: times so far that a match asked in vain.
        server_s, idle_s: server-seconds so far: of all, and of those ready without a match.
        counted_s: until when the two are counted.
        scarce_until_s: a try to get a server failed, and the next is due then; -inf otherwise.
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


class Queue(NamedTuple):
    """The tickets that wait.

    Attributes:
        rows: int32[T], those of mode k from ``starts[k]``, ``used[k]`` of them, in order of age; some of them are gone already.
        starts: int64[K + 1].
        used: int64[K].
        waiting: int64[K, R], players who wait, by home region.
        arrived: int64[R], players who were queued so far, by home region.
    """

    rows: NDArray[np.int32]
    starts: NDArray[np.int64]
    used: NDArray[np.int64]
    waiting: NDArray[np.int64]
    arrived: NDArray[np.int64]


class Samples(NamedTuple):
    """A look at everything now and then; ``at_s`` [S], then four [S, R], then four [S]. When full, each second one goes."""

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
    """Places in ``World.now``, the counters of the run."""

    CYCLE = 0  # the number of the next matching cycle
    ARRIVED = 1  # tickets that have come by themselves
    MATCHES = 2
    SAMPLES = 3
    SAMPLE_EVERY = 4  # a sample each so many times ``Terms.sample_s``
    CYCLES = 5  # times that the matching kernel was asked
    CAPPED = 6  # times that it saw the window and not the whole queue
    PEAK = 7  # the most servers there were at once, all regions together
    ARRIVED_PLAYERS = 8
    PLAYING = 9  # players in a match now
    ABANDONED = 10  # players so far
    RETURNING = 11  # tickets that will come when their players have rested


class SimulatedWorld(NamedTuple):
    """All of it; ``now`` is int64[len(At)], ``streams`` uint64[4]: start-ups, match lengths, deaths of servers, rests."""

    tickets: Tickets
    modes: ModeTable
    records: TicketRecords
    matches: Matches
    fleet: FleetState
    queue: Queue
    events: EventQueue
    samples: Samples
    counters: NDArray[np.int64]
    streams: NDArray[np.uint64]


def new_world(
    crowd: Tickets,
    modes: ModeTable,
    parameters: Parameters,
    *,
    ready: NDArray[np.int64],
    target: NDArray[np.int64],
    max_servers: NDArray[np.int64],
    startup_s: NDArray[np.float64],
    streams: NDArray[np.uint64],
) -> SimulatedWorld:
    """The world before anybody arrives, each region with ``ready`` servers or as many as the limits leave it."""
    tickets, regions = len(crowd.arrives_s), crowd.rtt_ms.shape[1]
    of_mode = np.bincount(crowd.mode, minlength=len(modes.players))
    players_of = np.bincount(crowd.mode, weights=crowd.size, minlength=len(modes.players)).astype(np.int64)
    matches = int((players_of // modes.min_players).sum())
    ready = np.minimum(ready, max_servers)
    for region in range(regions):  # what all regions together may have, the first take
        ready[region] = min(ready[region], max(0, parameters.max_servers - int(ready[:region].sum())))

    def counts() -> NDArray[np.int64]:
        return np.zeros(regions, np.int64)

    fleet = FleetState(
        target=target.astype(np.int64),
        max_servers=max_servers.astype(np.int64),
        startup_s=startup_s.astype(np.float64),
        closed=np.zeros(regions, np.uint8),
        starting=counts(),
        ready=ready.astype(np.int64),
        allocated=counts(),
        peak=ready.astype(np.int64),
        started=ready.astype(np.int64),
        died=counts(),
        matches=counts(),
        unmet=counts(),
        server_s=np.zeros(regions),
        idle_s=np.zeros(regions),
        counted_s=np.zeros(regions),
        retry_at_s=np.full(regions, -np.inf),
    )
    now = np.zeros(len(Counter), np.int64)
    now[Counter.PEAK] = ready.sum()
    now[Counter.SAMPLE_EVERY] = 1
    # An entry each: a server that starts or plays, a match whose server was killed until its time is up, a player who rests.
    entries = (
        min(int(max_servers.sum()), parameters.max_servers)
        + matches
        + tickets
        - int(crowd.independent_count[0])
        + 1
    )
    return SimulatedWorld(
        crowd,
        modes,
        TicketRecords(
            np.zeros(tickets, np.uint8),
            np.full(tickets, np.nan),
            np.full(tickets, -1, np.int32),
            np.full(tickets, -1, np.int32),
        ),
        Matches(
            np.zeros(matches, np.uint8),
            np.zeros(matches, np.int16),
            np.zeros(matches, np.int8),
            np.zeros(matches, np.int32),
            np.zeros(matches),
            np.zeros(matches),
            np.full(matches, -1, np.int32),
        ),
        fleet,
        Queue(
            np.zeros(tickets, np.int32),
            np.concatenate([[0], np.cumsum(of_mode)]).astype(np.int64),
            np.zeros(len(of_mode), np.int64),
            np.zeros((len(of_mode), regions), np.int64),
            counts(),
        ),
        empty_event_queue(entries),
        _no_samples(regions),
        now,
        streams,
    )


def _no_samples(regions: int) -> Samples:
    return Samples(
        at_s=np.zeros(MAX_SAMPLES),
        waiting=np.zeros((MAX_SAMPLES, regions), np.int32),
        starting=np.zeros((MAX_SAMPLES, regions), np.int32),
        ready=np.zeros((MAX_SAMPLES, regions), np.int32),
        allocated=np.zeros((MAX_SAMPLES, regions), np.int32),
        arrived=np.zeros(MAX_SAMPLES, np.int64),
        playing=np.zeros(MAX_SAMPLES, np.int64),
        abandoned=np.zeros(MAX_SAMPLES, np.int64),
        server_s=np.zeros(MAX_SAMPLES),
    )

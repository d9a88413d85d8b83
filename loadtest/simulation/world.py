"""Everything that a simulation knows and changes: structures of arrays, made once and then only filled in.

Times are seconds of virtual time since the start. n players, L locations, R regions, M matches at most, S samples at most.
"""

from __future__ import annotations

from enum import IntEnum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from loadtest.simulation.calendar import Calendar, empty_calendar

SAMPLES = 2_048  # at most; at least half as many once it was full: a curve as fine as a screen


class Fate(IntEnum):
    """What became of a player."""

    AWAY = 0  # has not arrived yet
    WAITING = 1
    MATCHED = 2
    ABANDONED = 3  # ran out of patience
    REFUSED = 4  # no region is near enough
    LOST = 5  # the server died under the match


class MatchState(IntEnum):
    """Where a match is."""

    NONE = 0
    PLAYING = 1
    OVER = 2
    CRASHED = 3


class Crowd(NamedTuple):
    """The players, in order of arrival. They do not change.

    Attributes:
        arrives_s: float64[n].
        patience_s: float32[n], seconds until the player cancels.
        skill: float32[n], true skill on OpenSkill's scale.
        known_skill: float32[n], what the matchmaker believes: the rating's mean.
        group: int32[n], who may meet, as the matching kernel has it.
        location: int16[n], a row of ``rtt_ms``.
        access_ms: float32[n], the player's own line.
        rtt_ms: float32[L, R], inf where no round trip is published.
        home: int16[L], each location's nearest region; -1 where none is near enough.
    """

    arrives_s: NDArray[np.float64]
    patience_s: NDArray[np.float32]
    skill: NDArray[np.float32]
    known_skill: NDArray[np.float32]
    group: NDArray[np.int32]
    location: NDArray[np.int16]
    access_ms: NDArray[np.float32]
    rtt_ms: NDArray[np.float32]
    home: NDArray[np.int16]


class Terms(NamedTuple):
    """The rules of the run, one number each.

    Attributes:
        players, min_players, fill_s, roam_s, max_latency_ms: as in matchmaker.rules.Rules.
        groups: one more than the largest group.
        period_s: between two matching cycles.
        scarce_s: between two tries to get a server in a region that had none.
        window: tickets of one home region that a cycle looks at, at least; the oldest.
        join_s: from the assignment until the match begins.
        match_s, match_cv: mean length of a match and its coefficient of variation; 0: all alike, 1: exponential, else log-normal.
        linger_s: from the end of a match until its server is gone.
        startup_cv: as match_cv, of the start-up.
        start_failure: share of starts that fail, known only when the server should have been ready.
        crash_per_s: rate at which a server with a match dies.
        most: servers at most, all regions together.
        at_once: starts under way at most, all regions together.
        replicas: 1: a fleet's target is all its servers (Agones); 0: its servers that are ready or nearly (our warm pool).
        sample_s: between two samples, at first.
        last_s: then whoever still waits gives up.
    """

    players: int
    min_players: int
    fill_s: float
    roam_s: float
    max_latency_ms: float
    groups: int
    period_s: float
    scarce_s: float
    window: int
    join_s: float
    match_s: float
    match_cv: float
    linger_s: float
    startup_cv: float
    start_failure: float
    crash_per_s: float
    most: int
    at_once: int
    replicas: int
    sample_s: float
    last_s: float


class Fates(NamedTuple):
    """What became of each player: ``state`` uint8[n], a Fate; ``assigned_s`` float64[n] or NaN; ``match`` int32[n] or -1."""

    state: NDArray[np.uint8]
    assigned_s: NDArray[np.float64]
    match: NDArray[np.int32]


class Matches(NamedTuple):
    """The matches, in the order in which they got a server; fields [M]. ``ends_s`` is when the server is free of it."""

    state: NDArray[np.uint8]
    region: NDArray[np.int16]
    players: NDArray[np.int32]
    formed_s: NDArray[np.float64]
    ends_s: NDArray[np.float64]


class Fleet(NamedTuple):
    """The servers of each region; fields [R].

    Attributes:
        target: servers wanted; what is counted, ``Terms.replicas`` says.
        most: servers at most.
        startup_s: mean seconds from the start of a server until it is ready.
        closed: 1 while the region takes no match and starts no server.
        starting, ready, allocated: servers now.
        peak: the most servers there ever were.
        started, failed: servers so far that were started, and that never became ready or died.
        server_s, idle_s: server-seconds so far: of all, and of those ready without a match.
        counted_s: until when the two are counted.
        scarce_until_s: a try to get a server failed, and the next is due then; -inf otherwise.
    """

    target: NDArray[np.int64]
    most: NDArray[np.int64]
    startup_s: NDArray[np.float64]
    closed: NDArray[np.uint8]
    starting: NDArray[np.int64]
    ready: NDArray[np.int64]
    allocated: NDArray[np.int64]
    peak: NDArray[np.int64]
    started: NDArray[np.int64]
    failed: NDArray[np.int64]
    server_s: NDArray[np.float64]
    idle_s: NDArray[np.float64]
    counted_s: NDArray[np.float64]
    scarce_until_s: NDArray[np.float64]


class Queue(NamedTuple):
    """The tickets that wait: ``rows`` int32[n], players in order of age, some of them gone already; ``waiting`` int64[R] by home."""

    rows: NDArray[np.int32]
    waiting: NDArray[np.int64]


class Samples(NamedTuple):
    """A look at everything now and then; ``at_s`` [S], then four [S, R], then three [S]. When full, each second one goes."""

    at_s: NDArray[np.float64]
    waiting: NDArray[np.int32]
    starting: NDArray[np.int32]
    ready: NDArray[np.int32]
    allocated: NDArray[np.int32]
    arrived: NDArray[np.int64]
    abandoned: NDArray[np.int64]
    server_s: NDArray[np.float64]


class At(IntEnum):
    """Places in ``World.now``, the counters of the run."""

    CYCLE = 0  # the number of the next matching cycle
    ARRIVED = 1  # players who have arrived
    QUEUED = 2  # rows of the queue in use
    MATCHES = 3
    SAMPLES = 4
    ABANDONED = 5
    CYCLES = 6  # times that the matching kernel was asked
    CAPPED = 7  # times that it saw the window and not the whole queue
    PEAK = 8  # the most servers there were at once, all regions together
    EVERY = 9  # a sample each so many times ``Terms.sample_s``


class World(NamedTuple):
    """All of it; ``now`` is int64[len(At)], ``streams`` uint64[3]: start-ups, match lengths, failures."""

    crowd: Crowd
    fates: Fates
    matches: Matches
    fleet: Fleet
    queue: Queue
    calendar: Calendar
    samples: Samples
    now: NDArray[np.int64]
    streams: NDArray[np.uint64]


def new_world(
    crowd: Crowd,
    terms: Terms,
    *,
    target: NDArray[np.int64],
    most: NDArray[np.int64],
    startup_s: NDArray[np.float64],
    streams: NDArray[np.uint64],
) -> World:
    """The world before anybody arrives, each region with the servers that it wants."""
    players, regions = len(crowd.arrives_s), crowd.rtt_ms.shape[1]
    matches = players // terms.min_players
    ready = np.minimum(target, most)
    for region in range(regions):  # what all regions together may have, the first take
        ready[region] = min(ready[region], max(0, terms.most - int(ready[:region].sum())))

    def counts() -> NDArray[np.int64]:
        return np.zeros(regions, np.int64)

    fleet = Fleet(
        target=target.astype(np.int64),
        most=most.astype(np.int64),
        startup_s=startup_s.astype(np.float64),
        closed=np.zeros(regions, np.uint8),
        starting=counts(),
        ready=ready.copy(),
        allocated=counts(),
        peak=ready.copy(),
        started=ready.copy(),
        failed=counts(),
        server_s=np.zeros(regions),
        idle_s=np.zeros(regions),
        counted_s=np.zeros(regions),
        scarce_until_s=np.full(regions, -np.inf),
    )
    now = np.zeros(len(At), np.int64)
    now[At.PEAK] = ready.sum()
    now[At.EVERY] = 1
    # A server that starts or plays has an entry, and so has each match whose server was killed, until its time is up.
    entries = min(int(most.sum()), terms.most) + matches + 1
    return World(
        crowd,
        Fates(np.zeros(players, np.uint8), np.full(players, np.nan), np.full(players, -1, np.int32)),
        Matches(
            np.zeros(matches, np.uint8),
            np.zeros(matches, np.int16),
            np.zeros(matches, np.int32),
            np.zeros(matches),
            np.zeros(matches),
        ),
        fleet,
        Queue(np.zeros(players, np.int32), counts()),
        empty_calendar(entries),
        Samples(
            np.zeros(SAMPLES),
            *(np.zeros((SAMPLES, regions), np.int32) for _ in range(4)),
            np.zeros(SAMPLES, np.int64),
            np.zeros(SAMPLES, np.int64),
            np.zeros(SAMPLES),
        ),
        now,
        streams,
    )

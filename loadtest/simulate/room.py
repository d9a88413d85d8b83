"""How large the arrays of a simulation are: ``new_world`` allocates them, ``grown`` makes larger ones.

All sizes are known beforehand but one: how many players lose their game server and queue again. Some room is
made for them, as much as a scenario lets expect; where it is used up the run stops, the arrays are doubled,
and the run goes on as if they had always been so large.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from loadtest.simulate.event_queue import EventQueue, empty_event_queue
from loadtest.simulate.world import (
    MAX_SAMPLES,
    Counter,
    FleetState,
    Matches,
    ModeTable,
    Parameters,
    Queue,
    Requeues,
    Samples,
    SimulatedWorld,
    TicketRecords,
    Tickets,
)

LEAST_GROWTH = 256  # spare tickets
# The fields of Tickets that have a row for each; the others are of places.
OF_A_TICKET = (
    "arrives_s",
    "patience_s",
    "skill",
    "size",
    "mode",
    "group",
    "platform",
    "location",
    "access_ms",
    "next_ticket",
)


def new_world(
    tickets: Tickets,
    modes: ModeTable,
    parameters: Parameters,
    *,
    ready: NDArray[np.int64],
    target: NDArray[np.int64],
    max_servers: NDArray[np.int64],
    startup_s: NDArray[np.float64],
    streams: NDArray[np.uint64],
) -> SimulatedWorld:
    """Return the state before the first arrival.

    Args:
        tickets, modes, parameters: of the run; ``tickets`` is changed by it.
        ready: int64[R], servers at the start, cut to what the limits allow.
        target, max_servers: int64[R], see FleetState.
        startup_s: float64[R], see FleetState.
        streams: uint64[5], states of the random streams.
    """
    count, regions = len(tickets.arrives_s), tickets.rtt_ms.shape[1]
    drawn = int(tickets.drawn_count[0])
    spare = count - drawn
    of_mode = np.bincount(tickets.mode[:drawn], minlength=len(modes.players))
    players_of = np.bincount(
        tickets.mode[:drawn], weights=tickets.size[:drawn], minlength=len(modes.players)
    ).astype(np.int64)
    matches = int((players_of // modes.min_players).sum()) + more_matches(modes, spare)
    ready = np.minimum(ready, max_servers)
    for region in range(regions):  # the first regions take what all together may have
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
        answer_s=np.full(regions, np.inf),
        last_answer_s=np.full(regions, -np.inf),
        cut_from_s=np.full(regions, np.inf),
        cut_until_s=np.full(regions, -np.inf),
    )
    counters = np.zeros(len(Counter), np.int64)
    counters[Counter.PEAK] = ready.sum()
    counters[Counter.SAMPLE_EVERY] = 1
    # One entry each: a starting or allocated server, a killed match until its time is up (or two, where it
    # lasts longer than was thought), a resting ticket, a player who will queue again.
    entries = (
        min(int(max_servers.sum()), parameters.max_servers)
        + (2 if spare else 1) * matches
        + count
        - int(tickets.independent_count[0])
        + 1
    )
    return SimulatedWorld(
        tickets,
        Requeues(
            np.zeros(spare),
            np.zeros(spare, np.int32),
            np.zeros(spare, np.int16),
            np.zeros(spare, np.uint8),
            np.zeros(drawn if drawn > int(tickets.independent_count[0]) else 0, np.int32),
        ),
        modes,
        TicketRecords(
            np.zeros(count, np.uint8),
            np.full(count, np.nan),
            np.full(count, -1, np.int32),
            np.full(count, -1, np.int32),
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
            np.zeros(int((of_mode + spare).sum()), np.int32),
            np.concatenate([[0], np.cumsum(of_mode + spare)]).astype(np.int64),
            np.zeros(len(of_mode), np.int64),
            np.zeros((len(of_mode), regions), np.int64),
            counts(),
        ),
        empty_event_queue(entries),
        _no_samples(regions),
        counters,
        streams,
    )


def more_matches(modes: ModeTable, players: int) -> int:
    """Return how many more matches there may be at most if so many more players queue."""
    return 0 if players == 0 else players // int(modes.min_players.min()) + len(modes.players)


def grown(world: SimulatedWorld, players: int) -> SimulatedWorld:
    """Return a world in the same state in which at least ``players`` more players may queue again.

    What it holds is copied, so the world before must not be used any more. It is at least twice as large, so
    that growing costs little in all.
    """
    spare = len(world.requeues.origin)
    left = spare - int(world.counters[Counter.REQUEUED])
    more = max(players - left, spare, LEAST_GROWTH)
    tickets = world.tickets._replace(
        **{name: _longer(getattr(world.tickets, name), more) for name in OF_A_TICKET}
    )
    requeues = world.requeues._replace(
        **{
            name: _longer(getattr(world.requeues, name), more)
            for name in ("aged_s", "origin", "member", "lost")
        }
    )
    matches = more_matches(world.modes, more)
    return world._replace(
        tickets=tickets,
        requeues=requeues,
        records=TicketRecords(
            _longer(world.records.state, more),
            _longer(world.records.assigned_s, more, np.nan),
            _longer(world.records.match, more, -1),
            _longer(world.records.next_in_match, more, -1),
        ),
        matches=Matches(
            _longer(world.matches.state, matches),
            _longer(world.matches.region, matches),
            _longer(world.matches.mode, matches),
            _longer(world.matches.players, matches),
            _longer(world.matches.formed_s, matches),
            _longer(world.matches.ends_s, matches),
            _longer(world.matches.first_ticket, matches, -1),
        ),
        queue=_longer_queue(world.queue, more),
        events=EventQueue(
            np.concatenate(
                [world.events.heap, empty_event_queue(more + 2 * (matches + len(world.matches.state))).heap]
            ),
            world.events.size,
        ),
    )


def _longer(array: NDArray[Any], more: int, value: float = 0) -> NDArray[Any]:
    return np.concatenate([array, np.full(more, value, array.dtype)])


def _longer_queue(queue: Queue, more: int) -> Queue:
    """The queue with room for ``more`` more tickets of each mode."""
    lengths = np.diff(queue.starts) + more
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    rows = np.zeros(int(starts[-1]), np.int32)
    for mode, used in enumerate(queue.used):
        begin = queue.starts[mode]
        rows[starts[mode] : starts[mode] + used] = queue.rows[begin : begin + used]
    return queue._replace(rows=rows, starts=starts)


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

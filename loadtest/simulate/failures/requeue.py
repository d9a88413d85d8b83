"""What players do once they are out of a match: they rest and play another, or they have lost it and queue
again.

The rules are those of a flood's players, of the clients, the matchmaker and the game servers. A client gives
a silent server up after ``TIME_OUT_S``, or after ``ANSWER_S`` where the server has never answered it.

- The server died: by then the matchmaker has made new tickets, as old as those before, and a party's are one
  party's again. Those who lost their servers at one time come at one time: each asks twice, what became of
  the lost ticket and then for the new one, so the first of them is searched for when all have asked once.
- The server lives and cannot be reached: nobody but its players knows. They wait ``FIND_S`` for a new ticket
  and press Play, each alone; while the match goes on without them they are refused, and press again every
  ``POLL_S``. Once their server has committed their results they have a ticket, and it is young. The party is
  together again for the next match of its session.

A player who loses the match after ``MAX_REQUEUES`` such queues is lost. What players do in a match is not
simulated: all of them are there until its end, so all of them queue again.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from loadtest.bots.rng import next_exponential
from loadtest.simulate.event_queue import push_event
from loadtest.simulate.world import Counter, MatchState, Parameters, SimulatedWorld

# Each is checked by a test against where it comes from.
TIME_OUT_S = 5.0  # without a word of the server a client that was connected gives it up
ANSWER_S = 10.0  # and one that was not
FIND_S = 5.0  # for which a player waits for the ticket in place of that of a lost match
POLL_S = 1.0  # between two presses of Play while the match before is not over
COME_S = 45.0  # for which a server waits for the first of its players
MAX_REQUEUES = 3  # of one player

# A request of a herd, with its share of the servers that start for it: in a flood on one machine 160 players
# of killed servers had a match again after 0.7 to 1.9 s. Where more come, more than one machine answers them.
ASK_S = 0.0045
HERD_OF_ONE = 200  # players

WHOLE = -1  # instead of a member: the whole ticket queues again

# An event is a region, match or ticket times four, plus what happens to it.
READY, MATCH_OVER, SERVER_DIED, PLAYERS_RETURN = 0, 1, 2, 3
STARTUPS, MATCH_LENGTHS, DEATHS, RESTS, KILLS = 0, 1, 2, 3, 4  # random streams

_RETURNING, _REQUEUED, _LOST, _PLAYING_NOW = (
    int(Counter.RETURNING),
    int(Counter.REQUEUED),
    int(Counter.LOST),
    int(Counter.PLAYING),
)
_DESERTED = int(MatchState.DESERTED)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def assigned_s(world: SimulatedWorld, parameters: Parameters, match: int) -> float:
    """Return when the players of a match learn where it is."""
    return float(world.matches.formed_s[match] + parameters.place_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def over_s(world: SimulatedWorld, parameters: Parameters, match: int) -> float:
    """Return when a match is over; its server is gone a little later."""
    return float(world.matches.ends_s[match] - parameters.linger_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def rest(world: SimulatedWorld, parameters: Parameters, match: int, now_s: float) -> None:
    """Schedule the return of the players of a match whose session goes on."""
    ticket = world.matches.first_ticket[match]
    while ticket >= 0:
        following = world.tickets.next_ticket[ticket]
        if following >= 0:
            if _is_parted(world, ticket):
                _member_is_back(world, parameters, following, now_s)
            else:
                _return_rested(world, parameters, following, now_s)
        ticket = world.records.next_in_match[ticket]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def leave_party(world: SimulatedWorld, parameters: Parameters, ticket: int, now_s: float) -> None:
    """End the session of whoever holds a ticket, and gave up or is lost.

    The others of a party that was parted go on without them; a whole party leaves together, and nothing is
    to do.
    """
    following = world.tickets.next_ticket[ticket]
    if following >= 0 and _is_parted(world, ticket):
        _shrink(world, following)
        _member_is_back(world, parameters, following, now_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def queue_again(
    world: SimulatedWorld, parameters: Parameters, match: int, died_s: float, before: int, herd: int
) -> None:
    """Let the players of a match whose server died queue again, with their age.

    ``herd``: players who lose their matches at that time; ``before``: those of them who ask before these.
    """
    _lose(world, parameters, match, died_s, -np.inf, before, herd)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def meet_cut(world: SimulatedWorld, parameters: Parameters, match: int) -> None:
    """Let a match meet the cut of its region, which has begun: it goes on, is delayed, or loses its players.

    Call it when the cut begins and for each match that is formed in it.
    """
    region = world.matches.region[match]
    from_s, until_s = world.fleet.cut_from_s[region], world.fleet.cut_until_s[region]
    told_s = assigned_s(world, parameters, match)
    begins_s = told_s + parameters.join_s
    if begins_s <= from_s:
        if until_s - from_s > TIME_OUT_S and over_s(world, parameters, match) > from_s:
            _desert(world, parameters, match, from_s)
    elif until_s <= begins_s:
        return
    elif until_s < told_s + ANSWER_S:  # clients repeat their first datagram, and are answered when it passes
        _end_at(world, match, world.matches.ends_s[match] + until_s - begins_s)
    else:
        _end_at(world, match, told_s + COME_S + parameters.linger_s)
        _desert(world, parameters, match, from_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _end_at(world: SimulatedWorld, match: int, ends_s: float) -> None:
    """Let a match end at another time than was scheduled; the entry of before means nothing any more."""
    world.matches.ends_s[match] = ends_s
    push_event(world.events, ends_s, match * 4 + MATCH_OVER)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _desert(world: SimulatedWorld, parameters: Parameters, match: int, cut_s: float) -> None:
    """Take the players from a match that nobody knows to be lost; its server plays on to the end."""
    world.matches.state[match] = _DESERTED
    world.counters[_PLAYING_NOW] -= world.matches.players[match]
    _lose(world, parameters, match, cut_s, world.matches.ends_s[match], 0, 0)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _lose(
    world: SimulatedWorld,
    parameters: Parameters,
    match: int,
    silent_s: float,
    free_s: float,
    before: int,
    herd: int,
) -> None:
    """Let each player of a match notice that it is lost, and queue again.

    Args:
        silent_s: since when their server is not heard.
        free_s: when their results are committed; -inf: the matchmaker has new tickets for them.
        before, herd: see ``queue_again``.
    """
    tickets, drawn = world.tickets, world.tickets.drawn_count[0]
    told_s = assigned_s(world, parameters, match)
    connected = told_s + parameters.join_s <= silent_s
    region = world.matches.region[match]
    ticket = world.matches.first_ticket[match]
    while ticket >= 0:
        latency_ms = tickets.rtt_ms[tickets.location[ticket], region] + tickets.access_ms[ticket]
        notice_s = silent_s + TIME_OUT_S + latency_ms / 2_000.0 if connected else told_s + ANSWER_S
        size, following = tickets.size[ticket], tickets.next_ticket[ticket]
        if ticket >= drawn and world.requeues.lost[ticket - drawn] >= MAX_REQUEUES:
            world.counters[_LOST] += size
            leave_party(world, parameters, ticket, notice_s)
        elif free_s == -np.inf or _is_parted(world, ticket):
            member = world.requeues.member[ticket - drawn] if ticket >= drawn else WHOLE
            before += size
            _requeue(world, parameters, ticket, member, notice_s, free_s, _asking_s(before, herd))
        else:
            if following >= 0:
                world.requeues.members_out[following] = size
            for member in range(size):
                _requeue(world, parameters, ticket, member, notice_s, free_s, 0.0)
        ticket = world.records.next_in_match[ticket]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _is_parted(world: SimulatedWorld, ticket: int) -> bool:
    """Return whether a ticket is that of one player whose party may be elsewhere."""
    drawn = world.tickets.drawn_count[0]
    return bool(ticket >= drawn and world.requeues.member[ticket - drawn] != WHOLE)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _asking_s(before: int, herd: int) -> float:
    """Return how long it takes until the last of ``before`` players of a herd has asked twice."""
    once_s = ASK_S * min(herd, HERD_OF_ONE)
    return once_s * (1.0 + before / herd) if herd > 0 else 0.0


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _requeue(
    world: SimulatedWorld,
    parameters: Parameters,
    ticket: int,
    member: int,
    notice_s: float,
    free_s: float,
    asking_s: float,
) -> None:
    """Make the next ticket of whoever has lost the match of ``ticket``: of its ``member``, or of the WHOLE.

    There must be a spare one.
    """
    tickets, requeues, drawn = world.tickets, world.requeues, world.tickets.drawn_count[0]
    at = world.counters[_REQUEUED]
    world.counters[_REQUEUED] += 1
    new, again = drawn + at, ticket >= drawn
    requeues.origin[at] = requeues.origin[ticket - drawn] if again else ticket
    requeues.member[at] = member
    requeues.lost[at] = requeues.lost[ticket - drawn] + 1 if again else 1
    if free_s == -np.inf:
        ready_s = notice_s + asking_s
        requeues.aged_s[at] = requeues.aged_s[ticket - drawn] if again else tickets.arrives_s[ticket]
    else:
        ready_s, every_s = notice_s + FIND_S, POLL_S + parameters.login_s
        ready_s += max(0.0, math.ceil((free_s - ready_s) / every_s)) * every_s
        requeues.aged_s[at] = ready_s
    tickets.arrives_s[new] = notice_s
    # Patience counts from when the ticket is there, and the wait from when the match was lost.
    patience_s = tickets.patience_s[requeues.origin[at]]
    tickets.patience_s[new] = patience_s + np.float32(ready_s - notice_s)
    tickets.skill[new] = tickets.skill[ticket]
    tickets.size[new] = tickets.size[ticket] if member == WHOLE else 1
    tickets.mode[new] = tickets.mode[ticket]
    tickets.group[new] = tickets.group[ticket]
    tickets.platform[new] = tickets.platform[ticket]
    tickets.location[new] = tickets.location[ticket]
    tickets.access_ms[new] = tickets.access_ms[ticket]
    tickets.next_ticket[new] = tickets.next_ticket[ticket]
    push_event(world.events, ready_s + parameters.login_s, new * 4 + PLAYERS_RETURN)
    world.counters[_RETURNING] += 1


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _member_is_back(world: SimulatedWorld, parameters: Parameters, following: int, now_s: float) -> None:
    """Note that one player of a party that a lost match has parted is ready for the next match, or gone."""
    world.requeues.members_out[following] -= 1
    if world.requeues.members_out[following] == 0 and world.tickets.size[following] > 0:
        _return_rested(world, parameters, following, now_s)


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _shrink(world: SimulatedWorld, following: int) -> None:
    """Take one player from all later tickets of a session."""
    while following >= 0:
        world.tickets.size[following] -= 1
        following = world.tickets.next_ticket[following]


@njit(cache=True, nogil=True, no_cpython_wrapper=True)
def _return_rested(world: SimulatedWorld, parameters: Parameters, ticket: int, now_s: float) -> None:
    rest_s = parameters.think_s * next_exponential(world.streams, RESTS)
    push_event(world.events, now_s + rest_s + parameters.login_s, ticket * 4 + PLAYERS_RETURN)
    world.counters[_RETURNING] += 1

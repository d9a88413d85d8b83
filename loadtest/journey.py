"""The way of one player through the game: arrive, log in, queue, connect, play, go home. One coroutine a player.

Players arrive when they meant to, whatever became of the others. A request that fails for a passing reason is repeated a few times,
with growing pauses that differ from player to player; what then still fails makes the player lost, and the run says why.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from dedicated_server.protocol.connect_token import BadToken
from loadtest.behaviour_profiles import BehaviourProfile
from loadtest.errors import SwarmError
from loadtest.fates import Fates, State
from loadtest.link_profiles import LinkProfile
from loadtest.lobby import Lobby, Refused, Unavailable
from loadtest.population import Population
from loadtest.scenario import Scenario
from loadtest.session import Circumstances, Line, Played
from matchmaker.client import Assignment

T = TypeVar("T")

TRIES = 4
FIRST_PAUSE_S = 0.25  # doubled from try to try: together up to 2 s, as long as a service takes to restart
CONNECT_TIMEOUT_S = 15.0  # the client itself gives up after 10
OVERTIME_S = 60.0  # a match that is still not over this long after its time has hung
GOODBYE_S = 3.0  # for taking back a ticket when the run is stopped


class FastLane(Protocol):
    """What a journey needs of the swarm."""

    async def join(self, bot: int, connect_token: bytes, line: Line) -> Circumstances:
        """Begin the handshake. Raises BadToken, OSError, SwarmError."""
        ...

    async def leave(self, bot: int) -> Played:
        """Say good-bye. Raises SwarmError."""
        ...


class Lost(Exception):
    """Raised inside a journey when it cannot go on; the text is the reason that the report counts."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What all players of a run have in common.

    Attributes:
        latencies_ms: for each of the population's locations, region → round trip in milliseconds, without the own line.
        clock: seconds since the start of the run.
        device: turns a bot's number into its device id.
    """

    scenario: Scenario
    population: Population
    fates: Fates
    lobby: Lobby
    swarm: FastLane
    latencies_ms: list[dict[str, float]]
    clock: Callable[[], float]
    device: Callable[[int], str]
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))

    def line(self, bot: int) -> LinkProfile:
        """A player's kind of line."""
        return self.scenario.links.profile(self.population.lines[self.population.line[bot]])

    def latencies_of(self, bot: int) -> dict[str, float]:
        """Region → round trip in ms that a player's client measures, its own line included."""
        own_ms = self.line(bot).latency_ms
        return {
            region: rtt_ms + own_ms
            for region, rtt_ms in self.latencies_ms[self.population.location[bot]].items()
        }

    def behaviour(self, bot: int) -> BehaviourProfile:
        """A player's kind."""
        return self.scenario.behaviours.profile(self.population.behaviours[self.population.behaviour[bot]])


async def travel(trip: Trip, bot: int) -> None:
    """One player's whole way; what became of it is in ``trip.fates``. Cancelling it makes the player leave in good order."""
    fates = trip.fates
    intended_s = float(trip.population.arrives_s[bot])
    await asyncio.sleep(intended_s - trip.clock())
    fates.arrived_s[bot] = trip.clock()
    try:
        fates.state[bot] = State.LOGGING_IN
        token = await _patiently(trip, lambda: trip.lobby.log_in(trip.device(bot)))
        assignment = await _queue(trip, bot, token)
        if assignment is not None:
            await _play(trip, bot, assignment)
    except (Lost, SwarmError) as error:
        fates.state[bot], fates.reason[bot] = State.LOST, str(error)
    except asyncio.CancelledError:
        fates.state[bot], fates.reason[bot] = State.CANCELLED, "the run was stopped"
        raise
    finally:
        fates.ended_s[bot] = trip.clock()


async def _queue(trip: Trip, bot: int, token: str) -> Assignment | None:
    """Hold a ticket until it is assigned; None, with the state set, when it never is."""
    fates, scenario = trip.fates, trip.scenario
    latencies_ms = trip.latencies_of(bot)
    ticket_id = await _patiently(
        trip,
        lambda: trip.lobby.open_ticket(
            token,
            mode=trip.population.modes[trip.population.mode[bot]],
            latencies_ms=latencies_ms,
            client_key=trip.device(bot),
        ),
    )
    fates.queued_s[bot] = trip.clock()
    fates.state[bot] = State.QUEUED
    try:
        async with asyncio.timeout(scenario.behaviours.patience_s):
            ticket = await _patiently(trip, lambda: trip.lobby.wait(token, ticket_id))
    except TimeoutError:
        ticket = await _patiently(trip, lambda: trip.lobby.cancel(token, ticket_id))
    except asyncio.CancelledError:
        with contextlib.suppress(Refused, Unavailable, TimeoutError):
            async with asyncio.timeout(GOODBYE_S):
                await trip.lobby.cancel(token, ticket_id)
        raise
    if ticket.assignment is not None:  # also when the cancellation came too late: the match has us, so we go
        fates.assigned_s[bot] = trip.clock()
        fates.region[bot], fates.match[bot] = ticket.assignment.region, ticket.assignment.match_id
        return ticket.assignment
    if ticket.state == "cancelled":
        fates.state[bot], fates.reason[bot] = State.CANCELLED, "waited too long for a match"
    else:
        fates.state[bot] = State.UNMATCHED
        fates.reason[bot] = f"ticket {ticket.state}: {ticket.reason or 'no reason given'}"
    return None


async def _play(trip: Trip, bot: int, assignment: Assignment) -> None:
    """Connect, play to the end or to the death, leave."""
    fates, scenario = trip.fates, trip.scenario
    fates.state[bot] = State.CONNECTING
    latencies_ms = trip.latencies_of(bot)
    line = Line(
        rtt_ms=latencies_ms.get(assignment.region, max(latencies_ms.values())),
        profile=trip.line(bot),
    )
    try:
        told = await trip.swarm.join(bot, base64.b64decode(assignment.connect_token, validate=True), line)
    except (BadToken, binascii.Error) as error:
        raise Lost(f"connect token: {error}") from error
    except OSError as error:
        raise Lost(f"no socket: {error.strerror or error}") from error
    try:
        await _connect(told)
        fates.connected_s[bot] = trip.clock()
        fates.state[bot] = State.PLAYING
        async with asyncio.timeout(scenario.match.duration_s + OVERTIME_S):
            await _until_over(trip, bot, told)
        fates.state[bot] = State.DONE
    except TimeoutError as error:
        raise Lost("the match never ended") from error
    finally:
        await _leave(trip, bot)


async def _connect(told: Circumstances) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            while not told.connected:
                if told.broken:
                    raise Lost("the game server did not let the player in")
                await told.change()
    except TimeoutError as error:
        raise Lost("the game server did not answer the handshake") from error


async def _until_over(trip: Trip, bot: int, told: Circumstances) -> None:
    fates = trip.fates
    while not told.match_over:
        if told.broken:
            raise Lost("the session broke during the match")
        if told.died and fates.state[bot] == State.PLAYING:
            fates.died_s[bot] = trip.clock()
            fates.state[bot] = State.WATCHING
            if trip.behaviour(bot).after_death == "leave":
                return
        await told.change()


async def _leave(trip: Trip, bot: int) -> None:
    """Say good-bye and note what the client knew."""
    fates = trip.fates
    played = await trip.swarm.leave(bot)
    connected_s = trip.clock() - fates.connected_s[bot]
    fates.rtt_ms[bot] = played.rtt_ms
    if connected_s > 0:
        fates.received_kbit_s[bot] = played.received_bytes * 8e-3 / connected_s
        fates.sent_kbit_s[bot] = played.sent_bytes * 8e-3 / connected_s


async def _patiently(trip: Trip, request: Callable[[], Awaitable[T]]) -> T:
    """Make a request, and repeat it where the service could not answer. Raises Lost."""
    pause_s = FIRST_PAUSE_S
    for tries_left in reversed(range(TRIES)):
        try:
            return await request()
        except Refused as error:
            raise Lost(str(error)) from error
        except Unavailable as error:
            if not tries_left:
                raise Lost(str(error)) from error
            await asyncio.sleep(pause_s * (0.5 + trip.rng.random()))
            pause_s *= 2
    raise AssertionError("unreachable")

"""The way of one player through the game: arrive, log in, shop, queue, connect, play, queue again, go home. One coroutine a player.

Players arrive when they meant to, whatever became of the others. A request that fails for a passing reason is repeated, with the pauses
of the scenario; what then still fails makes the player lost, and the run says why. A player whose game server dies goes on with the
ticket that the matchmaker has made of the old one, or queues again, as one would; a player of a restless kind loses the connection and comes back, or is gone without a word.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import contextlib
import math
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
from loadtest.parties import Parties, Wish
from loadtest.population import Population
from loadtest.requests import Requests
from loadtest.scenario import Scenario
from loadtest.session import Circumstances, Line, Played
from matchmaker.client import Assignment

T = TypeVar("T")

MOST_REQUEUES = 3  # for a player whose game servers keep dying
CONNECT_TIMEOUT_S = 15.0  # the client itself gives up after 10
OVERTIME_S = 60.0  # a match that is still not over this long after its time has hung
SAVED_EVERY_S = 0.25  # between two looks whether a match that was left early is over
SAVES_S = 1.0  # from the end of a match until its server has given the players' progress back
GOODBYE_S = 3.0  # for taking back a ticket when the run is stopped


class FastLane(Protocol):
    """What a journey needs of the swarm."""

    async def join(self, bot: int, connect_token: bytes, line: Line) -> Circumstances:
        """Begin the handshake. Raises BadToken, OSError, SwarmError."""
        ...

    async def leave(self, bot: int, *, silently: bool = False) -> Played:
        """Say good-bye, or be gone without one. Raises SwarmError."""
        ...


class Lost(Exception):
    """Raised inside a journey when it cannot go on; the text is the reason that the report counts."""


class SessionBroke(Lost):
    """Raised when the game server is not heard any more, or never was: the player may queue again."""


@dataclass(frozen=True, slots=True)
class Trip:
    """What all players of a run have in common.

    Attributes:
        latencies_ms: for each of the population's locations, region → round trip in milliseconds, without the own line.
        clock: seconds since the start of the run.
        device: turns a bot's number into its device id.
        requests: how the reliable lane answered.
        parties: who queues together.
        ended: ids of matches that some player saw to their end.
    """

    scenario: Scenario
    population: Population
    fates: Fates
    lobby: Lobby
    swarm: FastLane
    latencies_ms: list[dict[str, float]]
    clock: Callable[[], float]
    device: Callable[[int], str]
    parties: Parties
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    requests: Requests = field(default_factory=Requests)
    ended: set[str] = field(default_factory=set)

    def chance(self) -> float:
        """The next uniform random number of all journeys."""
        return float(self.rng.random())

    def some_s(self, mean_s: float) -> float:
        """A random time (exponential), or for ever where the mean is 0."""
        return float(self.rng.exponential(mean_s)) if mean_s > 0 else math.inf

    def mode(self, bot: int) -> str:
        """The mode that a player plays."""
        modes: tuple[str, ...] = self.population.modes
        return modes[int(self.population.mode[bot])]

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
    fates, party = trip.fates, trip.parties.of[bot]
    intended_s = float(trip.population.arrives_s[bot])
    await asyncio.sleep(intended_s - trip.clock())
    fates.arrived_s[bot] = trip.clock()
    try:
        fates.state[bot] = State.LOGGING_IN
        player = await _patiently(trip, "log in", lambda: trip.lobby.log_in(trip.device(bot)))
        fates.player_id[bot] = player.player_id
        if trip.behaviour(bot).shops:
            await _shop(trip, bot, player.token)
            intended_s = trip.clock()
        while await _match(trip, bot, player.token, intended_s) and party.goes_on(
            bot, lambda: _goes_on(trip)
        ):
            fates.state[bot] = State.THINKING
            await _until_saved(trip, bot)
            await asyncio.sleep(trip.some_s(trip.scenario.behaviours.think_s))
            intended_s = trip.clock()
    except (Lost, SwarmError) as error:
        fates.state[bot], fates.reason[bot] = State.LOST, str(error)
    except asyncio.CancelledError:
        fates.state[bot], fates.reason[bot] = State.CANCELLED, "the run was stopped"
        raise
    finally:
        party.leave(bot)
        fates.ended_s[bot] = trip.clock()


async def _until_saved(trip: Trip, bot: int) -> None:
    """Wait for the end of a match that was left early.

    Its server holds the player's progress until then, and no other server would let the player in.
    """
    match_id = trip.fates.match[bot]
    if match_id in trip.ended:
        return
    latest_s = trip.clock() + trip.scenario.modes[trip.mode(bot)].duration_s + OVERTIME_S
    while match_id not in trip.ended and trip.clock() < latest_s:  # noqa: ASYNC110 - who notes ends tells nobody
        await asyncio.sleep(SAVED_EVERY_S)
    await asyncio.sleep(SAVES_S)


def _goes_on(trip: Trip) -> bool:
    """Whether a player who has played wants another match."""
    return trip.chance() < 1.0 - 1.0 / trip.scenario.behaviours.matches


async def _shop(trip: Trip, bot: int, token: str) -> None:
    """Look at what is for sale, take what is free, change skin; so many times."""
    kind = trip.behaviour(bot)
    trip.fates.state[bot] = State.SHOPPING
    for visit in range(kind.shops):
        key = f"{trip.device(bot)}-{visit}"
        await _patiently(trip, "shop", lambda key=key: trip.lobby.shop(token, key))  # type: ignore[misc]
        await asyncio.sleep(trip.some_s(kind.shop_pause_s) if kind.shop_pause_s else 0.0)


async def _match(trip: Trip, bot: int, token: str, intended_s: float) -> bool:
    """Queue with the party and play one match, again, and alone, where the game server dies.

    False, with the state set, where none came of it.
    """
    fates = trip.fates
    play = await trip.parties.of[bot].gather(bot, intended_s)
    intended_s, wish = play.intended_s, play.wish
    ticket_id: str | None = None
    for requeues_left in reversed(range(MOST_REQUEUES + 1)):
        if ticket_id is None:
            ticket_id = await _open_ticket(trip, bot, token, wish)
        assignment = await _wait(trip, bot, token, ticket_id)
        if assignment is None:
            return False
        trip.parties.matched(wish, assignment.match_id)
        wish = None
        fates.waited(bot, trip.clock() - intended_s, assignment.region)
        try:
            await _play(trip, bot, assignment)
        except SessionBroke:
            if not requeues_left:
                raise
            fates.requeues[bot] += 1
            intended_s = trip.clock()
            ticket_id = await _requeued(trip, bot, token, ticket_id)
        else:
            return True
    raise AssertionError("unreachable")


async def _requeued(trip: Trip, bot: int, token: str, lost_id: str) -> str | None:
    """The ticket that the matchmaker has made of that of a lost match; None where it has not."""
    ticket_id = await _patiently(
        trip, "ask after a lost match", lambda: trip.lobby.requeued(token, lost_id), timed=False
    )
    if ticket_id is not None:
        trip.fates.tickets_opened[bot] += 1
        trip.fates.salvaged[bot] += 1
    return ticket_id


async def _open_ticket(trip: Trip, bot: int, token: str, party: Wish | None) -> str:
    """Ask for a match; the ticket's id."""
    latencies_ms = trip.latencies_of(bot)
    mode = trip.mode(bot)
    client_key = f"{trip.device(bot)}-{trip.fates.tickets_opened[bot]}"
    ticket_id = await _patiently(
        trip,
        "open a ticket",
        lambda: trip.lobby.open_ticket(
            token, mode=mode, latencies_ms=latencies_ms, client_key=client_key, party=party
        ),
    )
    trip.fates.tickets_opened[bot] += 1
    return ticket_id


async def _wait(trip: Trip, bot: int, token: str, ticket_id: str) -> Assignment | None:
    """Hold a ticket until it is assigned; None, with the state set, when it never is."""
    fates, scenario = trip.fates, trip.scenario
    fates.queued_s[bot] = trip.clock()
    fates.state[bot] = State.QUEUED
    try:
        async with asyncio.timeout(scenario.behaviours.patience_s):
            ticket = await _patiently(
                trip, "wait for a match", lambda: trip.lobby.wait(token, ticket_id), timed=False
            )
    except TimeoutError:
        ticket = await _patiently(trip, "cancel", lambda: trip.lobby.cancel(token, ticket_id))
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
    fates = trip.fates
    fates.state[bot] = State.CONNECTING
    latencies_ms = trip.latencies_of(bot)
    line = Line(
        rtt_ms=latencies_ms.get(assignment.region, max(latencies_ms.values())),
        profile=trip.line(bot),
        region=assignment.region,
    )
    try:
        connect_token = base64.b64decode(assignment.connect_token, validate=True)
        seat = Seat(trip, bot, connect_token, line)
        await seat.take()
    except (BadToken, binascii.Error) as error:
        raise Lost(f"connect token: {error}") from error
    except OSError as error:
        raise Lost(f"no socket: {error.strerror or error}") from error
    try:
        await _connect(seat.told)
        fates.connected_s[bot] = trip.clock()
        fates.state[bot] = State.PLAYING
        async with asyncio.timeout(trip.scenario.modes[trip.mode(bot)].duration_s + OVERTIME_S):
            await _until_over(trip, bot, seat)
        fates.state[bot] = State.DONE
    except TimeoutError as error:
        raise Lost("the match never ended") from error
    finally:
        await seat.leave()


class Seat:
    """A player's place on a game server: taken, lost, taken again, left."""

    def __init__(self, trip: Trip, bot: int, connect_token: bytes, line: Line) -> None:
        self._trip, self._bot, self._token, self._line = trip, bot, connect_token, line
        self._taken = False
        self.told = Circumstances()

    async def take(self) -> None:
        """Begin the handshake, for the first time or again. Raises BadToken, OSError, SwarmError."""
        self.told = await self._trip.swarm.join(self._bot, self._token, self._line)
        self._taken = True

    async def leave(self, *, silently: bool = False) -> None:
        """Say good-bye, or be gone without one, and note what the client knew; nothing where the seat is left already."""
        if not self._taken:
            return
        self._taken = False
        trip, bot = self._trip, self._bot
        played = await trip.swarm.leave(bot, silently=silently)
        connected_s = trip.clock() - trip.fates.connected_s[bot]
        trip.fates.rtt_ms[bot] = played.rtt_ms
        if connected_s > 0:
            trip.fates.received_kbit_s[bot] = played.received_bytes * 8e-3 / connected_s
            trip.fates.sent_kbit_s[bot] = played.sent_bytes * 8e-3 / connected_s


async def _connect(told: Circumstances) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            while not told.connected:
                if told.broken:
                    raise SessionBroke("the game server did not let the player in")
                await told.change()
    except TimeoutError as error:
        raise SessionBroke("the game server did not answer the handshake") from error


async def _until_over(trip: Trip, bot: int, seat: Seat) -> None:
    """Play until the match is over, or until the player's kind has it leave."""
    fates, kind = trip.fates, trip.behaviour(bot)
    quits_s = trip.clock() + trip.some_s(kind.quits_after_s)
    drops_s = trip.clock() + trip.some_s(kind.drops_every_s)
    while not seat.told.match_over:
        if seat.told.broken:
            raise SessionBroke("the session broke during the match")
        if seat.told.died and fates.state[bot] == State.PLAYING:
            fates.died_s[bot] = trip.clock()
            fates.state[bot] = State.WATCHING
            if kind.after_death == "leave":
                return
        restless_s = min(quits_s, drops_s) if fates.state[bot] == State.PLAYING else math.inf
        if trip.clock() < restless_s:
            with contextlib.suppress(TimeoutError):
                patience_s = None if restless_s == math.inf else restless_s - trip.clock()
                async with asyncio.timeout(patience_s):
                    await seat.told.change()
        elif quits_s <= drops_s:
            fates.quits[bot] += 1
            await seat.leave(silently=True)
            return
        else:
            if not await _drop_out_and_come_back(trip, bot, seat):
                return
            drops_s = trip.clock() + trip.some_s(kind.drops_every_s)
    trip.ended.add(fates.match[bot])


async def _drop_out_and_come_back(trip: Trip, bot: int, seat: Seat) -> bool:
    """Lose the connection for a while; False where the match was over meanwhile."""
    fates = trip.fates
    fates.drops[bot] += 1
    await seat.leave(silently=True)
    await asyncio.sleep(trip.behaviour(bot).away_s)
    try:
        await seat.take()
        await _connect(seat.told)
    except SessionBroke as error:
        if fates.match[bot] in trip.ended:
            return False
        raise SessionBroke("the player could not come back into the match") from error
    fates.returns[bot] += 1
    return True


async def _patiently(trip: Trip, kind: str, request: Callable[[], Awaitable[T]], *, timed: bool = True) -> T:
    """Make a request, and repeat it where the service could not answer. Raises Lost."""
    try:
        return await trip.requests.ask(
            kind, request, trip.scenario.behaviours.retries, trip.clock, trip.chance, timed=timed
        )
    except (Refused, Unavailable) as error:
        raise Lost(str(error)) from error

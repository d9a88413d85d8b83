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

from dedicated_server.protocol.connect_token import ConnectTokenError
from loadtest.bots.session import PlayerLink, SessionStatistics, SessionStatus
from loadtest.errors import SwarmError
from loadtest.players.backend_client import BackendClient, BackendRefusedError, BackendUnavailableError
from loadtest.players.parties import BotParties, PartyTicket
from loadtest.players.player_records import PlayerRecords, PlayerState
from loadtest.players.requests import RequestLog
from loadtest.scenario.behaviour_profiles import BehaviourProfile
from loadtest.scenario.link_profiles import LinkProfile
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import Population
from matchmaker.client import Assignment

T = TypeVar("T")

MAX_REQUEUES = 3  # for a player whose game servers keep dying
CONNECT_TIMEOUT_S = 15.0  # the client itself gives up after 10
OVERTIME_S = 60.0  # a match that is still not over this long after its time has hung
MATCH_END_POLL_S = 0.25  # between two looks whether a match that was left early is over
COMMIT_GRACE_S = 1.0  # from the end of a match until its server has given the players' progress back
CANCEL_TIMEOUT_S = 3.0  # for taking back a ticket when the run is stopped


class FastLane(Protocol):
    """What a journey needs of the swarm."""

    async def join(self, bot: int, connect_token: bytes, line: PlayerLink) -> SessionStatus:
        """Begin the handshake. Raises BadToken, OSError, SwarmError."""
        ...

    async def leave(self, bot: int, *, silently: bool = False) -> SessionStatistics:
        """Say good-bye, or be gone without one. Raises SwarmError."""
        ...


class PlayerLostError(Exception):
    """Raised inside a journey when it cannot go on; the text is the reason that the report counts."""


class SessionBrokenError(PlayerLostError):
    """Raised when the game server is not heard any more, or never was: the player may queue again."""


@dataclass(frozen=True, slots=True)
class RunContext:
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
    records: PlayerRecords
    backend: BackendClient
    swarm: FastLane
    latencies_ms: list[dict[str, float]]
    clock: Callable[[], float]
    device_id: Callable[[int], str]
    parties: BotParties
    rng: np.random.Generator = field(default_factory=lambda: np.random.default_rng(0))
    requests: RequestLog = field(default_factory=RequestLog)
    ended_matches: set[str] = field(default_factory=set)

    def uniform(self) -> float:
        """The next uniform random number of all journeys."""
        return float(self.rng.random())

    def exponential_s(self, mean_s: float) -> float:
        """A random time (exponential), or for ever where the mean is 0."""
        return float(self.rng.exponential(mean_s)) if mean_s > 0 else math.inf

    def mode_of(self, bot: int) -> str:
        """The mode that a player plays."""
        modes: tuple[str, ...] = self.population.modes
        return modes[int(self.population.mode[bot])]

    def link_profile_of(self, bot: int) -> LinkProfile:
        """A player's kind of line."""
        return self.scenario.links.profile(self.population.link_kinds[self.population.link_kind[bot]])

    def latencies_of(self, bot: int) -> dict[str, float]:
        """Region → round trip in ms that a player's client measures, its own line included."""
        own_ms = self.link_profile_of(bot).latency_ms
        return {
            region: rtt_ms + own_ms
            for region, rtt_ms in self.latencies_ms[self.population.location[bot]].items()
        }

    def behaviour_of(self, bot: int) -> BehaviourProfile:
        """A player's kind."""
        return self.scenario.behaviours.profile(self.population.behaviours[self.population.behaviour[bot]])


async def run_player(context: RunContext, bot: int) -> None:
    """One player's whole way; what became of it is in ``context.records``. Cancelling it makes the player leave in good order."""
    records, party = context.records, context.parties.by_player[bot]
    intended_s = float(context.population.arrives_s[bot])
    await asyncio.sleep(intended_s - context.clock())
    records.arrived_s[bot] = context.clock()
    try:
        records.state[bot] = PlayerState.LOGGING_IN
        player = await _patiently(context, "log in", lambda: context.backend.log_in(context.device_id(bot)))
        records.player_id[bot] = player.player_id
        if context.behaviour_of(bot).shops:
            await _shop(context, bot, player.token)
            intended_s = context.clock()
        while await _match(context, bot, player.token, intended_s) and party.plays_again(
            bot, lambda: _goes_on(context)
        ):
            records.state[bot] = PlayerState.THINKING
            await _until_saved(context, bot)
            await asyncio.sleep(context.exponential_s(context.scenario.behaviours.think_s))
            intended_s = context.clock()
    except (PlayerLostError, SwarmError) as error:
        records.state[bot], records.reason[bot] = PlayerState.LOST, str(error)
    except asyncio.CancelledError:
        records.state[bot], records.reason[bot] = PlayerState.CANCELLED, "the run was stopped"
        raise
    finally:
        party.leave(bot)
        records.ended_s[bot] = context.clock()


async def _until_saved(context: RunContext, bot: int) -> None:
    """Wait for the end of a match that was left early.

    Its server holds the player's progress until then, and no other server would let the player in.
    """
    match_id = context.records.match_id[bot]
    if match_id in context.ended_matches:
        return
    latest_s = context.clock() + context.scenario.modes[context.mode_of(bot)].duration_s + OVERTIME_S
    while match_id not in context.ended_matches and context.clock() < latest_s:  # noqa: ASYNC110 - who notes ends tells nobody
        await asyncio.sleep(MATCH_END_POLL_S)
    await asyncio.sleep(COMMIT_GRACE_S)


def _goes_on(context: RunContext) -> bool:
    """Whether a player who has played wants another match."""
    return context.uniform() < 1.0 - 1.0 / context.scenario.behaviours.matches


async def _shop(context: RunContext, bot: int, token: str) -> None:
    """Look at what is for sale, take what is free, change skin; so many times."""
    kind = context.behaviour_of(bot)
    context.records.state[bot] = PlayerState.SHOPPING
    for visit in range(kind.shops):
        key = f"{context.device_id(bot)}-{visit}"
        await _patiently(context, "shop", lambda key=key: context.backend.shop(token, key))  # type: ignore[misc]
        await asyncio.sleep(context.exponential_s(kind.shop_pause_s) if kind.shop_pause_s else 0.0)


async def _match(context: RunContext, bot: int, token: str, intended_s: float) -> bool:
    """Queue with the party and play one match, again, and alone, where the game server dies.

    False, with the state set, where none came of it.
    """
    records = context.records
    play = await context.parties.by_player[bot].wait_for_members(bot, intended_s)
    intended_s, wish = play.intended_s, play.party
    ticket_id: str | None = None
    for requeues_left in reversed(range(MAX_REQUEUES + 1)):
        if ticket_id is None:
            ticket_id = await _open_ticket(context, bot, token, wish)
        assignment = await _wait(context, bot, token, ticket_id)
        if assignment is None:
            return False
        context.parties.record_match(wish, assignment.match_id)
        wish = None
        records.record_wait(bot, context.clock() - intended_s, assignment.region)
        try:
            await _play(context, bot, assignment)
        except SessionBrokenError:
            if not requeues_left:
                raise
            records.requeues[bot] += 1
            intended_s = context.clock()
            ticket_id = await _requeued(context, bot, token, ticket_id)
        else:
            return True
    raise AssertionError("unreachable")


async def _requeued(context: RunContext, bot: int, token: str, lost_id: str) -> str | None:
    """The ticket that the matchmaker has made of that of a lost match; None where it has not."""
    ticket_id = await _patiently(
        context, "ask after a lost match", lambda: context.backend.requeued(token, lost_id), timed=False
    )
    if ticket_id is not None:
        context.records.tickets_opened[bot] += 1
        context.records.requeues_with_age[bot] += 1
    return ticket_id


async def _open_ticket(context: RunContext, bot: int, token: str, party: PartyTicket | None) -> str:
    """Ask for a match; the ticket's id."""
    latencies_ms = context.latencies_of(bot)
    mode = context.mode_of(bot)
    client_key = f"{context.device_id(bot)}-{context.records.tickets_opened[bot]}"
    ticket_id = await _patiently(
        context,
        "open a ticket",
        lambda: context.backend.open_ticket(
            token, mode=mode, latencies_ms=latencies_ms, client_key=client_key, party=party
        ),
    )
    context.records.tickets_opened[bot] += 1
    return ticket_id


async def _wait(context: RunContext, bot: int, token: str, ticket_id: str) -> Assignment | None:
    """Hold a ticket until it is assigned; None, with the state set, when it never is."""
    records, scenario = context.records, context.scenario
    records.queued_s[bot] = context.clock()
    records.state[bot] = PlayerState.QUEUED
    try:
        async with asyncio.timeout(scenario.behaviours.patience_s):
            ticket = await _patiently(
                context, "wait for a match", lambda: context.backend.wait(token, ticket_id), timed=False
            )
    except TimeoutError:
        ticket = await _patiently(context, "cancel", lambda: context.backend.cancel(token, ticket_id))
    except asyncio.CancelledError:
        with contextlib.suppress(BackendRefusedError, BackendUnavailableError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await context.backend.cancel(token, ticket_id)
        raise
    if ticket.assignment is not None:  # also when the cancellation came too late: the match has us, so we go
        records.assigned_s[bot] = context.clock()
        records.region[bot], records.match_id[bot] = ticket.assignment.region, ticket.assignment.match_id
        return ticket.assignment
    if ticket.state == "cancelled":
        records.state[bot], records.reason[bot] = PlayerState.CANCELLED, "waited too long for a match"
    else:
        records.state[bot] = PlayerState.UNMATCHED
        records.reason[bot] = f"ticket {ticket.state}: {ticket.reason or 'no reason given'}"
    return None


async def _play(context: RunContext, bot: int, assignment: Assignment) -> None:
    """Connect, play to the end or to the death, leave."""
    records = context.records
    records.state[bot] = PlayerState.CONNECTING
    latencies_ms = context.latencies_of(bot)
    line = PlayerLink(
        rtt_ms=latencies_ms.get(assignment.region, max(latencies_ms.values())),
        profile=context.link_profile_of(bot),
        region=assignment.region,
    )
    try:
        connect_token = base64.b64decode(assignment.connect_token, validate=True)
        seat = GameSession(context, bot, connect_token, line)
        await seat.connect()
    except (ConnectTokenError, binascii.Error) as error:
        raise PlayerLostError(f"connect token: {error}") from error
    except OSError as error:
        raise PlayerLostError(f"no socket: {error.strerror or error}") from error
    try:
        await _connect(seat.status)
        records.connected_s[bot] = context.clock()
        records.state[bot] = PlayerState.PLAYING
        async with asyncio.timeout(context.scenario.modes[context.mode_of(bot)].duration_s + OVERTIME_S):
            await _until_over(context, bot, seat)
        records.state[bot] = PlayerState.DONE
    except TimeoutError as error:
        raise PlayerLostError("the match never ended") from error
    finally:
        await seat.leave()


class GameSession:
    """A player's place on a game server: taken, lost, taken again, left."""

    def __init__(self, context: RunContext, bot: int, connect_token: bytes, line: PlayerLink) -> None:
        self._trip, self._bot, self._token, self._line = context, bot, connect_token, line
        self._taken = False
        self.status = SessionStatus()

    async def connect(self) -> None:
        """Begin the handshake, for the first time or again. Raises BadToken, OSError, SwarmError."""
        self.status = await self._trip.swarm.join(self._bot, self._token, self._line)
        self._taken = True

    async def leave(self, *, silently: bool = False) -> None:
        """Say good-bye, or be gone without one, and note what the client knew; nothing where the seat is left already."""
        if not self._taken:
            return
        self._taken = False
        context, bot = self._trip, self._bot
        played = await context.swarm.leave(bot, silently=silently)
        connected_s = context.clock() - context.records.connected_s[bot]
        context.records.rtt_ms[bot] = played.rtt_ms
        if connected_s > 0:
            context.records.received_kbit_s[bot] = played.received_bytes * 8e-3 / connected_s
            context.records.sent_kbit_s[bot] = played.sent_bytes * 8e-3 / connected_s


async def _connect(told: SessionStatus) -> None:
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            while not told.connected:
                if told.broken:
                    raise SessionBrokenError("the game server did not let the player in")
                await told.wait_for_change()
    except TimeoutError as error:
        raise SessionBrokenError("the game server did not answer the handshake") from error


async def _until_over(context: RunContext, bot: int, seat: GameSession) -> None:
    """Play until the match is over, or until the player's kind has it leave."""
    records, kind = context.records, context.behaviour_of(bot)
    quits_s = context.clock() + context.exponential_s(kind.quits_after_s)
    drops_s = context.clock() + context.exponential_s(kind.drops_every_s)
    while not seat.status.match_over:
        if seat.status.broken:
            raise SessionBrokenError("the session broke during the match")
        if seat.status.died and records.state[bot] == PlayerState.PLAYING:
            records.died_s[bot] = context.clock()
            records.state[bot] = PlayerState.WATCHING
            if kind.after_death == "leave":
                return
        restless_s = min(quits_s, drops_s) if records.state[bot] == PlayerState.PLAYING else math.inf
        if context.clock() < restless_s:
            with contextlib.suppress(TimeoutError):
                patience_s = None if restless_s == math.inf else restless_s - context.clock()
                async with asyncio.timeout(patience_s):
                    await seat.status.wait_for_change()
        elif quits_s <= drops_s:
            records.quits[bot] += 1
            await seat.leave(silently=True)
            return
        else:
            if not await _drop_out_and_come_back(context, bot, seat):
                return
            drops_s = context.clock() + context.exponential_s(kind.drops_every_s)
    context.ended_matches.add(records.match_id[bot])


async def _drop_out_and_come_back(context: RunContext, bot: int, seat: GameSession) -> bool:
    """Lose the connection for a while; False where the match was over meanwhile."""
    records = context.records
    records.disconnects[bot] += 1
    await seat.leave(silently=True)
    await asyncio.sleep(context.behaviour_of(bot).away_s)
    try:
        await seat.connect()
        await _connect(seat.status)
    except SessionBrokenError as error:
        if records.match_id[bot] in context.ended_matches:
            return False
        raise SessionBrokenError("the player could not come back into the match") from error
    records.reconnects[bot] += 1
    return True


async def _patiently(
    context: RunContext, kind: str, request: Callable[[], Awaitable[T]], *, timed: bool = True
) -> T:
    """Make a request, and repeat it where the service could not answer. Raises Lost."""
    try:
        return await context.requests.send(
            kind, request, context.scenario.behaviours.retries, context.clock, context.uniform, timed=timed
        )
    except (BackendRefusedError, BackendUnavailableError) as error:
        raise PlayerLostError(str(error)) from error

"""The journey of one player through the game, one coroutine per player.

The steps: arrive, log in, shop, queue, play (``game_session``), queue again, leave. Players arrive when they
meant to, whatever became of the others. A request that fails for a passing reason is repeated with the
scenario's pauses; if it still fails the player is lost, and the run reports why. A player whose game server
dies continues with the ticket that the matchmaker has made in place of the old one, or queues again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loadtest.errors import (
    BackendRefusedError,
    BackendUnavailableError,
    PlayerLostError,
    SessionBrokenError,
    SwarmError,
)
from loadtest.players.game_session import max_match_s, play_match
from loadtest.players.parties import PartyTicket
from loadtest.players.player_records import PlayerState
from loadtest.players.run_context import RunContext
from matchmaker.client import Assignment

T = TypeVar("T")

MAX_REQUEUES = 3  # of one player whose game servers keep dying
MATCH_END_POLL_S = 0.25  # how often a player who left early checks whether the match is over
COMMIT_GRACE_S = 1.0  # from the end of a match until its server has committed the players' progress
CANCEL_TIMEOUT_S = 3.0  # for cancelling a ticket when the run is stopped


async def run_player(context: RunContext, bot: int) -> None:
    """Run the whole journey of one player; what became of them is in ``context.records``.

    Cancelling it makes the player leave in good order: the ticket is cancelled, the game server gets a
    good-bye.
    """
    records, party = context.records, context.parties.by_player[bot]
    intended_s = float(context.population.arrives_s[bot])
    await asyncio.sleep(intended_s - context.clock())
    records.arrived_s[bot] = context.clock()
    try:
        records.state[bot] = PlayerState.LOGGING_IN
        device_id = context.device_id(bot)
        player = await _request(context, "log in", lambda: context.backend.log_in(device_id))
        records.player_id[bot] = player.player_id
        if context.behaviour_of(bot).shops:
            await _shop(context, bot, player.token)
            intended_s = context.clock()
        while await _queue_and_play(context, bot, player.token, intended_s) and party.plays_again(
            bot, lambda: _wants_another_match(context)
        ):
            records.state[bot] = PlayerState.THINKING
            await _wait_for_commit(context, bot)
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


async def _shop(context: RunContext, bot: int, token: str) -> None:
    """Visit the shop as often as this kind of player does."""
    kind = context.behaviour_of(bot)
    context.records.state[bot] = PlayerState.SHOPPING
    for visit in range(kind.shops):
        key = f"{context.device_id(bot)}-{visit}"
        await _request(context, "shop", lambda key=key: context.backend.shop(token, key))  # type: ignore[misc]
        await asyncio.sleep(context.exponential_s(kind.shop_pause_s) if kind.shop_pause_s else 0.0)


async def _queue_and_play(context: RunContext, bot: int, token: str, intended_s: float) -> bool:
    """Queue with the party and play one match; again, and alone, where the game server dies.

    Returns:
        False, with the state set, where the player got no match.
    """
    records = context.records
    play = await context.parties.by_player[bot].wait_for_members(bot, intended_s)
    intended_s, party = play.intended_s, play.party
    ticket_id: str | None = None
    for requeues_left in reversed(range(MAX_REQUEUES + 1)):
        if ticket_id is None:
            ticket_id = await _open_ticket(context, bot, token, party)
        assignment = await _wait_for_match(context, bot, token, ticket_id)
        if assignment is None:
            return False
        context.parties.record_match(party, assignment.match_id)
        party = None
        records.record_wait(bot, context.clock() - intended_s, assignment.region)
        try:
            await play_match(context, bot, assignment)
        except SessionBrokenError:
            if not requeues_left:
                raise
            records.requeues[bot] += 1
            intended_s = context.clock()
            ticket_id = await _find_requeued_ticket(context, bot, token, ticket_id)
        else:
            return True
    raise AssertionError("unreachable")


async def _open_ticket(context: RunContext, bot: int, token: str, party: PartyTicket | None) -> str:
    """Ask for a match; the ticket's id."""
    mode, latencies_ms = context.mode_of(bot), context.latencies_of(bot)
    client_key = f"{context.device_id(bot)}-{context.records.tickets_opened[bot]}"
    ticket_id = await _request(
        context,
        "open a ticket",
        lambda: context.backend.open_ticket(
            token, mode=mode, latencies_ms=latencies_ms, client_key=client_key, party=party
        ),
    )
    context.records.tickets_opened[bot] += 1
    return ticket_id


async def _wait_for_match(context: RunContext, bot: int, token: str, ticket_id: str) -> Assignment | None:
    """Hold a ticket until it is assigned; None, with the state set, where it never is."""
    records, backend = context.records, context.backend
    records.queued_s[bot] = context.clock()
    records.state[bot] = PlayerState.QUEUED
    try:
        async with asyncio.timeout(context.scenario.behaviours.patience_s):
            ticket = await _request(
                context, "wait for a match", lambda: backend.wait(token, ticket_id), timed=False
            )
    except TimeoutError:
        ticket = await _request(context, "cancel", lambda: backend.cancel(token, ticket_id))
    except asyncio.CancelledError:
        with contextlib.suppress(BackendRefusedError, BackendUnavailableError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await backend.cancel(token, ticket_id)
        raise
    if (
        ticket.assignment is not None
    ):  # also where the cancellation came too late: the match has a slot for us
        records.assigned_s[bot] = context.clock()
        records.region[bot], records.match_id[bot] = ticket.assignment.region, ticket.assignment.match_id
        return ticket.assignment
    if ticket.state == "cancelled":
        records.state[bot], records.reason[bot] = PlayerState.CANCELLED, "waited too long for a match"
    else:
        records.state[bot] = PlayerState.UNMATCHED
        records.reason[bot] = f"ticket {ticket.state}: {ticket.reason or 'no reason given'}"
    return None


async def _find_requeued_ticket(context: RunContext, bot: int, token: str, lost_id: str) -> str | None:
    """The ticket that the matchmaker has made in place of that of a lost match; None where it has not."""
    ticket_id = await _request(
        context,
        "ask after a lost match",
        lambda: context.backend.requeued(token, lost_id),
        timed=False,
    )
    if ticket_id is not None:
        context.records.tickets_opened[bot] += 1
        context.records.requeues_with_age[bot] += 1
    return ticket_id


async def _wait_for_commit(context: RunContext, bot: int) -> None:
    """Wait for the end of a match that the player left early.

    Until then its game server holds the lease on the player's progress, and no other server may let the
    player in.
    """
    match_id, ended = context.records.match_id[bot], context.ended_matches
    if match_id in ended:
        return
    latest_s = context.clock() + max_match_s(context, bot)
    while match_id not in ended and context.clock() < latest_s:  # noqa: ASYNC110 - a plain set signals nothing
        await asyncio.sleep(MATCH_END_POLL_S)
    await asyncio.sleep(COMMIT_GRACE_S)


def _wants_another_match(context: RunContext) -> bool:
    return context.uniform() < 1.0 - 1.0 / context.scenario.behaviours.matches


async def _request(
    context: RunContext, kind: str, request: Callable[[], Awaitable[T]], *, timed: bool = True
) -> T:
    """Make a request, and repeat it where the service could not answer. Raises PlayerLostError."""
    retries = context.scenario.behaviours.retries
    try:
        return await context.requests.send(
            kind, request, retries, context.clock, context.uniform, timed=timed
        )
    except (BackendRefusedError, BackendUnavailableError) as error:
        raise PlayerLostError(str(error)) from error

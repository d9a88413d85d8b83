"""A player's ticket: how they ask for a match, wait for it, cancel it, and come back into the match."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TypeVar

from loadtest.errors import (
    BackendRefusedError,
    BackendUnavailableError,
    PlayerInMatchError,
    PlayerLostError,
)
from loadtest.players.game_session import max_match_s
from loadtest.players.parties import PartyTicket
from loadtest.players.player_records import PlayerState, Wait, WaitEnd
from loadtest.players.run_context import RunContext
from matchmaker.client import Assignment

T = TypeVar("T")

CANCEL_TIMEOUT_S = 3.0  # for cancelling a ticket when the run is stopped
IN_MATCH_POLL_S = 1.0  # between two presses of Play of a player whose last match is not over
KEPT_TICKET_SHARE = 0.5  # of the crashed clients, that have stored their ticket


async def ask(
    context: RunContext, kind: str, request: Callable[[], Awaitable[T]], *, timed: bool = True
) -> T:
    """Make a request, and repeat it where the service could not answer.

    Raises PlayerLostError, and PlayerInMatchError where a player may not queue because they are in a match.
    """
    retries = context.scenario.behaviours.retries
    try:
        return await context.requests.send(
            kind, request, retries, context.clock, context.uniform, timed=timed
        )
    except PlayerInMatchError:
        raise
    except (BackendRefusedError, BackendUnavailableError) as error:
        raise PlayerLostError(str(error)) from error


async def open_ticket(context: RunContext, bot: int, token: str, party: PartyTicket | None) -> str:
    """Ask for a match, again and again while the one before is not over; the ticket's id."""
    latest_s = context.clock() + max_match_s(context, bot)
    while True:
        try:
            return await _new_ticket(context, bot, token, party)
        except PlayerInMatchError as error:
            if context.clock() > latest_s:
                raise PlayerLostError(str(error)) from error
            await asyncio.sleep(IN_MATCH_POLL_S)


async def _new_ticket(context: RunContext, bot: int, token: str, party: PartyTicket | None) -> str:
    mode, latencies_ms = context.mode_of(bot), context.latencies_of(bot)
    client_key = f"{context.device_id(bot)}-{context.records.tickets_opened[bot]}"
    ticket_id = await ask(
        context,
        "open a ticket",
        lambda: context.backend.open_ticket(
            token, mode=mode, latencies_ms=latencies_ms, client_key=client_key, party=party
        ),
    )
    context.records.tickets_opened[bot] += 1
    return ticket_id


async def wait_for_match(
    context: RunContext, bot: int, token: str, ticket_id: str, intended_s: float
) -> Assignment | None:
    """Hold a ticket until it is assigned; None, with the state set, where it never is.

    Args:
        context: of the run.
        bot: whose ticket it is.
        token: of their session.
        ticket_id: the ticket.
        intended_s: when they meant to queue, in seconds of the run; their wait counts from then.
    """
    records, backend = context.records, context.backend
    records.queued_s[bot] = context.clock()
    records.state[bot] = PlayerState.QUEUED
    try:
        async with asyncio.timeout(context.scenario.behaviours.patience_s):
            ticket = await ask(
                context, "wait for a match", lambda: backend.wait(token, ticket_id), timed=False
            )
    except TimeoutError:
        try:
            ticket = await ask(context, "cancel", lambda: backend.cancel(token, ticket_id))
        except BaseException:
            records.record_wait(Wait(bot, intended_s, context.clock(), end=WaitEnd.GAVE_UP))
            raise
    except PlayerLostError:
        records.record_wait(Wait(bot, intended_s, context.clock(), end=WaitEnd.LOST))
        raise
    except asyncio.CancelledError:
        records.record_wait(Wait(bot, intended_s, context.clock(), end=WaitEnd.CUT_OFF))
        with contextlib.suppress(BackendRefusedError, BackendUnavailableError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await backend.cancel(token, ticket_id)
        raise
    assignment = ticket.assignment
    if assignment is not None:  # also where the cancellation came too late: the match has a slot for us
        records.assigned_s[bot] = context.clock()
        records.region[bot], records.match_id[bot] = assignment.region, assignment.match_id
        records.record_wait(
            Wait(
                bot,
                intended_s,
                context.clock(),
                assignment.region,
                assignment.match_id,
                assignment.entity,
            )
        )
        return assignment
    gave_up = ticket.state == "cancelled"
    end = WaitEnd.GAVE_UP if gave_up else WaitEnd.NO_MATCH
    records.record_wait(Wait(bot, intended_s, context.clock(), end=end))
    if gave_up:
        records.state[bot], records.reason[bot] = PlayerState.CANCELLED, "waited too long for a match"
    else:
        records.state[bot] = PlayerState.UNMATCHED
        records.reason[bot] = f"ticket {ticket.state}: {ticket.reason or 'no reason given'}"
    return None


async def find_requeued_ticket(context: RunContext, bot: int, token: str, lost_id: str) -> str | None:
    """The ticket that the matchmaker has made in place of that of a lost match; None where it has not."""
    ticket_id = await ask(
        context,
        "ask after a lost match",
        lambda: context.backend.requeued(token, lost_id),
        timed=False,
    )
    if ticket_id is not None:
        context.records.tickets_opened[bot] += 1
        context.records.requeues_with_age[bot] += 1
    return ticket_id


async def press_play_again(context: RunContext, bot: int, token: str, ticket_id: str) -> Assignment | str:
    """Ask for a match from a client that was killed in one and has started again.

    Some clients have kept their ticket, and ask for another token of it. The others make a new ticket, and
    are told that they are in a match.

    Args:
        context: of the run.
        bot: whose client was killed.
        token: of their session.
        ticket_id: the ticket of the match that they were in.

    Returns:
        The assignment to come back with, or a new ticket where that match is over.
    """
    if context.uniform() < KEPT_TICKET_SHARE:
        assignment = await ask(
            context, "ask for a token", lambda: context.backend.renew_token(token, ticket_id)
        )
        if assignment is not None:
            return assignment
    try:
        return await _new_ticket(context, bot, token, None)
    except PlayerInMatchError as error:
        if error.assignment is not None:
            return error.assignment
        raise PlayerLostError(str(error)) from error

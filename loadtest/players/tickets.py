"""A player's ticket: how they ask for a match, wait for it, cancel it, and come back into the match."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import replace

from loadtest.errors import BackendError, NoMatchError, PlayerInMatchError, PlayerLostError
from loadtest.players.client import GameClient
from loadtest.players.parties import PartyTicket
from loadtest.players.player_records import PlayerState, Wait, WaitEnd
from loadtest.target import (
    GathersParties,
    KeepsTickets,
    Match,
    Party,
    QueueRequest,
    RenewsMatches,
    Ticket,
)

CANCEL_TIMEOUT_S = 3.0  # for cancelling a ticket when the run is stopped
IN_MATCH_POLL_S = 1.0  # between two presses of Play of a player whose last match is not over
KEPT_TICKET_SHARE = 0.5  # of the crashed clients, that have stored their ticket


async def gather_party(client: GameClient, party: PartyTicket | None) -> Party | None:
    """Come together with the party, where the target has that; None: the player queues alone."""
    if party is None:
        return None
    together, target = Party(*party), client.context.target
    if not isinstance(target, GathersParties):
        return together
    gatherer: GathersParties = target
    mode = client.context.mode_of(client.bot)
    claim = await client.call(lambda session: gatherer.gather(session, together, mode, client.send))
    return None if claim is None else replace(together, claim=claim)


async def open_ticket(client: GameClient, party: Party | None) -> Ticket:
    """Ask for a match, again and again while the one before is not over; the ticket."""
    context = client.context
    latest_s = context.clock() + context.max_match_s(client.bot)
    while True:
        try:
            return await _new_ticket(client, party)
        except PlayerInMatchError as error:
            if context.clock() > latest_s:
                raise PlayerLostError(str(error)) from error
            await asyncio.sleep(IN_MATCH_POLL_S)


async def _new_ticket(client: GameClient, party: Party | None) -> Ticket:
    context, bot = client.context, client.bot
    mode = context.mode_section_of(bot)
    request = QueueRequest(
        player=client.player,
        key=f"{client.player.device_id}-{context.records.tickets_opened[bot]}",
        party=party,
        match_players=mode.players,
        match_s=mode.duration_s,
    )
    ticket = await client.ask("open a ticket", lambda session: context.target.queue(session, request))
    context.records.tickets_opened[bot] += 1
    return ticket


async def wait_for_match(client: GameClient, ticket: Ticket, intended_s: float) -> Match | None:
    """Hold a ticket until it has a match; None, with the state set, where it never has.

    Args:
        client: of the player whose ticket it is.
        ticket: the ticket.
        intended_s: when they meant to queue, in seconds of the run; their wait counts from then.
    """
    context, bot, target = client.context, client.bot, client.context.target
    records = context.records

    def note_vain_wait(end: WaitEnd) -> None:
        records.record_wait(Wait(bot, intended_s, context.clock(), end=end))

    records.queued_s[bot] = context.clock()
    records.state[bot] = PlayerState.QUEUED
    match: Match | None = None
    out_of_patience = False
    try:
        try:
            async with asyncio.timeout(context.scenario.behaviours.patience_s):
                match = await client.ask(
                    "wait for a match", lambda session: target.wait(session, ticket), timed=False
                )
        except TimeoutError:
            out_of_patience = True
            match = await client.ask("cancel", lambda session: target.leave(session, ticket))
    except NoMatchError as error:
        note_vain_wait(WaitEnd.NO_MATCH)
        records.state[bot], records.reason[bot] = PlayerState.UNMATCHED, str(error)
        return None
    except PlayerLostError:
        note_vain_wait(WaitEnd.GAVE_UP if out_of_patience else WaitEnd.LOST)
        raise
    except asyncio.CancelledError:
        note_vain_wait(WaitEnd.GAVE_UP if out_of_patience else WaitEnd.CUT_OFF)
        with contextlib.suppress(BackendError, NoMatchError, PlayerLostError, TimeoutError):
            async with asyncio.timeout(CANCEL_TIMEOUT_S):
                await target.leave(await client.session(), ticket)
        raise
    if match is None:
        note_vain_wait(WaitEnd.GAVE_UP)
        records.state[bot], records.reason[bot] = PlayerState.CANCELLED, "waited too long for a match"
        return None
    # Also where the cancellation came too late: the match has a slot for the player.
    client.match = match
    records.assigned_s[bot] = context.clock()
    records.region[bot], records.match_id[bot] = match.region, match.id
    records.record_wait(Wait(bot, intended_s, context.clock(), match.region, match.id, match.slot))
    return match


async def find_requeued_ticket(client: GameClient, lost: Ticket) -> Ticket | None:
    """The ticket that the target has made in place of that of a lost match; None where it has not."""
    target, records = client.context.target, client.context.records
    if not isinstance(target, KeepsTickets):
        return None
    keeper: KeepsTickets = target
    ticket = await client.ask(
        "ask after a lost match", lambda session: keeper.requeued(session, lost), timed=False
    )
    if ticket is not None:
        records.tickets_opened[client.bot] += 1
        records.requeues_with_age[client.bot] += 1
    return ticket


async def newer_match(client: GameClient, ticket: Ticket) -> Match | None:
    """The match of a ticket as the target tells it now; None where it is over, or nobody tells."""
    target = client.context.target
    if not isinstance(target, RenewsMatches):
        return None
    renewer: RenewsMatches = target
    return await client.ask("ask for a token", lambda session: renewer.renew(session, ticket))


async def press_play_again(
    client: GameClient, ticket: Ticket, match: Match
) -> tuple[Ticket | None, Match | None]:
    """Ask for a match from a client that was killed in one and has started again.

    Some clients have kept their ticket, and ask for its match once more. The others make a new ticket, and
    are told that they are in a match. On a target that does not tell it again, all have kept the match.

    Args:
        client: that was killed.
        ticket: of the match that it was in.
        match: that match.

    Returns:
        The match to come back into, with no ticket; or a new ticket, where that match is over.
    """
    if not isinstance(client.context.target, RenewsMatches):
        return None, match
    if client.context.uniform() < KEPT_TICKET_SHARE:
        newer = await newer_match(client, ticket)
        if newer is not None:
            return None, newer
    try:
        return await _new_ticket(client, None), None
    except PlayerInMatchError as error:
        if error.match is not None:
            return None, error.match
        raise PlayerLostError(str(error)) from error

"""The journey of one player through the game, one coroutine per player.

The steps: arrive, log in, shop, queue (``tickets``), play (``playing``), queue again, leave. Players arrive
when they meant to, whatever became of the others. A request that fails for a passing reason is repeated with
the scenario's pauses; if it still fails the player is lost, and the run reports why. A player whose game
server dies continues with the ticket that the target has made in place of the old one, or queues again. One
whose own client dies presses Play again, and comes back into the match.

How each step is done is the target's: see :mod:`loadtest.target`.
"""

from __future__ import annotations

import asyncio

from loadtest.errors import (
    ClientCrashedError,
    PlayerLostError,
    SessionBrokenError,
    SwarmError,
    TokenExpiredError,
)
from loadtest.players.client import GameClient
from loadtest.players.player_records import PlayerState, Wait, WaitEnd
from loadtest.players.playing import play_match
from loadtest.players.run_context import RunContext
from loadtest.players.tickets import (
    find_requeued_ticket,
    gather_party,
    newer_match,
    open_ticket,
    press_play_again,
    wait_for_match,
)
from loadtest.target import Match, SavesProgress, Shop, Ticket

MAX_REQUEUES = 3  # of one player whose game servers keep dying


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
        client = GameClient(context, bot)
        await client.session()
        if context.behaviour_of(bot).shops and isinstance(context.target, Shop):
            await _shop(client, context.target)
            intended_s = context.clock()
        while await _queue_and_play(client, intended_s) and party.plays_again(
            bot, lambda: _wants_another_match(context)
        ):
            records.state[bot] = PlayerState.THINKING
            await _wait_until_saved(client)
            await asyncio.sleep(context.exponential_s(context.scenario.behaviours.think_s))
            intended_s = context.clock()
    except (PlayerLostError, SwarmError) as error:
        records.state[bot], records.reason[bot] = PlayerState.LOST, str(error)
    except asyncio.CancelledError:
        _note_never_queued(context, bot, intended_s)
        records.state[bot], records.reason[bot] = PlayerState.STOPPED, "the run ended first"
        raise
    finally:
        party.leave(bot)
        records.ended_s[bot] = context.clock()


def _note_never_queued(context: RunContext, bot: int, intended_s: float) -> None:
    """Note the wait of a player whom the end of the run finds before the queue, such as in a slow login:
    it counts from when they meant to queue, as everybody's.
    """
    records = context.records
    queued = records.queued_s[bot] >= intended_s
    if not queued and records.state[bot] not in (PlayerState.AWAY, PlayerState.SHOPPING):
        records.record_wait(Wait(bot, intended_s, context.clock(), end=WaitEnd.CUT_OFF))


async def _shop(client: GameClient, target: Shop) -> None:
    """Visit the shop as often as this kind of player does."""
    context, bot = client.context, client.bot
    kind = context.behaviour_of(bot)
    context.records.state[bot] = PlayerState.SHOPPING
    for visit in range(kind.shops):
        key = f"{client.player.device_id}-{visit}"
        await client.call(lambda session, key=key: target.shop(session, key, client.send))  # type: ignore[misc]
        await asyncio.sleep(context.exponential_s(kind.shop_pause_s) if kind.shop_pause_s else 0.0)


async def _queue_and_play(client: GameClient, intended_s: float) -> bool:
    """Queue with the party and play one match; again, and alone, where the game server dies.

    Returns:
        False, with the state set, where the player got no match.
    """
    context, bot = client.context, client.bot
    records = context.records
    play = await context.parties.by_player[bot].wait_for_members(bot, intended_s)
    intended_s = play.intended_s
    party = await gather_party(client, play.party)
    ticket: Ticket | None = None
    for requeues_left in reversed(range(MAX_REQUEUES + 1)):
        if ticket is None:
            ticket = await open_ticket(client, party)
        match = await wait_for_match(client, ticket, intended_s)
        if match is None:
            return False
        context.parties.record_match(None if party is None else (party.id, party.size), match.id)
        party = None
        try:
            next_ticket = await _play(client, ticket, match)
        except SessionBrokenError:
            if not requeues_left:
                raise
            records.requeues[bot] += 1
            intended_s = context.clock()
            ticket = await find_requeued_ticket(client, ticket)
        else:
            if next_ticket is None:
                return True
            ticket, intended_s = next_ticket, context.clock()
    raise PlayerLostError("the player's clients and game servers kept dying")


async def _play(client: GameClient, ticket: Ticket, match: Match) -> Ticket | None:
    """Play one match; a player whose client is killed in it comes back.

    One whose connect token has expired by the server's clock asks for a newer one, once.

    Returns the ticket of another match where the first was over when they came back, else None.
    """
    context, records, bot = client.context, client.context.records, client.bot
    try:
        try:
            await play_match(client, ticket, match)
        except TokenExpiredError:
            newer = await newer_match(client, ticket)
            if newer is None:
                raise
            await play_match(client, ticket, newer)
    except ClientCrashedError:
        crashed_s = context.clock()
        records.crashes[bot] += 1
        next_ticket, found = await press_play_again(client, ticket, match)
        if found is None:
            return next_ticket
        try:
            await play_match(client, ticket, found, crashes=False)
        finally:
            if records.connected_s[bot] > crashed_s:
                records.back_s.append(float(records.connected_s[bot] - crashed_s))
    return None


async def _wait_until_saved(client: GameClient) -> None:
    """Wait until a player may queue again, where the target has them wait for that."""
    context, match = client.context, client.match
    if match is None or not isinstance(context.target, SavesProgress):
        return
    target: SavesProgress = context.target
    longest_s = context.max_match_s(client.bot)
    await client.call(lambda session: target.saved(session, match, longest_s))


def _wants_another_match(context: RunContext) -> bool:
    return context.uniform() < 1.0 - 1.0 / context.scenario.behaviours.matches

"""The journey of one player through the game, one coroutine per player.

The steps: arrive, log in, shop, queue (``tickets``), play (``game_session``), queue again, leave. Players
arrive when they meant to, whatever became of the others. A request that fails for a passing reason is
repeated with the scenario's pauses; if it still fails the player is lost, and the run reports why. A player
whose game server dies continues with the ticket that the matchmaker has made in place of the old one, or
queues again. One whose own client dies presses Play again, and comes back into the match.
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
from loadtest.players.game_session import max_match_s, play_match
from loadtest.players.player_records import PlayerState
from loadtest.players.run_context import RunContext
from loadtest.players.tickets import (
    ask,
    find_requeued_ticket,
    open_ticket,
    press_play_again,
    wait_for_match,
)
from matchmaker.client import Assignment

MAX_REQUEUES = 3  # of one player whose game servers keep dying
MATCH_END_POLL_S = 0.25  # how often a player who left early checks whether the match is over
COMMIT_GRACE_S = 1.0  # from the end of a match until its server has committed the players' progress


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
        player = await ask(context, "log in", lambda: context.backend.log_in(device_id))
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
        records.state[bot], records.reason[bot] = PlayerState.STOPPED, "the run ended first"
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
        await ask(context, "shop", lambda key=key: context.backend.shop(token, key))  # type: ignore[misc]
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
            ticket_id = await open_ticket(context, bot, token, party)
        assignment = await wait_for_match(context, bot, token, ticket_id, intended_s)
        if assignment is None:
            return False
        context.parties.record_match(party, assignment.match_id)
        party = None
        try:
            next_ticket_id = await _play(context, bot, token, ticket_id, assignment)
        except SessionBrokenError:
            if not requeues_left:
                raise
            records.requeues[bot] += 1
            intended_s = context.clock()
            ticket_id = await find_requeued_ticket(context, bot, token, ticket_id)
        else:
            if next_ticket_id is None:
                return True
            ticket_id, intended_s = next_ticket_id, context.clock()
    raise PlayerLostError("the player's clients and game servers kept dying")


async def _play(
    context: RunContext, bot: int, token: str, ticket_id: str, assignment: Assignment
) -> str | None:
    """Play one match; a player whose client is killed in it comes back.

    One whose connect token has expired by the server's clock asks for a newer one, once.

    Returns the ticket of another match where the first was over when they came back, else None.
    """
    records = context.records
    try:
        try:
            await play_match(context, bot, assignment)
        except TokenExpiredError:
            newer = await ask(
                context, "ask for a token", lambda: context.backend.renew_token(token, ticket_id)
            )
            if newer is None:
                raise
            await play_match(context, bot, newer)
    except ClientCrashedError:
        crashed_s = context.clock()
        records.crashes[bot] += 1
        found = await press_play_again(context, bot, token, ticket_id)
        if isinstance(found, str):
            return found
        try:
            await play_match(context, bot, found, crashes=False)
        finally:
            if records.connected_s[bot] > crashed_s:
                records.back_s.append(float(records.connected_s[bot] - crashed_s))
    return None


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

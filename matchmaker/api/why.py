"""Why a ticket waits: asked of the director that leads its queue, through the cache.

What the cache knows is answered at once: how a ticket ended, that its match is getting a server, that its
party waits for somebody. For the rest the question lies in the cache until the director takes it up, which it
does between two cycles, with pauses: nobody who asks can slow the matching down by more than that.
"""

from __future__ import annotations

from typing import Any, cast

import msgspec

from launchday.clock import Clock
from launchday.problems import ProblemError
from launchday.resilience import deadline
from matchmaker.messages import State, TicketView, TicketWhy
from matchmaker.queue.scripts import KEYS, Scripts

WAIT_S = 3.0  # for a director's answer
LOOK_S = 0.05  # between two looks
MAX_ASKED = 16  # questions that wait, a queue
ASKED_S = 5  # that they wait

AGAIN = {"Retry-After": "1"}
SAYINGS = {
    "placing": "its match is getting a server",
    "accepting": "its match waits for the players to accept it",
    "unread": "its match was lost, and its player has not come back for this ticket yet",
}

_decode_view = msgspec.json.Decoder(TicketView).decode
_decode_told = msgspec.json.Decoder(dict[str, Any]).decode


async def why_it_waits(scripts: Scripts, clock: Clock, ticket_id: str) -> TicketWhy:
    """Return why a ticket has no match, or what it has instead.

    Args:
        scripts: the cache's.
        clock: paces the looks.
        ticket_id: canonical UUID.

    Raises:
        ProblemError: 404 there is no such ticket; 503 no director leads its queue, or too many ask; 504 the
            director does not answer within WAIT_S.
    """
    keys = [KEYS["ticket"] + ticket_id, KEYS["why_told"] + ticket_id]
    until = clock.monotonic() + deadline.left_s(clock, WAIT_S)
    new = "1"
    while True:
        found = await scripts.ask_why([ticket_id, new, MAX_ASKED, ASKED_S], keys=keys)
        if found is None:
            raise ProblemError(
                404, "no-such-ticket", "there is no such ticket; ended ones are forgotten after a while"
            )
        what, state, mode, created_at, view, more = (part.decode() for part in found)
        if what == "unled":
            raise ProblemError(503, "no-director", f"no director leads {mode} now; try again", headers=AGAIN)
        if what == "full":
            raise ProblemError(503, "too-many-questions", "too many ask at once; try again", headers=AGAIN)
        if what != "asked":
            says, why = _said(what, view, more)
            waited_s = round(max(0.0, clock.now() - float(created_at)), 3)
            return TicketWhy(ticket_id, mode, cast(State, state), waited_s, says, why)
        if clock.monotonic() >= until:
            raise ProblemError(
                504,
                "director-silent",
                f"the director of {mode} did not answer in time; try again",
                headers=AGAIN,
            )
        new = ""
        await clock.sleep(LOOK_S)


def _said(what: str, view: str, more: str) -> tuple[str, dict[str, Any] | None]:
    """The sentence, and the director's words."""
    if what == "told":
        told = _decode_told(more)
        return str(told.get("says", "")), told.get("why")
    if what == "party":
        return f"its party is not complete: {more} have come", None
    if what == "ended":
        ended = _decode_view(view)
        return f"the ticket is {ended.state}" + (f": {ended.reason}" if ended.reason else ""), None
    return SAYINGS[what], None

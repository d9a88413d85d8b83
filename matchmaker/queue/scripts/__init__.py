"""The Lua scripts: every change of a ticket's state is one of them, so it happens whole or not at all, once.

All keys share one hash tag, so on a cluster they live in one slot and one script may touch them all. Each
call names in ``KEYS`` all that its script touches, as caches ask that spread keys over threads or nodes.
Their forms are given here and handed to the scripts as the table ``KEY``; ``shared.lua`` comes before each
script, ``acceptance.lua`` before those in which a match is declined, and ``backfill.lua`` before those about
running matches. No script asks the cache for the time: each gets ``NOW`` (Unix seconds) from the caller's
clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import resources

import msgspec
from redis.asyncio import Redis

from launchday.clock import Clock
from launchday.resilience.packed import Argument
from matchmaker.messages import TicketView
from matchmaker.queue.scripts.script import TAG, Call, Script, lease_error

__all__ = ["CONSUMER", "GROUP", "KEYS", "TAG", "Argument", "Call", "Script", "Scripts", "lease_error"]

KEYS = {
    "ticket": f"{TAG}:ticket:",  # + ticket id: hash, the ticket
    "player": f"{TAG}:player:",  # + player id: string, the id of the player's last ticket
    "live": f"{TAG}:live:",  # + mode: sorted set, ids of the tickets that have no end yet, by expiry
    "queue": f"{TAG}:queue:",  # + mode: stream, tickets come and gone
    "lease": f"{TAG}:lease:",  # + mode: string, the fencing token of the director that leads; expires
    "fence": f"{TAG}:fence:",  # + mode: integer, the last fencing token given
    "proposals": f"{TAG}:proposals:",  # + mode: hash, match id → a match whose server is being found
    "counters": f"{TAG}:counters",  # hash, counters
    "wait": f"{TAG}:counters:wait",  # hash, histogram bucket → tickets
    "latency": f"{TAG}:counters:latency",  # hash, histogram bucket → tickets
    # + party: hash, what its tickets agree on, how many have come, "t:" + ticket id for each; of one with a
    # claim also claim, "p:" + player id for each, and void: why no more come
    "party": f"{TAG}:party:",
    "gathering": f"{TAG}:gathering",  # sorted set, parties with a claim that wait for members, by until when
    # + mode: hash, match id → tickets whose players accepted; below 0: one said no, or it is being closed
    "accepted": f"{TAG}:accepted:",
    "depth": f"{TAG}:depth",  # hash, mode → JSON, what waits in its queue
    # + match id: list, its tickets' requeue records, an element an assignment; expires
    "match": f"{TAG}:match:",
    "playing": f"{TAG}:playing",  # sorted set, ids of those matches by when their keys expire
    "session_cursor": f"{TAG}:sessions:cursor",  # string, how far the ends of sessions have been followed
    "party_cursor": f"{TAG}:parties:cursor",  # string, how far the changes of parties have been followed
    "cursor": f"{TAG}:fleet:cursor",  # hash, how far the fleet's changes have been followed
    "open_matches": f"{TAG}:open_matches:",  # + mode: set, ids of running matches that request backfill
    "open_match": f"{TAG}:open_match:",  # + match id: hash, its request and its proposals; see backfill.lua
    # + match id: hash, entity → who plays there, as the mode's rules read them (tickets.seated); expires
    "seats": f"{TAG}:seats:",
    # + mode: hash, proposal id → tickets on their way into a running match
    "claims": f"{TAG}:backfill_claims:",
    "why_asked": f"{TAG}:why:asked:",  # + mode: list, ids of tickets that somebody asks about; expires
    "why_told": f"{TAG}:why:told:",  # + ticket id: JSON, why it waits, as its director said; expires
    "seen": f"{TAG}:seen",  # sorted set, ids of tickets by their player's last sign of life; see attend.lua
    # hash: at, since, the clock of signs of life, "p:" + API process → when it attended last
    "attended": f"{TAG}:attended",
    # + mode: list, what lay in the queue and could not be read, the newest first
    "unreadable": f"{TAG}:unreadable:",
    "notifications": f"{TAG}:notifications",  # stream, ticket id → its view; one entry a match
}

GROUP = "directors"
# one name for all: what one director read and did not finish, the next one that leads reads again
CONSUMER = "director"
NOTIFICATIONS_KEPT_S = 30  # subscribers that were away longer look at their tickets instead

# What ending tickets may touch beside them: see end_searching() and finish() in shared.lua.
_ENDING = ("seen", "counters", "notifications", "gathering")
_ENDING_IN_MODE = ("live", "queue")
_DECLINING = (*_ENDING, "attended")
_DECLINING_IN_MODE = (*_ENDING_IN_MODE, "proposals", "accepted")


class Scripts:
    """All scripts, bound to one cache.

    Args:
        cache: Valkey or Redis.
        retention_s: seconds an ended ticket stays readable.
        clock: the time of every change that does not say its own.
    """

    def __init__(self, cache: Redis, retention_s: float, clock: Clock) -> None:
        self.retention_s = retention_s
        self.clock = clock

        def script(
            name: str, fixed: Iterable[str] = (), of_mode: Iterable[str] = (), before: str = ""
        ) -> Script:
            parts = (before, name) if before else (name,)
            return Script(
                cache,
                clock,
                text_of(*parts),
                [KEYS[each] for each in fixed],
                [KEYS[each] for each in of_mode],
            )

        self.create_tickets = script(
            "create_tickets", ("attended", "seen", "counters", "gathering"), ("live", "queue")
        )
        self.expire_tickets = script("expire_tickets", _ENDING, ("lease", *_ENDING_IN_MODE))
        self.read_counters = script("read_counters", ("counters", "wait", "latency"), ("live",))
        self.ask_why = script("ask_why", (), ("lease", "why_asked"))
        self.attend = script("attend", ("attended", "counters"))
        self.leave_attendance = script("leave_attendance", ("attended",))
        self.touch_tickets = script("touch_tickets", ("attended", "seen"))
        self.end_unwatched = script("end_unwatched", ("attended", *_ENDING), _ENDING_IN_MODE)
        self.acquire_lease = script("acquire_lease", (), ("lease", "fence", "queue", "accepted", "proposals"))
        self.renew_lease = script("renew_lease", (), ("lease",))
        self.release_lease = script("release_lease", (), ("lease",))
        self.read_queue = script("read_queue", (), ("lease", "why_asked", "queue"))
        self.propose_match = script("propose_match", ("notifications",), ("lease", "proposals"))
        self.begin_closing = script("begin_closing", (), ("lease", "accepted"))
        self.withdraw_match = script("withdraw_match", _ENDING, ("lease", *_DECLINING_IN_MODE))
        assigning = ("seen", "counters", "notifications", "wait", "latency", "playing")
        self.assign_match = script("assign_match", assigning, ("lease", "live", "proposals", "accepted"))
        self.fail_match = script(
            "fail_match", ("seen", "counters", "notifications"), ("lease", "live", "proposals", "accepted")
        )
        self.fail_tickets = script("fail_tickets", _ENDING, ("lease", *_ENDING_IN_MODE))
        self.accept_ticket = script("accept_ticket", (), ("accepted",))
        self.requeue_match = script(
            "requeue_match", ("playing", "counters", "notifications"), _ENDING_IN_MODE
        )
        self.reclaim_ticket = script("reclaim_ticket", ("seen", "attended", "counters"), _ENDING_IN_MODE)
        self.cancel_ticket = script("cancel_ticket", _DECLINING, _DECLINING_IN_MODE, "acceptance")
        self.reject_ticket = script("reject_ticket", _DECLINING, _DECLINING_IN_MODE, "acceptance")
        self.end_sessions = script("end_sessions", _DECLINING, _DECLINING_IN_MODE, "acceptance")
        self.void_parties = script("void_parties", _DECLINING, _DECLINING_IN_MODE, "acceptance")
        self.end_gathering = script("end_gathering", _ENDING, _ENDING_IN_MODE)
        self.decline_match = script("decline_match", _DECLINING, ("lease", *_DECLINING_IN_MODE), "acceptance")
        self.request_backfill = script("request_backfill", (), ("open_matches",), "backfill")
        self.close_backfill = script("close_backfill", (), ("open_matches",), "backfill")
        self.read_backfill = script("read_backfill", (), ("open_matches",), "backfill")
        self.propose_backfill = script("propose_backfill", (), ("lease", "claims"), "backfill")
        self.assign_backfill = script("assign_backfill", assigning, ("lease", "live", "claims"), "backfill")
        self.withdraw_backfill = script(
            "withdraw_backfill", _ENDING, ("lease", "claims", *_ENDING_IN_MODE), "backfill"
        )


def text_of(*names: str) -> str:
    """The text of a script: what is shared, and the files of these names one after the other."""
    return "".join([_head(), *(_text(name) for name in ("shared", *names))])


def _head() -> str:
    names = ", ".join(f"{name} = '{key}'" for name, key in KEYS.items())
    return (
        "local NOW = tonumber(table.remove(ARGV, 1))\n"
        "local TICKETS = tonumber(table.remove(ARGV, 1))\n"
        f"local KEY = {{{names}}}\n"
        f"local GROUP, CONSUMER = '{GROUP}', '{CONSUMER}'\n"
        f"local NOTIFICATIONS_KEPT_S = {NOTIFICATIONS_KEPT_S}\n"
        f"local ENDED_VIEW = '{_ended_view()}'\n"
        f"local PROPOSED_VIEW = '{_proposed_view()}'\n"
        f"local SEARCHING_VIEW = '{_searching_view()}'\n"
    )


def _ended_view() -> str:
    """Return the JSON of a ticket that ended unassigned, for ``string.format`` with id, state and reason."""
    view = msgspec.json.encode(TicketView("%s", "cancelled", "%s", None)).decode()
    return view.replace('"cancelled"', '"%s"')


def _proposed_view() -> str:
    """Return the JSON of a ticket whose match is to be accepted, for ``string.format`` with id and time."""
    view = msgspec.json.encode(TicketView("%s", "proposed", None, None, accept_by=0.5)).decode()
    return view.replace("0.5", "%s")


def _searching_view() -> str:
    """Return the JSON of a ticket that searches again, for ``string.format`` with its id."""
    return msgspec.json.encode(TicketView("%s", "searching", None, None)).decode()


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.lua").read_text()

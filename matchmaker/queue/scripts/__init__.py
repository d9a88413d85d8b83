"""The Lua scripts: every change of a ticket's state is one of them, so it happens whole or not at all, once.

All keys share one hash tag, so on a cluster they live in one slot and one script may touch them all. Their names are
given here and handed to the scripts as the table ``KEY``; ``shared.lua`` comes before each script.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline
from redis.commands.core import AsyncScript
from redis.exceptions import ResponseError

from matchmaker.errors import LeaseLostError

TAG = "{mm}"

KEYS = {
    "ticket": f"{TAG}:ticket:",  # + ticket id: hash, the ticket
    "player": f"{TAG}:player:",  # + player id: string, the id of the player's last ticket
    "live": f"{TAG}:live:",  # + mode: sorted set, ids of the tickets that have no end yet, by expiry
    "queue": f"{TAG}:queue:",  # + mode: stream, tickets come and gone
    "lease": f"{TAG}:lease:",  # + mode: string, the fencing token of the director in office; expires
    "fence": f"{TAG}:fence:",  # + mode: integer, the last fencing token given
    "proposals": f"{TAG}:proposals:",  # + mode: hash, match id → a match whose server is being found
    "books": f"{TAG}:books",  # hash, counters
    "wait": f"{TAG}:books:wait",  # hash, histogram bucket → tickets
    "latency": f"{TAG}:books:latency",  # hash, histogram bucket → tickets
    "party": f"{TAG}:party:",  # + party: hash, what its tickets agree on, how many have come, "t:" + ticket id for each
    "accepted": f"{TAG}:accepted:",  # + mode: hash, match id → tickets whose players accepted
    "depth": f"{TAG}:depth",  # hash, mode → JSON, what waits in its queue
    "match": f"{TAG}:match:",  # + match id: list, what its players asked for, an element an assignment; expires
    "playing": f"{TAG}:playing",  # sorted set, ids of those matches by when their keys expire
    "cursor": f"{TAG}:fleet:cursor",  # hash, how far the fleet's changes have been followed
    "openings": f"{TAG}:openings:",  # + mode: set, ids of running matches with free seats
    "opening": f"{TAG}:opening:",  # + match id: hash, its free seats and who is on the way into them; see openings.lua
    "joinings": f"{TAG}:joinings:",  # + mode: hash, joining id → players on their way into a running match
    "told": f"{TAG}:told",  # stream, ticket id → its final view; one entry a match
}

GROUP = "directors"
CONSUMER = "director"  # one name for all: what one director read and did not finish, the next one in office reads again
NOTIFICATIONS_KEPT_S = 30  # waiters that were away longer look at their tickets instead

Argument = str | bytes | int | float


class Script:
    """One Lua script. Raises LeaseLost when the script found that its caller's fencing token is stale."""

    def __init__(self, script: AsyncScript) -> None:
        self._script = script

    async def __call__(self, args: Sequence[Argument]) -> Any:
        """Run it."""
        try:
            return await self._script(keys=[TAG], args=list(args))
        except ResponseError as error:
            raise lease_error(error) from error

    async def queue(self, pipeline: Pipeline, args: Sequence[Argument]) -> None:
        """Add it to a pipeline; what the pipeline then answers goes through ``lease_error`` if it is an error."""
        await self._script(keys=[TAG], args=list(args), client=pipeline)


class Scripts:
    """All scripts, bound to one cache.

    Args:
        cache: Valkey or Redis.
        retention_s: seconds an ended ticket stays readable.
    """

    def __init__(self, cache: Redis, retention_s: float) -> None:
        self.retention_s = retention_s
        head = _head() + _text("shared")

        def script(name: str) -> Script:
            return Script(cache.register_script(head + _text(name)))

        self.create_tickets = script("create_tickets")
        self.cancel_ticket = script("cancel_ticket")
        self.expire_tickets = script("expire_tickets")
        self.read_counters = script("read_books")
        self.acquire_lease = script("acquire_lease")
        self.release_lease = script("release_lease")
        self.read_queue = script("read_queue")
        self.propose_match = script("propose_match")
        self.withdraw_match = script("withdraw_match")
        self.assign_match = script("assign_match")
        self.fail_match = script("fail_match")
        self.fail_tickets = script("fail_tickets")
        self.accept_ticket = script("accept_ticket")
        self.decline_match = script("decline_match")
        self.requeue_match = script("salvage_match")
        self.reclaim_ticket = script("resume_ticket")
        head += _text("openings")
        self.request_backfill = script("announce_openings")
        self.close_backfill = script("close_openings")
        self.read_backfill = script("read_openings")
        self.propose_backfill = script("propose_joiners")
        self.assign_backfill = script("assign_joiners")
        self.withdraw_backfill = script("withdraw_joiners")


def lease_error(error: Exception) -> Exception:
    """LeaseLost where a script refused a stale fencing token, else the error itself."""
    return LeaseLostError(str(error)) if "STALE" in str(error) else error


def _head() -> str:
    names = ", ".join(f"{name} = '{key}'" for name, key in KEYS.items())
    return (
        f"local KEY = {{{names}}}\n"
        f"local GROUP, CONSUMER = '{GROUP}', '{CONSUMER}'\n"
        f"local TOLD_KEPT_S = {NOTIFICATIONS_KEPT_S}\n"
    )


def _text(name: str) -> str:
    return resources.files(__name__).joinpath(f"{name}.lua").read_text()

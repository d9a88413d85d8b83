"""Are the players of lost matches in the queue again, each once and with the age that they had?

It reads the matchmaker's keys and shares no code with the service.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

from redis.asyncio import Redis

LIVE = ("searching", "proposed", "accepted")
ENDS = ("assigned", "cancelled", "expired", "failed")


@dataclass(frozen=True)
class LostPlayer:
    """A player of a lost match.

    Attributes:
        ticket_id: of the ticket that led to the match.
        since: Unix seconds since when the player had been waiting.
    """

    ticket_id: str
    since: float


async def check_requeue(cache: Redis, concerned: Mapping[int, LostPlayer]) -> list[str]:
    """What is wrong, one line each; empty where nothing is.

    Args:
        cache: of the matchmaker; only these players may have live tickets in it.
        concerned: player id → the player of a lost match.
    """
    tickets: dict[int, dict[str, dict[str, str]]] = defaultdict(dict)
    async for key in cache.scan_iter("{mm}:ticket:*", count=1000):
        stored = await cast(Any, cache.hgetall(key))
        fields = {name.decode(): value.decode("latin-1") for name, value in stored.items()}
        tickets[int(fields["player"])][key.decode().rpartition(":")[2]] = fields
    wrong = []
    for player, was in concerned.items():
        own = tickets[player]
        live = {id_: fields for id_, fields in own.items() if fields["state"] in LIVE}
        if len(live) != 1:
            wrong.append(f"player {player} has {len(live)} live tickets")
            continue
        [(ticket_id, fields)] = live.items()
        newest: Any = await cache.get(f"{{mm}}:player:{player}")
        if newest is None or newest.decode() != ticket_id:
            wrong.append(f"player {player}: the live ticket is not the newest")
        if float(fields["created_at"]) != was.since:
            wrong.append(f"player {player}: has waited since {fields['created_at']}, not since {was.since}")
        old = own.get(was.ticket_id)
        if old is None or old["state"] != "assigned":
            wrong.append(f"player {player}: the old ticket is {old and old['state']}, not assigned")
        elif f'"requeued_as":"{ticket_id}"' not in old["view"]:
            wrong.append(f"player {player}: the old ticket does not name the new one")
    return wrong + await _check_counters(cache, tickets)


async def _check_counters(cache: Redis, tickets: Mapping[int, Mapping[str, Mapping[str, str]]]) -> list[str]:
    """Compare the counters with the tickets themselves, none of which has expired from the cache yet."""
    counters = {
        name.decode(): float(value)
        for name, value in (await cast(Any, cache.hgetall("{mm}:counters"))).items()
    }
    states = [fields["state"] for own in tickets.values() for fields in own.values()]
    facts = {"queued": len(states), "matched": states.count("assigned")}
    facts |= {end: states.count(end) for end in ENDS if end != "assigned"}
    return [
        f"the counters have {counters.get(name, 0):g} {name}, the tickets {count}"
        for name, count in facts.items()
        if counters.get(name, 0) != count
    ]

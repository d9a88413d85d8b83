"""The allocator: gives each Ready server to one match, and the same server to a repeated key.

`allocator_fast_path` answers its HTTP calls. Agones has no idempotency key: there an answer that is lost on
the way leaves a server Allocated for ever (agones #607).
"""

from __future__ import annotations

from collections import deque
from typing import Any

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.errors import DedicatedServerError
from dedicated_server.fleet.agones import selection
from dedicated_server.fleet.agones.allocation_journal import AllocationJournal, AllocationRecord
from dedicated_server.fleet.agones.requests import AllocationAnswer, AllocationRequest, Metadata, Port
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.counters_and_lists import Counter, ValueList, parse_int64, parse_strings
from dedicated_server.fleet.pool.gameserver import GameServer, match_in
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import IllegalTransitionError, State

MAX_SHOWN = 500  # allocations that operators see


class NoReadyServerError(DedicatedServerError):
    """Raised when no Ready server matches any selector.

    Answered with 429; the caller asks again in a moment.
    """


class TooManyStartsError(DedicatedServerError):
    """Raised when as many matches are starting as the machine carries.

    Answered with 429; the caller keeps its match and asks again in a moment.
    """


class AllocationNotRecordedError(DedicatedServerError):
    """Raised when the disk refuses the allocation's line in the journal; no server was taken.

    Answered with 503; the caller asks again with the same key.
    """


class MatchAlreadyPlayedError(DedicatedServerError):
    """Raised when the server of a key has begun its match and is gone.

    Answered with 410; the match may not begin again, so the caller makes another of its players.
    """


class Allocator:
    """Picks servers from a pool. It never awaits between choosing and taking, so no server is given twice.

    Args:
        pool: the servers.
        journal: keeps allocations across restarts of the fleet; None: nothing does.

    Attributes:
        latest: the latest allocations as operators see them, the newest last.
    """

    def __init__(self, pool: WarmPool, journal: AllocationJournal | None = None) -> None:
        self._pool = pool
        self._journal = journal
        self._by_key: dict[str, tuple[GameServer, AllocationAnswer]] = {}
        self._lost_keys = frozenset(journal.keys) if journal is not None else frozenset()
        self.latest: deque[dict[str, Any]] = deque(maxlen=MAX_SHOWN)

    def allocate(self, request: AllocationRequest, key: str | None, now: float) -> AllocationAnswer:
        """Allocate a server, or repeat the answer that ``key`` got before.

        Args:
            request: selectors, priorities, and what to put on the server.
            key: the caller's idempotency key; None: it has none.
            now: monotonic seconds.

        Raises NoReadyServerError, TooManyStartsError, AllocationNotRecordedError, MatchAlreadyPlayedError,
        CounterListError, IllegalTransitionError.
        """
        if key is not None and (known := self._known(key)) is not None:
            return known
        if key is not None and self._pool.matches.has_ended(key.rpartition("/")[2]):
            raise MatchAlreadyPlayedError("the match of this key was ended before it had a server")
        match = request.metadata.annotations.get(MATCH_ANNOTATION)
        if match is not None and self._pool.starts.full:
            self._pool.openings.turned_away(selection.wanted_region(self._pool, request), now)
            raise TooManyStartsError(
                f"{len(self._pool.starts)} matches are starting, as many as this machine carries: "
                "ask again in a moment"
            )
        server = selection.choose(self._pool, request)
        if server is None:
            region = selection.wanted_region(self._pool, request)
            if region is not None:
                self._pool.allocation_requested(region, key or "", unmet=True, now=now)
            raise NoReadyServerError("no game server that matches is Ready: ask again in a moment")
        if server.state is State.ALLOCATED and match is not None:
            raise IllegalTransitionError("a server that is in a match cannot be given another")
        counters, lists = _changed_counters_and_lists(server, request)
        server.check_transition(State.ALLOCATED)
        if match is not None:
            self._write_down(server, key, match)
        self._pool.allocate(server, now, request.metadata.annotations, request.metadata.labels)
        server.counters.update(counters)
        server.lists.update(lists)
        answer = AllocationAnswer(
            name=server.name,
            ports=[Port(name="default", port=server.port)],
            address=server.addresses.address,
            addresses=server.addresses.as_json(),
            node_name=server.node or "local",
            metadata=Metadata(labels=dict(server.labels), annotations=dict(server.annotations)),
            counters={name: counter.as_json() for name, counter in server.counters.items()},
            lists={name: values.as_json() for name, values in server.lists.items()},
        )
        self._record(server, key, answer, now)
        return answer

    def _known(self, key: str) -> AllocationAnswer | None:
        """Return the answer that a key got, unless its server died before the match began."""
        known = self._by_key.get(key)
        if known is None:
            if key in self._lost_keys:
                raise MatchAlreadyPlayedError(
                    "the match of this key had a server, which ended with the fleet it was in"
                )
            return None
        server, answer = known
        if server.state is State.ALLOCATED:
            metrics.allocations_retry.inc()
            return answer
        if server.claimed or server.taken_back:
            was = "began on" if server.claimed else "was ended on"
            raise MatchAlreadyPlayedError(f"the match of this key {was} {server.name}, which is gone")
        return None

    def _write_down(self, server: GameServer, key: str | None, match: str) -> None:
        """Write the allocation into the journal, before the server is taken.

        A server that was taken first and could not be written down would be burnt, one by each repeat.
        """
        if self._journal is None:
            return
        match_id, player_ids = match_in(match)
        entry = AllocationRecord(
            key or "", server.name, server.region, match_id, player_ids, self._pool.clock.wall()
        )
        try:
            self._journal.allocated(entry)
        except OSError as error:
            raise AllocationNotRecordedError(
                f"the allocation cannot be written down ({self._journal.fault}): make room in the state "
                "folder"
            ) from error

    def _record(self, server: GameServer, key: str | None, answer: AllocationAnswer, now: float) -> None:
        at = self._pool.clock.wall()
        self._pool.allocation_requested(server.region, key or "", unmet=False, now=now)
        self._pool.fill(now)
        if key is not None:
            self._by_key[key] = (server, answer)
            if len(self._by_key) > 100_000:
                del self._by_key[next(iter(self._by_key))]
        self.latest.append(
            {"at": at, "server": server.name, "region": server.region, "match_id": server.match_id or None}
        )


def _changed_counters_and_lists(
    server: GameServer, request: AllocationRequest
) -> tuple[dict[str, Counter], dict[str, ValueList]]:
    """Return the counters and lists as the request changes them, as copies: either all change or none.

    As in Agones, an action on what a server does not have does nothing, and an amount is cut to what fits.
    Raises CounterListError.
    """
    counters, lists = {}, {}
    for name, action in request.counters.items():
        if (counter := server.counters.get(name)) is None:
            continue
        changed = Counter(counter.count, counter.capacity)
        if action.capacity is not None:
            capacity = parse_int64(action.capacity, "capacity")
            changed.change(capacity=capacity, count=min(changed.count, max(0, capacity)))
        amount = parse_int64(action.amount, "amount")
        wanted = changed.count + {"Increment": amount, "Decrement": -amount}.get(action.action, 0)
        changed.change(count=min(max(wanted, 0), changed.capacity))
        counters[name] = changed
    for name, act in request.lists.items():
        if (values := server.lists.get(name)) is None:
            continue
        changed_list = ValueList(list(values.values), values.capacity)
        kept = [
            value for value in changed_list.values if value not in parse_strings(act.delete_values, "values")
        ]
        capacity = changed_list.capacity if act.capacity is None else parse_int64(act.capacity, "capacity")
        merged = list(dict.fromkeys([*kept, *parse_strings(act.add_values, "values")]))
        changed_list.change(values=merged[: max(0, capacity)], capacity=capacity)
        lists[name] = changed_list
    return counters, lists

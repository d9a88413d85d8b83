"""The client of a Valkey or Redis cluster: each command goes to the node that has its key.

Every primary has a client of its own, over a bounded pool. Which node has which slot is asked of a few nodes
at once, so that one that is dead or stopped is not waited for. It is asked at the first use, after a node
failed, and after a redirection; one question at a time, and not more often than every `REFRESH_EVERY_S`.

What was sent to a node that then failed may have been done, and is never repeated here. What certainly was
not done is: a connection that was refused once the slot has another owner, and what a node redirects or puts
off (MOVED, ASK, TRYAGAIN, CLUSTERDOWN, LOADING). All of that within the one bound of a command.

redis-py's own cluster client is not used: it sends ASKING and the command on different connections, runs
transactions in threads with an event loop of their own, closes connections in use at each refresh, and fails
where a node's connections are all in use.
"""

from __future__ import annotations

import asyncio
import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool
from redis.asyncio.client import Pipeline
from redis.crc import REDIS_CLUSTER_HASH_SLOTS as SLOTS
from redis.crc import key_slot
from redis.exceptions import (
    AskError,
    ClusterDownError,
    MovedError,
    NoScriptError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as AwayError

from launchday.clock import Clock
from launchday.resilience import cache_commands, deadline
from launchday.resilience.cache_calls import NO_SCRIPTS, Call, Command, UnsentError, converse
from launchday.resilience.cache_client import BoundedRedis, CallsPipeline
from launchday.resilience.cache_replicas import MARK_OF_NODE, NOBODY, Replicas, TooFewReplicasError

Place = tuple[str, int]
"""Host and port of a node."""

REFRESH_EVERY_S = 0.2
REFRESH_ANSWER_S = 0.5  # a node that takes longer is not the one to ask
ASKED_AT_ONCE = 3
ENOUGH_ANSWERS = 2  # two of three views: one of them may be of a node that was cut off
MARKS_LOOKED_AT = 10_000  # with a slot of 16,384 one would do
PUT_OFF_S = 0.05
MOST_TURNS = 60  # PUT_OFF_S each: the bound of a command is nearer


class Node:
    """A primary: its address, its client, and whether it failed since it last answered."""

    __slots__ = ("client", "failed", "place")

    def __init__(self, place: Place, client: BoundedRedis) -> None:
        self.place = place
        self.client = client
        self.failed = False

    async def ask(self, calls: Sequence[Call], scripts: Mapping[str, str], *, asking: bool) -> list[Any]:
        """As `cache_calls.converse`, but what it raises is the answer of each."""
        try:
            answers = await converse(self.client, self.client.state, calls, scripts, asking=asking)
        except (UnsentError, RedisError, OSError) as error:
            self.failed = not isinstance(error, TooFewReplicasError)
            return [error] * len(calls)
        self.failed = False
        return answers


class ClusterRedis(BoundedRedis):
    """A client of a cluster, used as one of a single node; see `cache_client` for what differs.

    Args:
        clock: says what is left of the request.
        total_s: the bound of a command, over all nodes that it takes.
        seeds: some of the cluster's nodes.
        pool_of: makes the pool of a node.
        replicas: as of `BoundedRedis`.
    """

    def __init__(
        self,
        *,
        clock: Clock,
        total_s: float,
        seeds: Sequence[Place],
        pool_of: Callable[..., BlockingConnectionPool],
        replicas: Replicas = NOBODY,
    ) -> None:
        super().__init__(clock=clock, total_s=total_s, pool=pool_of(*seeds[0]), replicas=replicas)
        self._seeds = tuple(seeds)
        self._pool_of = pool_of
        self._nodes: dict[Place, Node] = {}
        self._slots: list[Node | None] = [None] * SLOTS
        self._known: list[Place] = []  # every node's, replicas too
        self._refreshing: asyncio.Task[None] | None = None
        self._refreshed_at = float("-inf")
        self._turn = 0
        self._looking: set[asyncio.Task[ClusterView | str]] = set()

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raises redis-py's TimeoutError when the time is over."""
        async with self.bounded():
            if args[0] in cache_commands.ON_EVERY_PRIMARY or " ".join(map(str, args[:2])) in (
                cache_commands.ON_EVERY_PRIMARY
            ):
                clients = await self.primaries()
                done = await asyncio.gather(*(each.execute_command(*args, **options) for each in clients))
                return done[0]
            (answer,) = await self.ask([Command(args, options)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """As redis-py's: a transaction within one slot, or commands one round trip a node.

        A command without a key goes where the first one with a key goes.
        """
        return CallsPipeline(self, transaction, shard_hint)

    async def primaries(self) -> list[BoundedRedis]:
        """A client for each primary that has slots."""
        if not self._nodes:
            await self.refresh()
        owners = {node.place: node.client for node in self._slots if node is not None}
        if not owners:
            raise AwayError("no node of the cache's cluster has keys: see CLUSTER INFO")
        return list(owners.values())

    async def node_of(self, key: str | bytes) -> BoundedRedis:
        """The client of the node that has a key."""
        slot = key_slot(_bytes(key))
        await self._look_after([slot])
        return self._owner(slot).client

    async def ask(self, calls: Sequence[Call], scripts: Mapping[str, str] = NO_SCRIPTS) -> list[Any]:
        """As of `BoundedRedis`: one round trip a node, and more where nodes redirect."""
        slots = _slots_of(calls)
        answers: list[Any] = [None] * len(calls)
        todo: dict[int, Node | None] = dict.fromkeys(range(len(calls)))  # the node that an ASK named
        said: Exception | None = None
        for _ in range(MOST_TURNS):
            asked = await self._asked(todo, calls, slots, scripts)
            todo, failure, put_off = {}, None, False
            if any(isinstance(answer, UnsentError) for _, _, answer in asked):
                await self.refresh()
            for at, node, answer in asked:
                if isinstance(answer, MovedError):
                    self._move(answer, node)
                    todo[at] = None
                elif isinstance(answer, AskError):
                    todo[at] = self._node(_place_of(answer, node))
                elif isinstance(answer, TryAgainError | ClusterDownError):
                    todo[at], put_off = None, True
                elif isinstance(answer, NoScriptError) and scripts:
                    node.client.state.loaded.clear()
                    todo[at] = None
                elif isinstance(answer, UnsentError):
                    if self._owner(slots[at]) is node:
                        failure = answer.reason
                    todo[at] = None
                elif isinstance(answer, Exception) and not isinstance(answer, ResponseError):
                    failure = answer
                else:
                    answers[at] = answer
                if at in todo:
                    said = answer
            if failure is not None:
                self._refresh_soon()
                raise failure
            if not todo:
                return answers
            if put_off:
                await self._clock.sleep(PUT_OFF_S)
                await self.refresh()
        raise AwayError(f"the cache's cluster does not settle: {said}")

    async def refresh(self) -> None:
        """Learn anew which node has which slot; whoever asks meanwhile waits for the same answer.

        Raises redis-py's ConnectionError where no node tells.
        """
        await asyncio.shield(self._refresh_soon())

    async def aclose(self, close_connection_pool: bool | None = None) -> None:
        """As redis-py's, of every node."""
        if self._refreshing is not None:
            self._refreshing.cancel()
            await asyncio.wait([self._refreshing])
        if self._looking:  # each is over after REFRESH_ANSWER_S
            await asyncio.wait(self._looking)
        for node in self._nodes.values():
            await node.client.aclose()
        await super().aclose(close_connection_pool)

    async def _asked(
        self,
        todo: Mapping[int, Node | None],
        calls: Sequence[Call],
        slots: Sequence[int],
        scripts: Mapping[str, str],
    ) -> list[tuple[int, Node, Any]]:
        """Ask each node for what is its own, all at once; return (index of the call, node, answer)."""
        groups: dict[tuple[Place, bool], tuple[Node, list[int]]] = {}
        await self._look_after(slots[at] for at, named in todo.items() if named is None)
        for at, named in todo.items():
            node = named or self._owner(slots[at])
            groups.setdefault((node.place, named is not None), (node, []))[1].append(at)
        asking = [
            node.ask([calls[at] for at in places], scripts, asking=asks)
            for (_, asks), (node, places) in groups.items()
        ]
        found = [await asking[0]] if len(asking) == 1 else await asyncio.gather(*asking)
        return [
            (at, node, answer)
            for (node, places), answered in zip(groups.values(), found, strict=True)
            for at, answer in zip(places, answered, strict=True)
        ]

    async def _look_after(self, slots: Iterable[int]) -> None:
        """Learn anew who has what where one of the slots has no node, or one that failed."""
        if any((node := self._slots[slot]) is None or node.failed for slot in slots):
            await self.refresh()

    def _owner(self, slot: int) -> Node:
        node = self._slots[slot]
        if node is None:
            raise AwayError(f"no node of the cache's cluster has slot {slot}: see CLUSTER INFO")
        return node

    def _node(self, place: Place) -> Node:
        if place not in self._nodes:
            client = BoundedRedis(
                clock=self._clock,
                total_s=self._total_s,
                pool=self._pool_of(*place),
                replicas=self.state.replicas,
            )
            node = self._nodes[place] = Node(place, client)
            client.state.next_mark = functools.partial(self._next_mark, node, itertools.count())
            client.state.mark = client.state.next_mark()
        return self._nodes[place]

    def _next_mark(self, node: Node, numbers: Iterator[int]) -> bytes:
        """The key of a mark in a slot of the node, another one each time; any, where it has no slots yet."""
        names = (MARK_OF_NODE % number for number in itertools.islice(numbers, MARKS_LOOKED_AT))
        own = (name for name in names if self._slots[key_slot(name)] in (node, None))
        return next(own, MARK_OF_NODE % 0)

    def _move(self, moved: MovedError, asked: Node) -> None:
        self._slots[moved.slot_id] = self._node(_place_of(moved, asked))
        self._refresh_soon()

    def _refresh_soon(self) -> asyncio.Task[None]:
        if self._refreshing is None or self._refreshing.done():
            with deadline.serving(None):  # it is not only for the request that found a need of it
                self._refreshing = asyncio.create_task(self._refresh())
            self._refreshing.add_done_callback(lambda task: task.cancelled() or task.exception())
        return self._refreshing

    async def _refresh(self) -> None:
        early_s = self._refreshed_at + REFRESH_EVERY_S - self._clock.monotonic()
        if early_s > 0.0:
            await self._clock.sleep(early_s)
        try:
            view = await self._ask_nodes()
        finally:
            self._refreshed_at = self._clock.monotonic()
        slots: list[Node | None] = [None] * SLOTS
        for first, last, owner in view.ranges:
            slots[first : last + 1] = [self._node(owner)] * (last + 1 - first)
        self._slots = slots
        self._known = [*view.places]
        owners = {owner for _, _, owner in view.ranges}
        for place in set(self._nodes) & set(view.places) - owners:  # demoted: what waits there is not counted
            await self._nodes.pop(place).client.connection_pool.disconnect(inuse_connections=True)

    async def _ask_nodes(self) -> ClusterView:
        """The newest of the views of a few nodes."""
        self._turn += 1
        known = self._known[self._turn % max(len(self._known), 1) :] + self._known
        places = list(dict.fromkeys([*known, *self._seeds]))
        reasons: list[str] = []
        for begin in range(0, len(places), ASKED_AT_ONCE):
            asked = {
                asyncio.create_task(self._ask_view(place)) for place in places[begin : begin + ASKED_AT_ONCE]
            }
            self._looking |= asked
            for each in asked:
                each.add_done_callback(self._looking.discard)
            views: list[ClusterView] = []
            while asked and len(views) < ENOUGH_ANSWERS:
                done, asked = await asyncio.wait(asked, return_when=asyncio.FIRST_COMPLETED)
                for each in done:
                    if isinstance(answer := each.result(), ClusterView):
                        views.append(answer)
                    else:
                        reasons.append(answer)
            if views:  # who is late ends by itself: who is cut off as it connects leaves its connection open
                return max(views, key=lambda view: view.age)
        raise AwayError(f"no node of the cache's cluster answers: {reasons[0]}")

    async def _ask_view(self, place: Place) -> ClusterView | str:
        """A node's view; where it does not tell, why."""
        pool = self._pool_of(*place, connections=1, answer_s=REFRESH_ANSWER_S)
        try:
            async with (
                asyncio.timeout(REFRESH_ANSWER_S),
                BoundedRedis(clock=self._clock, total_s=REFRESH_ANSWER_S, pool=pool) as client,
            ):
                slots, info = await converse(client, client.state, [Command(each, {}) for each in VIEW])
            return ClusterView.of(slots, info, place)
        except (UnsentError, RedisError, OSError, TimeoutError) as error:
            return str(error) or "it does not answer in time"


class ClusterView:
    """Which node has which slots, as one node sees it.

    Attributes:
        ranges: (first slot, last slot, owner).
        places: of all nodes, replicas too.
        age: of two views the greater is the newer.
    """

    def __init__(self, ranges: Sequence[tuple[int, int, Place]], places: Sequence[Place], age: Any) -> None:
        self.ranges = ranges
        self.places = places
        self.age = age

    @classmethod
    def of(cls, slots: Any, info: Any, asked: Place) -> ClusterView:
        """Read the answers of CLUSTER SLOTS and CLUSTER INFO. Raises the error that the first one is."""
        if isinstance(slots, Exception):
            raise slots
        ranges, places = [], []
        for first, last, *nodes in slots:
            found = [
                (_text(host) if host not in UNKNOWN else asked[0], int(port)) for host, port, *_ in nodes
            ]
            ranges.append((int(first), int(last), found[0]))
            places.extend(found)
        told = {} if isinstance(info, Exception) else dict(_fields(_text(info)))
        age = (told.get("cluster_state") == "ok", int(told.get("cluster_current_epoch", 0)))
        return cls(ranges, list(dict.fromkeys(places)), age)


VIEW = (("CLUSTER", "SLOTS"), ("CLUSTER", "INFO"))
UNKNOWN = (None, "", b"", "?", b"?")  # a node's host that is the one asked


def _fields(text: str) -> list[tuple[str, str]]:
    return [(name, value.strip()) for name, _, value in (line.partition(":") for line in text.splitlines())]


def _slots_of(calls: Sequence[Call]) -> list[int]:
    """Each call's slot; one without a key goes where the first one with a key goes."""
    found = [None if call.key is None else key_slot(_bytes(call.key)) for call in calls]
    first = next((slot for slot in found if slot is not None), 0)
    return [first if slot is None else slot for slot in found]


def _place_of(redirection: AskError, asked: Node) -> Place:
    host = redirection.host if redirection.host not in UNKNOWN else asked.place[0]
    return host, int(redirection.port)


def _bytes(key: Any) -> bytes:
    return key if isinstance(key, bytes) else str(key).encode()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)

"""The Redis client of ours: each command, or pipeline, has one bound over all that it waits for.

redis-py bounds each step by itself: for a free connection, for TCP, for each of the handshake's commands, for
the answer. Together that is several times what a request may take. A command that is late ends its
connection.

Before Python 3.12 redis-py loses a cancellation that comes in the moment a write completes; such a command
waits for one answer's time, as without this bound.

Whoever uses a client need not know whether it is one node's or a cluster's (`cache_cluster`), but for this:
what one script, or one pipeline with ``transaction=True``, touches lies in one slot.
"""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from redis.asyncio import BlockingConnectionPool, Connection, Redis, SSLConnection
from redis.asyncio.client import Pipeline
from redis.exceptions import NoScriptError
from redis.exceptions import TimeoutError as LateError

from launchday.clock import Clock
from launchday.resilience import cache_commands, deadline
from launchday.resilience.cache_calls import (
    NO_SCRIPTS,
    Call,
    Command,
    NodeState,
    Packed,
    Transaction,
    UnsentError,
    converse,
)
from launchday.resilience.cache_replicas import NOBODY, Replicas

TOTAL_STEPS = 1.5  # a free connection and an answer that both take all of their time are an outage


class LiveConnection(Connection):
    """A connection that is not taken for open once its transport has ended.

    redis-py asks its stream alone, and that has no end where the kernel gave the connection up, as keep-alive
    does with one that is dead. uvloop then raises RuntimeError at the next command, for each such connection.
    """

    @property
    def is_connected(self) -> bool:
        """Whether a command may be sent on it."""
        return self._reader is not None and self._writer is not None and not self._writer.is_closing()

    async def disconnect(self, *args: Any, **options: Any) -> None:
        """As redis-py's; of one whose transport has ended nothing is kept either."""
        await super().disconnect(*args, **options)
        self._reader = self._writer = None


class LiveTlsConnection(LiveConnection, SSLConnection):
    """The same over TLS."""


LIVE: dict[Any, Any] = {Connection: LiveConnection, SSLConnection: LiveTlsConnection}


class BoundedRedis(Redis):
    """A Redis client whose commands take ``total_s`` at most, or what is left of the request.

    Args:
        clock: says what is left of the request.
        total_s: see above.
        pool: its own, of one node.
        replicas: that must have a change before it is acknowledged. Where they have not, the change is made
            and `cache_replicas.TooFewReplicasError` is raised.
    """

    def __init__(
        self, *, clock: Clock, total_s: float, pool: BlockingConnectionPool, replicas: Replicas = NOBODY
    ) -> None:
        super().__init__(connection_pool=pool)
        pool.connection_class = LIVE.get(pool.connection_class, pool.connection_class)
        self.auto_close_connection_pool = True  # as Redis.from_pool does: the pool is this client's alone
        self.state = NodeState(replicas)
        self._clock = clock
        self._total_s = total_s

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """As redis-py's; raises redis-py's TimeoutError when the time is over."""
        async with self.bounded():
            if not self.state.replicas or not cache_commands.changes(args):
                return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]
            (answer,) = await self._converse([Command(args, options)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    @contextlib.asynccontextmanager
    async def bounded(self) -> AsyncIterator[None]:
        """Bound a block as one command; raises redis-py's TimeoutError when the time is over."""
        try:
            async with deadline.within(self._clock, self._total_s):
                yield
        except deadline.DeadlineExceededError as late:
            raise LateError(str(late)) from late

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """As redis-py's; all of the pipeline has the time of one command."""
        if self.state.replicas:
            return CallsPipeline(self, transaction, shard_hint)
        return _BoundedPipeline(self, transaction, shard_hint)

    async def _converse(self, calls: Sequence[Call], scripts: Mapping[str, str] = NO_SCRIPTS) -> list[Any]:
        try:
            return await converse(self, self.state, calls, scripts)
        except UnsentError as unsent:
            raise unsent.reason from None

    async def ask(self, calls: Sequence[Call], scripts: Mapping[str, str] = NO_SCRIPTS) -> list[Any]:
        """Make calls; return an answer each, the server's errors as objects. Bound it by `bounded`.

        Args:
            calls: in order.
            scripts: hash to text of those that the calls run; the node is given those that it lacks.

        Raises redis-py's errors where the connection fails; what was sent may have been done.
        """
        answers = await self._converse(calls, scripts)
        if lacking := [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]:
            self.state.loaded.clear()
            again = await self._converse([calls[at] for at in lacking], scripts)
            for at, answer in zip(lacking, again, strict=True):
                answers[at] = answer
        return answers


class _BoundedPipeline(Pipeline):
    def __init__(self, client: BoundedRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        async with self._client.bounded():
            return await super().execute(raise_on_error)


class CallsPipeline(Pipeline):
    """A pipeline that its client sends as calls: to several nodes, or with a wait for replicas. No WATCH."""

    def __init__(self, client: BoundedRedis, transaction: bool, shard_hint: str | None) -> None:
        super().__init__(client.connection_pool, client.response_callbacks, transaction, shard_hint)
        self._client = client

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        """As redis-py's."""
        stack: Any = self.command_stack
        scripts = {str(script.sha): str(script.script) for script in self.scripts}
        whole = self.is_transaction or self.explicit_transaction
        await self.reset()  # type: ignore[no-untyped-call]
        if not stack:
            return []
        async with self._client.bounded():
            if whole:
                (answers,) = await self._client.ask([Transaction(stack)], scripts)
                if isinstance(answers, Exception):
                    raise answers
            else:
                answers = await self._client.ask([Command(*each) for each in stack], scripts)
        if raise_on_error:
            self.raise_first_error(stack, answers)
        return list(answers)


def is_cluster(redis: Redis) -> bool:
    """Whether its keys lie on several nodes."""
    from launchday.resilience.cache_cluster import ClusterRedis

    return isinstance(redis, ClusterRedis)


async def send_packed(redis: Redis, commands: Sequence[tuple[str, bytes]]) -> list[Any]:
    """Send commands that change something, one round trip a node; return their answers in order.

    Args:
        redis: of `sockets.redis_client`, or any of redis-py's.
        commands: (key, packed command) each; the key decides the node.

    An error of the server is returned as a ResponseError. Redirections of a cluster are followed. Raises
    redis-py's errors where a connection fails; what was sent may have been done.
    """
    if not commands:
        return []
    calls = [Packed(key, packed) for key, packed in commands]
    if not isinstance(redis, BoundedRedis):
        return await converse(redis, NodeState(), calls)
    async with redis.bounded():
        return await redis.ask(calls)


def checked(answers: list[Any]) -> list[Any]:
    """The answers, where none is an error; raises the first one that is."""
    for answer in answers:
        if isinstance(answer, Exception):
            raise answer
    return answers


async def run_script(redis: Redis, text: str, commands: Sequence[tuple[str, bytes]]) -> list[Any]:
    """Send commands that run one script, as `send_packed` does; nodes that lack it are given it first.

    Args:
        redis: as of `send_packed`.
        text: the script.
        commands: (key, packed EVALSHA) each.
    """
    answers = await send_packed(redis, commands)
    lacking = [at for at, answer in enumerate(answers) if isinstance(answer, NoScriptError)]
    if lacking:  # a new cache, one that took over, or scripts flushed
        await redis.script_load(text)
        again = await send_packed(redis, [commands[at] for at in lacking])
        for at, answer in zip(lacking, again, strict=True):
            answers[at] = answer
    return answers


async def each_primary(redis: Redis) -> list[Redis]:
    """A client for each node that has keys: for what is asked of nodes, such as INFO or SCAN. Do not close
    them: they are the client's own.
    """
    from launchday.resilience.cache_cluster import ClusterRedis

    return list(await redis.primaries()) if isinstance(redis, ClusterRedis) else [redis]


async def node_of(redis: Redis, key: str) -> BoundedRedis:
    """The client of the node that has a key. Do not close it."""
    from launchday.resilience.cache_cluster import ClusterRedis

    if isinstance(redis, ClusterRedis):
        return await redis.node_of(key)
    assert isinstance(redis, BoundedRedis)
    return redis


async def drop_idle(redis: Redis) -> None:
    """End the connections that nobody uses right now: after an outage each would fail one more request."""
    for client in await each_primary(redis):
        await client.connection_pool.disconnect(inuse_connections=False)

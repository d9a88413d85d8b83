"""Calls to a node of a cache: what is written for each, and how its answer is read."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.exceptions import AskError, ExecAbortError, RedisError, ResponseError, TryAgainError

from launchday.resilience import cache_commands
from launchday.resilience.cache_replicas import MARK, NOBODY, Replicas

ASKING = b"*1\r\n$6\r\nASKING\r\n"
NO_SCRIPTS: Mapping[str, str] = {}
MARKS_TRIED = 3


@dataclass
class NodeState:
    """What a client knows of its node.

    Attributes:
        replicas: that must have what was changed.
        loaded: hashes of scripts that the node has, as far as pipelines know.
        mark: the key that is written before replicas are waited for, see `cache_replicas`.
        next_mark: another one, where that one's slot is not the node's any more.
    """

    replicas: Replicas = NOBODY
    loaded: set[str] = field(default_factory=set)
    mark: bytes = MARK
    next_mark: Callable[[], bytes] = lambda: MARK


class UnsentError(Exception):
    """Raised where no connection to a node was to be had: nothing was sent.

    Attributes:
        reason: redis-py's error, or the system's.
    """

    def __init__(self, reason: Exception) -> None:
        self.reason = reason
        super().__init__(str(reason))


class Call(Protocol):
    """One that is sent to the node of its key.

    Attributes:
        key: str or bytes; None: it is about no key.
        changes: whether replicas are waited for after it.
    """

    key: Any
    changes: bool

    def write(self, connection: Any) -> Iterable[bytes]:
        """What is sent."""

    async def read(self, client: Redis, connection: Any) -> Any:
        """Its answer; an error of the server is returned. Raises what the connection does."""

    def hashes(self) -> Iterable[str]:
        """Of the scripts that it runs."""


class Command:
    """A command as redis-py has it."""

    __slots__ = ("args", "changes", "key", "options")

    def __init__(self, args: Sequence[Any], options: dict[str, Any]) -> None:
        self.args = args
        self.options = options
        self.key = cache_commands.key_of(args)
        self.changes = cache_commands.changes(args)

    def write(self, connection: Any) -> Iterable[bytes]:
        """As in `Call`."""
        packed: Iterable[bytes] = connection.pack_command(*self.args)
        return packed

    async def read(self, client: Redis, connection: Any) -> Any:
        """As in `Call`."""
        try:
            return await client.parse_response(connection, self.args[0], **self.options)
        except ResponseError as error:
            return error

    def hashes(self) -> Iterable[str]:
        """As in `Call`."""
        return (self.args[1],) if self.args[0] == "EVALSHA" else ()


class Packed:
    """A packed command, which changes something."""

    __slots__ = ("changes", "key", "packed")

    def __init__(self, key: str, packed: bytes) -> None:
        self.key = key
        self.changes = True
        self.packed = packed

    def write(self, connection: Any) -> Iterable[bytes]:
        """As in `Call`."""
        return (self.packed,)

    async def read(self, client: Redis, connection: Any) -> Any:
        """As in `Call`."""
        return await read(connection)

    def hashes(self) -> Iterable[str]:
        """As in `Call`: whoever packed it sees to its script."""
        return ()


class Transaction:
    """Commands between MULTI and EXEC, whose keys are of one slot. Its answer is the list of theirs."""

    __slots__ = ("changes", "commands", "key")

    def __init__(self, commands: Sequence[tuple[Sequence[Any], dict[str, Any]]]) -> None:
        self.commands = [Command(*each) for each in commands]
        self.key = next((each.key for each in self.commands if each.key is not None), None)
        self.changes = any(each.changes for each in self.commands)

    def write(self, connection: Any) -> Iterable[bytes]:
        """As in `Call`."""
        packed: Iterable[bytes] = connection.pack_commands(
            [("MULTI",), *(each.args for each in self.commands), ("EXEC",)]
        )
        return packed

    async def read(self, client: Redis, connection: Any) -> Any:
        """As in `Call`. Where a command was refused nothing was done, and its error is the answer."""
        queued = [await read(connection) for _ in range(len(self.commands) + 1)]
        done = await read(connection)
        if isinstance(done, ExecAbortError):
            return next((each for each in queued if isinstance(each, ResponseError)), done)
        if isinstance(done, Exception):
            return done
        answers = []
        for command, answer in zip(self.commands, done, strict=True):
            reading = client.response_callbacks.get(command.args[0])
            options = {name: value for name, value in command.options.items() if name != "keys"}
            if reading is not None and not isinstance(answer, Exception):
                answer = reading(answer, **options)
            answers.append(answer)
        return answers

    def hashes(self) -> Iterable[str]:
        """As in `Call`."""
        return [text for each in self.commands for text in each.hashes()]


async def converse(
    client: Redis,
    state: NodeState,
    calls: Sequence[Call],
    scripts: Mapping[str, str] = NO_SCRIPTS,
    *,
    asking: bool = False,
) -> list[Any]:
    """Make calls on one connection of a node, in one round trip; return an answer each.

    Args:
        client: of the node.
        state: the node's.
        calls: in order.
        scripts: hash to text; the node is given those of the calls that it lacks, as far as is known.
        asking: the node does not own the keys' slots yet.

    Raises:
        UnsentError: no connection was to be had; redis-py's error is its cause.
        TooFewReplicasError: everything was done, and replicas lack it; and redis-py's errors where the
            connection fails. It is ended then, for answers are unread.
    """
    hashes = {each for call in calls for each in call.hashes() if each in scripts} if scripts else set()
    lacking = hashes - state.loaded
    waits = bool(state.replicas) and any(call.changes for call in calls)
    pool = client.connection_pool
    try:
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
    except (RedisError, OSError) as error:
        raise UnsentError(error) from error
    try:
        parts: list[bytes] = []
        for each in lacking:
            parts.extend(connection.pack_command("SCRIPT LOAD", scripts[each]))
        for call in calls:
            if asking:
                parts.append(ASKING)
            parts.extend(call.write(connection))
        if waits:
            parts.append(state.replicas.packed(state.mark))
        await connection.send_packed_command(b"".join(parts))
        given = [await read(connection) for _ in lacking]
        found: list[Any] = []
        for call in calls:
            if asking:
                await read(connection)
            if isinstance(call, Packed):  # by hundreds: a coroutine less each
                try:
                    found.append(await connection.read_response())
                except ResponseError as error:
                    found.append(error)
            else:
                found.append(await call.read(client, connection))
        waited = [await read(connection), await read(connection)] if waits else []
    except BaseException:
        await connection.disconnect(nowait=True)
        raise
    finally:
        await pool.release(connection)
    state.loaded.update(each for each, answer in zip(lacking, given, strict=True) if not is_error(answer))
    if waits and not all(map(is_error, found)):
        await _check(client, state, waited)
    return found


async def _check(client: Redis, state: NodeState, waited: Sequence[Any]) -> None:
    """Raise TooFewReplicasError where replicas lack what a node has done.

    Where the mark's slot has left the node, another mark does: WAIT asks about all that the node has written.
    """
    pool = client.connection_pool
    for _ in range(MARKS_TRIED):
        if not isinstance(waited[0], AskError | TryAgainError):  # MovedError is an AskError
            break
        state.mark = state.next_mark()
        connection = await pool.get_connection()  # type: ignore[no-untyped-call]
        try:
            await connection.send_packed_command(state.replicas.packed(state.mark))
            waited = [await read(connection), await read(connection)]
        except BaseException:
            await connection.disconnect(nowait=True)
            raise
        finally:
            await pool.release(connection)
    state.replicas.check(*waited)


async def read(connection: Any) -> Any:
    """The next answer of a connection; an error of the server is returned."""
    try:
        return await connection.read_response()
    except ResponseError as error:
        return error


def is_error(answer: Any) -> bool:
    """Whether the server refused."""
    return isinstance(answer, Exception)

"""The scripts that run inside the cache, each one file: what must happen together or not at all.

A script touches the keys of one player, one match or one party, beside the counters, the leases and the
streams of the player's partition; its caller names every key that it touches. So a match is asked player by
player: all of them in one round trip a node, and what another caller does may come in between.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis

from launchday.resilience.cache_client import checked, run_script
from launchday.resilience.packed import Argument, begin, pack
from meta_service.cache import packed
from meta_service.cache.keys import Keys, Partition
from meta_service.cache.packed import Command

FOLDER = Path(__file__).parent

Call = tuple[int, Sequence[Argument]]
"""A player, and the arguments."""

Shared = Sequence[Argument] | Callable[[Partition], Sequence[Argument]]
"""Arguments that follow in every call: all alike, or by partition."""


@functools.cache
def source(name: str) -> str:
    """The text of ``<name>.lua``."""
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


class ManyScript:
    """A script that is run for many keys in one round trip a node.

    Args:
        redis: a client of the region's cache.
        name: of the script's file.
    """

    def __init__(self, redis: Redis, name: str) -> None:
        self._redis = redis
        self._text = source(name)
        self._sha: str = redis.register_script(self._text).sha

    async def run_each(self, calls: Iterable[tuple[Sequence[str], Sequence[Argument]]]) -> list[Any]:
        """Run it once for each (keys, arguments); return the answers in order.

        Raises redis-py's errors: the first one, when every call was made. Each script may be repeated.
        """
        return await self._ask(
            [
                packed.command(keys[0], "EVALSHA", self._sha, len(keys), *keys, *arguments)
                for keys, arguments in calls
            ]
        )

    async def _ask(self, commands: Sequence[Command]) -> list[Any]:
        return checked(await self._send(commands))

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        return await run_script(self._redis, self._text, commands)


def player_hash(partition: Partition, player_id: int) -> tuple[str, ...]:
    """The player's own key, for scripts that touch no other of theirs."""
    return (partition.player(player_id),)


def lock_and_hash(partition: Partition, player_id: int) -> tuple[str, ...]:
    """The lock of the player's load and their hash, for scripts that show what the store has."""
    return partition.fill_lock(player_id), partition.player(player_id)


def no_keys(_: Partition) -> tuple[str, ...]:
    """For scripts that touch nothing but the player's own keys."""
    return ()


class PlayerScript(ManyScript):
    """A script for one player, run for many of them in one round trip a node.

    Args:
        redis: a client of the region's cache.
        keys: the cache's.
        name: of the script's file.
        shared_keys: the keys before the player's own, alike for all of a partition.
        own: the player's own.
    """

    def __init__(
        self,
        redis: Redis,
        keys: Keys,
        name: str,
        shared_keys: Callable[[Partition], tuple[str, ...]] = no_keys,
        own: Callable[[Partition, int], tuple[str, ...]] = player_hash,
    ) -> None:
        super().__init__(redis, name)
        self._keys = keys
        self._shared_keys = shared_keys
        self._own = own

    async def run(self, calls: Iterable[Call], shared: Shared = ()) -> list[Any]:
        """Run it once for each (player, arguments); return the answers in order.

        Args:
            calls: what differs from player to player.
            shared: arguments that follow in every call.

        Raises redis-py's errors: the first one, when every call was made. Each script may be repeated.
        """
        return await self._ask(self._packed(calls, shared))

    def _packed(self, calls: Iterable[Call], shared: Shared) -> list[Command]:
        found: list[Command] = []
        frames: dict[tuple[int, int], tuple[bytes, bytes]] = {}  # by partition and number of arguments
        for player_id, arguments in calls:
            partition = self._keys.of(player_id)
            own = self._own(partition, player_id)
            like = partition.number, len(arguments)
            if like not in frames:
                frames[like] = self._frame(partition, len(own), len(arguments), shared)
            head, tail = frames[like]
            found.append((own[0], head + pack((*own, *arguments)) + tail))
        return found

    def _frame(self, partition: Partition, own: int, arguments: int, shared: Shared) -> tuple[bytes, bytes]:
        """What stands before and after what is the player's own."""
        tail = shared(partition) if callable(shared) else shared
        keys = self._shared_keys(partition)
        names: tuple[Argument, ...] = ("EVALSHA", self._sha, len(keys) + own, *keys)
        total = len(names) + own + arguments + len(tail)
        return begin(total) + pack(names), pack(tail)

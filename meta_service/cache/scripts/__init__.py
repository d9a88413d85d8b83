"""The scripts that run inside the cache, each one file: what must happen together or not at all.

A script about matches touches the keys of one player or of one match, beside the counters, the leases and the
stream, of which each part of a sharded cache would have its own. So a match is asked player by player: all of
them in one round trip, and what another caller does may come in between.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import NoScriptError

from meta_service.cache import packed
from meta_service.cache.packed import Argument

FOLDER = Path(__file__).parent

Call = tuple[str | tuple[str, ...], Sequence[Argument]]
"""A player's key, or keys, and the arguments."""


@functools.cache
def source(name: str) -> str:
    """The text of ``<name>.lua``."""
    return (FOLDER / f"{name}.lua").read_text(encoding="utf-8")


class PlayerScript:
    """A script for one player, run for many of them in one round trip.

    Args:
        redis: a client of the region's cache.
        name: of the script's file.
        shared_keys: the keys before the player's own, alike in every call.
    """

    def __init__(self, redis: Redis, name: str, shared_keys: Sequence[str] = ()) -> None:
        self._redis = redis
        self._script = redis.register_script(source(name))
        self._shared_keys = tuple(shared_keys)

    async def run(self, calls: Iterable[Call], shared: Sequence[Argument] = ()) -> list[Any]:
        """Run it once for each (player's key or keys, arguments); return the answers in order.

        Args:
            calls: what differs from player to player.
            shared: arguments that follow in every call.

        Raises redis-py's errors: the first one, when every call was made. Each script may be repeated.
        """
        packed_calls = self._packed(calls, shared)
        answers = await self._send(packed_calls)
        if any(isinstance(answer, NoScriptError) for answer in answers):  # a new cache, or scripts flushed
            await self._redis.script_load(self._script.script)
            answers = await self._send(packed_calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    def _packed(self, calls: Iterable[Call], shared: Sequence[Argument]) -> list[bytes]:
        tail, found = packed.pack(shared), []
        heads: dict[tuple[int, int], bytes] = {}  # alike but for the numbers of keys and arguments
        for key, arguments in calls:
            own: tuple[str, ...] = (key,) if isinstance(key, str) else key
            sizes = len(own), len(arguments)
            if sizes not in heads:
                count = len(self._shared_keys) + len(own)
                names: tuple[Argument, ...] = ("EVALSHA", self._script.sha, count, *self._shared_keys)
                total = len(names) + len(own) + len(arguments) + len(shared)
                heads[sizes] = packed.begin(total) + packed.pack(names)
            found.append(heads[sizes] + packed.pack(own) + packed.pack(arguments) + tail)
        return found

    async def _send(self, commands: Sequence[bytes]) -> list[Any]:
        return await packed.send(self._redis, b"".join(commands), len(commands)) if commands else []

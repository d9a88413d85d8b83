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

FOLDER = Path(__file__).parent

Argument = str | int | float
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

    async def run(self, calls: Iterable[Call]) -> list[Any]:
        """Run it once for each (player's key, arguments); return the answers in order.

        Raises redis-py's errors: the first one, when every call was made. Each script may be repeated.
        """
        calls = list(calls)
        answers = await self._send(calls)
        if any(
            isinstance(answer, NoScriptError) for answer in answers
        ):  # a new cache, or its scripts flushed
            await self._redis.script_load(self._script.script)
            answers = await self._send(calls)
        for answer in answers:
            if isinstance(answer, Exception):
                raise answer
        return answers

    async def _send(self, calls: Sequence[Call]) -> list[Any]:
        if not calls:
            return []
        pipeline = self._redis.pipeline(transaction=False)
        sha, shared = self._script.sha, self._shared_keys
        for key, arguments in calls:
            keys = (*shared, key) if isinstance(key, str) else (*shared, *key)
            pipeline.execute_command("EVALSHA", sha, len(keys), *keys, *arguments)
        return list(await pipeline.execute(raise_on_error=False))

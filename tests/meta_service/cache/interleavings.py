"""Every order in which the steps of some operations on the cache can be made, one after another.

An operation is a coroutine over the real code and a real cache. It stops before each step: a script, a
pipeline, or the part of a pipeline that concerns one player. ``explore`` runs the operations anew for each
order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from typing import Any

import pytest
from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from launchday.resilience.cache_client import send_packed
from meta_service.cache.packed import Command
from meta_service.cache.scripts import ManyScript

Operation = Callable[[], Coroutine[Any, Any, object]]


class Gate:
    """Holds every operation before its next step, until it is its turn."""

    def __init__(self) -> None:
        self._waiting: dict[asyncio.Task[Any], asyncio.Future[None]] = {}
        self._moved = asyncio.Event()

    async def step(self) -> None:
        """Wait for the turn of the operation that calls; an outsider need not."""
        task = asyncio.current_task()
        if task is None or task.get_name() != "operation":
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[task] = turn
        self._moved.set()
        await turn

    async def settled(self, task: asyncio.Task[Any]) -> bool:
        """Wait until an operation stands before a step, or is over; return whether it stands."""
        while task not in self._waiting and not task.done():
            self._moved.clear()
            moved = asyncio.ensure_future(self._moved.wait())
            await asyncio.wait([task, moved], return_when=asyncio.FIRST_COMPLETED)
            moved.cancel()
        return not task.done()

    def let(self, task: asyncio.Task[Any]) -> None:
        """Let an operation make its step."""
        self._waiting.pop(task).set_result(None)


class GatedPipeline(Pipeline):
    """A pipeline that waits for its turn."""

    gate: Gate

    async def execute(self, raise_on_error: bool = True) -> list[Any]:
        await self.gate.step()
        return await super().execute(raise_on_error)


class GatedRedis(Redis):
    """A client whose commands wait for their turn."""

    gate: Gate

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        await self.gate.step()
        return await super().execute_command(*args, **options)  # type: ignore[no-untyped-call]

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        pipeline = GatedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)
        pipeline.gate = self.gate
        return pipeline


def gate_scripts(gate: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every player's script wait for its turn, where the real ones of a match go out together."""

    async def gated(script: ManyScript, commands: Sequence[Command]) -> list[Any]:
        answers = []
        for command in commands:
            await gate.step()
            answers += await send_packed(script._redis, [command])
        return answers

    monkeypatch.setattr(ManyScript, "_send", gated)


async def explore(
    gate: Gate, world: Callable[[], Awaitable[tuple[Sequence[Operation], Callable[[], Awaitable[None]]]]]
) -> int:
    """Run operations in every order of their steps; return how many orders there were.

    Args:
        gate: of the client that they use.
        world: makes the operations of one run, all new, and what to check when they are over.
    """
    runs = 0
    for choices in _orders():
        operations, check = await world()
        tasks = [asyncio.create_task(operation(), name="operation") for operation in operations]
        while standing := [index for index, task in enumerate(tasks) if await gate.settled(task)]:
            task = tasks[standing[choices(len(standing))]]
            gate.let(task)
            await gate.settled(task)
        for task in tasks:
            task.result()
        await check()
        runs += 1
    return runs


def _orders() -> Iterator[Callable[[int], int]]:
    """Yield, run by run, a function that chooses among n: together every sequence of choices there is."""
    prefix: list[int] = []
    while True:
        made: list[tuple[int, int]] = []

        def choose(count: int, prefix: list[int] = prefix, made: list[tuple[int, int]] = made) -> int:
            choice = prefix[len(made)] if len(made) < len(prefix) else 0
            made.append((choice, count))
            return choice

        yield choose
        while made and made[-1][0] + 1 == made[-1][1]:
            made.pop()
        if not made:
            return
        prefix = [choice for choice, _ in made[:-1]] + [made[-1][0] + 1]

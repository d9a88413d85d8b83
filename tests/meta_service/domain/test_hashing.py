from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from typing import Any

import pytest

from launchday.clock import ManualClock, SystemClock
from launchday.resilience import deadline
from launchday.resilience.deadline import DeadlineExceededError
from meta_service.domain import hashing, hashing_process
from meta_service.domain.hashing import MAX_AGE_S, Passwords, processes_of
from meta_service.errors import HashingBusyError
from tests.waiting import until


class HeldHasher:
    """Stands in for a process: remembers what it was given, and answers when it is let go."""

    def __init__(self) -> None:
        self.done: list[str] = []
        self.turn: asyncio.Future[None] | None = None

    async def do(self, order: dict[str, Any]) -> dict[str, Any]:
        self.done.append(order["verify"])
        self.turn = asyncio.get_running_loop().create_future()
        await self.turn
        return {"right": True}

    def end(self) -> None:
        pass


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def held(clock: ManualClock, monkeypatch: pytest.MonkeyPatch) -> tuple[Passwords, HeldHasher]:
    hasher = HeldHasher()
    monkeypatch.setattr(hashing, "_Hasher", lambda: hasher)
    return Passwords(clock), hasher


@pytest.fixture
async def passwords() -> AsyncIterator[Passwords]:
    made = Passwords(SystemClock())
    yield made
    await made.close()


def asking(passwords: Passwords, what: str, address: str, name: str) -> asyncio.Task[bool]:
    return asyncio.create_task(passwords.matches("kept", what, (address, name)))


async def all_done(hasher: HeldHasher, tasks: list[asyncio.Task[bool]]) -> None:
    for number in range(len(tasks)):
        await until(lambda number=number: len(hasher.done) > number, "the next hash begins")
        assert hasher.turn is not None
        hasher.turn.set_result(None)
    await asyncio.gather(*tasks)


async def test_a_flood_from_one_address_keeps_nobody_waiting_for_more_than_a_turn(
    held: tuple[Passwords, HeldHasher],
) -> None:
    passwords, hasher = held
    tasks = [asking(passwords, f"guess{n}", "192.0.2.1", f"nobody.{n}") for n in range(5)]
    await until(lambda: hasher.done, "a hash begins")
    tasks.append(asking(passwords, "right", "192.0.2.9", "nina.7"))
    await asyncio.sleep(0)
    await all_done(hasher, tasks)
    assert hasher.done == ["guess0", "guess1", "right", "guess2", "guess3", "guess4"]


async def test_names_behind_one_address_take_turns(held: tuple[Passwords, HeldHasher]) -> None:
    passwords, hasher = held
    tasks = [asking(passwords, f"guess{n}", "192.0.2.1", "nina.7") for n in range(4)]
    tasks.append(asking(passwords, "right", "192.0.2.1", "otto.9"))
    await asyncio.sleep(0)
    await all_done(hasher, tasks)
    assert hasher.done[:3] == ["guess0", "guess1", "right"]


async def test_who_has_waited_for_too_long_is_told_to_try_again(
    held: tuple[Passwords, HeldHasher], clock: ManualClock
) -> None:
    passwords, hasher = held
    first = asking(passwords, "first", "192.0.2.1", "nina.7")
    await until(lambda: hasher.done, "a hash begins")
    waits = asking(passwords, "waits", "192.0.2.2", "otto.9")
    await asyncio.sleep(0)
    clock.advance(MAX_AGE_S + 0.05)
    assert hasher.turn is not None
    hasher.turn.set_result(None)
    assert await first
    with pytest.raises(HashingBusyError):
        await waits
    assert hasher.done == ["first"]


async def test_a_full_line_refuses_at_once(
    held: tuple[Passwords, HeldHasher], monkeypatch: pytest.MonkeyPatch
) -> None:
    passwords, _ = held
    tasks = [asking(passwords, f"guess{n}", "192.0.2.1", "nina.7") for n in range(hashing.LINE.places + 2)]
    with pytest.raises(HashingBusyError):
        await tasks[-1]
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_a_check_that_is_cancelled_gives_its_turn_back(held: tuple[Passwords, HeldHasher]) -> None:
    passwords, hasher = held
    first = asking(passwords, "first", "192.0.2.1", "nina.7")
    await until(lambda: hasher.done, "a hash begins")
    second = asking(passwords, "second", "192.0.2.2", "otto.9")
    await asyncio.sleep(0)
    first.cancel()
    await until(lambda: len(hasher.done) == 2, "the second hash begins")
    assert hasher.turn is not None
    hasher.turn.set_result(None)
    assert await second


async def test_a_request_whose_time_is_over_costs_no_hash(
    held: tuple[Passwords, HeldHasher], clock: ManualClock
) -> None:
    passwords, hasher = held
    with deadline.serving(clock.monotonic()), pytest.raises(DeadlineExceededError):
        await passwords.matches("kept", "late", ("192.0.2.1", "nina.7"))
    assert hasher.done == []


async def test_a_process_that_dies_is_replaced(passwords: Passwords) -> None:
    who = ("192.0.2.1", "nina.7")
    kept = await passwords.hash("correct horse", who)
    process = passwords._hashers[0]._process
    assert process is not None
    assert process.pid != os.getpid()
    process.kill()
    with pytest.raises(HashingBusyError):
        await passwords.matches(kept, "correct horse", who)
    assert await passwords.matches(kept, "correct horse", who)
    assert not await passwords.matches(kept, "correct \ud800", who)


async def test_no_process_outlives_the_service(passwords: Passwords) -> None:
    await passwords.hash("correct horse", ("192.0.2.1", "nina.7"))
    process = passwords._hashers[0]._process
    assert process is not None
    await passwords.close()
    assert process.poll() is not None


def test_a_process_that_hashes_checks_what_it_made() -> None:
    kept = hashing_process.work({"hash": "correct horse"})["kept"]
    assert hashing_process.work({"verify": "correct horse", "kept": kept}) == {"right": True}
    assert hashing_process.work({"verify": "wrong", "kept": kept}) == {"right": False}
    assert hashing_process.work({"verify": "the password of nobody", "kept": None}) == {"right": False}


def test_each_core_but_one_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    for cores, processes in ((1, 1), (2, 1), (4, 3), (64, 4)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        assert processes_of(0) == processes
    assert processes_of(7) == 7

"""Closing aiokafka's clients ends however their stop() does, and a client's own cancellation ends nobody."""

from __future__ import annotations

import asyncio

import pytest

from rewards.events.kafka_clients import close_within, is_being_cancelled


async def ends_cancelled() -> None:
    raise asyncio.CancelledError


async def fails() -> None:
    raise OSError("gone")


async def hangs() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("closing", [ends_cancelled, fails, hangs])
async def test_it_goes_on_however_a_client_ends(closing: object) -> None:
    assert callable(closing)
    await close_within(0.01, "a client", closing())
    assert not is_being_cancelled()


async def test_the_callers_own_cancellation_is_passed_on() -> None:
    closing = asyncio.create_task(close_within(0.01, "a client", hangs()))
    await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing


async def test_a_cancellation_that_nobody_asked_for_differs_from_one_that_somebody_did() -> None:
    seen: list[bool] = []

    async def notes() -> None:
        try:
            await ends_cancelled()
        except asyncio.CancelledError:
            seen.append(is_being_cancelled())
        try:
            await hangs()
        except asyncio.CancelledError:
            seen.append(is_being_cancelled())
            raise

    task = asyncio.create_task(notes())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == [False, True]

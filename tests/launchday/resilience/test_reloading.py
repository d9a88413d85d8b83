"""A process reads its configuration again when it is asked to, and stays as it was where that is wrong."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest
from fastapi import FastAPI

from launchday.problems import ProblemError
from launchday.resilience.reloading import Reloading, ReloadRefusedError
from launchday.service import read_again
from tests.waiting import until


async def test_a_hangup_reads_every_part_again_and_a_wrong_one_stops_no_other() -> None:
    reloading, read = Reloading(), []

    async def wrong() -> None:
        raise ValueError("line 3: no such item")

    async def right() -> None:
        read.append("rules")

    reloading.add("catalogue", wrong)
    reloading.add("rules", right)
    assert await reloading.reload() == {"catalogue": "line 3: no such item"}
    assert read == ["rules"]

    listening = asyncio.create_task(reloading.run())
    await asyncio.sleep(0)
    os.kill(os.getpid(), signal.SIGHUP)
    await until(lambda: len(read) == 2, "it was read again")
    listening.cancel()
    await asyncio.gather(listening, return_exceptions=True)


async def test_an_operator_is_told_every_mistake_of_the_part_that_was_asked_for() -> None:
    app, reloading = FastAPI(), Reloading()
    app.state.reloading = reloading
    mistakes = ["rules.yaml: levels: …", "challenges.yaml: challenges.0.count: …"]

    async def wrong() -> None:
        raise ReloadRefusedError(mistakes)

    async def right() -> None:
        pass

    reloading.add("rules", wrong)
    reloading.add("catalogue", right)
    await read_again(app, "catalogue")
    with pytest.raises(ProblemError) as refused:
        await read_again(app, "rules")
    assert (refused.value.status, refused.value.slug) == (422, "reload-refused")
    assert refused.value.extensions == {"mistakes": mistakes}

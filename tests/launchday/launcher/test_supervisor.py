"""Supervision: what dies is started again after a pause, and told; given up when it cannot even start."""

from __future__ import annotations

import asyncio
import io
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from launchday.launcher import lifecycle, supervisor
from launchday.launcher.backend import Backend
from launchday.launcher.children import Child, ServiceChild
from launchday.launcher.supervisor import Supervisor
from launchday.settings import Settings
from launchday.terminal import Terminal
from tests.waiting import until

LIVES = "import time; print('up', flush=True); time.sleep(60)"
DIES = "print('the last words', flush=True); raise SystemExit(7)"


class Engine(Child):
    """An engine that is away, or is there, as the test says; it has no process."""

    def __init__(self) -> None:
        super().__init__("cache", "cache (a test's)", Path("/nonexistent"))

    @property
    def process(self) -> subprocess.Popen[bytes] | None:
        return None

    @property
    def needed_by_others(self) -> bool:
        return True

    def _start(self, restarts: int) -> None: ...

    def is_ready(self) -> bool:
        return False


@pytest.fixture
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Supervision as it is, a thousand times faster."""
    for name in ("WATCH_S", "FIRST_PAUSE_S", "MAX_PAUSE_S"):
        monkeypatch.setattr(supervisor, name, getattr(supervisor, name) / 1000)


@pytest.fixture
def child(tmp_path: Path) -> Callable[[str], ServiceChild]:
    """Makes a process of a few lines of Python, which is ready when it runs."""

    def made(code: str) -> ServiceChild:
        return ServiceChild("director", [sys.executable, "-S", "-c", code], tmp_path / "director.log", {}, "")

    return made


@asynccontextmanager
async def supervised(
    supervising: Supervisor, *children: Child
) -> AsyncIterator[tuple[list[str], asyncio.Task[str | None]]]:
    """Supervise until the block ends; gives what is said, and the task."""
    said: list[str] = []
    stop = asyncio.Event()
    task = asyncio.create_task(supervising.run({each.name: each for each in children}, said.append, stop))
    try:
        yield said, task
    finally:
        stop.set()
        await task
        for each in children:
            if isinstance(each, ServiceChild):
                each.stop(5.0)


@pytest.mark.usefixtures("fast")
async def test_what_dies_is_told_with_its_last_words_started_again_and_told_again(
    child: Callable[[str], ServiceChild],
) -> None:
    director, supervising = child(LIVES), Supervisor()
    director.log.write_text("of an earlier run\n")
    director.start()
    await until(lambda: director.last_words() == "up", "it runs")
    async with supervised(supervising, director) as (said, _):
        first = director.process
        assert first is not None
        first.kill()
        await until(lambda: len(said) == 2, "its death and its return are told")
        assert said[0] == (
            "director died: code -9, SIGKILL; the last line of its log: up; it is started again in 0.0 s"
        )
        assert said[1].startswith("director is back after")
        assert director.process is not None
        assert director.process.pid != first.pid
        assert director.process.poll() is None
        assert len(supervising.deaths) == 1


@pytest.mark.usefixtures("fast")
async def test_a_process_knows_how_often_it_was_started_again(child: Callable[[str], ServiceChild]) -> None:
    director = child("import os, time; print(os.environ['LAUNCHDAY_RESTARTS'], flush=True); time.sleep(60)")
    director.start()
    async with supervised(Supervisor(), director):
        await until(lambda: director.last_words() == "0", "it has said how often")
        assert director.process is not None
        director.process.kill()
        await until(lambda: director.last_words() == "1", "it says that it was once")


@pytest.mark.usefixtures("fast")
async def test_what_dies_at_each_start_ends_the_backend_with_one_clear_line(
    child: Callable[[str], ServiceChild],
) -> None:
    director, supervising = child(DIES), Supervisor()
    director.start()
    async with supervised(supervising, director) as (_, task):
        reason = await asyncio.wait_for(task, 30)
        assert reason is not None
        assert reason.startswith("director died 10 times in a row within 5 s of its start: code 7")
        assert "the last words" in reason
        assert str(director.log) in reason
    assert len(supervising.deaths) == supervisor.MAX_EARLY_DEATHS


@pytest.mark.usefixtures("fast")
async def test_deaths_while_an_engine_is_away_are_no_reason_to_give_up(
    child: Callable[[str], ServiceChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "MAX_EARLY_DEATHS", 3)
    director, supervising = child(DIES), Supervisor()
    director.start()
    with supervising.planned_outage("cache"):
        async with supervised(supervising, director, Engine()) as (_, task):
            await until(lambda: len(supervising.deaths) > 4, "it has died more often than that")
            assert not task.done()


async def test_the_pause_doubles_up_to_a_limit_and_begins_anew_after_a_good_minute(
    child: Callable[[str], ServiceChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    director, supervising, said = child(DIES), Supervisor(lambda: now), list[str]()
    monkeypatch.setattr(supervisor, "MAX_EARLY_DEATHS", 100)

    def die(lived_s: float) -> str:
        nonlocal now
        director.start()
        assert director.process is not None
        director.process.wait()
        director.started_at = now
        now += lived_s
        assert supervising._look(director, {"director": director}, said.append) is None
        supervising._states["director"].due_at = None
        return said[-1].rsplit(" in ", 1)[1]

    assert [die(1.0) for _ in range(9)] == [
        "0.1 s",
        "0.2 s",
        "0.4 s",
        "0.8 s",
        "1.6 s",
        "3.2 s",
        "6.4 s",
        "10.0 s",
        "10.0 s",
    ]
    assert die(supervisor.GOOD_S) == "0.1 s"


@pytest.mark.usefixtures("fast")
async def test_a_planned_outage_is_neither_counted_nor_ended_before_its_time(
    child: Callable[[str], ServiceChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    looks = 0
    director, supervising = child(LIVES), Supervisor()
    other = child(LIVES)
    other.name = "fleet"
    look = supervising._look

    def counted(*arguments: object) -> str | None:
        nonlocal looks
        looks += 1
        return look(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(supervising, "_look", counted)
    director.start()
    other.start()
    async with supervised(supervising, director, other) as (said, _):
        await until(lambda: looks > 2, "it is watched")
        with supervising.planned_outage("director"):
            assert director.process is not None
            killed = director.process
            killed.kill()
            killed.wait()
            seen = looks
            await until(lambda: looks > seen + 5, "others are watched")
            assert director.process is killed
            assert supervising.deaths == said == []
        await until(lambda: director.process is not killed, "it is started again")
        await until(lambda: said, "its return is told")
        assert said[0].startswith("director is back")
        assert supervising.deaths == []


def test_a_run_in_which_processes_died_does_not_pass(tmp_path: Path) -> None:
    backend, told = Backend(Settings(state_dir=tmp_path)), io.StringIO()
    progress = lifecycle.ProgressPrinter(Terminal(file=told))
    assert lifecycle._judged(0, backend, progress) == 0
    backend.supervisor.deaths.append("director died: code -9")
    assert lifecycle._judged(0, backend, progress) == lifecycle.FAILED
    assert lifecycle._judged(99, backend, progress) == 99
    assert "1 process died unplanned: director" in told.getvalue()


@pytest.mark.usefixtures("fast")
async def test_what_cannot_be_started_at_all_is_tried_again(
    child: Callable[[str], ServiceChild], monkeypatch: pytest.MonkeyPatch
) -> None:
    director = child(LIVES)
    director.start()
    start, refusals = director._start, 2

    def refused(restarts: int) -> None:
        nonlocal refusals
        if refusals:
            refusals -= 1
            raise OSError("no more processes")
        start(restarts)

    monkeypatch.setattr(director, "_start", refused)
    async with supervised(Supervisor(), director) as (said, _):
        assert director.process is not None
        director.process.kill()
        await until(lambda: any("is back" in line for line in said), "it is back")
        assert sum("cannot be started: no more processes" in line for line in said) == 2

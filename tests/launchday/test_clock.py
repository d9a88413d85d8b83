"""The clock: wall time that does not jump, sleep, chance and ids."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from launchday.clock import AGREED_S, MAX_STEP_S, OFFSET_FILE, SLEW, Clock, ManualClock, SystemClock


class Machine:
    """The two clocks of a machine whose wall clock can be stepped."""

    def __init__(self) -> None:
        self.wall_s = 1_800_000_000.0
        self.monotonic_s = 50.0

    def pass_s(self, seconds: float) -> None:
        self.wall_s += seconds
        self.monotonic_s += seconds


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    machine = Machine()
    monkeypatch.setattr(time, "time", lambda: machine.wall_s)
    monkeypatch.setattr(time, "monotonic", lambda: machine.monotonic_s)
    return machine


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, MAX_STEP_S + 0.1])
def test_a_step_of_the_wall_clock_moves_shared_time_by_a_twentieth_of_what_passes(
    machine: Machine, step_s: float
) -> None:
    clock = SystemClock()
    before = clock.now()
    machine.wall_s += step_s
    assert clock.now() == before
    machine.pass_s(10.0)
    assert clock.now() == pytest.approx(
        before + 10.0 + min(SLEW * 10.0, abs(step_s)) * (1 if step_s > 0 else -1)
    )


def test_a_step_is_said_once_and_made_up_in_the_end(machine: Machine) -> None:
    clock = SystemClock()
    clock.now()
    machine.wall_s += 30.0
    with capture_logs() as said:
        for _ in range(30 * 20 + 1):
            clock.now()
            machine.pass_s(1.0)
    assert clock.now() == machine.wall_s
    assert [line["step_s"] for line in said] == [30.0]


def test_time_that_the_time_service_slews_is_followed_at_once(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall_s += MAX_STEP_S / 2
    assert clock.now() == machine.wall_s
    machine.wall_s -= MAX_STEP_S / 2
    assert clock.now() == machine.wall_s


def test_shared_time_never_goes_back_while_a_step_back_is_made_up(machine: Machine) -> None:
    clock = SystemClock()
    machine.wall_s -= 3600.0
    shown = [clock.now()]
    for _ in range(100):
        machine.pass_s(0.5)
        shown.append(clock.now())
    assert shown == sorted(shown)


@pytest.mark.parametrize("step_s", [300.0, -3600.0])
def test_the_wall_clock_is_read_anew_and_its_step_is_said_once_by_all_clocks_of_a_process(
    machine: Machine, step_s: float
) -> None:
    clock, other = SystemClock(), SystemClock()
    machine.wall_s += step_s
    with capture_logs() as said:
        for _ in range(3):
            assert clock.wall() == other.wall() == machine.wall_s
    assert (clock.steps, other.steps) == (1, 1)
    assert [line["step_s"] for line in said] == [step_s]


def test_a_file_of_tests_steps_the_clocks_of_processes_that_were_started_with_it(
    machine: Machine, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    offset = tmp_path / "offset"
    monkeypatch.setenv(OFFSET_FILE, str(offset))
    clock = SystemClock()
    assert clock.wall() == machine.wall_s
    for text, ahead_s in (("300", 300.0), ("", 300.0), ("-3600.5", -3600.5)):
        offset.write_text(text)
        machine.pass_s(1.0)
        assert clock.wall() == machine.wall_s + ahead_s


def test_a_clock_that_agreed_with_others_goes_on_evenly_and_by_its_machine_once_they_are_silent(
    machine: Machine,
) -> None:
    clock = SystemClock()
    agreed = machine.wall_s - 40.0
    clock.agree(agreed)
    machine.wall_s += 3600.0
    machine.pass_s(AGREED_S - 1.0)
    assert clock.now() == agreed + AGREED_S - 1.0
    machine.wall_s -= 3600.0
    machine.pass_s(2.0)
    clock.now()
    machine.pass_s(100.0)
    assert clock.now() == pytest.approx(agreed + AGREED_S + 101.0 + 100.0 * SLEW)


async def test_who_sleeps_by_hand_wakes_when_time_was_advanced_and_in_order() -> None:
    clock = ManualClock()
    woken: list[float] = []

    async def sleeper(seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append(seconds)

    tasks = [asyncio.create_task(sleeper(seconds)) for seconds in (3.0, 1.0, 2.0)]
    await asyncio.sleep(0)
    clock.advance(2.0)
    await asyncio.sleep(0)
    assert woken == [1.0, 2.0]
    clock.advance(1.0)
    await asyncio.gather(*tasks)
    assert woken == [1.0, 2.0, 3.0]


async def test_a_step_by_hand_wakes_nobody() -> None:
    clock = ManualClock()
    task = asyncio.create_task(clock.sleep(5.0))
    await asyncio.sleep(0)
    clock.step_wall(3600.0)
    await asyncio.sleep(0)
    assert not task.done()
    clock.advance(5.0)
    await task


def test_streams_of_one_seed_are_the_same_again_and_independent_of_each_other() -> None:
    one, again, other = ManualClock(seed=7), ManualClock(seed=7), ManualClock(seed=8)
    one.random("retry").random()
    assert one.random("session").random() == again.random("session").random()
    assert one.uuid() == again.uuid() != other.uuid()
    assert one.uuid().version == 4


@pytest.mark.parametrize("clock", [SystemClock(), ManualClock()], ids=["system", "manual"])
async def test_both_clocks_keep_the_contract(clock: Clock) -> None:
    assert clock.monotonic() <= clock.monotonic()
    assert clock.now() <= clock.now()
    await clock.sleep(0)
    assert await clock.run_in_thread(divmod, 7, 2) == (3, 1)
    with pytest.raises(ZeroDivisionError):
        await clock.run_in_thread(divmod, 7, 0)
    started = threading.Event()
    clock.start_thread(started.set, "beside").join(5.0)
    assert started.is_set()
    assert clock.uuid() != clock.uuid()
    assert len(clock.random("key").randbytes(32)) == 32

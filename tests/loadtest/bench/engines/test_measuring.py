from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Sequence
from types import ModuleType

import pytest

from loadtest.bench.engines import engines
from loadtest.bench.engines.measuring import Audit, EngineFault, Load, measure, recovery_s
from loadtest.bench.options import Options
from loadtest.errors import BenchError

pytestmark = pytest.mark.asyncio


class Shelf:
    """Keeps numbers, and is away between a fault and its end. ``forgets``: it loses the first one."""

    def __init__(self, *, forgets: bool = False, repeats: bool = False) -> None:
        self.kept: list[int] = []
        self.away = False
        self.forgets = forgets
        self.repeats = repeats

    async def ask(self, number: int) -> bool:
        await asyncio.sleep(0.002)
        if self.away:
            raise OSError("away")
        self.kept += [number] * (2 if self.repeats and not number else 1)
        return True

    async def inject(self) -> None:
        self.away = True

    async def heal(self) -> None:
        self.away = False
        if self.forgets:
            self.kept.remove(0)

    async def audit(self, acknowledged: Sequence[int]) -> Audit:
        lost = set(acknowledged) - set(self.kept)
        return Audit(len(lost), len(self.kept) - len(set(self.kept)), not lost)


def fault_of(shelf: Shelf) -> EngineFault:
    @contextlib.asynccontextmanager
    async def subject() -> AsyncIterator[Shelf]:
        yield shelf

    return EngineFault("shelf", "away", subject, workers=2, lasts_s=0.6)


async def test_a_fault_is_seen_in_the_rate_and_what_is_lost_or_doubled_is_counted() -> None:
    quiet, forgetful, twice = await asyncio.gather(
        *(
            measure(fault_of(shelf), before_s=0.6, after_s=0.2)
            for shelf in (Shelf(), Shelf(forgets=True), Shelf(repeats=True))
        )
    )
    assert quiet["requests_per_s"]["during"] < quiet["requests_per_s"]["before"] / 2
    assert quiet["requests_per_s"]["after"] > 0
    assert quiet["failed"] > 0
    assert (quiet["lost"], quiet["doubled"], quiet["balanced"]) == (0, 0, True)
    assert (forgetful["lost"], forgetful["balanced"]) == (1, False)
    assert twice["doubled"] == 1


async def test_recovery_counts_from_the_injection_unless_the_fault_was_ended_from_outside_and_lasted_on() -> (
    None
):
    load = Load(Shelf())
    load.done_s = [each / 100 for each in [*range(1_000), *range(1_700, 2_500)]]  # silent from 10 s to 17 s
    assert recovery_s(load, normal=100.0, began=10.0, healed=10.0, ended=20.0) == 7.0  # it heals itself
    assert recovery_s(load, normal=100.0, began=10.0, healed=15.0, ended=20.0) == 2.0
    assert recovery_s(load, normal=100.0, began=10.0, healed=18.0, ended=20.0) == 7.0  # well before that


def lines_of(monkeypatch: pytest.MonkeyPatch, faults: Sequence[EngineFault]) -> list[dict[str, object]]:
    part = ModuleType("loadtest.bench.engines.planted")
    part.__dict__["FAULTS"] = faults
    monkeypatch.setitem(sys.modules, part.__name__, part)
    monkeypatch.setattr(engines, "PARTS", ("planted",))
    monkeypatch.setattr(engines, "measure", lambda fault: measure(fault, before_s=0.3, after_s=0.1))
    return list(engines.run(Options()))


async def test_what_cannot_be_measured_is_said_and_the_whole_has_not_passed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    @contextlib.asynccontextmanager
    async def missing() -> AsyncIterator[Shelf]:
        raise BenchError("no such program: install it")
        yield Shelf()

    faults = [EngineFault("shelf", "gone", missing), fault_of(Shelf(forgets=True))]
    found = await asyncio.to_thread(lines_of, monkeypatch, faults)
    assert [line.get("not_measured") for line in found] == ["no such program: install it", None, None]
    assert (found[-1]["faults"], found[-1]["lost"], found[-1]["passed"]) == (1, 1, False)
    found = await asyncio.to_thread(lines_of, monkeypatch, [fault_of(Shelf())])
    assert found[-1]["passed"], found

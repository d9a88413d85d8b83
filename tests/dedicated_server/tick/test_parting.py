"""How a server parts from its players: after its match, and before it where it has to."""

from __future__ import annotations

import asyncio

from dedicated_server.match.parting import answering, part
from dedicated_server.match.report import build_report
from dedicated_server.protocol.client.state import CLIENT_DISMISSED, CLIENT_REFUSED
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.tick.pacing import SystemTickClock
from tests.dedicated_server.tick.swarm import START_S, Lay, Table, run_east


class TableClock(SystemTickClock):
    """A table's time: it goes on by what is slept, and its clients play meanwhile."""

    def __init__(self, table: Table) -> None:
        super().__init__()
        self.table, self.slept_s = table, 0.0

    def now_ns(self) -> int:
        return int(self.slept_s * 1e9)

    def unix_s(self, now_ns: int) -> float:
        return self.table.now_s + now_ns / 1e9

    async def sleep(self, seconds: float) -> None:
        self.slept_s += seconds
        self.table.swarm.play_frame(self.unix_s(self.now_ns()))
        await asyncio.sleep(0)


async def test_everybody_is_told_that_the_match_is_over_and_who_comes_later_is_refused(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=2.0)
    await table.play(8 * TICK_HZ)
    assert table.engine.finished
    swarm, report = table.swarm, build_report(table.engine)
    assert swarm.sessions["state"].tolist() == [CLIENT_DISMISSED] * 3
    assert [swarm.clients.reason_of(entity) for entity in range(3)] == ["match_over"] * 3
    assert report["words"]["farewells"] == report["words"]["answered"] == {"match_over": 3}
    swarm.restart(1, issued_at=START_S)
    clock = TableClock(table)
    async with answering(table.engine, clock):
        for _ in range(20):
            await clock.sleep(0.1)
            table.engine.answer(clock.unix_s(clock.now_ns()))
    assert swarm.sessions["state"][1] == CLIENT_REFUSED
    assert swarm.clients.reason_of(1) == "match_over"


async def test_a_server_that_ends_before_its_match_tells_everybody(lay: Lay) -> None:
    table = await lay(2, run_east, match_s=60.0)
    await table.play(60)
    clock = TableClock(table)
    await part(table.engine, clock)
    assert clock.slept_s < 0.5
    assert [table.swarm.clients.reason_of(entity) for entity in range(2)] == ["going_away"] * 2
    assert build_report(table.engine)["words"]["answered"] == {"going_away": 2}
    table.swarm.fall_silent(0)
    await part(table.engine, clock)  # once is enough


async def test_a_server_waits_a_second_for_who_does_not_answer(lay: Lay) -> None:
    table = await lay(1, run_east, match_s=60.0)
    await table.play(60)
    table.swarm.fall_silent(0)
    clock = TableClock(table)
    await part(table.engine, clock)
    assert 0.9 < clock.slept_s < 1.1
    assert build_report(table.engine)["words"] == {
        "refusals": {}, "farewells": {"going_away": 1}, "answered": {}, "unsealed": {},
    }  # fmt: skip

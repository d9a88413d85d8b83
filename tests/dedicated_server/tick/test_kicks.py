"""Players who have to leave a running match: at once, for good, and told apart from those who were lost."""

from __future__ import annotations

from uuid import UUID

import pytest

from dedicated_server.match.kicks import KickFollower
from dedicated_server.match.report import build_report
from dedicated_server.protocol.client.state import CLIENT_CONNECTED, CLIENT_DISMISSED, CLIENT_REFUSED
from dedicated_server.protocol.datagrams import LEFT, TIMED_OUT
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.simulation import world as w
from launchday.clock import ManualClock
from meta_service.client import Kick, Kicks, MetaUnavailableError
from tests.dedicated_server.tick.swarm import START_S, Lay, Table, run_east

CHEATER = 1


class Told:
    """Who is to be kicked, as a meta service tells it: the cursor counts them."""

    def __init__(self) -> None:
        self.kicks: list[Kick] = []
        self.away = False

    async def kicks_of(self, after: str) -> Kicks:
        if self.away:
            raise MetaUnavailableError("no answer")
        return Kicks(self.kicks[int(after.partition("-")[0]) :], f"{len(self.kicks)}-0")


class Source:
    def __init__(self, told: Told) -> None:
        self.told = told

    async def kicks(self, match_id: UUID, after: str = "0-0") -> Kicks:
        return await self.told.kicks_of(after)


def follower(table: Table, told: Told) -> KickFollower:
    engine = table.engine
    return KickFollower(engine.config.match_id, engine, Source(told), ManualClock())


def player_id(table: Table, entity: int = CHEATER) -> int:
    return table.engine.match.roster[entity].player_id


async def test_a_kicked_player_dies_hears_nothing_more_and_no_token_lets_them_in_again(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=60.0)
    told, swarm = Told(), table.swarm
    follow = follower(table, told)
    await table.play(60)
    await follow.follow()
    assert swarm.sessions["state"][CHEATER] == CLIENT_CONNECTED
    told.kicks.append(Kick(player_id(table), "banned"))
    await follow.follow()
    await table.play(2)
    assert table.engine.wire.status[CHEATER] == LEFT
    assert table.engine.match.world.status[w.ALIVE, CHEATER] == 0
    await table.play(2, until=lambda: swarm.sessions["state"][CHEATER] == CLIENT_DISMISSED)
    assert swarm.clients.reason_of(CHEATER) == "banned"
    heard = int(swarm.sessions["snapshots"][CHEATER])
    await follow.follow()  # told once; asked again, nothing changes
    await table.play(30)
    assert swarm.sessions["snapshots"][CHEATER] == heard
    for issued_at in (START_S, START_S + 3600.0):  # theirs, and one that a matchmaker gave them since
        swarm.restart(CHEATER, issued_at=issued_at)
        await table.play(30, until=lambda: swarm.sessions["state"][CHEATER] == CLIENT_REFUSED)
        assert swarm.clients.reason_of(CHEATER) == "banned"
    report = build_report(table.engine)
    assert {name: report[name] for name in ("players_joined", "players_connected", "players_lost")} == {
        "players_joined": 3, "players_connected": 2, "players_lost": 0,
    }  # fmt: skip
    assert (report["players_kicked"], report["tokens_expired"], report["dropped"]["kicked"] > 0) == (
        1,
        0,
        True,
    )
    assert table.engine.wire.counters_by_name()["kicks"] == 1


@pytest.mark.parametrize("came", [False, True])
async def test_who_is_away_when_they_are_kicked_is_not_lost_and_does_not_come_back(
    lay: Lay, came: bool
) -> None:
    table = await lay(3, run_east, match_s=60.0, here=None if came else [0, 2], join_timeout_s=0.5)
    await table.play(60)
    if came:
        table.swarm.fall_silent(CHEATER)
        await table.play(6 * TICK_HZ, until=lambda: bool(table.engine.wire.status[CHEATER] == TIMED_OUT))
    assert build_report(table.engine)["players_lost"] == 1
    told = Told()
    told.kicks.append(Kick(player_id(table), "banned"))
    await follower(table, told).follow()
    await table.play(2)
    report = build_report(table.engine)
    assert (report["players_lost"], report["players_kicked"]) == (0, 1)
    assert table.engine.match.world.status[w.ALIVE, CHEATER] == 0


async def test_the_slot_of_a_kicked_player_may_be_given_to_another(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=60.0)
    await table.play(60)
    slots = table.engine.slots
    slots.kick(CHEATER)
    await table.play(2)
    assert slots.abandoned(played_in=True).tolist() == [CHEATER]
    assert slots.release(CHEATER).joined
    slots.assign(CHEATER, 777)
    table.swarm.restart(CHEATER, issued_at=START_S)
    await table.play(30, until=lambda: table.swarm.sessions["state"][CHEATER] == CLIENT_CONNECTED)
    assert table.swarm.sessions["state"][CHEATER] == CLIENT_CONNECTED
    report = build_report(table.engine)
    assert (report["players_kicked"], report["players_lost"], report["players_connected"]) == (1, 0, 3)


async def test_a_meta_service_that_is_away_is_asked_again_and_a_later_slot_is_closed_too(lay: Lay) -> None:
    table = await lay(3, run_east, match_s=60.0)
    await table.play(60)
    told = Told()
    told.kicks.append(Kick(777, "banned"))  # who comes by backfill, and has no slot yet
    follow = follower(table, told)
    told.away = True
    with pytest.raises(MetaUnavailableError):
        await follow.follow()
    told.away = False
    await follow.follow()
    assert not table.engine.slots.kicked.any()
    table.engine.slots.release(CHEATER)
    table.engine.slots.assign(CHEATER, 777)
    await follow.follow()
    assert table.engine.slots.kicked.tolist() == [False, True, False]

"""A running match with free seats, as its game server sees it: a real engine over UDP, and a matchmaker that
says what the test wants.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any
from uuid import uuid4

import msgspec
import pytest

from dedicated_server.match.backfill_request import (
    BackfillPlayer,
    BackfillProposal,
    BackfillRequest,
    BackfillUnavailableError,
)
from tests.dedicated_server.match.conftest import kernels  # noqa: F401 - a fixture
from tests.matchmaker.director.running_matches import PATIENCE, Leases, RunningMatch, open_server, playing
from tests.waiting import until

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("kernels")]

KEY = bytes(range(32))
SOON = replace(PATIENCE, join_s=0.5)


class Offers:
    """A matchmaker in memory: what it was told, and whom it sends."""

    def __init__(self, away: bool = False) -> None:
        self.away = away
        self.heard: list[dict[str, Any]] = []
        self.closed = 0
        self.sent: dict[str, BackfillProposal] = {}

    async def request_backfill(
        self, match_id: str, request: BackfillRequest, timeout_s: float
    ) -> list[BackfillProposal]:
        if self.away:
            raise BackfillUnavailableError("nobody answers")
        self.heard.append(msgspec.to_builtins(request))
        for id_ in request.admitted:
            if id_ in self.sent:
                self.sent[id_] = msgspec.structs.replace(self.sent[id_], state="admitted")
        for id_ in request.rejected:
            self.sent.pop(id_, None)
        return list(self.sent.values())

    async def close_backfill(self, match_id: str, mode: str, timeout_s: float) -> None:
        if self.away:
            raise BackfillUnavailableError("nobody answers")
        self.closed += 1

    def send(self, player_id: int, entity: int, team: int) -> str:
        id_ = str(uuid4())
        self.sent[id_] = BackfillProposal(
            id_, "offered", [BackfillPlayer(player_id, entity, team, 3.0, 30.0)]
        )
        return id_

    @property
    def offered(self) -> list[int]:
        """Entities of the last announcement."""
        return [seat["entity"] for seat in self.heard[-1]["slots"]] if self.heard else []


def that(holds: Callable[[], bool]) -> Callable[[], Awaitable[bool]]:
    async def check() -> bool:
        return holds()

    return check


async def test_a_matchmaker_that_is_away_costs_joiners_and_nothing_else() -> None:
    leases = Leases()
    async with open_server() as transport:
        match = RunningMatch(
            transport, leases, Offers(away=True), KEY, [0, 0, 1, 1], 11,
            mode="teams_of_five", match_s=1.0, until_s=1.0, patience=SOON,
        )  # fmt: skip
        async with playing(match.tokens([0, 2, 3])):
            assert await match.session.run()
    assert match.session.report()["commits"] == 4
    assert (sorted(match.results), leases.held) == ([11, 13, 14], {})


async def test_who_is_refused_stays_out_and_who_was_not_told_by_the_end_is_let_go() -> None:
    leases, offers = Leases(), Offers()
    leases.held[500] = uuid4(), 1  # plays elsewhere
    async with open_server() as transport:
        match = RunningMatch(
            transport, leases, offers, KEY, [0, 0, 1, 1], 11,
            mode="teams_of_five", match_s=120.0, until_s=100.0, patience=SOON,
        )  # fmt: skip
        async with playing(match.tokens([0, 2, 3])):
            session = asyncio.create_task(match.session.run())
            await until(
                that(lambda: offers.offered == [1])
            )  # who never came is checked in, and the slot is free
            assert [player for _, player in leases.committed] == [12]
            refused = offers.send(500, 1, 0)
            await until(that(lambda: refused not in offers.sent))
            assert offers.heard[-1]["excluded"] == [12, 500]
            assert offers.offered == [1]
            seated = offers.send(501, 1, 0)
            await until(that(lambda: offers.sent[seated].state == "admitted"))
            assert offers.offered == []
            assert offers.heard[-1]["skill_highest"] == 30.0
            match.end()
            assert await session
    assert offers.heard[-1]["over"] is True
    assert offers.closed == 1
    assert leases.held.keys() == {500}
    # Never assigned: this player is checked in as one who did not play, and is in no result.
    assert leases.committed[match.match_id, 501].played_s == 0.0
    assert sorted(match.results) == [11, 13, 14]
    report = match.session.report()
    assert (report["checkouts"], report["checkouts_refused"], report["commits"]) == (5, 1, 5)


async def test_a_running_match_that_was_given_up_ends_when_its_server_learns_of_it() -> None:
    leases, offers = Leases(), Offers()
    async with open_server() as transport:
        match = RunningMatch(
            transport, leases, offers, KEY, [0, 0, 1, 1], 11,
            mode="teams_of_five", match_s=120.0, until_s=100.0, patience=SOON,
        )  # fmt: skip
        async with playing(match.tokens([0, 2, 3])):
            session = asyncio.create_task(match.session.run())
            await until(that(lambda: offers.offered == [1]))
            leases.closed = True
            offers.send(500, 1, 0)
            assert not await session
    report = match.session.report()
    assert (report["outcome"], report["commits"]) == ("taken-back", 1)


async def test_whose_check_in_fails_keeps_his_seat_closed_and_after_the_modes_time_none_is_offered() -> None:
    leases, offers = Leases(), Offers()
    async with open_server() as transport:
        match = RunningMatch(
            transport, leases, offers, KEY, [0, 0, 1, 1], 11,
            mode="teams_of_five", match_s=600.0, until_s=100.0, patience=replace(SOON, return_s=60.0),
        )  # fmt: skip
        async with playing(match.tokens([0, 1, 2, 3])) as players:
            session = asyncio.create_task(match.session.run())
            await until(that(lambda: match.engine is not None and match.engine.match.started))
            await until(that(lambda: players.connected == 4))  # a client learns of it after its server
            assert match.engine is not None
            match.engine.wire.status[1] = 2  # timed out, and may come back
            players.clients.free(1)
            leases.away = True
            players.clients.leave(2)  # said good-bye, but cannot be checked in
            await until(
                that(lambda: match.engine is not None and match.engine.slots.vacant().tolist() == [2])
            )
            await match.plays_on(40)
            assert offers.heard == []
            leases.away = False
            await until(that(lambda: offers.offered == [2]))
            assert leases.committed[match.match_id, 13].played_s > 0
            assert match.engine.slots.vacant().tolist() == [2]  # who lost the connection keeps the slot
            match.engine.skip(100 * 60)
            await until(that(lambda: offers.closed == 1))
            match.end()
            assert await session
    assert sorted(match.results) == [11, 12, 13, 14]
    assert leases.held == {}

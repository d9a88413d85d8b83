"""The check-out of a match, also with a meta service that is late, away, or has given the match up."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from dedicated_server.match.check_out import (
    CheckOut,
    EveryPlayerRefusedError,
    MatchFailedError,
    MatchTakenBackError,
)
from dedicated_server.match.spec import MatchSpec, RosterEntry
from launchday.clock import ManualClock
from meta_service.client import (
    CheckedOut,
    CheckoutRefusal,
    CheckoutResponse,
    CommitResponse,
    MetaRefusedError,
    MetaUnavailableError,
    PlayerCommit,
)

MATCH = UUID(int=5)
SPEC = MatchSpec(
    match_id=MATCH,
    mode="battle_royale",
    region="west-europe",
    seed=1,
    match_s=45.0,
    players=tuple(RosterEntry(player_id=entity + 1, team=entity, entity=entity) for entity in range(3)),
)

Answer = Callable[[list[int]], CheckoutResponse]


class Meta:
    """A meta service whose answers are given by hand; before ``open`` is set, it is late."""

    def __init__(self, *answers: Answer | Exception) -> None:
        self.answers = list(answers)
        self.open = asyncio.Event()
        self.asked = 0

    async def check_out(
        self, match_id: UUID, server: str, region: str, ttl_s: float, player_ids: list[int]
    ) -> CheckoutResponse:
        assert (match_id, server, region, ttl_s) == (MATCH, "server-1", "west-europe", 90.0)
        self.asked += 1
        await self.open.wait()
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer(player_ids)

    async def commit(self, match_id: UUID, players: list[PlayerCommit]) -> CommitResponse:
        raise AssertionError("nothing is committed here")


def all_leased(player_ids: list[int]) -> CheckoutResponse:
    return CheckoutResponse([leased(id_) for id_ in player_ids], [])


def leased(player_id: int) -> CheckedOut:
    found: dict[str, Any] = dict.fromkeys(CheckedOut.__struct_fields__, 0)
    return CheckedOut(**{**found, "player_id": player_id, "fence": 7})


def all_refused(player_ids: list[int]) -> CheckoutResponse:
    held = [CheckoutRefusal(id_, "checked-out", "west-europe-7") for id_ in player_ids[:2]]
    return CheckoutResponse([], [*held, CheckoutRefusal(player_ids[2], "unknown-player", "")])


class Started:
    """A check-out under way, its clock, and how often it said that it is starting."""

    def __init__(self, meta: Meta, timeout_s: float = 25.0) -> None:
        self.clock = ManualClock()
        self.reports = 0
        check_out = CheckOut(SPEC, "server-1", meta, self._report, self.clock)
        self.task = asyncio.create_task(check_out.run(90.0, timeout_s))

    async def _report(self) -> None:
        self.reports += 1

    async def pass_time(self, seconds: float, step_s: float = 0.25) -> None:
        for _ in range(round(seconds / step_s)):
            await self._turns()
            self.clock.advance(step_s)
        await self._turns()

    async def _turns(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


async def test_a_late_meta_service_is_waited_for_and_the_server_says_that_it_is_starting() -> None:
    meta = Meta(all_leased)
    started = Started(meta)
    await started.pass_time(10.0)
    assert not started.task.done()
    assert started.reports == 10
    meta.open.set()
    answer = await started.task
    assert [player.player_id for player in answer.checked_out] == [1, 2, 3]
    assert meta.asked == 1
    await started.pass_time(3.0)
    assert started.reports == 10  # it has begun


async def test_a_check_out_that_is_answered_at_once_reports_nothing() -> None:
    meta = Meta(all_leased)
    meta.open.set()
    started = Started(meta)
    await started.task
    assert started.reports == 0


async def test_a_meta_service_that_is_away_is_asked_again_when_it_said() -> None:
    meta = Meta(MetaUnavailableError("503", 2.0), MetaUnavailableError("away"), all_leased)
    meta.open.set()
    started = Started(meta)
    await started.pass_time(1.75)
    assert meta.asked == 1
    await started.pass_time(0.25)
    assert meta.asked == 2
    await started.pass_time(0.25)
    assert len((await started.task).checked_out) == 3


async def test_a_match_that_was_given_up_is_taken_back_and_not_failed() -> None:
    meta = Meta(MetaRefusedError(409, "match-closed", "the match is closed"))
    meta.open.set()
    with pytest.raises(MatchTakenBackError, match="given up"):
        await Started(meta).task


async def test_a_match_whose_players_are_all_refused_says_why() -> None:
    meta = Meta(all_refused)
    meta.open.set()
    with pytest.raises(EveryPlayerRefusedError) as raised:
        await Started(meta).task
    assert str(raised.value) == (
        "check-out: every player was refused (checked-out by west-europe-7: 2, unknown-player: 1)"
    )
    assert raised.value.players == 3


async def test_other_refusals_and_silence_fail_the_match() -> None:
    meta = Meta(MetaRefusedError(403, "forbidden", "no"))
    meta.open.set()
    with pytest.raises(MatchFailedError, match="refused by the meta service"):
        await Started(meta).task
    silent = Started(Meta(all_leased), timeout_s=0.01)
    with pytest.raises(MatchFailedError, match=r"no answer from the meta service in 0\.01 s"):
        await silent.task

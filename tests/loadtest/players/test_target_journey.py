"""The journeys on a target of somebody else's, which answers, fails, hangs, or returns nonsense."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import numpy as np
import pytest

from loadtest.errors import (
    BackendRefusedError,
    BackendUnavailableError,
    NoMatchError,
    PlayerLostError,
    SessionBrokenError,
)
from loadtest.players import guarded_target, run_context
from loadtest.players.guarded_target import GuardedTarget
from loadtest.players.journey import MAX_REQUEUES, run_player
from loadtest.players.parties import BotParties
from loadtest.players.player_links import PlayerLinks
from loadtest.players.player_records import PlayerRecords, PlayerState, WaitEnd
from loadtest.players.requests import RequestLog
from loadtest.players.run_context import RunContext
from loadtest.scenario.model import Scenario
from loadtest.scenario.population import draw_population
from loadtest.target import Match, PlayEnd, Player, Shop
from tests.loadtest.players.fake_target import CountingTarget, FakeTarget, hang
from tests.waiting import until

BOT = 0
OF_A_KIND = ("after_death", "crashes_after_s", "roams_every_s", "shops", "shop_pause_s")


def scenario_of(**behaviours: Any) -> Scenario:
    """Two players in one place who play in a mode that only the target has."""
    kind = {name: behaviours.pop(name) for name in OF_A_KIND if name in behaviours}
    return Scenario.model_validate(
        {
            "name": "theirs",
            "players": {"count": 2, "locations": {"west-europe": 1.0}},
            "arrivals": {"curve": "constant", "over_s": 0},
            "modes": {"their_mode": {"players": 2, "duration_s": 7}},
            "behaviours": {
                "shares": {"one": 1.0},
                "own": {"one": kind},
                "retries": {"tries": 3, "pause_s": 0.001},
                "patience_s": 5.0,
                **behaviours,
            },
        }
    )


def context_of(target: FakeTarget, **behaviours: Any) -> RunContext:
    scenario = scenario_of(**behaviours)
    population, start_s, requests = draw_population(scenario), time.monotonic(), RequestLog()
    return RunContext(
        scenario=scenario,
        population=population,
        records=PlayerRecords(population.arrives_s),
        target=GuardedTarget(target, requests),
        links=PlayerLinks(scenario, population, [{"west-europe": 18.0}]),
        clock=lambda: time.monotonic() - start_s,
        device_id=lambda bot: f"device-{bot}",
        parties=BotParties.of_population(population, "run"),
        rng=np.random.default_rng(1),
        requests=requests,
        connects_by_request=True,
    )


def raising(error: BaseException) -> Callable[[], Awaitable[Any]]:
    async def does() -> Any:
        raise error

    return does


def giving(found: Any) -> Callable[[], Awaitable[Any]]:
    async def does() -> Any:
        return found

    return does


async def test_a_player_goes_all_the_way_by_the_six_steps_and_each_is_measured() -> None:
    target = FakeTarget()
    context = context_of(target)
    await run_player(context, BOT)
    assert target.asked == ["log_in", "queue", "wait", "connect", "play", "leave"]
    assert context.records.state[BOT] == PlayerState.DONE
    assert (context.records.match_id[BOT], context.records.region[BOT]) == ("match-1", "")
    assert len(context.records.waits) == 1
    assert [*context.requests.by_kind] == ["log in", "open a ticket", "wait for a match", "connect", "leave"]
    [request] = target.requests
    assert (request.match_players, request.match_s, request.party) == (2, 7.0, None)
    player = request.player
    assert (player.number, player.device_id, player.mode) == (BOT, "device-0", "their_mode")
    assert (player.location, player.behaviour, player.platform) == ("west-europe", "one", "pc")
    assert player.latencies_ms["west-europe"] > 18.0


@pytest.mark.parametrize(
    ("what", "error", "reason"),
    [
        ("log_in", KeyError("token"), "log_in: KeyError: 'token'"),
        ("queue", BackendRefusedError("banned"), "banned"),
        ("queue", ZeroDivisionError("a\nb"), "queue: ZeroDivisionError: a b"),
        ("wait", TypeError(), "wait: TypeError"),
        ("connect", BackendRefusedError("no seat"), "no seat"),
        ("play", BackendRefusedError("cheater"), "cheater"),
        ("play", PlayerLostError("the target says so"), "the target says so"),
        ("play", RuntimeError("crash " * 100), "play: RuntimeError: crash"),
        ("leave", ValueError("odd"), "leave: ValueError: odd"),
        ("queue", SystemExit("enough"), "queue: SystemExit: enough"),
        ("wait", asyncio.CancelledError(), "wait: the target has cancelled it"),
        ("play", asyncio.CancelledError(), "play: the target has cancelled it"),
    ],
)
async def test_what_nobody_expects_costs_the_player_and_is_told(
    what: str, error: BaseException, reason: str
) -> None:
    target = FakeTarget()
    target.does[what] = [raising(error)]
    context = context_of(target)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.LOST
    assert context.records.reason[BOT].startswith(reason)
    assert len(context.records.reason[BOT]) < 300


@pytest.mark.parametrize("what", ["log_in", "queue", "wait", "leave"])
@pytest.mark.parametrize(
    "error", [BackendUnavailableError("503"), ConnectionResetError("reset"), TimeoutError()]
)
async def test_a_passing_failure_is_tried_again(what: str, error: Exception) -> None:
    target = FakeTarget()
    target.does[what] = [raising(error), raising(error)]
    context = context_of(target)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert target.asked.count(what) == 3


@pytest.mark.parametrize("what", ["log_in", "queue", "connect", "leave"])
async def test_what_hangs_has_an_end(what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guarded_target, "ANSWER_S", 0.01)
    target = FakeTarget()
    target.does[what] = [hang, hang]
    context = context_of(target)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert target.asked.count(what) == 3


async def test_a_match_that_hangs_ends_with_its_time(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "OVERTIME_S", 0.02 - 7.0)
    target = FakeTarget()
    target.plays = [hang]
    context = context_of(target)
    await run_player(context, BOT)
    assert context.records.reason[BOT] == "the match never ended"
    assert target.asked[-1] == "leave"


async def test_patience_ends_a_wait_and_takes_the_ticket_back() -> None:
    target = FakeTarget()
    target.does["wait"] = [hang]
    context = context_of(target, patience_s=0.01)
    await run_player(context, BOT)
    assert target.asked[-1] == "cancel"
    assert context.records.state[BOT] == PlayerState.CANCELLED
    assert [wait.end for wait in context.records.vain_waits] == [WaitEnd.GAVE_UP]


async def test_a_match_found_while_the_ticket_is_taken_back_is_played() -> None:
    target = FakeTarget()
    target.does["wait"], target.does["cancel"] = [hang], [giving(Match("late"))]
    context = context_of(target, patience_s=0.01)
    await run_player(context, BOT)
    assert (context.records.state[BOT], context.records.match_id[BOT]) == (PlayerState.DONE, "late")


@pytest.mark.parametrize(
    ("end", "reason"),
    [
        (raising(NoMatchError("expired", "nobody near")), "ticket expired: nobody near"),
        (raising(NoMatchError()), "ticket ended: no reason given"),
    ],
)
async def test_a_ticket_that_ends_is_told_with_its_reason(
    end: Callable[[], Awaitable[Any]], reason: str
) -> None:
    target = FakeTarget()
    target.does["wait"] = [end]
    context = context_of(target)
    await run_player(context, BOT)
    assert (context.records.state[BOT], context.records.reason[BOT]) == (PlayerState.UNMATCHED, reason)


@pytest.mark.parametrize(
    ("found", "reason"),
    [("m-1", "wait: returned a str, not a loadtest.target.Match"), (Match(""), "wait: the match has no id")],
)
async def test_a_match_that_is_none_is_told(found: Any, reason: str, monkeypatch: pytest.MonkeyPatch) -> None:
    target = FakeTarget()

    async def wait(session: str, ticket: int) -> Any:
        return found

    monkeypatch.setattr(target, "wait", wait)
    context = context_of(target)
    await run_player(context, BOT)
    assert context.records.reason[BOT].startswith(reason)


@pytest.mark.parametrize(
    ("what", "error"),
    [
        ("connect", SessionBrokenError("gone")),
        ("play", SessionBrokenError("gone")),
        ("play", BackendUnavailableError("away")),
    ],
)
async def test_a_lost_game_server_has_the_player_queue_again(what: str, error: Exception) -> None:
    target = FakeTarget()
    target.does[what] = [raising(error)]
    context = context_of(target)
    await run_player(context, BOT)
    assert (context.records.state[BOT], context.records.tickets) == (PlayerState.DONE, 2)
    target = FakeTarget()
    target.does[what] = [raising(error)] * 9
    context = context_of(target)
    await run_player(context, BOT)
    assert (context.records.state[BOT], context.records.requeues[BOT]) == (PlayerState.LOST, MAX_REQUEUES)


@pytest.mark.parametrize("said_s", [1e12, -3.0, float("nan"), "soon"])
async def test_nobody_waits_longer_than_their_patience_for_another_try(said_s: Any) -> None:
    target = FakeTarget()
    target.does["log_in"] = [raising(BackendUnavailableError("full", said_s))]
    with pytest.raises(BackendUnavailableError) as caught:
        await GuardedTarget(target, RequestLog(), 7.0).log_in(Player(0, "d", "m"))
    assert caught.value.retry_after_s == (7.0 if said_s == 1e12 else 0.0)


async def test_a_matchs_id_may_be_a_number() -> None:
    target = FakeTarget()
    target.does["wait"] = [giving(Match(0, region=None))]  # type: ignore[arg-type]
    context = context_of(target)
    await run_player(context, BOT)
    assert (context.records.match_id[BOT], context.records.region[BOT]) == ("0", "")


async def test_the_dead_watch_or_leave_and_are_not_asked_forever() -> None:
    target = FakeTarget()
    target.plays = [PlayEnd.DIED]
    context = context_of(target, after_death="watch")
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert target.asked.count("play") == 2
    assert np.isfinite(context.records.died_s[BOT])
    target = FakeTarget()
    target.plays = [PlayEnd.DIED]
    context = context_of(target, after_death="leave")
    await run_player(context, BOT)
    assert target.asked.count("play") == 1


async def test_a_client_that_crashes_connects_to_the_match_that_it_has_kept() -> None:
    target = FakeTarget()
    target.plays = [hang, None]
    context = context_of(target, crashes_after_s=0.01)
    await run_player(context, BOT)
    assert target.asked == ["log_in", "queue", "wait", "connect", "play", "leave", "connect", "play", "leave"]
    assert target.silently == [True, False]
    assert context.records.crashes[BOT] == len(context.records.back_s) == 1


@pytest.mark.parametrize("where", ["wait", "play", "log_in"])
async def test_dropped_connections_have_all_log_in_again_and_go_on_where_they_were(where: str) -> None:
    target = FakeTarget()
    if where == "play":
        target.plays = [hang, None]
    else:
        target.does[where] = [hang]
    context = context_of(target)
    players = [asyncio.create_task(run_player(context, bot)) for bot in (0, 1)]
    await until(lambda: where in target.asked)
    context.drops.drop_all()
    await asyncio.gather(*players)
    assert context.records.count(PlayerState.DONE) == 2
    assert context.records.tickets == 2
    assert target.asked.count("log_in") >= 3
    assert context.records.disconnects.sum() == context.records.reconnects.sum() == (where == "play")
    if where == "play":
        assert target.asked.count("connect") == 3
        assert True in target.silently


async def test_abilities_are_those_that_the_target_has() -> None:
    requests = RequestLog()
    assert not isinstance(GuardedTarget(FakeTarget(), requests), Shop)
    guarded = GuardedTarget(CountingTarget(), requests)
    assert dict(await guarded.counters())["queued"] == 0


@pytest.mark.parametrize(
    ("counts", "told"),
    [({"queued": 1.5}, "queued is 1.5"), ({"queued": "7"}, "queued is '7'"), ([1], "returned a list")],
)
async def test_counters_are_whole_numbers_by_name(
    counts: Any, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = CountingTarget()

    async def counters() -> Any:
        return counts

    monkeypatch.setattr(target, "counters", counters)
    with pytest.raises(BackendUnavailableError, match=told):
        await GuardedTarget(target, RequestLog()).counters()


async def test_a_target_without_a_shop_has_players_who_do_not_shop() -> None:
    target = FakeTarget()
    context = context_of(target, shops=2)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE


async def test_purchases_in_a_targets_shop_are_measured_and_repeated() -> None:
    class Shopping(FakeTarget):
        async def shop(self, session: str, key: str, ask: Any) -> None:
            await ask("purchase", lambda: self._do(f"buy {key}"))

    target = Shopping()
    target.does["buy device-0-0"] = [raising(BackendUnavailableError("busy"))]
    context = context_of(target, shops=2, shop_pause_s=0.0)
    await run_player(context, BOT)
    assert target.asked[:4] == ["log_in", "buy device-0-0", "buy device-0-0", "buy device-0-1"]
    assert len(context.requests.by_kind["purchase"].latency_ms) == 2


async def test_players_of_a_target_that_has_addresses_change_theirs_and_play_on() -> None:
    class OnTheMove(FakeTarget):
        async def roam(self, session: str, connection: Match) -> float | None:
            await self._do("roam")
            return 0.25 if self.asked.count("roam") == 1 else None

    target = OnTheMove()
    target.plays = [hang, hang, None]
    context = context_of(target, roams_every_s=0.01)
    await run_player(context, BOT)
    asked = ["log_in", "queue", "wait", "connect", "play", "roam", "play", "roam", "play", "leave"]
    assert target.asked == asked
    assert (context.records.roams[BOT], context.records.roam_back_s) == (2, [0.25])
    assert context.records.state[BOT] == PlayerState.DONE


async def test_players_who_are_not_heard_at_another_address_queue_again() -> None:
    class Deaf(FakeTarget):
        async def roam(self, session: str, connection: Match) -> float | None:
            raise BackendUnavailableError("not heard")

    target = Deaf()
    target.plays = [hang, None]
    context = context_of(target, roams_every_s=0.01)
    await run_player(context, BOT)
    assert (context.records.roams[BOT], context.records.requeues[BOT]) == (1, 1)


async def test_players_of_a_target_without_addresses_keep_playing() -> None:
    target = FakeTarget()
    context = context_of(target, roams_every_s=0.001)
    await run_player(context, BOT)
    assert target.asked.count("play") == 1
    assert context.records.roams[BOT] == 0

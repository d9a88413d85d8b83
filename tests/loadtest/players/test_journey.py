from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Callable, Mapping
from typing import Literal

import msgspec
import numpy as np
import pytest

from dedicated_server.protocol import reasons
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_DISMISSED,
    CLIENT_REFUSED,
    CLIENT_TIMED_OUT,
)
from dedicated_server.protocol.connect_token import ConnectTokenError
from loadtest.bots.session import PlayerLink, SessionStatistics, SessionStatus
from loadtest.bots.step import DIED, MATCH_OVER, REASON_AT
from loadtest.errors import BackendRefusedError, BackendUnavailableError, PlayerInMatchError
from loadtest.players import journey, own_backend, run_context, tickets
from loadtest.players.backend_client import FREE_ITEM, PlayerLogin, match_of
from loadtest.players.journey import run_player
from loadtest.players.own_backend import OwnBackend
from loadtest.players.own_parties import GatheredParty
from loadtest.players.parties import BotParties, BotParty
from loadtest.players.player_links import PlayerLinks
from loadtest.players.player_records import PlayerRecords, PlayerState, WaitEnd
from loadtest.players.requests import RequestLog
from loadtest.players.run_context import RunContext
from loadtest.scenario.link_profiles import profiles
from loadtest.scenario.model import Scenario
from loadtest.scenario.players import Behaviours, Retries
from loadtest.scenario.population import draw_population
from loadtest.scenario.reader import SHIPPED, load_scenario
from matchmaker.client import Assignment, TicketView
from tests.waiting import until

BOT = 0
LATENCIES_MS = [{"west-europe": 18.0, "east-us": 101.0}, {"west-europe": 99.0, "east-us": 18.0}]
NO_PAUSES = {"tries": 4, "pause_s": 0.001}
ASSIGNED = TicketView(
    "t-1",
    "assigned",
    None,
    Assignment("m-1", "east-us", "127.0.0.1", 7001, base64.b64encode(b"token").decode(), 0, 0),
)
assert ASSIGNED.assignment is not None
IN_MATCH = match_of(ASSIGNED.assignment)


class FakeBackend:
    """A reliable lane that answers what the test says, and notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.failures: dict[str, list[Exception]] = {}
        self.end: TicketView | None = ASSIGNED
        self.cancelled = TicketView("t-1", "cancelled", None, None)
        self.latencies_ms: Mapping[str, float] = {}
        self.client_keys: list[str] = []
        self.made_of_the_old: str | None = None
        self.parties: list[str | None] = []
        self.player_ids: dict[str, int] = {}
        self.renewed: Assignment | None = None
        self.later_tickets: Exception | None = None  # what all but the first meet
        self.plays_on = ("", False)
        self.owned: set[str] = set()

    def _ask(self, what: str) -> None:
        self.asked.append(what)
        if self.failures.get(what):
            raise self.failures[what].pop(0)

    async def log_in(self, device_id: str) -> PlayerLogin:
        self._ask("log_in")
        token = f"token of {device_id}"
        return PlayerLogin(token, self.player_ids.setdefault(token, 7 + len(self.player_ids)))

    async def open_party(self, token: str, size: int) -> GatheredParty:
        self._ask("open_party")
        return GatheredParty("p-1", {self.player_ids[token]: True})

    async def invite(self, token: str, player_id: int) -> None:
        self._ask("invite")

    async def dismiss(self, token: str, player_id: int) -> None:
        self._ask("dismiss")

    async def join_party(self, token: str, party_id: str) -> None:
        self._ask("join_party")

    async def be_ready(self, token: str) -> None:
        self._ask("be_ready")

    async def queue_party(self, token: str, mode: str) -> GatheredParty:
        self._ask("queue_party")
        return GatheredParty("p-1", {}, f"claim for {mode}")

    async def read_party(self, token: str) -> GatheredParty:
        self._ask("read_party")
        return GatheredParty("p-1", {}, "claim as read")

    async def catalogue(self, token: str) -> None:
        self._ask("catalogue")

    async def inventory(self, token: str) -> set[str]:
        self._ask("inventory")
        return self.owned

    async def purchase(self, token: str, key: str) -> None:
        self._ask("purchase")
        self.owned.add(FREE_ITEM)

    async def change_skin(self, token: str, key: str) -> None:
        self._ask("change_skin")

    async def open_ticket(
        self,
        token: str,
        *,
        mode: str,
        latencies_ms: Mapping[str, float],
        client_key: str,
        party: str | None = None,
        platform: str = "pc",
        cross_play: bool = True,
    ) -> str:
        self._ask("open_ticket")
        if self.later_tickets is not None and self.parties:
            raise self.later_tickets
        self.parties.append(party)
        self.client_keys.append(client_key)
        self.latencies_ms = latencies_ms
        self.plays_on = platform, cross_play
        return "t-1"

    async def wait(self, token: str, ticket_id: str) -> TicketView:
        self._ask("wait")
        if self.end is None:
            await asyncio.Event().wait()
        assert self.end is not None
        return self.end

    async def requeued(self, token: str, ticket_id: str) -> str | None:
        self._ask("requeued")
        return self.made_of_the_old

    async def renew_token(self, token: str, ticket_id: str) -> Assignment | None:
        self._ask("renew_token")
        return self.renewed

    async def cancel(self, token: str, ticket_id: str) -> TicketView:
        self._ask("cancel")
        return self.cancelled


class FakeSwarm:
    """A fast lane on which each bot meets the circumstances given, one after the other."""

    def __init__(self, *circumstances: int) -> None:
        self.circumstances = circumstances
        self.link: PlayerLink | None = None
        self.left = 0
        self.failure: Exception | None = None
        self._telling: dict[int, asyncio.Task[None]] = {}  # each bot's: who leaves ends no other's
        self.silently: list[bool] = []
        self.later: tuple[int, ...] | None = None  # at every second join
        self.joins_before_the_end = 1  # the ones before only connect
        self._joins = 0
        self.modes: list[str] = []
        self.roamed = 0
        self.heard_again = True  # after a bot has roamed
        self._statuses: dict[int, SessionStatus] = {}

    async def join(self, bot: int, connect_token: bytes, link: PlayerLink, mode: str) -> SessionStatus:
        assert connect_token == b"token"
        self.modes.append(mode)
        if self.failure is not None:
            raise self.failure
        self.link = link
        told = self._statuses[bot] = SessionStatus()

        self._joins += 1
        circumstances = self.circumstances
        if self.later is not None and self._joins % 2 == 0:
            circumstances = self.later
        elif self._joins < self.joins_before_the_end:
            circumstances = circumstances[:1]

        async def tell() -> None:
            for value in circumstances:
                await asyncio.sleep(0.01)
                told.update(value)

        self._telling[bot] = asyncio.create_task(tell())
        return told

    async def roam(self, bot: int) -> None:
        self.roamed += 1
        if self.heard_again:
            self._statuses[bot].come_back(0.05)
        else:
            self._statuses[bot].update(CLIENT_TIMED_OUT)

    async def leave(self, bot: int, *, silently: bool = False) -> SessionStatistics:
        self.left += 1
        self.silently.append(silently)
        self._telling.pop(bot).cancel()
        return SessionStatistics(rtt_ms=33.0, received_bytes=5_000, sent_bytes=2_000, kills=2, deaths=1)


class CountingSet(set[str]):
    """A set that counts how often it was asked for a member."""

    asked = 0

    def __contains__(self, item: object) -> bool:
        self.asked += 1
        return super().__contains__(item)


PLAYS_TO_THE_END = (CLIENT_CONNECTED, CLIENT_CONNECTED | MATCH_OVER)
DIES_THEN_ENDS = (CLIENT_CONNECTED, CLIENT_CONNECTED | DIED, CLIENT_CONNECTED | DIED | MATCH_OVER)


def context_of(backend: FakeBackend, swarm: FakeSwarm, **bots: object) -> RunContext:
    scenario: Scenario = load_scenario(SHIPPED / "smoke.yaml")
    kind = {"after_death": bots.pop("after_death", "leave")}
    behaviours: dict[str, object] = {
        "patience_s": 5.0,
        "shares": {"one": 1.0},
        "own": {"one": kind},
        "retries": NO_PAUSES,
        **bots,
    }
    scenario = scenario.model_copy(update={"behaviours": Behaviours.model_validate(behaviours)})
    population = draw_population(scenario)
    population.arrives_s[:] = 0.0
    start_s = time.monotonic()

    def clock() -> float:
        return time.monotonic() - start_s

    records, requests, ended_matches = PlayerRecords(population.arrives_s), RequestLog(), set[str]()
    links = PlayerLinks(scenario, population, LATENCIES_MS)
    return RunContext(
        scenario=scenario,
        population=population,
        records=records,
        target=OwnBackend(backend, swarm, records, requests, links.link_to, clock, ended_matches),
        links=links,
        requests=requests,
        ended_matches=ended_matches,
        clock=clock,
        device_id=lambda bot: f"device-{bot}",
        parties=BotParties.of_population(population, "run"),
        rng=np.random.default_rng(1),
    )


async def test_a_player_goes_all_the_way_and_every_stage_is_noted() -> None:
    backend, swarm = FakeBackend(), FakeSwarm(*PLAYS_TO_THE_END)
    context = context_of(backend, swarm)
    await run_player(context, BOT)
    records = context.records
    assert records.state[BOT] == PlayerState.DONE
    assert backend.asked == ["log_in", "open_ticket", "wait"]
    assert backend.plays_on == ("pc", True)
    stages = [
        records.intended_s,
        records.arrived_s,
        records.queued_s,
        records.assigned_s,
        records.connected_s,
        records.ended_s,
    ]
    times = [float(stage[BOT]) for stage in stages]
    assert times == sorted(times)
    assert (records.region[BOT], records.match_id[BOT], records.reason[BOT]) == ("east-us", "m-1", "")
    assert records.rtt_ms[BOT] == 33.0
    assert records.received_kbit_s[BOT] > records.sent_kbit_s[BOT] > 0
    assert swarm.left == 1


async def test_the_link_is_that_of_the_players_place_to_the_matchs_region() -> None:
    backend, swarm = FakeBackend(), FakeSwarm(*PLAYS_TO_THE_END)
    context = context_of(backend, swarm)
    await run_player(context, BOT)
    between = LATENCIES_MS[context.population.location[BOT]]
    expected = {
        region: rtt_ms + 16.0 for region, rtt_ms in between.items()
    }  # cable, and its queues both ways
    assert backend.latencies_ms == expected
    assert swarm.link == PlayerLink(rtt_ms=expected["east-us"], profile=profiles()["cable"], region="east-us")


@pytest.mark.parametrize(("after_death", "circumstances_used"), [("leave", 2), ("watch", 3)])
async def test_the_dead_leave_or_watch_as_the_scenario_says(
    after_death: str, circumstances_used: int
) -> None:
    swarm = FakeSwarm(*DIES_THEN_ENDS[:circumstances_used])
    context = context_of(FakeBackend(), swarm, after_death=after_death)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert math.isfinite(context.records.died_s[BOT])
    assert swarm.left == 1
    saw_all = after_death == "watch"
    assert context.records.witnesses().tolist() == [BOT] * saw_all
    assert (context.records.kills_seen[BOT], context.records.deaths_seen[BOT]) == (2, 1)


async def test_who_was_away_from_a_match_has_not_seen_all_of_it() -> None:
    backend, swarm = FakeBackend(), FakeSwarm(*PLAYS_TO_THE_END)
    swarm.joins_before_the_end = 2
    context = context_of(backend, swarm, **kind_of(drops_every_s=0.02, away_s=0.01))
    await run_player(context, BOT)
    assert context.records.reconnects[BOT] >= 1
    assert context.records.matches_missed[BOT] == context.records.disconnects[BOT]
    assert context.records.kills_seen[BOT] == 2 * swarm.left
    assert context.records.witnesses().tolist() == []


@pytest.mark.parametrize(("told", "mode"), [("capture_the_flag", "capture_the_flag"), ("", "battle_royale")])
async def test_a_client_predicts_in_the_mode_of_the_match_and_not_in_that_of_the_queue(
    told: str, mode: str
) -> None:
    backend, swarm = FakeBackend(), FakeSwarm(*PLAYS_TO_THE_END)
    assert ASSIGNED.assignment is not None
    seat = msgspec.structs.replace(ASSIGNED.assignment, mode=told)
    backend.end = msgspec.structs.replace(ASSIGNED, assignment=seat)
    await run_player(context_of(backend, swarm), BOT)
    assert swarm.modes == [mode]


@pytest.mark.parametrize("request_", ["log_in", "open_ticket", "wait"])
async def test_a_passing_failure_is_tried_again(request_: str) -> None:
    backend = FakeBackend()
    backend.failures[request_] = [BackendUnavailableError("503"), BackendUnavailableError("503")]
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END))
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert backend.asked.count(request_) == 3


@pytest.mark.parametrize(
    "failures", [[BackendRefusedError("422 no region")], [BackendUnavailableError("503")] * 4]
)
async def test_a_failure_that_stays_makes_the_player_lost_with_its_reason(failures: list[Exception]) -> None:
    backend = FakeBackend()
    backend.failures["open_ticket"] = list(failures)
    context = context_of(backend, FakeSwarm())
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.LOST
    assert context.records.count_reasons() == {str(failures[0]): 1}


async def test_a_player_whose_patience_ends_takes_the_ticket_back() -> None:
    backend = FakeBackend()
    backend.end = None
    context = context_of(backend, FakeSwarm(), patience_s=0.02)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.CANCELLED
    assert backend.asked[-1] == "cancel"
    [wait] = context.records.vain_waits
    assert (wait.end, context.records.abandoned_share) == (WaitEnd.GAVE_UP, 1.0)
    assert context.records.wait_times_s()[0] >= 0.02


async def test_a_ticket_taken_back_too_late_is_played() -> None:
    backend = FakeBackend()
    backend.end, backend.cancelled = None, ASSIGNED
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END), patience_s=0.02)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE


@pytest.mark.parametrize("end", ["expired", "failed"])
async def test_a_ticket_that_ends_without_a_match_is_told_with_its_reason(
    end: Literal["expired", "failed"],
) -> None:
    backend = FakeBackend()
    backend.end = TicketView("t-1", end, "nobody near", None)
    context = context_of(backend, FakeSwarm())
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.UNMATCHED
    assert context.records.count_reasons() == {f"ticket {end}: nobody near": 1}


@pytest.mark.parametrize(
    ("circumstances", "reason"),
    [
        ((CLIENT_TIMED_OUT,), "the game server did not let the player in: it does not answer any more"),
        (
            (CLIENT_CONNECTED, CLIENT_TIMED_OUT),
            "the session broke during the match: the game server fell silent",
        ),
        (
            (CLIENT_REFUSED | reasons.OTHER_PLAYER << REASON_AT,),
            "the game server did not let the player in: other_player",
        ),
        (
            (CLIENT_CONNECTED, CLIENT_DISMISSED | reasons.KICKED << REASON_AT),
            "the session broke during the match: kicked",
        ),
    ],
)
async def test_a_player_whose_sessions_break_queues_again_and_is_lost_when_they_keep_breaking(
    circumstances: tuple[int, ...], reason: str
) -> None:
    swarm = FakeSwarm(*circumstances)
    context = context_of(FakeBackend(), swarm)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.LOST
    assert context.records.reason[BOT] == reason
    assert context.records.requeues[BOT] == journey.MAX_REQUEUES
    assert context.records.tickets == swarm.left == journey.MAX_REQUEUES + 1


async def test_a_player_is_told_that_the_server_takes_the_token_for_expired_and_it_is_counted() -> None:
    backend, swarm = FakeBackend(), FakeSwarm(CLIENT_REFUSED | reasons.EXPIRED << REASON_AT)
    context = context_of(backend, swarm)
    await run_player(context, BOT)
    assert context.records.reason[BOT] == "the game server takes the connect token for expired"
    assert context.records.tokens_expired[BOT] == swarm.left == journey.MAX_REQUEUES + 1
    assert backend.asked.count("renew_token") == journey.MAX_REQUEUES + 1


async def test_a_client_whose_token_has_expired_comes_with_a_newer_one() -> None:
    backend, swarm = FakeBackend(), FakeSwarm(CLIENT_REFUSED | reasons.EXPIRED << REASON_AT)
    backend.renewed = ASSIGNED.assignment
    swarm.later = PLAYS_TO_THE_END
    context = context_of(backend, swarm)
    await run_player(context, BOT)
    assert backend.asked == ["log_in", "open_ticket", "wait", "renew_token"]
    assert context.records.state[BOT] == PlayerState.DONE
    assert (context.records.tokens_expired[BOT], context.records.requeues[BOT]) == (1, 0)


async def test_a_player_whose_server_died_goes_on_with_the_ticket_that_was_made_of_the_old_one() -> None:
    backend = FakeBackend()
    backend.made_of_the_old = "t-2"
    context = context_of(backend, FakeSwarm(CLIENT_TIMED_OUT))
    await run_player(context, BOT)
    assert backend.asked[:5] == ["log_in", "open_ticket", "wait", "requeued", "wait"]
    assert backend.asked.count("open_ticket") == 1
    assert context.records.requeues[BOT] == context.records.requeues_with_age[BOT] == journey.MAX_REQUEUES
    assert context.records.tickets == journey.MAX_REQUEUES + 1


async def test_a_match_that_never_ends_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_context, "OVERTIME_S", 0.02 - 12.0)
    context = context_of(FakeBackend(), FakeSwarm(CLIENT_CONNECTED))
    await run_player(context, BOT)
    assert context.records.reason[BOT] == "the match never ended"


@pytest.mark.parametrize("failure", [ConnectTokenError("too short"), OSError(24, "Too many open files")])
async def test_a_player_who_cannot_join_is_lost(failure: Exception) -> None:
    swarm = FakeSwarm()
    swarm.failure = failure
    context = context_of(FakeBackend(), swarm)
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.LOST
    assert swarm.left == 0


async def _stopped_when(context: RunContext, ready: Callable[[], bool]) -> None:
    task = asyncio.create_task(run_player(context, BOT))
    await until(ready)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_stopping_the_run_takes_back_the_ticket_of_who_waits() -> None:
    backend = FakeBackend()
    backend.end = None
    context = context_of(backend, FakeSwarm())
    await _stopped_when(context, lambda: "wait" in backend.asked)
    assert backend.asked[-1] == "cancel"
    assert context.records.state[BOT] == PlayerState.STOPPED
    [wait] = context.records.vain_waits
    assert wait.end is WaitEnd.CUT_OFF
    assert wait.seconds >= 0


class SilentLogin(FakeBackend):
    async def log_in(self, device_id: str) -> PlayerLogin:
        self.asked.append("log_in")
        await asyncio.Event().wait()
        raise AssertionError("unreachable")


async def test_who_was_still_logging_in_when_the_run_ended_has_waited_since_they_came() -> None:
    backend = SilentLogin()
    context = context_of(backend, FakeSwarm())
    await _stopped_when(context, lambda: "log_in" in backend.asked)
    [wait] = context.records.vain_waits
    assert (wait.end, wait.since_s) == (WaitEnd.CUT_OFF, context.records.intended_s[BOT])
    assert context.records.never_queued == len(context.records) - 1


async def test_stopping_the_run_lets_who_plays_say_good_bye() -> None:
    swarm = FakeSwarm(CLIENT_CONNECTED)
    context = context_of(FakeBackend(), swarm)
    await _stopped_when(context, lambda: context.records.state[BOT] == PlayerState.PLAYING)
    assert swarm.left == 1
    assert context.records.state[BOT] == PlayerState.STOPPED
    assert context.records.vain_waits == []
    assert math.isfinite(context.records.ended_s[BOT])


def kind_of(**kind: object) -> dict[str, object]:
    return {"shares": {"one": 1.0}, "own": {"one": kind}}


async def test_a_rage_quitter_is_gone_without_a_good_bye() -> None:
    swarm = FakeSwarm(CLIENT_CONNECTED)
    context = context_of(FakeBackend(), swarm, **kind_of(quits_after_s=0.01))
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert context.records.quits[BOT] == 1
    assert swarm.silently == [True]


async def test_a_player_whose_connection_drops_comes_back_into_the_match() -> None:
    swarm = FakeSwarm(*PLAYS_TO_THE_END)
    swarm.joins_before_the_end = 2
    context = context_of(FakeBackend(), swarm, **kind_of(drops_every_s=0.01, away_s=0.0))
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert context.records.disconnects[BOT] == context.records.reconnects[BOT] >= 1
    assert context.records.tickets == 1
    assert swarm.silently[0] is True


async def test_a_player_whose_address_changes_plays_on_and_it_is_timed() -> None:
    swarm = FakeSwarm(*PLAYS_TO_THE_END)
    context = context_of(FakeBackend(), swarm, **kind_of(roams_every_s=0.002))
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert context.records.roams[BOT] == swarm.roamed >= 1
    assert set(context.records.roam_back_s) == {0.05}
    assert len(context.records.roam_back_s) == swarm.roamed
    assert (context.records.tickets, context.records.disconnects[BOT]) == (1, 0)
    assert context.records.witnesses().tolist() == [BOT]  # who roams was there all the time


async def test_a_player_who_is_not_heard_at_another_address_queues_again() -> None:
    swarm = FakeSwarm(CLIENT_CONNECTED)
    swarm.later, swarm.heard_again = PLAYS_TO_THE_END, False
    context = context_of(FakeBackend(), swarm, **kind_of(roams_every_s=0.03))
    await run_player(context, BOT)
    assert context.records.roams[BOT] > len(context.records.roam_back_s) == 0
    assert context.records.requeues[BOT] >= 1


async def test_a_player_who_cannot_come_back_queues_again_unless_the_match_is_over() -> None:
    swarm = FakeSwarm(CLIENT_CONNECTED)
    swarm.later = (CLIENT_TIMED_OUT,)
    context = context_of(FakeBackend(), swarm, **kind_of(drops_every_s=0.01, away_s=0.0))
    context.ended_matches.add("m-1")
    await run_player(context, BOT)
    assert (context.records.state[BOT], context.records.requeues[BOT]) == (PlayerState.DONE, 0)
    swarm = FakeSwarm(CLIENT_CONNECTED)
    swarm.later = (CLIENT_TIMED_OUT,)
    context = context_of(FakeBackend(), swarm, **kind_of(drops_every_s=0.01, away_s=0.0))
    await run_player(context, BOT)
    assert (context.records.state[BOT], context.records.requeues[BOT]) == (
        PlayerState.LOST,
        journey.MAX_REQUEUES,
    )


async def test_a_shopper_shops_before_queueing() -> None:
    backend = FakeBackend()
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END), **kind_of(shops=2, shop_pause_s=0.0))
    await run_player(context, BOT)
    visit = ["catalogue", "inventory", "change_skin"]
    bought = ["catalogue", "inventory", "purchase", "change_skin"]
    assert backend.asked == ["log_in", *bought, *visit, "open_ticket", "wait"]
    assert len(context.requests.by_kind["purchase"].latency_ms) == 1


async def test_a_session_of_several_matches_holds_a_ticket_for_each() -> None:
    backend = FakeBackend()
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END), matches=3.0, think_s=0.001)
    await run_player(context, BOT)
    assert context.records.tickets == backend.asked.count("open_ticket") == len(context.records.waits) > 1
    assert len(set(backend.client_keys)) == context.records.tickets


async def test_without_growth_and_jitter_all_come_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    async def pauses(**retries: float) -> list[float]:
        slept: list[float] = []

        async def sleep(seconds: float) -> None:
            slept.append(seconds)

        monkeypatch.setattr("loadtest.players.requests.asyncio.sleep", sleep)
        backend = FakeBackend()
        backend.failures["log_in"] = [BackendUnavailableError("503") for _ in range(3)]
        requests = RequestLog()
        rng = np.random.default_rng(3)
        await requests.send(
            "log in",
            lambda: backend.log_in("d"),
            Retries.model_validate(retries),
            lambda: 0.0,
            lambda: float(rng.random()),
        )
        assert requests.by_kind["log in"].retries == 3
        return slept

    assert await pauses(pause_s=0.5, growth=1.0, jitter=0.0) == [0.5, 0.5, 0.5]
    assert await pauses(pause_s=0.5, growth=3.0, jitter=0.0, max_pause_s=2.0) == [0.5, 1.5, 2.0]
    assert len(set(await pauses(pause_s=0.5, growth=1.0, jitter=0.5))) == 3


async def test_the_members_of_a_party_queue_as_one_and_those_who_play_alone_do_not() -> None:
    backend = FakeBackend()
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END))
    friends = BotParty("friends", [BOT, 1])
    context.parties.by_player[:2] = [friends, friends]
    await asyncio.gather(*(run_player(context, bot) for bot in (BOT, 1, 2)))
    assert sorted(backend.parties, key=str) == [None, "claim as read", f"claim for {context.mode_of(BOT)}"]
    steps = ["open_party", "invite", "join_party", "be_ready", "queue_party", "read_party"]
    assert [each for each in backend.asked if each in steps] == steps
    assert (context.parties.matched_count, context.parties.whole_count) == (1, 1)


async def test_a_party_does_not_wait_for_a_member_who_is_lost_before_it_queues() -> None:
    backend = FakeBackend()
    backend.failures["log_in"] = [BackendRefusedError("banned")]
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END))
    friends = BotParty("friends", [BOT, 1])
    context.parties.by_player[:2] = [friends, friends]
    await asyncio.gather(run_player(context, BOT), run_player(context, 1))
    assert sorted(context.records.state[[BOT, 1]].tolist()) == [PlayerState.DONE, PlayerState.LOST]
    assert backend.parties == [None]  # who is left plays alone


async def test_a_party_that_does_not_come_together_queues_one_by_one() -> None:
    backend = FakeBackend()
    backend.failures["join_party"] = [BackendRefusedError("the invitation is over")]
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END))
    friends = BotParty("friends", [BOT, 1])
    context.parties.by_player[:2] = [friends, friends]
    await asyncio.gather(run_player(context, BOT), run_player(context, 1))
    assert context.records.state[[BOT, 1]].tolist() == [PlayerState.DONE, PlayerState.LOST]
    assert backend.parties == [None]
    assert (context.parties.matched_count, context.parties.whole_count) == (0, 0)


async def test_who_left_a_match_early_queues_again_when_it_is_over_and_saved(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(own_backend, "MATCH_END_POLL_S", 0.001)
    monkeypatch.setattr(own_backend, "COMMIT_GRACE_S", 0.0)
    backend = FakeBackend()
    context = context_of(backend, FakeSwarm(*DIES_THEN_ENDS[:2]), matches=50.0, think_s=0.001)
    playing = asyncio.create_task(run_player(context, BOT))
    looked = CountingSet()
    assert isinstance(context.target, OwnBackend)
    context.target.ended_matches = looked
    await until(lambda: context.records.state[BOT] == PlayerState.THINKING, "the player waits for the end")
    await until(lambda: looked.asked >= 5, "the player looks several times whether the match is over")
    assert backend.asked.count("open_ticket") == 1
    looked.add("m-1")
    await until(lambda: backend.asked.count("open_ticket") > 1, "the player queues again")
    playing.cancel()
    await asyncio.gather(playing, return_exceptions=True)


@pytest.mark.parametrize(
    ("kept_ticket", "asked"),
    [(0.0, ["open_ticket"]), (1.0, ["renew_token"])],
    ids=["by the refusal of another ticket", "by the ticket that it kept"],
)
async def test_a_client_that_crashes_comes_back_into_its_match(
    kept_ticket: float, asked: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tickets, "KEPT_TICKET_SHARE", kept_ticket)
    backend, swarm = FakeBackend(), FakeSwarm(*PLAYS_TO_THE_END)
    swarm.joins_before_the_end = 2
    backend.renewed = ASSIGNED.assignment
    context = context_of(backend, swarm, **kind_of(crashes_after_s=0.01))
    backend.later_tickets = PlayerInMatchError("409 in-match", IN_MATCH)
    await run_player(context, BOT)
    records = context.records
    assert records.state[BOT] == PlayerState.DONE
    assert backend.asked == ["log_in", "open_ticket", "wait", *asked]
    assert (records.crashes[BOT], len(records.back_s), records.tickets) == (1, 1, 1)
    assert records.back_s[0] > 0.0
    assert swarm.silently == [True, False]


async def test_a_client_that_comes_back_after_the_end_of_its_match_plays_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tickets, "KEPT_TICKET_SHARE", 1.0)  # and the matchmaker knows of no match
    backend, swarm = FakeBackend(), FakeSwarm(CLIENT_CONNECTED)
    swarm.later = (CLIENT_CONNECTED | MATCH_OVER,)
    context = context_of(backend, swarm, **kind_of(crashes_after_s=0.01))
    await run_player(context, BOT)
    assert backend.asked == ["log_in", "open_ticket", "wait", "renew_token", "open_ticket", "wait"]
    assert context.records.state[BOT] == PlayerState.DONE
    assert (context.records.tickets, len(context.records.back_s)) == (2, 0)


async def test_a_player_whose_last_match_is_not_over_presses_play_until_it_is(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tickets, "IN_MATCH_POLL_S", 0.001)
    backend = FakeBackend()
    backend.failures["open_ticket"] = [PlayerInMatchError("409 in-match", IN_MATCH)] * 2
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END))
    await run_player(context, BOT)
    assert context.records.state[BOT] == PlayerState.DONE
    assert (backend.asked.count("open_ticket"), context.records.tickets) == (3, 1)


async def test_a_service_that_says_when_to_come_again_is_not_asked_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("loadtest.players.requests.asyncio.sleep", sleep)
    backend, requests = FakeBackend(), RequestLog()
    backend.failures["log_in"] = [BackendUnavailableError("503", 2.0), BackendUnavailableError("reset")]
    retries = Retries(tries=3, pause_s=0.5, growth=1.0, jitter=0.0)
    await requests.send("log in", lambda: backend.log_in("d"), retries, lambda: 0.0, lambda: 0.0)
    assert slept == [2.5, 0.5]
    assert (requests.refusals, requests.by_kind["log in"].retries) == (1, 2)


async def test_after_dropped_connections_a_player_logs_in_and_waits_on_with_the_same_ticket() -> None:
    backend = FakeBackend()
    backend.end = None
    context = context_of(backend, FakeSwarm(*PLAYS_TO_THE_END))
    playing = asyncio.create_task(run_player(context, BOT))
    await until(lambda: "wait" in backend.asked)
    backend.end = ASSIGNED
    context.drops.drop_all()
    await playing
    assert backend.asked == ["log_in", "open_ticket", "wait", "log_in", "wait"]
    assert (context.records.state[BOT], context.records.tickets) == (PlayerState.DONE, 1)


async def test_after_dropped_connections_a_player_comes_back_into_the_match() -> None:
    swarm = FakeSwarm(*PLAYS_TO_THE_END)
    swarm.joins_before_the_end = 2
    backend = FakeBackend()
    context = context_of(backend, swarm)
    playing = asyncio.create_task(run_player(context, BOT))
    await until(lambda: context.records.state[BOT] == PlayerState.PLAYING)
    context.drops.drop_all()
    await playing
    assert backend.asked == ["log_in", "open_ticket", "wait", "log_in"]
    assert swarm.silently == [True, False]
    assert context.records.disconnects[BOT] == context.records.reconnects[BOT] == 1

"""Every end of a server and of a match is a step of a counter: a gauge forgets a crash within seconds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from prometheus_client import REGISTRY

from dedicated_server.agones_sdk import MATCH_ANNOTATION
from dedicated_server.fleet.pool import metrics
from dedicated_server.fleet.pool.gameserver import REPORT_ANNOTATION, GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.pool.states import Ending
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.stub_pool import REGION, make_ready, new_pool, ready

End = Callable[[WarmPool, GameServer], object]

MATCH = "00000000-0000-4000-8000-000000000001"


def ended(reason: Ending) -> float:
    labels = {"fleet_name": REGION, "reason": reason.value}
    return REGISTRY.get_sample_value("launchday_gameservers_ended_total", labels) or 0.0


def matches(outcome: str) -> float:
    labels = {"fleet_name": REGION, "outcome": outcome}
    return REGISTRY.get_sample_value("launchday_fleet_matches_total", labels) or 0.0


@pytest.fixture
def pool(tmp_path: Path) -> WarmPool:
    pool = new_pool(tmp_path, clock=ManualClock(), claim_s=30.0, max_match_s=100.0)
    make_ready(pool, pool.clock.monotonic())
    return pool


def beat_until(pool: WarmPool, server: GameServer, after_s: float) -> None:
    """Let time pass in which the server says that it lives."""
    now = pool.clock.monotonic() + after_s
    pool.heartbeat(server, now)
    pool.step(now)


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        (Ending.CRASHED, lambda pool, one: pool.exited(one.name, "killed by SIGKILL", 1_000.0)),
        (Ending.HUNG, lambda pool, _: pool.step(1_016.0)),
        (Ending.UNCLAIMED, lambda pool, one: beat_until(pool, one, 31.0)),
        (Ending.KILLED, lambda pool, one: pool.kill(one, 1_000.0, "killed by a test")),
        (
            Ending.TAKEN_BACK,
            lambda pool, _: pool.end_match(MATCH, 1_000.0, ""),
        ),
        (Ending.ENDED, lambda pool, one: pool.shut_down(one, 1_000.0)),
        (Ending.PARENT_LOST, lambda pool, one: pool.parent_lost(one.node, 1_000.0)),
        (Ending.UNHEARD, lambda pool, one: pool.reconcile(one.node, set(), 1_001.0, 1_002.0)),
        (Ending.STOPPING, lambda pool, _: pool.close(1_000.0)),
    ],
)
def test_a_server_that_ends_in_a_match_is_counted_by_why(pool: WarmPool, reason: Ending, end: End) -> None:
    server = ready(pool)[0]
    match = json.dumps({"match_id": MATCH})
    pool.allocate(server, 1_000.0, {MATCH_ANNOTATION: match}, {})
    before, over = ended(reason), sum(map(matches, metrics.OUTCOMES))
    end(pool, server)
    assert ended(reason) >= before + 1
    assert sum(map(matches, metrics.OUTCOMES)) == over + 1


def test_an_idle_server_is_counted_as_drained_or_scaled_down(pool: WarmPool) -> None:
    drained, scaled = ended(Ending.DRAINED), ended(Ending.SCALED_DOWN)
    pool.drain(ready(pool)[0], 1_000.0)
    pool.regions[REGION].idle_wanted = 1
    pool.step(1_000.0)
    assert (ended(Ending.DRAINED), ended(Ending.SCALED_DOWN)) == (drained + 1, scaled + 1)


def test_a_server_that_was_never_ready_is_a_failed_start(pool: WarmPool) -> None:
    before = ended(Ending.START_FAILED)
    pool.exited(ready(pool)[0].name, "killed by SIGKILL", 1_000.0)
    pool.fill(1_001.0)
    starting = next(
        one for one in pool if one.pid is None and one.node and one.start_s is None and not one.gone
    )
    pool.exited(starting.name, "exited with code 1", 1_001.0)
    assert ended(Ending.START_FAILED) == before + 1


def test_what_became_of_a_match_is_counted(pool: WarmPool) -> None:
    before = [matches(outcome) for outcome in metrics.OUTCOMES]
    for server, outcome in zip(ready(pool), metrics.OUTCOMES, strict=True):
        pool.allocate(server, 1_000.0, {MATCH_ANNOTATION: "{}"}, {})
        pool.annotated(server, {REPORT_ANNOTATION: json.dumps({"outcome": outcome})}, 1_000.0)
        pool.shut_down(server, 1_000.0)
    assert [matches(outcome) for outcome in metrics.OUTCOMES] == [count + 1 for count in before]
    assert pool.fleet_counters.matches_taken_back == 1


def test_what_servers_told_is_summed_by_reason_while_they_play_and_after(pool: WarmPool) -> None:
    over, playing = ready(pool)[:2]
    for server in (over, playing):
        pool.allocate(server, 1_000.0, {MATCH_ANNOTATION: "{}"}, {})
        said = {"words": {"refusals": {"expired": 2}, "unsealed": {"unknown_session": 3}}}
        pool.annotated(server, {REPORT_ANNOTATION: json.dumps(said)}, 1_000.0)
    pool.shut_down(over, 1_000.0)
    told = pool.fleet_counters.as_json([playing])
    assert {kind: told[f"told_{kind}"] for kind in ("refusals", "farewells", "answered", "unsealed")} == {
        "refusals": {"expired": 4}, "farewells": {}, "answered": {}, "unsealed": {"unknown_session": 6},
    }  # fmt: skip


def test_every_reason_is_shown_before_it_first_happens() -> None:
    metrics.begin(["nowhere"])
    labels = {"fleet_name": "nowhere", "reason": Ending.HUNG.value}
    assert REGISTRY.get_sample_value("launchday_gameservers_ended_total", labels) == 0.0


def test_the_window_of_starts_is_shown(pool: WarmPool) -> None:
    metrics.observe_starts(pool.starts)
    assert REGISTRY.get_sample_value("launchday_fleet_starts_window") == 0.0  # this pool has none

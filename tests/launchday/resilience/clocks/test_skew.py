"""What a process makes of the times that its peers tell."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from launchday.clock import ManualClock
from launchday.resilience.clocks.skew import HEADER, ClockSkew, to_shared_time, watch_clock
from launchday.resilience.http_client import ServiceClient
from launchday.service import create_app
from tests.launchday.resilience.clocks.asgi import answering, nothing_to_open, settings_with_keys


def gauge(peer: str) -> float | None:
    return REGISTRY.get_sample_value("launchday_clock_skew_seconds", {"peer": peer})


@pytest.mark.parametrize(
    ("theirs", "sent", "received", "ahead_s"),
    [
        ("100.5", 100.0, 101.0, 0.0),
        ("100.0", 90.0, 110.0, 0.0),
        ("112.0", 100.0, 110.0, 2.0),
        ("97.0", 100.0, 110.0, -3.0),
        (b"400.000", 100.0, 100.0, 300.0),
        ("100.0", 400.0, 100.0, None),
        ("soon", 100.0, 100.0, None),
        ("nan", 100.0, 100.0, None),
        ("-inf", 100.0, 100.0, None),
    ],
)
def test_the_least_difference_that_explains_an_answer_counts(
    theirs: str | bytes, sent: float, received: float, ahead_s: float | None
) -> None:
    assert ClockSkew(5.0).heard("a peer", theirs, sent, received) == ahead_s
    if ahead_s is not None:
        assert gauge("a peer") == ahead_s


def test_clocks_that_differ_are_said_once_when_that_is_heard_again_and_when_they_agree() -> None:
    skew = ClockSkew(5.0)
    with capture_logs() as said:
        for seconds in (0.1, 300.0, 4.9, 300.0, 301.0, 299.0, -3600.0, 0.0, 0.2):
            skew.note("fleet", seconds)
    assert [(line["log_level"], line.get("ahead_s")) for line in said] == [
        ("warning", 301.0),
        ("warning", -3600.0),
        ("info", None),
    ]


@pytest.mark.parametrize(
    ("caller", "added_s"), [("4000.0", 1000.0), ("8600.0", -3600.0), ("5000.9", 0.0), (None, 0.0), ("?", 0.0)]
)
def test_a_callers_times_are_put_into_ours_by_the_time_that_the_caller_has(
    caller: str | None, added_s: float
) -> None:
    assert to_shared_time(caller, ManualClock(now=5_000.0)) == added_s


async def test_every_answer_of_a_service_tells_the_time_and_its_caller_hears_it() -> None:
    server_clock, client_clock = ManualClock(now=5_000.0), ManualClock(now=1_400.0)
    app = create_app("a service", settings_with_keys(), nothing_to_open, clock=server_clock)
    async with answering(app) as transport:
        caller = ServiceClient("http://skewed:80", clock=client_clock, transport=transport)
        answer = await caller.request("GET", "/healthz")
        missing = await caller.request("GET", "/nothing")
    assert answer.request.headers[HEADER] == "1400.000"
    assert answer.headers[HEADER] == missing.headers[HEADER] == "5000.000"
    assert gauge("skewed:80") == 3_600.0


async def test_a_clock_is_looked_at_without_anybody_asking_it() -> None:
    class Looked(ManualClock):
        looks = 0

        def wall(self) -> float:
            self.looks += 1
            return super().wall()

    clock = Looked()
    watching = asyncio.create_task(watch_clock(clock))
    for _ in range(3):
        await asyncio.sleep(0)
        clock.advance(5.0)
    watching.cancel()
    assert clock.looks == 3

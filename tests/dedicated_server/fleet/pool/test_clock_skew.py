"""Game servers on machines whose clocks are wrong: the fleet's operator hears which."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY
from structlog.testing import capture_logs

from dedicated_server.fleet.agones.sidecar import Sidecar
from dedicated_server.fleet.pool.gameserver import GameServer
from dedicated_server.fleet.pool.pool import WarmPool
from dedicated_server.fleet.steps import note_clocks
from launchday.clock import ManualClock
from tests.dedicated_server.fleet.stub_pool import REGION, StubSpawner, make_ready, new_pool


async def heartbeat(pool: WarmPool, server: GameServer, skew: str) -> dict[bytes, bytes]:
    """Send a heartbeat that says how far the fleet's clock is ahead; returns the answer's headers."""
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"{}", "more_body": False}

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"launchday-clock-skew", skew.encode())] if skew else []
    scope = {
        "type": "http",
        "method": "POST",
        "path": "/health",
        "query_string": b"",
        "headers": headers,
        "server": ("127.0.0.1", server.sdk_port),
    }
    await Sidecar(pool)(scope, receive, send)
    assert sent[0]["status"] == 200
    return dict(sent[0]["headers"])


async def test_the_clock_that_is_off_most_is_a_line_with_its_server_and_a_gauge(tmp_path: Path) -> None:
    clock = ManualClock()
    pool = new_pool(tmp_path, clock=clock, spawner=StubSpawner(), regions=(REGION,), ready_per_region=3)
    make_ready(pool, clock.monotonic())
    servers = list(pool)
    for server, skew in zip(servers, ("0.010", "-300.0", "nonsense"), strict=True):
        answered = await heartbeat(pool, server, skew)
        assert float(answered[b"launchday-time"]) == clock.wall()
    assert [server.clock_ahead_s for server in servers] == [-0.01, 300.0, 0.0]
    assert servers[1].summary()["clock_ahead_s"] == 300.0
    with capture_logs() as said:
        note_clocks(pool)
        note_clocks(pool)
    assert [(line["peer"], line["ahead_s"]) for line in said] == [(servers[1].name, 300.0)]
    gauge = {"peer": "game servers"}
    assert REGISTRY.get_sample_value("launchday_clock_skew_seconds", gauge) == 300.0
    await heartbeat(pool, servers[1], "0.0")
    note_clocks(pool)
    assert REGISTRY.get_sample_value("launchday_clock_skew_seconds", gauge) == -0.01

"""``bench roaming``: players come back, and a server that could not follow them would be noticed."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dedicated_server.protocol import datagrams
from loadtest.bench.harness.roaming_clients import BY_ADDRESS, KINDS, MOVED, RESTARTED
from loadtest.bench.harness.run_config import CLUSTER, RoamingClientFigures, RunConfig, ServerFigures
from loadtest.bench.tick import roaming

CONFIG = RunConfig(4, CLUSTER, 8.0)
SERVED = ServerFigures(
    tick_us=[], block_kind=[], late_us=[], floor_us=[], floor_receive_us=[], floor_datagrams=(0, 0),
    datagrams=(0, 0), stages_us={}, missed_ticks=0, counters=dict.fromkeys(datagrams.COUNTERS, 0),
    snapshot_bytes={}, dropped={}, kills=0, shots=0, hits=0, connected=4, inputs_refused=0,
    rewinds_clamped=0, grown_mb=0.0, last_tick=1,
)  # fmt: skip
CLIENTS = RoamingClientFigures({kind: [0.05] * 20 for kind in KINDS}, dict.fromkeys(KINDS, 0), 4, 0)


@pytest.mark.timeout(300)  # where no kernel has been compiled yet, they all are
def test_players_whose_address_changes_or_who_restart_are_back() -> None:
    found = roaming.run(players=4, seconds=8.0)

    assert found["changes"] >= 4
    assert found["moves"] > 0
    assert found["reconnects"] > 0
    assert found["connected"] == 4
    assert 0.0 < found["back_s"]["p50"] <= found["back_s"]["p95"] <= found["back_s"]["max"]
    assert {kind for kind, of in found["by_kind"].items() if of["changes"]} <= set(KINDS)


@pytest.mark.timeout(300)
def test_a_server_that_knows_players_by_their_address_alone_is_noticed() -> None:
    found = roaming.run(players=4, seconds=8.0, fault=BY_ADDRESS)

    assert not found["passed"]
    assert found["by_kind"][MOVED]["lost"] == found["lost"] > 0
    assert found["dropped"]["unknown_connection"] > 0


@pytest.mark.parametrize(
    ("changed", "missed"),
    [
        ({}, ""),
        ({"back_s": {MOVED: [0.05] * 8 + [1.4] * 2, RESTARTED: []}}, "back_s.p95 1.4, ≤ 1"),
        ({"lost": {MOVED: 0, RESTARTED: 1}}, "lost 1, ≤ 0"),
        ({"back_s": {MOVED: [], RESTARTED: []}}, "back_s.p95 0.0, ≤ 1"),  # nobody roamed: nothing was shown
    ],
)
def test_each_limit_is_judged(changed: dict[str, Any], missed: str) -> None:
    found = roaming.describe(CONFIG, SERVED, replace(CLIENTS, **changed))

    assert found["missed"] == ([missed] if missed else [])
    assert found["passed"] is not bool(missed)
    assert np.isfinite(found["back_s"]["max"])

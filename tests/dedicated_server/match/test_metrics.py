"""What Prometheus sees of matches, from the reports of real engines."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from dedicated_server.match.metrics import COUNTERS, GAUGES, TIMES, MatchMetrics
from dedicated_server.match.report import build_report
from dedicated_server.tick.engine import STAGES
from tests.dedicated_server.replication.lossy import LossyTable


@dataclass
class Server:
    name: str
    region: str = "here"
    report: dict[str, Any] = field(default_factory=dict)


def seen(*servers: Server) -> dict[str, list[tuple[dict[str, str], float]]]:
    registry = CollectorRegistry()
    registry.register(MatchMetrics(lambda: servers))
    text = generate_latest(registry).decode()
    found: dict[str, list[tuple[dict[str, str], float]]] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found.setdefault(sample.name, []).append((sample.labels, sample.value))
    return found


def test_prometheus_sees_every_stage_of_every_match_that_is_played() -> None:
    table = LossyTable(3, lambda _table, _client: (0, 0, 0, 0))
    table.play(60)
    playing = Server("one", report=build_report(table.engine))
    over = Server("two", report={**playing.report, "outcome": "ended"})

    found = seen(playing, over, Server("three"))

    whose = {"server": "one", "region": "here"}
    assert found["launchday_match_stage_seconds"] == [({**whose, "stage": stage}, 0.0) for stage in STAGES]
    assert found["launchday_match_players_connected"] == [(whose, 3.0)]
    assert found["launchday_match_ticks_total"] == [(whose, 60.0)]
    assert found["launchday_match_snapshot_every"] == [(whose, 1.0)]
    assert [labels["quantile"] for labels, _ in found["launchday_match_tick_seconds"]] == ["0.5", "0.99"]
    assert {*GAUGES, *TIMES, *(f"{name}_total" for name in COUNTERS)} <= set(found)


@pytest.mark.parametrize(
    "nonsense", [{"tick_us": 5}, {"stages_us": ["a"]}, {"load": "high"}, {"dropped": None}, {"tick": {}}]
)
def test_a_report_of_another_form_is_left_out(nonsense: dict[str, Any]) -> None:
    assert seen(Server("one", report=nonsense)) == {}

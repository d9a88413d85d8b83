"""The alerts ask for metrics that there are, and say what to do."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client import REGISTRY
from prometheus_client.registry import CollectorRegistry

from launchday.clock import ManualClock
from launchday.resilience import acceptor, health
from launchday.resilience.admission import classes
from launchday.resilience.admission.gate import Gate
from launchday.resilience.admission.metrics import GateCollector
from launchday.resilience.clocks import skew
from matchmaker.director import metrics as of_directors
from meta_service import metrics as of_meta
from rewards import metrics

COMPOSE = Path(__file__).parent.parent.parent / "compose"
METRIC = re.compile(r"\b(?:launchday|process|events|rewards)_[a-z_]+\b(?=[{\[])")


@pytest.fixture(scope="module")
def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((COMPOSE / "alerts.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_every_alert_has_a_remedy_and_asks_for_metrics_that_there_are(rules: list[dict[str, Any]]) -> None:
    gate = CollectorRegistry()
    gate.register(GateCollector(Gate(classes.DEFAULT, ManualClock())))
    assert acceptor.FAILURES is not None
    assert skew.SKEW is not None
    assert metrics.LAG_SECONDS is not None
    assert health.RESTARTS is not None
    assert of_meta.REJECTED is not None
    assert of_directors.__name__ is not None
    known = {
        name
        for registry in (REGISTRY, gate)
        for metric in registry.collect()
        for name in (
            metric.name,
            f"{metric.name}_total"
            if metric.type == "counter"
            else metric.name,  # one with labels, yet unused
            *(sample.name for sample in metric.samples),
        )
    }
    for rule in rules:
        asked = set(METRIC.findall(rule["expr"]))
        assert asked, rule["alert"]
        assert asked <= known, rule["alert"]
        assert set(rule["annotations"]) == {"summary", "remedy"}


def test_the_operators_page_lists_every_alert(rules: list[dict[str, Any]]) -> None:
    page = (COMPOSE.parent / "docs" / "operating.md").read_text()
    listed = re.findall(r"^\| `([A-Za-z]+)` \| (warning|critical) \|", page, re.MULTILINE)
    assert listed == [(rule["alert"], rule["labels"]["severity"]) for rule in rules]


def test_prometheus_reads_the_alerts_and_the_container_has_them() -> None:
    (named,) = yaml.safe_load((COMPOSE / "prometheus.yaml").read_text())["rule_files"]
    services = yaml.safe_load((COMPOSE / "docker-compose.yaml").read_text())["services"]
    mounted = [volume.split(":")[:2] for volume in services["prometheus"]["volumes"]]
    assert ["./alerts.yaml", f"/etc/prometheus/{named}"] in mounted


def test_the_image_has_its_kernels_where_any_user_may_read_them() -> None:
    image = (COMPOSE / "Dockerfile").read_text()
    assert image.index("NUMBA_CACHE_DIR=/opt/launchday/kernels") < image.index("RUN launchday compile")
    assert image.index("RUN launchday compile") < image.index("USER launchday")

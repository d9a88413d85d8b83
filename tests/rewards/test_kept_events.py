"""What waits for a program that knows more is listed, wherever it is kept."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from launchday.settings import settings
from rewards.cli import app
from rewards.events import spool
from tests.rewards.running import query

KEEP = (
    "INSERT INTO newer_events (event_id, topic, partition, record_offset, envelope, timestamp_ms, newer,"
    " is_result, kept_at) VALUES (gen_random_uuid(), 't', 0, 0, '', 0, 'field 31 of the envelope', false,"
    " to_timestamp(1800000000))"
)


def test_the_command_lists_what_waits_by_place_and_cause(
    store_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asyncio.run(query(store_url, KEEP))
    spool.write(tmp_path / "spool", "server-1", [b"one", b"two"], spool.NEWER_SUFFIX)
    (tmp_path / "analytics").mkdir()
    manifest = {"sequence": 1, "files": [], "offsets": [], "newer_waiting": 3}
    (tmp_path / "analytics" / "manifest.json").write_text(json.dumps(manifest))
    monkeypatch.setenv("LAUNCHDAY_STORE_URL", store_url)
    monkeypatch.setenv("LAUNCHDAY_STATE_DIR", str(tmp_path))
    settings.cache_clear()

    listed = CliRunner().invoke(app, ["newer", "--json"])

    settings.cache_clear()
    found = [json.loads(line) for line in listed.stdout.splitlines()]
    assert [(row["place"], row["newer"], row["events"]) for row in found] == [
        ("store", "field 31 of the envelope", 1),
        ("analytics", "", 3),
        ("spool", "", 2),
    ]
    assert found[0]["oldest_at"] == 1_800_000_000.0

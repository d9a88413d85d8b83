"""``launchday events gaps``: what rewards and analytics found that their logs no longer had."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from launchday.settings import Settings
from rewards import cli
from rewards.analytics.lake import Lake
from rewards.consumer.store_connection import ConnectionPool
from rewards.consumer.stored_positions import StoredPositions
from rewards.events.logs.gaps import Gap, gaps_of_lake
from rewards.events.logs.verdict import Finding, Position

RUN = CliRunner()
CUT = Gap("launchday.player", 3, Finding.CUT, from_offset=100, to_offset=500, missing=400)
REPLACED = Gap("launchday.match", 0, Finding.REPLACED, from_offset=7, to_offset=0, missing=None)


async def store_gaps(store_url: str) -> None:
    connections = ConnectionPool(store_url)
    try:
        positions = StoredPositions(connections, "rewards")
        for _ in range(2):  # two members of the group notice it at once
            await positions.move({("launchday.player", 3): Position(500)}, [CUT], 1_800_000_000.0)
    finally:
        await connections.close()


def test_the_gaps_of_both_readers_are_listed_once_each(
    settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cli, "_settings", lambda: settings)
    asyncio.run(store_gaps(settings.store_url))
    lake = Lake(tmp_path).open()
    lake.move({("launchday.match", 0): Position(0)}, [REPLACED], 1_800_000_060.0)
    lake.close()

    found = RUN.invoke(cli.app, ["gaps", "--json", "--folder", str(tmp_path)])
    assert found.exit_code == 0, found.output
    assert [json.loads(line) for line in found.stdout.splitlines()] == [
        {"consumer": "rewards", **CUT.as_json(), "noticed_at": 1_800_000_000.0},
        {"consumer": "analytics", **REPLACED.as_json(), "noticed_at": 1_800_000_060.0},
    ]
    shown = RUN.invoke(cli.app, ["gaps", "--folder", str(tmp_path)])
    assert "2 gaps in the logs" in shown.stdout
    assert "unknown" in shown.stdout


def test_a_lake_remembers_its_positions_their_logs_and_its_gaps(tmp_path: Path) -> None:
    assert gaps_of_lake(tmp_path) is None
    lake = Lake(tmp_path).open()
    lake.move({("launchday.player", 3): Position(500)}, [CUT], 1_800_000_000.0)
    lake.close()
    again = Lake(tmp_path).open()
    assert again.positions() == {("launchday.player", 3): Position(500)}
    assert gaps_of_lake(tmp_path) == [{**CUT.as_json(), "noticed_at": 1_800_000_000.0}]
    again.close()

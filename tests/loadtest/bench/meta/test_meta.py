from __future__ import annotations

import asyncio

import pytest

from loadtest.bench.meta import meta


async def test_the_benchmark_tells_every_figure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(meta, "MATCH_PLAYERS", 10)
    monkeypatch.setattr(meta, "MATCHES", 2)
    monkeypatch.setattr(meta, "BACKLOG_ROWS", 3000)
    figures = await asyncio.to_thread(meta.run, 0.2)
    assert set(figures) == {
        "bench",
        "checkout_players_per_s",
        "checkout_ms",
        "raw_pipeline_players_per_s",
        "ratio",
        "profile_reads_per_s",
        "loadout_changes_per_s",
        "loadout_ms",
        "writebehind_lag_ms",
        "writebehind_lag_at_changes_per_s",
        "purchases_per_s",
        "purchase_ms",
        "writebehind_rows_per_s",
    }
    assert figures.pop("bench") == "meta"
    for figure in figures.values():
        assert figure > 0 if isinstance(figure, (int, float)) else all(value > 0 for value in figure.values())

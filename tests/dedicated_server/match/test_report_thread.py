"""Reports are made beside the thread that ticks, and say what they said between two ticks."""

from __future__ import annotations

import asyncio
import json
import threading
from typing import Any

import pytest

from dedicated_server.match.report import ReportDraft, build_report, draft_report
from dedicated_server.match.report_thread import ReportThread
from tests.dedicated_server.replication.lossy import LossyTable
from tests.waiting import until


@pytest.fixture
def table() -> LossyTable:
    table = LossyTable(3, lambda _table, _client: (0, 0, 0, 0))
    table.play(60)
    return table


class Held:
    """Holds reports up, and notes which threads make them."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.begun = threading.Event()
        self.threads: list[int] = []
        self.finished = 0
        really = ReportDraft.finish

        def finish(draft: ReportDraft) -> dict[str, Any]:
            self.threads.append(threading.get_ident())
            self.begun.set()
            assert self.go_on.wait(10.0)
            self.finished += 1
            return really(draft)

        monkeypatch.setattr(ReportDraft, "finish", finish)


async def test_a_report_is_that_of_its_moment_however_many_ticks_are_played_meanwhile(
    table: LossyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = build_report(table.engine)
    held = Held(monkeypatch)
    with ReportThread() as thread:
        made = asyncio.create_task(thread.as_json(draft_report(table.engine), {"outcome": "ended"}))
        await until(held.begun.is_set)
        table.play(30)
        held.go_on.set()
        report = json.loads(await made)
    assert held.threads != [threading.get_ident()]
    counted = {"histograms", "tick_histogram"}  # ticks that are timed meanwhile may be in it
    assert {key: report[key] for key in expected.keys() - counted} == {
        key: expected[key] for key in expected.keys() - counted
    }
    assert report["outcome"] == "ended"


async def test_reports_share_one_thread(table: LossyTable, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Held(monkeypatch)
    held.go_on.set()
    with ReportThread() as thread:
        for _ in range(3):
            await thread.as_json(draft_report(table.engine), {})
    assert len(held.threads) == 3
    assert len(set(held.threads)) == 1


async def test_a_session_that_is_cancelled_leaves_no_report_half_made(
    table: LossyTable, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(monkeypatch)
    with ReportThread() as thread:
        made = asyncio.create_task(thread.as_json(draft_report(table.engine), {}))
        await until(held.begun.is_set)
        made.cancel()
        await asyncio.sleep(0)
        assert not made.done()
        held.go_on.set()
        with pytest.raises(asyncio.CancelledError):
            await made
    assert held.finished == 1

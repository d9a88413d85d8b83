"""The kernels of a whole match are compiled before the first test's clock starts: cold, that takes longer than a test may."""

from __future__ import annotations

from pathlib import Path

import pytest

from dedicated_server.match.warm_up import warm_up

FOLDERS = ("tick", "replication", "recording")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Play a short match, if any test is about to run that plays one."""
    here = Path(__file__).parent
    if not session.config.option.collectonly and any(
        here / folder in item.path.parents for item in session.items for folder in FOLDERS
    ):
        from tests.dedicated_server.replication.lossy import LossyTable

        warm_up()
        LossyTable(2, lambda _table, _client: (0, 0, 0, 0)).play(30)

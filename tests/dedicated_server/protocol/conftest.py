"""The kernels are compiled before the first test's clock starts: cold, that takes longer than a test may."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from dedicated_server.protocol import document

hypothesis.settings.register_profile("kernels", deadline=None)  # others compile in their first example
hypothesis.settings.load_profile("kernels")


def pytest_collection_finish(session: pytest.Session) -> None:
    """Run every kernel once, if any test of this folder is about to run."""
    here = Path(__file__).parent
    if not session.config.option.collectonly and any(here in item.path.parents for item in session.items):
        document.vectors()

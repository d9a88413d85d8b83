"""The clients and stores of the meta service's own tests, for the checker's; and who cleans up behind the
killed.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.meta_service.conftest import redis, store

__all__ = ["redis", "store"]

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Connections that client libraries were making when their server was killed are left to the collector,
    which says so.
    """
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"))


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """Have them collected here: the next test to collect would be blamed for them."""
    yield
    gc.collect()

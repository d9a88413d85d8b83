from __future__ import annotations

import pytest


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The first test to run compiles the kernels: most of a minute, and more beside others."""
    for item in items:
        if "loadtest/simulate" in item.nodeid:
            item.add_marker(pytest.mark.timeout(300))

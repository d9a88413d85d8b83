from __future__ import annotations

from pathlib import Path

from loadtest.scenario import docs


def test_the_reference_of_scenarios_is_the_one_in_the_documents() -> None:
    document = Path(__file__).parents[3] / "docs" / "scenarios.md"
    assert document.read_text(encoding="utf-8") == docs.render()

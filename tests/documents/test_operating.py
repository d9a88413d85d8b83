"""docs/operating.md lists what each engine has to be: the very list by which services and ``doctor`` ask.

``make docs`` writes the table anew.
"""

from __future__ import annotations

import importlib
import os
import re
from collections.abc import Sequence
from pathlib import Path

import pytest

from launchday.resilience.requirements import Requirement
from tests.walks import ROOT

PAGE = ROOT / "docs" / "operating.md"
RENEW = "RENEW_DOCUMENTS" in os.environ
MARK = "<!-- requirements -->\n"
ENGINES = {
    "Kafka": "rewards.events.bus_checks.BUS_REQUIREMENTS",
    "Valkey, Redis": "launchday.resilience.cache_checks.CACHE_REQUIREMENTS",
    "PostgreSQL": "launchday.resilience.store_checks.STORE_REQUIREMENTS",
}


def test_the_page_lists_what_each_engine_has_to_be() -> None:
    text = PAGE.read_text()
    wanted = table({engine: requirements(name) for engine, name in ENGINES.items()})
    found = re.search(rf"(?<={MARK})(.*?)(?=<!-- end -->)", text, re.DOTALL)
    assert found is not None, "docs/operating.md has no place for the table"
    if RENEW:
        PAGE.write_text(text[: found.start()] + wanted + text[found.end() :])
    else:
        assert found[1] == wanted, "docs/operating.md lists other requirements than the code: make docs"


def requirements(name: str) -> Sequence[Requirement]:
    """The list of an engine, by its dotted name."""
    module, _, attribute = name.rpartition(".")
    found: Sequence[Requirement] = getattr(importlib.import_module(module), attribute)
    return found


def table(engines: dict[str, Sequence[Requirement]]) -> str:
    """A row a requirement, in the order in which they are asked."""
    rows = [
        "| " + " | ".join(cell.replace("|", "\\|") for cell in (engine, *cells(requirement))) + " |\n"
        for engine, list_ in engines.items()
        for requirement in list_
    ]
    return "| engine | setting | wanted | otherwise | to type | |\n|---|---|---|---|---|---|\n" + "".join(
        rows
    )


def cells(requirement: Requirement) -> tuple[str, ...]:
    """What a row says of a requirement."""
    return (
        f"`{requirement.setting}`",
        requirement.wanted,
        requirement.why,
        f"`{requirement.remedy}`",
        "**needed**" if requirement.refuse else "",
    )


def test_the_table_shows_what_a_requirement_says() -> None:
    said = Requirement("maxmemory-policy", "noeviction", "drops a|b", "CONFIG SET {x} noeviction", True)
    assert table({"cache": [said]}).splitlines()[-1] == (
        r"| cache | `maxmemory-policy` | noeviction | drops a\|b | `CONFIG SET {x} noeviction` | **needed** |"
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_every_requirement_of_an_engine_is_listed_and_asked(engine: str) -> None:
    """Those that a module defines are those of its list, and somewhere each is told where it is not met."""
    module = importlib.import_module(ENGINES[engine].rpartition(".")[0])
    defined = {name: value for name, value in vars(module).items() if isinstance(value, Requirement)}
    listed = requirements(ENGINES[engine])
    assert sorted(map(repr, defined.values())) == sorted(map(repr, listed))
    assert len({repr(requirement) for requirement in listed}) == len(listed) >= 3
    sources = "".join(path.read_text() for path in sorted(Path(str(module.__file__)).parent.glob("*.py")))
    for name, requirement in defined.items():
        assert re.search(rf"\b{name}\b(?:\.fault\(|[^=\n]*\bfault\()", sources), f"nobody asks {name}"
        assert requirement.remedy, name


def test_the_page_says_all_that_doctor_may_say_of_an_engine() -> None:
    listed = [requirement for name in ENGINES.values() for requirement in requirements(name)]
    text = PAGE.read_text()
    assert len(listed) >= 10
    for requirement in listed:
        assert requirement.remedy.replace("|", "\\|") in text, requirement.setting

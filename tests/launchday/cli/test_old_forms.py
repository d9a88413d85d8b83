"""Forms of commands that earlier versions had."""

from __future__ import annotations

import pytest

from launchday.cli.old_forms import renewed


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (["run", "--json", "run.json"], ["run", "--save", "run.json"]),
        (
            ["run", "--report", "r.html", "--json=run.json"],
            ["run", "--report", "r.html", "--save=run.json"],
        ),
    ],
)
def test_a_run_whose_json_names_a_file_still_writes_it_and_says_what_is_new(
    old: list[str], new: list[str]
) -> None:
    found, said = renewed(old)
    assert found == new
    assert "--save FILE" in said


@pytest.mark.parametrize(
    "arguments",
    [[], ["run", "--json"], ["run", "--json", "--save", "x.json"], ["flood", "--json", "smoke"], ["--json"]],
)
def test_what_is_not_old_stays_as_it_is(arguments: list[str]) -> None:
    assert renewed(arguments) == (arguments, "")

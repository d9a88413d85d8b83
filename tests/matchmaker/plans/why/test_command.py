"""``launchday match --why`` and ``--explain``."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from launchday.cli.main import app
from tests.matchmaker.rules.flexmatch.examples import rule_set, ticket

NEAR = rule_set([{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}])


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        app(["match", *arguments])
    shown = capsys.readouterr()
    return int(ended.value.code or 0), shown.out, shown.err


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    rules, tickets = tmp_path / "rules.json", tmp_path / "tickets.json"
    rules.write_text(json.dumps(NEAR))
    tickets.write_text(json.dumps([ticket("a", {"skill": 1}), ticket("b\x1b[2J", {"skill": 9})]))
    return str(rules), str(tickets)


def test_the_lines_say_which_rule_and_what_would_have_matched(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    code, out, _ = run(capsys, *files, "--why", "a")
    assert code == 0
    assert "a has no match after 0 s: the rule Rule0 turns away 1 of the 1 that are asked" in out
    # 9 - 1 = 8
    assert "would match: rules[Rule0].maxDistance 8 instead of 5: a, b\\x1b[2J" in out
    assert "\x1b" not in out


def test_the_document_has_the_same_in_stable_keys(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    code, out, _ = run(capsys, *files, "--why", "a", "--json")
    told = json.loads(out)
    assert code == 0
    assert list(told) == [
        "ticket", "waited_s", "matched", "reason", "tickets", "in_matches", "left_out", "asked",
        "never_asked", "seated", "fewest", "region", "holds", "rules", "short", "changes",
    ]  # fmt: skip
    assert [change["places"][0]["new"] for change in told["changes"] if change["tickets"] != ["a"]] == [8.0]


def test_an_unknown_ticket_is_one_line_and_exit_code_2(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    code, out, err = run(capsys, *files, "--why", "nobody\n")
    assert (code, out) == (2, "")
    assert err.count("\n") == 1
    assert "there is no ticket nobody\\n among the 2 that wait" in err


def test_a_plan_is_explained_without_tickets(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    code, out, _ = run(capsys, files[0], "--explain")
    assert code == 0
    assert "Rule0" in out
    code, out, _ = run(capsys, files[0], "--explain", "--json")
    assert code == 0
    assert isinstance(json.loads(out), dict)


def test_without_tickets_nothing_else_can_be_asked(
    capsys: pytest.CaptureFixture[str], files: tuple[str, str]
) -> None:
    code, _, err = run(capsys, files[0])
    assert code == 2
    assert "TICKETS" in err

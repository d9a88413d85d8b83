from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from launchday import telemetry
from launchday.escapes import escaped
from launchday.settings import Settings

HOSTILE = "\x1b]0;owned\x07[/b]\u202e\nforged line\u2028"


@pytest.fixture
def restored() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


@pytest.mark.usefixtures("restored")
def test_a_name_in_a_log_line_is_shown_and_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("a service", Settings(log_json=False))
    structlog.get_logger().warning(f"lost {HOSTILE}", player=HOSTILE, other="\x1b[2J")
    logging.getLogger("a.library").warning("refused %s", HOSTILE)
    said = capsys.readouterr().err
    assert escaped(said, lines=True) == said
    assert said.count("\n") == 2
    assert said.count("[/b]") == 3


@pytest.mark.usefixtures("restored")
def test_a_name_in_a_json_line_comes_back_as_it_was(capsys: pytest.CaptureFixture[str]) -> None:
    telemetry.configure("a service", Settings(log_json=True))
    structlog.get_logger().warning("lost", player=HOSTILE)
    said = capsys.readouterr().err
    assert said.isascii()
    assert json.loads(said)["player"] == HOSTILE

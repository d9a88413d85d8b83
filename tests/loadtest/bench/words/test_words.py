"""``bench words``: every reason reaches a player and the ledger, and a server that keeps one back shows."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from typer.testing import CliRunner

from dedicated_server.protocol import datagrams, reasons
from dedicated_server.tick.engine import Engine
from dedicated_server.transport import Transport
from loadtest.bench import cli
from loadtest.bench.options import Options
from loadtest.bench.words import words
from loadtest.bench.words.scenes import SCENES
from loadtest.errors import BenchError

pytestmark = pytest.mark.timeout(300)  # where no kernel has been compiled yet, they all are


class Abrupt(Engine):
    """Goes away without a word."""

    def close(self, reason: int) -> None:
        if reason != reasons.GOING_AWAY:
            super().close(reason)


class MuteSocket:
    """A server's socket that spoils each datagram of which a test says so."""

    def __init__(self, transport: Transport, spoils: Callable[[Any], bool]) -> None:
        self._transport, self._spoils = transport, spoils

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def send(self, out_buf: Any, out_len: Any, out_addr: Any, count: int) -> None:
        for row in range(count):
            if self._spoils(out_buf[row]):
                out_buf[row, 0] = 0xFF
        self._transport.send(out_buf, out_len, out_addr, count)


class NeverExpired(Engine):
    """Counts that it has told that a token has expired, and does not."""

    def __init__(self, config: Any, fleet_key: bytes, transport: Any, **options: Any) -> None:
        refusal = [datagrams.REFUSAL, reasons.EXPIRED]
        mute: Any = MuteSocket(transport, lambda datagram: datagram[:2].tolist() == refusal)
        super().__init__(config, fleet_key, mute, **options)


def missed(found: dict[str, Any]) -> list[str]:
    lines: list[str] = found["missed"]
    return lines


def test_each_reason_has_a_scene() -> None:
    assert list(SCENES) == list(reasons.NAMES[1:])


def test_each_reason_is_heard_in_each_of_its_ways_and_balances_in_the_ledger() -> None:
    result = CliRunner().invoke(cli.app, ["words", "--json"])
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert found["missed"] == []
    assert (found["reasons"], found["arrived"]) == (len(reasons.REASONS), len(reasons.REASONS))
    assert {name: tuple(by_way) for name, by_way in found["ways"].items()} == {
        reason.name: reason.said for reason in reasons.REASONS
    }
    assert found["told"] == {reason.name: len(reason.said) for reason in reasons.REASONS}
    every = {f"told {reason.name}" for reason in reasons.REASONS}
    assert {name for name, line in found["ledger"].items() if line["balanced"]} == every


def test_a_server_that_goes_away_without_a_word_is_noticed() -> None:
    found = words.run(Options(only=("going_away", "other_match")), engine=Abrupt)
    assert not found["passed"]
    assert "going_away, farewell: said 0, heard 0" in missed(found)
    assert "going_away: not balanced in the ledger" in missed(found)
    assert not any(line.startswith("other_match") for line in missed(found))


def test_a_word_that_is_counted_and_does_not_arrive_is_noticed() -> None:
    found = words.run(Options(only=("expired", "other_match")), engine=NeverExpired)
    assert not found["passed"]
    [line] = missed(found)
    assert line.startswith("expired, refusal: said ")
    assert line.endswith(", heard 0")


def test_a_reason_that_nothing_provokes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(SCENES, "banned")
    assert words.run(Options(only=("banned",)))["missed"][0] == "banned: nothing here provokes it"


def test_a_reason_that_there_is_not_is_no_choice() -> None:
    with pytest.raises(BenchError, match="hunger"):
        words.run(Options(only=("hunger",)))

"""The flood of mutants notices what it is there for: planted faults of every kind that it looks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from dedicated_server.native.compilation import Bytes, Ints
from dedicated_server.protocol import datagrams
from dedicated_server.protocol.server.state import INPUT_NEWEST, PROVED
from loadtest.bench.mutations import mutated
from loadtest.bench.mutations.first_datagrams import CASES, CHEAT, amplification_of
from loadtest.bench.mutations.target import Address, Target

pytestmark = [pytest.mark.timeout(300), pytest.mark.usefixtures("kernels")]

COUNT = 8_000
Answers = list[tuple[int, int, Address]]


@pytest.fixture(scope="module")
def target() -> Target:
    joined = Target()
    joined.join()
    return joined


def flood(target: Target) -> mutated.Findings:
    return mutated.flood(target, COUNT, np.random.default_rng(5))


def test_mutants_of_every_kind_change_nothing_and_every_check_is_reached(target: Target) -> None:
    found = flood(target)
    figures = mutated.describe(target, found, {}, 0.0)
    assert figures["good"] is True
    assert (figures["datagrams"], figures["changed"], figures["players_lost"]) == (COUNT, 0, 0)
    assert set(figures["kinds"]) == set(mutated.NAMES)
    assert min(figures["mutations"].values()) > COUNT / 20
    for reason in ("forged", "response_forged", "cookie_forged", "token_forged", "version", "kind", "length"):
        assert figures["dropped"][reason] > 0, reason
    for reason in ("replayed", "unknown_connection", "expired", "other_match", "other_server", "token_used"):
        assert figures["dropped"][reason] > 0, reason


def moved(target: Target) -> None:
    """What a server did that took a stranger's datagram for a player's."""
    target.engine.wire.state.slots["address"][2, 4] ^= 1


def input_taken(target: Target) -> None:
    target.engine.wire.state.per_slot[INPUT_NEWEST, 5] += 1


def session_begun(target: Target) -> None:
    target.engine.wire.state.slots["challenge_counter"][0] += 1


def world_changed(target: Target) -> None:
    target.engine.match.world.body[0, 0] += 0.01


@pytest.mark.parametrize("fault", [moved, input_taken, session_begun, world_changed])
def test_a_server_that_takes_in_one_forged_datagram_is_noticed(
    monkeypatch: pytest.MonkeyPatch, fault: Callable[[Target], None]
) -> None:
    target = Target()
    target.join()
    really, drops = target.open_batch, target.engine.wire.state.drops

    def taken_in_once(data: Bytes, lengths: Ints, senders: Bytes) -> Answers:
        forged = int(drops[datagrams.DROP_FORGED])
        answers = really(data, lengths, senders)
        if not planted and drops[datagrams.DROP_FORGED] > forged:
            planted.append(True)
            fault(target)
        return answers

    planted: list[bool] = []
    monkeypatch.setattr(target, "open_batch", taken_in_once)
    figures = mutated.describe(target, flood(target), {}, 0.0)
    assert figures["changed"] == 1
    assert "a batch of 1000 after" in figures["changes"][0]
    assert figures["good"] is False


def test_a_server_that_raises_is_noticed(monkeypatch: pytest.MonkeyPatch, target: Target) -> None:
    really = target.open_batch

    def raises(data: Bytes, lengths: Ints, senders: Bytes) -> Answers:
        if len(lengths) > 100:
            raise IndexError("out of bounds")
        return really(data, lengths, senders)

    monkeypatch.setattr(target, "open_batch", raises)
    figures = mutated.describe(target, flood(target), {}, 0.0)
    assert "out of bounds" in figures["crashed"]
    assert figures["good"] is False


@pytest.mark.parametrize("name", CASES)
def test_who_has_answered_nothing_is_sent_at_most_three_times_what_came(name: str) -> None:
    assert amplification_of(name) <= 3.0


def credit_without_end(target: Target) -> None:
    """What a server did that took a new address for the player's at once."""
    target.engine.wire.state.slots["path_credit_bytes"][CHEAT] = PROVED


def test_a_server_that_trusts_an_address_at_once_is_noticed() -> None:
    assert amplification_of("roams once", spoil=credit_without_end) > 3.0


def test_an_amplification_beyond_three_is_not_good(target: Target) -> None:
    figures: dict[str, Any] = mutated.describe(target, mutated.Findings(), {"roams": 3.01}, 0.0)
    assert (figures["most"], figures["good"]) == (3.01, False)

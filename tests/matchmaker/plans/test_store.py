"""Tickets as rows that are kept: what players have sent once is not kept for ever."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from matchmaker.plans import store as stores
from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.plans.store import TicketStore
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from tests.matchmaker.rules.flexmatch.examples import rule_set

ALL = "flatten(teams[*].players.attributes[{}])"
RULES = rule_set(
    [
        {"type": "comparison", "measurements": [ALL.format("mode")], "operation": "="},
        {"type": "comparison", "measurements": [ALL.format("skill")], "operation": "!="},
        {"type": "collection", "measurements": [ALL.format("maps")], "operation": "intersection",
         "minCount": 1},
        {"type": "collection", "measurements": [ALL.format("rivals")], "operation": "contains",
         "referenceValue": "dust", "maxCount": 1},
    ]
)  # fmt: skip
BATCH = 100


def compiled() -> CompiledPlan:
    made = compile_plan(read_rule_set(json.dumps(RULES)), live=True)
    assert made.plan is not None
    assert not made.searched
    return made


def batch(number: int) -> list[FlexMatchTicket]:
    """Tickets of which two each have one code, with values that no other batch has."""
    return [
        FlexMatchTicket(
            f"{number}/{place}",
            float(number),
            (
                TicketPlayer(
                    f"{number}/{place}",
                    None,
                    {
                        "mode": f"mode {number} {place // 2}",
                        "skill": number + place / 7,
                        "maps": (f"map {number}", f"map {number} {place}", "dust"),
                        "rivals": ("dust",) if place % 3 else (f"rival {number} {place}",),
                    },
                    {"here": 10.0 + place},
                ),
            ),
        )
        for place in range(BATCH)
    ]


def alike(values: NDArray[np.int32]) -> NDArray[np.bool_]:
    same: NDArray[np.bool_] = values[:, np.newaxis] == values[np.newaxis, :]
    return same


def sets(store: TicketStore, column: int) -> NDArray[np.int32]:
    found = store.columns
    first, count = found.set_first[:, column], found.set_count[:, column]
    return np.concatenate(
        [found.strings[at : at + many] for at, many in zip(first.tolist(), count.tolist(), strict=True)]
    )


def add(store: TicketStore, tickets: list[FlexMatchTicket]) -> None:
    store.add(tickets, np.zeros(len(tickets), np.int32), np.full(len(tickets), -1, np.int32))


def test_strings_values_and_buckets_that_nobody_has_any_more_are_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "MIN_NUMBERS", 2_000)
    store = TicketStore(compiled(), ["here"])
    most = 0
    for number in range(60):  # of 450 new numbers each
        add(store, batch(number))
        store.keep(np.arange(max(0, len(store) - BATCH), len(store)))
        most = max(most, store.strings)
    assert len(store) == BATCH
    assert most < 4_000
    assert store.columns.bucket.max() < 4_000


def test_tickets_that_stay_mean_the_same_after_all_has_been_numbered_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(stores, "MIN_NUMBERS", 0)
    store = TicketStore(compiled(), ["here"])
    stay = batch(0)
    add(store, stay)
    store.columns.start_s[:] = np.arange(BATCH)  # whoever is put back waits since another time
    for number in range(1, 6):
        add(store, batch(number))
        store.keep(np.arange(BATCH))
    fresh = TicketStore(compiled(), ["here"])
    add(fresh, stay)
    found, asked = store.columns, fresh.columns
    assert store.strings == fresh.strings
    assert found.start_s.tolist() == list(range(BATCH))
    for name in ("size", "value", "mask", "eligible", "home", "latency_ms", "set_count", "group", "platform"):
        np.testing.assert_array_equal(getattr(found, name), getattr(asked, name), err_msg=name)
    np.testing.assert_array_equal(alike(found.bucket), alike(asked.bucket))
    assert found.set_count.shape[1] > 1
    for column in range(found.set_count.shape[1]):
        np.testing.assert_array_equal(alike(sets(store, column)), alike(sets(fresh, column)))
    # Who comes later meets those who stayed: the same code is the same bucket.
    add(store, stay[:1])
    assert store.columns.bucket[-1] == store.columns.bucket[0]
    np.testing.assert_array_equal(
        np.sort(sets(store, 0)[-store.columns.set_count[-1, 0] :]),
        np.sort(sets(store, 0)[: store.columns.set_count[0, 0]]),
    )

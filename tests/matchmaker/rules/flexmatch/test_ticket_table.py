from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from matchmaker.rules.flexmatch import ticket_table
from matchmaker.rules.flexmatch.cycle import DEFAULT_BUDGET, form_matches
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.rule_set import RuleSet
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, read_tickets
from matchmaker.rules.flexmatch.ticket_table import TicketTable
from tests.matchmaker.rules.flexmatch.examples import play, rule_set, ticket

REGIONS = ("eu", "us")
RULES = rule_set(
    [
        {
            "type": "collection",
            "measurements": ["flatten(teams[*].players.attributes[maps])"],
            "operation": "intersection",
            "minCount": 1,
        },
        {
            "type": "comparison",
            "measurements": ["flatten(teams[*].players.attributes[mode])"],
            "operation": "=",
        },
        {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 6},
        {
            "type": "distanceSort",
            "sortAttribute": "likes",
            "mapKey": "maxValue",
            "sortDirection": "ascending",
        },
        {"type": "latency", "maxLatency": 60},
    ],
    teams=[
        {"name": "red", "minPlayers": 1, "maxPlayers": 2},
        {"name": "blue", "minPlayers": 1, "maxPlayers": 2},
    ],
)
LOADED = read_rule_set(json.dumps(RULES))


@st.composite
def pools(draw: st.DrawFn) -> list[dict[str, Any]]:
    def player() -> dict[str, Any]:
        return {
            "skill": draw(st.integers(0, 9)),
            "mode": draw(st.sampled_from(["ctf", "duel"])),
            "maps": draw(st.lists(st.sampled_from(["ice", "dust", "sand"]), max_size=2, unique=True)),
            "likes": draw(st.dictionaries(st.sampled_from(["ice", "dust"]), st.integers(0, 3), max_size=2)),
        }

    return [
        ticket(
            f"t{number}",
            *[player() for _ in range(draw(st.sampled_from([1, 1, 2])))],
            start=draw(st.integers(0, 20)),
            latency={region: draw(st.integers(10, 90)) for region in REGIONS},
        )
        for number in range(draw(st.integers(1, 8)))
    ]


def read(tickets: list[dict[str, Any]], rules: RuleSet = LOADED) -> list[FlexMatchTicket]:
    found = read_tickets(json.dumps(tickets), rules)
    return sorted(found, key=lambda each: (each.start_time, each.ticket_id))


def admit(filled: TicketTable, tickets: list[FlexMatchTicket], group: int = 0, platform: int = 0) -> None:
    count = len(tickets)
    filled.add(tickets, np.full(count, group, np.int32), np.full(count, platform, np.int32))


def formed(
    filled: TicketTable, rows: Any, tickets: list[FlexMatchTicket], rules: RuleSet = LOADED
) -> list[list[str]]:
    table = filled.at(np.asarray(rows, np.int64), 20.0)
    count, found = form_matches(rules, filled.program, table, 0, DEFAULT_BUDGET)
    return [
        sorted(tickets[row].ticket_id for row in np.flatnonzero(found.match_of == number).tolist())
        for number in range(count)
    ]


@settings(max_examples=60, deadline=None)
@given(pools(), st.data())
def test_a_roster_filled_bit_by_bit_and_swept_forms_the_matches_of_a_file(
    pool: list[dict[str, Any]], data: st.DataObject
) -> None:
    tickets = read(pool)
    order = data.draw(st.permutations(range(len(tickets))))
    cut = data.draw(st.integers(0, len(tickets)))
    filled = TicketTable(LOADED, REGIONS)
    admit(filled, read([ticket("gone", {"maps": ["moon"]}, latency={"eu": 20})]))
    admit(filled, [tickets[place] for place in order[:cut]])
    filled.keep(np.arange(1, cut + 1))
    admit(filled, [tickets[place] for place in order[cut:]])
    rows = [order.index(place) for place in range(len(tickets))]
    expected = [sorted(each.tickets) for each in play(RULES, *pool, now=20.0).matches]
    assert formed(filled, rows, tickets) == expected


def test_strings_that_no_ticket_has_any_more_are_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ticket_table, "MIN_STRINGS_TO_RENUMBER", 10)
    tickets = read(
        [
            ticket(f"t{n:03}", {"maps": [f"map{n // 2}"], "mode": f"m{n // 2}"}, latency={"eu": 20})
            for n in range(200)
        ]
    )
    filled = TicketTable(LOADED, REGIONS)
    admit(filled, tickets)
    assert len(filled._strings) > 200
    kept = np.arange(150, 200)
    filled.keep(kept)
    assert len(filled._strings) < 100
    expected = [[f"t{n:03}", f"t{n + 1:03}"] for n in range(150, 200, 2)]
    assert formed(filled, range(50), tickets[150:]) == expected
    admit(filled, read([ticket("late", {"maps": ["map75"], "mode": "m75"}, latency={"eu": 20})]))
    assert formed(filled, [0, 50], [tickets[150], read([ticket("late", latency={"eu": 1})])[0]]) == [
        ["late", "t150"]
    ]


@pytest.mark.parametrize(
    ("groups", "platforms", "meet"),
    [
        ((0, 0), (1, 2), True),  # both cross-play
        ((2, 2), (1, 1), True),  # both keep to one platform
        ((2, 0), (1, 1), True),  # one keeps to it, the other has it
        ((2, 0), (1, 2), False),
        ((2, 3), (1, 2), False),
    ],
)
def test_cross_play_decides_who_meets(
    groups: tuple[int, int], platforms: tuple[int, int], meet: bool
) -> None:
    tickets = read([ticket("a", latency={"eu": 20}), ticket("b", latency={"eu": 20})])
    filled = TicketTable(LOADED, REGIONS)
    for each, group, platform in zip(tickets, groups, platforms, strict=True):
        admit(filled, [each], group, platform)
    assert formed(filled, [0, 1], tickets) == ([["a", "b"]] if meet else [])


def test_in_a_live_queue_a_match_needs_a_region_that_all_have_measured() -> None:
    rules = read_rule_set(json.dumps(rule_set()))
    tickets = read([ticket("a", latency={"eu": 20}), ticket("b", latency={"us": 20})], rules)
    filled = TicketTable(rules, REGIONS)
    admit(filled, tickets)
    assert formed(filled, [0, 1], tickets, rules) == []

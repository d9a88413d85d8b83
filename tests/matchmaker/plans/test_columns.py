"""The columns that a plan reads, against the same read ticket by ticket."""

from __future__ import annotations

import json
from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import pytest

from matchmaker.plans.columns import NOBODY, Interned, make_columns
from matchmaker.plans.compile import CompiledPlan, compile_plan
from matchmaker.plans.layout import NONE, TicketColumns
from matchmaker.rules.flexmatch.program import compile_rules
from matchmaker.rules.flexmatch.table import Columns, build_table
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer, read_tickets
from matchmaker.rules.flexmatch.tolerance import at_most
from tests.matchmaker.plans.at_random import REGIONS, random_match, random_rule_set
from tests.matchmaker.plans.written import ALL_MAPS, HUNT, TWO, Rule, collection, comparison, compiled

EVERYWHERE = (1 << 63) - 1


def columns_of(
    made: CompiledPlan,
    tickets: Sequence[FlexMatchTicket],
    regions: Sequence[str] = REGIONS,
    interned: Interned | None = None,
) -> TicketColumns:
    columns = Columns(tickets, dict(made.strings))
    compile_rules(made.rule_set, columns)
    names = [copy for team in made.rule_set.teams for copy in team.copies]
    table = build_table(tickets, columns, regions, names, [True] * len(tickets), 0.0)
    start_s = np.array([ticket.start_time for ticket in tickets])
    group = np.arange(len(tickets), dtype=np.int32)
    return make_columns(made, table, start_s, group, group + 1, interned or Interned())


def party(*players: dict[str, Any], latency_ms: dict[str, float] | None = None) -> FlexMatchTicket:
    attributes: dict[str, Any] = {
        "skill": 1.0,
        "level": 1.0,
        "mode": "a",
        "maps": (),
        "blocked": (),
        "likes": {},
    }
    own = latency_ms or {}
    return FlexMatchTicket(
        "t",
        0.0,
        tuple(TicketPlayer(f"p{place}", None, attributes | p, own) for place, p in enumerate(players)),
    )


def near(ticket: FlexMatchTicket, region: str, aggregation: str) -> float:
    values = [player.latency_ms.get(region, np.inf) for player in ticket.players]
    return {"min": min(values), "max": max(values), "avg": sum(values) / len(values)}[aggregation]


@pytest.mark.parametrize("seed", range(40))
def test_masks_homes_and_round_trips_are_those_of_each_ticket(seed: int) -> None:
    rng = Random(seed)
    rules = random_rule_set(rng)
    made = compile_plan(rules, live=True)
    tickets = [ticket for _ in range(6) for ticket in random_match(rng, rules)[0]]
    plan, found = made.plan, columns_of(made, tickets)
    assert plan is not None
    names = ("min", "max", "avg")
    for row, ticket in enumerate(tickets):
        ever = 0
        for level in range(len(plan.wait_s)):
            for mask, limits in enumerate(made.masks):
                bits = sum(
                    1 << place
                    for place, region in enumerate(REGIONS)
                    if near(ticket, region, "max") < np.inf
                    and all(
                        at_most(
                            near(ticket, region, names[limit.aggregation]), plan.number[level, limit.most]
                        )
                        for limit in limits
                    )
                )
                assert int(found.mask[row, mask, level]) == bits
                ever |= bits if mask == 0 else 0
        open_to = [place for place in range(len(REGIONS)) if ever >> place & 1]
        home = min(open_to, key=lambda place: near(ticket, REGIONS[place], "avg"), default=NONE)
        assert found.home[row] == home
        for place, aggregation in enumerate(made.latency_distances):
            for region, name in enumerate(REGIONS):
                column = len(made.values) + place * len(REGIONS) + region
                assert found.value[row, column] == near(ticket, name, names[aggregation])
    assert found.size.tolist() == [len(ticket.players) for ticket in tickets]
    assert found.start_s.tolist() == [ticket.start_time for ticket in tickets]


@pytest.mark.parametrize("seed", range(40))
def test_buckets_are_one_exactly_where_tickets_are_alike(seed: int) -> None:
    rng = Random(seed)
    made = compiled(
        [comparison("players.attributes[mode]", "="), comparison("players.attributes[level]", "=")]
    )
    tickets = [
        party(
            *({"mode": rng.choice("ab"), "level": float(rng.randint(0, 2))} for _ in range(rng.randint(1, 2)))
        )
        for _ in range(30)
    ]
    bucket = columns_of(made, tickets).bucket
    for one, ticket in enumerate(tickets):
        modes = {player.attributes["mode"] for player in ticket.players}
        assert (bucket[one] == NOBODY) == (len(modes) > 1)
        for other, another in enumerate(tickets):
            alike = all(
                player.attributes["mode"] in modes and len(modes) == 1 for player in another.players
            ) and _mean(ticket) == _mean(another)
            if bucket[one] >= 0 and bucket[other] >= 0:
                assert (bucket[one] == bucket[other]) == alike


def _mean(ticket: FlexMatchTicket) -> float:
    levels = [player.attributes["level"] for player in ticket.players]
    return sum(level for level in levels if isinstance(level, float)) / len(levels)


def test_a_bucket_keeps_its_number_from_call_to_call() -> None:
    made, interned = compiled([comparison("players.attributes[level]", "=")]), Interned()
    first = columns_of(made, [party({"level": 1.0}), party({"level": 2.0})], interned=interned).bucket
    again = columns_of(made, [party({"level": 2.0}), party({"level": 3.0})], interned=interned).bucket
    assert again[0] == first[1]
    assert again[1] not in first


def test_who_lacks_an_attribute_that_a_rule_reads_meets_nobody() -> None:
    made = compiled([comparison("players.attributes[level]", ">", 1)])
    assert columns_of(made, [party({"level": None}), party({"level": 2.0})]).bucket.tolist() == [NOBODY, 0]


ELIGIBLE: list[tuple[Rule, list[FlexMatchTicket], list[int]]] = [
    (
        comparison("teams[boss].players.attributes[mode]", "=", "boss"),
        [party({"mode": "boss"}), party({}), party({}, {})],
        [3, 1, 1],
    ),
    (
        comparison("players.attributes[skill]", ">=", 20),
        [party({"skill": 20.0 - 1e-12}), party({"skill": 19.0}), party({"skill": 10.0}, {"skill": 30.0})],
        [3, 0, 1],
    ),
    (
        collection("players.attributes[maps]", "reference_intersection_count", ["x", "y"], minCount=2),
        [
            party({"maps": ("y", "z", "x")}),
            party({"maps": ("x", "x")}),
            party({"maps": ("x",)}, {"maps": ("y",)}),
        ],
        [3, 0, 1],
    ),
    (
        collection(ALL_MAPS, "contains", "x", maxCount=0),
        [party({"maps": ("y",)}), party({"maps": ("x",)}), party({}, {"maps": ("x",)})],
        [3, 0, 0],
    ),
]


@pytest.mark.parametrize(("rule", "tickets", "bits"), ELIGIBLE)
def test_a_ticket_may_be_in_the_teams_whose_rules_its_players_keep(
    rule: Rule, tickets: list[FlexMatchTicket], bits: list[int]
) -> None:
    assert columns_of(compiled([rule], HUNT), tickets).eligible[:, 0].tolist() == bits


def test_eligibility_follows_the_levels() -> None:
    made = compiled(
        [comparison("players.attributes[skill]", ">=", 20)],
        expansions=[{"target": "rules[R0].referenceValue", "steps": [{"waitTimeSeconds": 9, "value": 5}]}],
    )
    assert columns_of(made, [party({"skill": 7.0})]).eligible.tolist() == [[0, 3]]


def test_a_party_is_eligible_where_a_team_has_room_for_it() -> None:
    assert columns_of(compiled([], HUNT), [party({}, {}), party({})]).eligible[:, 0].tolist() == [1, 3]


def test_a_list_counts_once_a_party_and_a_string_too() -> None:
    rules = [
        collection("teams[*].players.attributes[maps]", "contains", "x", minCount=1),
        collection("teams[*].players.attributes[mode]", "contains", "x", minCount=1),
    ]
    found = columns_of(
        compiled(rules), [party({"maps": ("x", "y")}, {"maps": ("x",), "mode": "x"}), party({})]
    )
    assert found.value.tolist() == [[1.0, 1.0], [0.0, 0.0]]


def test_strings_in_a_statement_are_counted_player_by_player() -> None:
    parts = [
        comparison("players.attributes[mode]", "=", "x"),
        comparison("players.attributes[mode]", "!=", "y"),
    ]
    made = compiled([*parts, {"type": "compound", "statement": "or(R0, R1)"}])
    found = columns_of(made, [party({"mode": "x"}, {"mode": "y"}, {"mode": "z"})])
    assert found.value.tolist() == [[2.0, 1.0]]


def _sets(made: CompiledPlan, found: TicketColumns, row: int) -> list[int]:
    return [int(count) for count in found.set_count[row]]


def test_a_set_has_each_string_of_a_party_once() -> None:
    made = compiled([collection(ALL_MAPS, "intersection", minCount=1)])
    found = columns_of(
        made, [party({"maps": ("x", "y", "x")}, {"maps": ("z", "y")}), party({"maps": ("y",)})]
    )
    first = found.strings[found.set_first[0, 0] : found.set_first[0, 0] + 3].tolist()
    assert _sets(made, found, 0) == [3]
    assert len(set(first)) == 3
    assert found.strings[found.set_first[1, 0]] in first


def test_a_party_one_of_whom_blocks_another_meets_nobody() -> None:
    rule = collection(
        "flatten(teams[*].players.attributes[blocked])",
        "reference_intersection_count",
        "flatten(teams[*].players[playerId])",
        maxCount=0,
    )
    found = columns_of(compiled([rule]), [party({"blocked": ("p1",)}, {}), party({"blocked": ("p1",)})])
    assert found.bucket.tolist() == [NOBODY, 0]


def test_values_that_must_differ_are_numbered_once_and_for_all() -> None:
    made, interned = compiled([comparison("players.attributes[level]", "!=")]), Interned()
    first = columns_of(made, [party({"level": 4.0}), party({"level": 5.0})], interned=interned)
    again = columns_of(made, [party({"level": 5.0 + 1e-12})], interned=interned)
    assert first.strings.tolist() == [0, 1]
    assert again.strings.tolist() == [1]


def test_without_regions_to_choose_a_ticket_may_play_anywhere() -> None:
    found = columns_of(compiled([]), [party({}), party({}, latency_ms={"south": 5.0})])
    assert found.mask[:, 0, 0].tolist() == [EVERYWHERE, EVERYWHERE]
    assert found.home.tolist() == [NONE, 1]


def test_a_running_match_shares_what_all_of_its_players_have() -> None:
    made = compiled([collection(ALL_MAPS, "intersection", minCount=1)])
    players = [
        {"PlayerId": name, "Team": team, "PlayerAttributes": _attributes(maps)}
        for name, team, maps in (("a", "red", ["x", "y"]), ("b", "blue", ["y", "z"]))
    ]
    running = read_tickets(json.dumps([{"TicketId": "m", "Players": players}]), made.rule_set)
    found = columns_of(made, running)
    assert found.set_count.tolist() == [[1]]
    assert found.eligible[0, 0] == 3


def _attributes(maps: list[str]) -> dict[str, Any]:
    return {
        "skill": {"N": 1}, "level": {"N": 1}, "mode": {"S": "a"}, "maps": {"SL": maps},
        "blocked": {"SL": []}, "likes": {"SDM": {"x": 1}},
    }  # fmt: skip


def test_no_tickets_make_columns_of_none() -> None:
    rules = [comparison("players.attributes[mode]", "="), collection(ALL_MAPS, "intersection", minCount=1)]
    found = columns_of(compiled(rules, TWO), [])
    assert [len(column) for column in found] == [0] * len(found)
    assert found.mask.shape == (0, 1, 1)
    assert found.set_first.shape == (0, 1)


def test_columns_lie_in_memory_as_the_kernel_reads_them() -> None:
    found = columns_of(compiled([comparison("players.attributes[skill]", ">", 1)]), [party({}), party({})])
    types = ["f8", "i4", "i4", "i4", "f8", "u8", "u8", "i4", "i4", "f4", "i8", "i4", "i4"]
    assert [column.dtype.str[1:] for column in found] == types
    assert all(column.flags.c_contiguous for column in found)

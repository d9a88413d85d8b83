from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.cards import shipped_cards
from matchmaker.rules.flexmatch.evaluate import first_broken, set_limits
from matchmaker.rules.flexmatch.search import search
from matchmaker.rules.modes import shipped_rule_set
from tests.matchmaker.rules.flexmatch.examples import play, rule_set, ticket, together
from tests.matchmaker.rules.flexmatch.naive import NaiveRules, Seating

NOW = 20.0
REGIONS = ("eu", "us")
SKILL, MAPS = "players.attributes[skill]", "players.attributes[maps]"
RULES: list[dict[str, Any]] = [
    {
        "type": "distance",
        "measurements": [f"avg(teams[*].{SKILL})"],
        "referenceValue": f"avg(flatten(teams[*].{SKILL}))",
        "maxDistance": 2,
    },
    {
        "type": "distance",
        "measurements": [f"max(flatten(teams[*].{SKILL}))"],
        "referenceValue": f"median(flatten(teams[*].{SKILL}))",
        "maxDistance": 4,
        "partyAggregation": "max",
    },
    {
        "type": "comparison",
        "measurements": [f"sum(teams[red].{SKILL})"],
        "referenceValue": f"sum(teams[blue].{SKILL})",
        "operation": "<=",
        "partyAggregation": "min",
    },
    {"type": "comparison", "measurements": ["flatten(teams[*].players.attributes[mode])"], "operation": "="},
    {"type": "comparison", "measurements": ["flatten(teams[*].players.attributes[mode])"], "operation": "!="},
    {"type": "comparison", "measurements": [f"flatten(teams[*].{SKILL})"], "operation": "!="},
    {"type": "comparison", "measurements": [f"avg(teams[*].{SKILL})"], "operation": "="},
    {
        "type": "collection",
        "measurements": ["flatten(teams[*].players.attributes[mode])"],
        "operation": "contains",
        "referenceValue": "ctf",
        "maxCount": 1,
    },
    {
        "type": "collection",
        "measurements": [f"teams[*].{MAPS}"],
        "operation": "contains",
        "referenceValue": "ice",
        "maxCount": 1,
    },
    {
        "type": "comparison",
        "measurements": ["count(teams[red].players)"],
        "referenceValue": "count(teams[blue].players)",
        "operation": "=",
    },
    {
        "type": "collection",
        "measurements": [f"flatten(teams[*].{MAPS})"],
        "operation": "intersection",
        "minCount": 1,
    },
    {
        "type": "collection",
        "measurements": [f"flatten(teams[*].{MAPS})"],
        "operation": "contains",
        "referenceValue": "ice",
        "maxCount": 1,
        "partyAggregation": "intersection",
    },
    {
        "type": "collection",
        "measurements": [f"flatten(teams[*].{MAPS})"],
        "operation": "reference_intersection_count",
        "referenceValue": ["ice", "dust"],
        "minCount": 1,
    },
    {"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 4},
    {"type": "batchDistance", "batchAttribute": "mode"},
    {"type": "latency", "maxLatency": 60},
    {"type": "latency", "maxDistance": 30, "distanceReference": "min", "partyAggregation": "max"},
    {"type": "distanceSort", "sortAttribute": "skill", "sortDirection": "ascending"},
]


@st.composite
def pools(draw: st.DrawFn) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    chosen = draw(st.lists(st.integers(0, len(RULES) - 1), max_size=3, unique=True))
    teams = [
        {"name": "red", "minPlayers": 1, "maxPlayers": draw(st.integers(1, 2))},
        {"name": "blue", "minPlayers": draw(st.integers(0, 1)), "maxPlayers": 2},
    ]
    rules = rule_set(
        [RULES[index] for index in chosen],
        teams,
        algorithm={"expansionAgeSelection": draw(st.sampled_from(["newest", "oldest"]))},
        expansions=[
            {"target": f"rules[Rule{place}].maxDistance", "steps": [{"waitTimeSeconds": 10, "value": 40}]}
            for place, index in enumerate(chosen)
            if "maxDistance" in RULES[index]
        ],
    )

    def player() -> dict[str, Any]:
        return {
            "skill": draw(st.integers(0, 9)),
            "mode": draw(st.sampled_from(["ctf", "duel"])),
            "maps": draw(st.lists(st.sampled_from(["ice", "dust", "sand"]), max_size=2, unique=True)),
        }

    tickets = [
        ticket(
            f"t{number}",
            *[player() for _ in range(draw(st.sampled_from([1, 1, 2])))],
            start=draw(st.integers(0, 20)),
            latency={region: draw(st.integers(10, 90)) for region in REGIONS},
        )
        for number in range(draw(st.integers(1, 5)))
    ]
    return rules, tickets


@settings(max_examples=150, deadline=None)
@given(pools())
def test_the_kernel_agrees_with_the_oracle(pool: tuple[dict[str, Any], list[dict[str, Any]]]) -> None:
    rules, tickets = pool
    naive = NaiveRules(rules, NOW)
    waiting = sorted(tickets, key=lambda each: (each["StartTime"], each["TicketId"]))
    largest_team = max(team["maxPlayers"] for team in rules["teams"])
    waiting = [each for each in waiting if len(each["Players"]) <= largest_team]
    outcome = play(rules, *tickets, now=NOW)
    formed = list(outcome.matches)
    while waiting:  # around the oldest, the match is as large as any can be; or there is none, and it is left
        first = waiting.pop(0)
        best = naive.largest_around(first, waiting, REGIONS)
        if best == 0:
            assert first["TicketId"] in {left.ticket for left in outcome.unmatched}
            continue
        match = formed.pop(0)
        assert first["TicketId"] in match.tickets
        assert sum(map(len, match.teams.values())) == best
        by_player = {p["PlayerId"]: (t, p) for t in tickets for p in t["Players"]}
        seating: Seating = {team: [by_player[p] for p in players] for team, players in match.teams.items()}
        assert naive.holds(seating, match.region)
        waiting = [each for each in waiting if each["TicketId"] not in match.tickets]
    assert not formed


@settings(max_examples=100, deadline=None)
@given(pools(), st.randoms(use_true_random=False), st.integers(0, 9))
def test_no_party_is_split_no_ticket_is_used_twice_and_the_order_of_input_is_irrelevant(
    pool: tuple[dict[str, Any], list[dict[str, Any]]], random: Any, seed: int
) -> None:
    rules, tickets = pool
    rules["algorithm"]["batchingPreference"] = "random"
    outcome = play(rules, *tickets, now=NOW, seed=seed)
    shuffled = list(tickets)
    random.shuffle(shuffled)
    assert play(rules, *shuffled, now=NOW, seed=seed) == outcome
    named = [name for each in outcome.matches for name in each.tickets] + [
        left.ticket for left in outcome.unmatched
    ]
    assert sorted(named) == sorted(each["TicketId"] for each in tickets)
    party = {p["PlayerId"]: t["TicketId"] for t in tickets for p in t["Players"]}
    for each in outcome.matches:
        homes = {(party[player], team) for team, players in each.teams.items() for player in players}
        assert len(homes) == len({ticket_id for ticket_id, _ in homes}) == len(each.tickets)


def test_the_shipped_rule_sets_are_right_and_form_matches() -> None:
    shipped = {name: shipped_rule_set(name) for name in shipped_cards()}
    assert {name: rules.max_players for name, rules in shipped.items()} == {
        "battle_royale": 100,
        "capture_the_flag": 16,
        "teams_of_five": 10,
    }


def test_the_work_around_one_ticket_is_bounded_and_the_oldest_goes_first() -> None:
    rules = rule_set(
        [
            {
                "type": "comparison",
                "measurements": ["sum(teams[all].players.attributes[skill])"],
                "referenceValue": -1,
                "operation": "=",
            }
        ],
        teams=[{"name": "all", "minPlayers": 20, "maxPlayers": 20}],
    )
    outcome = play(rules, *[ticket(f"t{number:02}") for number in range(40)])
    assert not together(outcome)
    assert "not decided" in outcome.unmatched[0].reason  # half a million combinations of 20 out of 40
    assert "Rule0" in outcome.unmatched[0].reason
    assert "next cycle" in outcome.unmatched[-1].reason


def test_the_kernels_do_not_hold_the_interpreter() -> None:
    assert all(kernel.targetoptions["nogil"] for kernel in (search, first_broken, set_limits))

"""The same of a ticket of a running queue: by a rule set, and by the kernel's numbers."""

from __future__ import annotations

import json

import numpy as np
import pytest

from launchday.settings import Settings
from matchmaker.plans.why import UnknownTicketError, explain_ticket
from matchmaker.plans.why.levers import neat
from matchmaker.plans.why.probe import Probe
from matchmaker.plans.why.queued import rule_set_of
from matchmaker.plans.why.walk import ANYTHING, check, compose, critical, gather
from matchmaker.rules.flexmatch.evaluate import ALL_HOLD
from matchmaker.rules.flexmatch.reading import read_rule_set
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from matchmaker.rules.modes import load_rules
from tests.matchmaker.rules.flexmatch.examples import rule_set


def queued(name: str, skill: float, start_s: float, **latency_ms: float) -> FlexMatchTicket:
    return FlexMatchTicket(name, start_s, (TicketPlayer(name, None, {"skill": skill}, latency_ms),))


def test_the_kernels_numbers_are_told_as_rules() -> None:
    fives = load_rules(Settings())["teams_of_five"]
    rules = rule_set_of(fives)
    assert rules.max_players == fives.players == 10
    assert [rule.type for rule in rules.rules] == ["latency", "batchDistance", "distance"]
    assert rules.rules[1].limit("maxDistance") == fives.skill[0][1]
    royale = load_rules(Settings())["battle_royale"]
    assert rule_set_of(royale).max_players == royale.players


def test_a_ticket_of_the_fast_kernels_queue_is_told_who_is_too_far() -> None:
    fives = load_rules(Settings())["teams_of_five"]
    most = fives.skill[0][1]
    tickets = [queued(f"t{n}", 1000.0, 0.0, eu=20.0) for n in range(9)]
    tickets.append(queued("far", 1000.0 + most + 7, 0.0, eu=20.0))
    told = explain_ticket(fives, tickets, "far", 0.0)
    skill = next(rule for rule in told["rules"] if rule["rule"] == "skill")
    assert skill["turned_away"] == 9
    assert skill["nearest"]["measured"] == most + 7
    assert json.dumps(told)
    assert told["other_regions_after_s"] == fives.region_expansion_s


def test_who_keeps_to_another_platform_is_never_asked() -> None:
    rules = read_rule_set(json.dumps(rule_set()))
    tickets = [queued("a", 1.0, 0.0, eu=20.0), queued("b", 1.0, 0.0, eu=20.0)]
    told = explain_ticket(rules, tickets, "a", 0.0, group=[1, 2], platform=[0, 1])
    assert [(each["because"], each["tickets"]) for each in told["never_asked"]] == [("cross_play", 1)]
    # Nobody else is there to be asked: no number of the rule set brings b.
    assert all(change["tickets"] == ["a"] for change in told["changes"])


def test_a_ticket_that_is_not_there_is_refused() -> None:
    with pytest.raises(UnknownTicketError):
        explain_ticket(read_rule_set(json.dumps(rule_set())), [], "a", 0.0)


def test_a_limit_is_rounded_to_its_laxer_side_but_for_noise() -> None:
    assert neat(34.0 + 1e-9, 1.0, False) == 34.0
    assert neat(7 / 3, 1.0, False) == 2.333334
    assert neat(7 / 3, -1.0, False) == 2.333333
    assert neat(2.000000004, 1.0, True) == 2.0
    assert np.isnan(neat(np.inf, 1.0, False))


def test_the_walk_seats_who_is_near_and_says_beside_how_many_another_was_refused() -> None:
    rules = read_rule_set(
        json.dumps(
            rule_set(
                [{"type": "batchDistance", "batchAttribute": "skill", "maxDistance": 5}],
                [{"name": "all", "minPlayers": 2, "maxPlayers": 3}],
            )
        )
    )
    probe = Probe(rules, [queued(f"t{n}", skill, 0.0) for n, skill in enumerate((10.0, 14.0, 16.0))], 0.0)
    order = np.array([1, 2], np.int32)
    fits, _ = probe.fits(np.arange(3, dtype=np.int32))
    gather(
        probe.joining, probe.program, probe.table, order, fits, 0, 0, -1, np.nan, probe.match, probe.walked
    )
    # 14 - 10 = 4 holds, 16 - 10 = 6 does not: two are seated, and a match of two holds.
    assert probe.walked.result.tolist() == [2, ALL_HOLD, 2, 2, -1, 2]
    assert probe.walked.refused.tolist() == [-2, -2, 0]
    lack = probe.lacked(probe.walked, 2, np.nan)
    assert lack is not None
    assert (lack.value, lack.allowed) == (6.0, 5.0)
    # By itself each may be in the team; beside the first the third breaks the rule.
    assert probe.stand(probe.program, order, beside=0).tolist() == [[ALL_HOLD], [0]]
    compose(probe.program, probe.table, np.arange(3, dtype=np.int32), probe.walked.team, np.nan, probe.match)
    assert check(probe.program, probe.table, probe.match, -1, True) == 0
    number = next(lever.number for lever in probe.levers if lever.field == "maxDistance")
    least = critical(probe.program, probe.table, probe.match, -1, ANYTHING, number, 1.0)
    assert least == pytest.approx(16 - 10, abs=1e-9)

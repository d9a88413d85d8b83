"""Fairness mended by swaps: the teams come nearer, and keep their sizes."""

from __future__ import annotations

from random import Random

import numpy as np
import pytest

from matchmaker.plans.greedy.desk import Desk
from matchmaker.plans.greedy.state import DEPTH
from matchmaker.rules.flexmatch.ticket_file import FlexMatchTicket, TicketPlayer
from tests.matchmaker.plans.desks import SEAT, SWAP, lay, run
from tests.matchmaker.plans.written import Rule, compiled, distance, of

pytestmark = pytest.mark.timeout(300)  # where the kernels have not been compiled yet, they are

FAIR = distance(of("avg", "*"), "avg(flatten(teams[*].players.attributes[skill]))", maxDistance=1)
TEAMS: list[Rule] = [{"name": "side", "minPlayers": 1, "maxPlayers": 6, "quantity": 3}]
UNLIKE: list[Rule] = [
    {"name": "crew", "minPlayers": 1, "maxPlayers": 6},
    {"name": "wardens", "minPlayers": 1, "maxPlayers": 6},
]
WARDENS_ARE_OLD = {
    "type": "comparison",
    "measurements": ["teams[wardens].players.attributes[level]"],
    "operation": ">=",
    "referenceValue": 5,
}


def draw(rng: Random, teams: list[Rule], rules: list[Rule]) -> Desk:
    copies = sum(each.get("quantity", 1) for each in teams)
    tickets: list[FlexMatchTicket] = []
    seats: list[int] = []
    for copy in range(copies):
        room = rng.randint(1, 6)
        while room:
            size = min(rng.choice([1, 1, 1, 2]), room)
            room -= size
            level = float(rng.choice([5, 9] if copy == 1 else [1, 5]))
            players = tuple(
                TicketPlayer(
                    f"{len(tickets)}-{each}",
                    None,
                    {"skill": float(rng.randint(0, 50)), "level": level, "mode": "a", "maps": (),
                     "blocked": (), "likes": {}},
                    {"eu": 9.0},
                )
                for each in range(size)
            )  # fmt: skip
            tickets.append(FlexMatchTicket(f"t{len(tickets)}", 0.0, players))
            seats.append(copy)
    desk = lay(compiled(rules, teams), tickets, ["eu"], 0.0).desk
    run(desk, [(SEAT, row, copy) for row, copy in enumerate(seats)])
    return desk


def gap(desk: Desk) -> float:
    copies = len(desk.plan.kind)
    means = desk.draft.total[:copies, desk.plan.balance] / desk.draft.players[:copies]
    return float(means.max() - means.min())


@pytest.mark.parametrize("teams", [TEAMS, UNLIKE], ids=["copies of one team", "teams of two kinds"])
def test_swaps_bring_the_teams_nearer_and_keep_their_sizes(teams: list[Rule]) -> None:
    nearer = 0
    for seed in range(80):
        desk = draw(Random(seed), teams, [FAIR, WARDENS_ARE_OLD] if teams is UNLIKE else [FAIR])
        assert desk.plan.balance >= 0
        before, players = gap(desk), desk.draft.players.copy()
        depth = int(desk.draft.at[DEPTH])
        assert (desk.draft.mask[0] > 0).all()
        run(desk, [(SWAP, 0, 0)])
        assert gap(desk) <= before + 1e-9
        assert np.array_equal(desk.draft.players, players)
        assert sorted(desk.draft.ticket[:depth].tolist()) == list(range(depth))
        assert (desk.draft.mask[0] > 0).all()
        assert (desk.draft.mask[-1] > 0).all()  # everybody may be where he is
        nearer += gap(desk) < before - 1e-9
    assert nearer > 20


def test_teams_that_are_level_are_left_as_they_are() -> None:
    desk = draw(Random(1), TEAMS, [FAIR])
    run(desk, [(SWAP, 0, 0)])
    team, settled = desk.draft.team.copy(), gap(desk)
    run(desk, [(SWAP, 0, 0)])
    assert gap(desk) == pytest.approx(settled)
    assert np.array_equal(desk.draft.team, team)

"""One match without a network, tick by tick; equal arguments give an equal match."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from uuid import UUID

import numpy as np

from dedicated_server.cards import ModeCard
from dedicated_server.modes import load_goals, open_match
from dedicated_server.native import plain
from dedicated_server.native.memory import StateHandle
from dedicated_server.protocol.client.knowledge import VIEW_TYPE
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from loadtest.headless.knowing import new_knowledge, new_records, pack_entities, tell_clients
from loadtest.headless.thinking import THINK_TICKS, new_minds, think, write_inputs

FIRST_ID: Final = 1  # of the players: they are nobody's


class HeadlessMatch:
    """A match of bots.

    Args:
        card: of its mode.
        players: how many there are, in teams as even as they can be.
        seed: of all that is random.
        match_s: how long it lasts at most.

    Raises HooksError.
    """

    def __init__(self, card: ModeCard, players: int, seed: int, match_s: float) -> None:
        teams = teams_of(card, players)
        roster = [RosterPlayer(FIRST_ID + entity, team, entity) for entity, team in enumerate(teams)]
        config = MatchConfig(UUID(int=seed), card, seed, match_s, roster)
        self.match = open_match(config, zeros=plain.zeros)
        self.goals = load_goals(card)
        self.minds = new_minds(card, players, seed)
        self.view = new_knowledge(card, self.match.world)
        self._records = new_records(self.match.world)
        self._view_handle = StateHandle(self.view, VIEW_TYPE)

    def play(self) -> Iterator[int]:
        """Play to the end, and yield the number of each tick when it has been simulated."""
        match, world = self.match, self.match.world
        match.start(np.ones(world.body.shape[1], dtype=bool), 0)
        tick = 0
        with np.errstate(over="ignore"):  # random streams wrap around; numpy would warn of it in plain Python
            while not match.over:
                tick += 1
                if tick % THINK_TICKS == 1:
                    pack_entities(world, self._records)
                    tell_clients(world, self._records, self.view)
                    if self.goals is not None:
                        self.goals(self._view_handle.address, self.minds.clients, self.minds.goals_m)
                    think(self.minds, self.view, tick)
                write_inputs(self.minds, match.inputs, tick)
                match.apply(tick)
                match.simulate()
                yield tick


def teams_of(card: ModeCard, players: int) -> list[int]:
    """The team of each player: each their own, or one team after the other, as even as they can be."""
    return [player if card.each_alone else player * card.teams // players for player in range(players)]

"""A match without a network, made to be looked at: sides, a flag of each kind of object, scores, boxes."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID

import numpy as np

from dedicated_server.cards import Base, Box, ScoreField, shipped_cards
from dedicated_server.match.spectator_frame import frame_json
from dedicated_server.match.spectator_writer import FrameWriter, constants_of, feed_sizes
from dedicated_server.simulation.match import Match, MatchConfig, RosterPlayer
from dedicated_server.simulation.mode import Mode


def shown_match(names: list[str], **changes: Any) -> Match:
    """Two sides with a flag, an item, a projectile and an obstacle; nothing in it moves by itself."""
    card = replace(
        shipped_cards()["teams_of_five"],
        map_half_m=60.0,
        boxes=(Box(-4.0, -4.0, 4.0, 4.0),),
        bases=(Base(-48.0, 0.0, 6.0), Base(48.0, 0.0, 6.0)),
        score=(ScoreField("captures", 3), ScoreField("returns", 0)),
        objects={"flag": 1, "item": 1, "projectile": 1, "obstacle": 1},
        events=("flag_captured",),
        **changes,
    )
    roster = [RosterPlayer(100 + entity, entity % 2, entity, name) for entity, name in enumerate(names)]
    mode = Mode(
        card,
        spawn=lambda _card, teams, _radius_m, _generator: np.zeros((2, len(teams))),
        play=lambda _address: False,
        placements=lambda world: world.status[0] + 1,
    )
    return Match(MatchConfig(UUID(int=7), card, seed=1, match_s=60.0, players=roster), mode)


class ShownFeed:
    """The feed of a match in plain memory."""

    def __init__(self, match: Match) -> None:
        constants = constants_of(match)
        self.match = match
        self.memory = bytearray(feed_sizes(match, constants).feed_bytes)
        self.writer = FrameWriter(self.memory, match, constants)

    def frame(self, phase: int = 1) -> dict[str, Any]:
        """Write a frame with everybody connected, and read it back."""
        count = len(self.match.roster)
        nothing = np.zeros(count, np.int32)
        self.writer.write(phase, np.ones(count, np.bool_), nothing, nothing)
        frame = frame_json(self.memory)
        assert frame is not None
        return frame

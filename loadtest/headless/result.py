"""The result of a match without a network, in figures: scores, placements, events by kind."""

from __future__ import annotations

from collections import Counter
from typing import Any, Final

import numpy as np

from dedicated_server.cards import ModeCard
from dedicated_server.protocol.fields import TICK_HZ
from dedicated_server.simulation.event_buffer import DEATH, KILL, MATCH_ENDED, MATCH_STARTED, MODE_EVENT
from dedicated_server.simulation.match import Match
from dedicated_server.simulation.world import TEAM
from loadtest.headless.trace import Trace

KINDS: Final = {MATCH_STARTED: "match_started", KILL: "kill", DEATH: "death", MATCH_ENDED: "match_ended"}


def result_of(card: ModeCard, match: Match, trace: Trace) -> dict[str, Any]:
    """What a match came to.

    Returns:
        players; seconds; score: of each field by team; winner: the team that is first, None where several
        are; placements: by team; events: how many of each kind.
    """
    status, scores = match.world.status, match.world.scores
    teams = np.unique(status[TEAM])
    placements = {int(team): int(trace.placements[status[TEAM] == team].min()) for team in teams}
    first = [team for team, placement in placements.items() if placement == 1]
    return {
        "players": status.shape[1],
        "seconds": round(match.tick / TICK_HZ, 2),
        "score": {
            field.name: [int(points) for points in scores[row]] for row, field in enumerate(card.score)
        },
        "winner": first[0] if len(first) == 1 else None,
        "placements": [placements[int(team)] for team in teams],
        "events": dict(Counter(kind_name(card, int(event["kind"])) for event in trace.events)),
    }


def kind_name(card: ModeCard, kind: int) -> str:
    """The name of a kind of event: one of the game's, or one that the card names."""
    number = kind - MODE_EVENT
    if 0 <= number < len(card.events):
        return card.events[number]
    return KINDS.get(kind, f"kind {kind}")

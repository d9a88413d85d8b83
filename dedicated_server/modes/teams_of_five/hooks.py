"""Teams of five: two sides on a small map, the dead return, the side with the most kills wins."""

from __future__ import annotations

from dedicated_server.modes.toolbox import NOBODY, World, add_score, hook, team_of

KILLS = 0  # the card's one score


@hook
def on_death(world: World, victim: int, killer: int) -> None:
    """Count a kill for the killer's side."""
    if killer != NOBODY:
        add_score(world, KILLS, team_of(world, killer), 1)

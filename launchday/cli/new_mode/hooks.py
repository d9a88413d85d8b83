"""What happens in a match of the mode. Each function here is a hook, or is called by one.

Functions below ``@hook`` are compiled and called in each tick: they write into rows of the world, and cannot
make lists, arrays or texts. A hook that you take away is what a mode does by default. There may be, too:

    @hook
    def step(world): ...                        in each tick, after shots and damage
    @hook
    def respawn(world, player): ...             choose world.spawns[:, player] for a life that begins again
    @hook
    def over(world): ...                        whether the match ends now
    def spawn(card, teams, radius_m, generator): ...    where players start, once a match
    def placements(world): ...                  who is first, once a match
"""

from __future__ import annotations

from dedicated_server.modes.toolbox import NOBODY, World, add_score, hook, team_of
from dedicated_server.protocol.client import knowledge
from dedicated_server.protocol.client.knowledge import ModeView

KILLS = 0  # the first of the card's score fields


@hook
def on_death(world: World, victim: int, killer: int) -> None:
    """Count a kill for the killer's side; nobody has the kill where the zone killed, or the victim left."""
    if killer != NOBODY:
        add_score(world, KILLS, team_of(world, killer), 1)


@hook
def goal(view: ModeView, client: int) -> tuple[float, float]:
    """Where a bot goes, in metres, from what its client knows: half a side to the middle."""
    me = knowledge.own_entity(view, client)
    if me % 2 == 0:
        return 0.0, 0.0
    return (20.0, 20.0) if me % 4 == 1 else (-20.0, -20.0)

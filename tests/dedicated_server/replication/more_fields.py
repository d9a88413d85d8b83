"""A match under a copy of the package whose table of entities has two rows more: what arrives of them.

A program: it prints a line of JSON for each entity that a client saw, ``[tick, stance, skin]`` of the newest
record, beside what the world held in that tick.
"""

from __future__ import annotations

import json

import numpy as np

from dedicated_server.protocol.entities import field_array
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import PHASE_PLAYING
from dedicated_server.replication.replicate import replicate_world
from dedicated_server.simulation import world as w
from dedicated_server.simulation.layout import RIFLES_ONLY
from tests.dedicated_server.protocol.rig import Table

PLAYERS = 3
SKIN = 0x9A_BCDE_F012  # 40 bits
LOST = 0.2  # of datagrams


def main() -> None:
    """Play some ticks, in each of which stance and skin change as a mode's hooks would change them."""
    rules = np.zeros(w.RULES)
    rules[w.ZONE_HOLD_TICKS], rules[w.ZONE_CLOSED_TICKS] = 1_000, 2_000
    layout = RIFLES_ONLY._replace(own_players=3)
    world = w.new_world(range(PLAYERS), np.zeros((2, PLAYERS)), rules, layout=layout)
    table = Table(PLAYERS, own_rows=("skin", "other", "stance"))
    table.connect()
    random = np.random.default_rng(1)
    told: dict[int, list[list[int]]] = {}
    for number in range(240):
        own = world.own_players
        for player in range(PLAYERS):
            own[0, player], own[1, player] = SKIN - number * 1_000_003 - player, 99
            own[2, player] = (number // 7 + player) % 4
        replicate_world(world, table.wire.state, table.world, table.match_state, PHASE_PLAYING, 5)
        told[table.tick + 1] = [[int(own[2, p]), int(own[0, p])] for p in range(PLAYERS)]
        table.step(lost=lambda: random.random() < LOST)
    state = table.clients.state
    stance, skin = field_array(state.seen, "stance"), field_array(state.seen, "skin")
    for client in range(PLAYERS):
        for entity in range(PLAYERS):
            tick = int(state.seen_tick[client, entity])
            if tick:
                saw = [int(stance[client, entity]), int(skin[client, entity])]
                print(
                    json.dumps({"tick": tick, "saw": saw, "was": told[tick][entity], "words": RECORD_WORDS})
                )
    print(json.dumps({"drops": table.clients.drops_by_reason()}))


if __name__ == "__main__":
    main()

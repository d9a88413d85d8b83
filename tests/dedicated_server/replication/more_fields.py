"""A match under a copy of the package whose table of entities has two rows more: what arrives of them.

A program: it prints a line of JSON for each entity that a client saw, ``[tick, stance, skin]`` of the newest
record, beside what the world held in that tick.
"""

from __future__ import annotations

import json
from dataclasses import replace

from dedicated_server.cards import OwnRows
from dedicated_server.protocol.entities import field_array
from dedicated_server.protocol.entity_table import RECORD_WORDS
from tests.dedicated_server.replication.lossy import LossyTable
from tests.dedicated_server.tick.swarm import config

PLAYERS = 3
SKIN = 0x9A_BCDE_F012  # 40 bits


def main() -> None:
    """Play some ticks, in each of which stance and skin change as a mode's hooks would change them."""
    card = replace(config(PLAYERS).card, rows=OwnRows(players=("skin", "other", "stance")))
    table = LossyTable(PLAYERS, lambda laid, client: (127, 0, 0, 0), card=card)
    told: dict[int, list[list[int]]] = {}
    for number in range(240):
        own = table.engine.match.world.own_players
        for player in range(PLAYERS):
            own[0, player], own[1, player] = SKIN - number * 1_000_003 - player, 99
            own[2, player] = (number // 7 + player) % 4
        told[table.engine.tick_number + 1] = [[int(own[2, p]), int(own[0, p])] for p in range(PLAYERS)]
        table.play(1)
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

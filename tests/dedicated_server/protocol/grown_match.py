"""One end of a match that is played by two versions of the wire: the server's or all the clients'."""

from __future__ import annotations

from typing import Any

from dedicated_server.protocol import fields
from dedicated_server.protocol.entities import FLAG_ALIVE, field_array, pack_player, with_field
from dedicated_server.protocol.entity_table import ENTITY_KINDS, place_of
from dedicated_server.protocol.reliable_kinds import RELIABLE_HIT, RELIABLE_KILL, RELIABLE_KINDS
from dedicated_server.protocol.server.vitals import note_vitals
from tests.dedicated_server.protocol.rig import Table, token

PLAYERS = 3
TEAMS, NAMES = [0, 0, 1], ["Ada", "Zoë", "名前"]
HAS_ADDED = any(field.name == "added_player" for field in ENTITY_KINDS["player"])  # in a later version
KILL, HIT = (1, 2, 0, 2, 0), (2, 17, 0)
PING = (1, (1_024 + 5) * 64, (1_024 - 7) * 64, 9)

Datagrams = list[tuple[int, str]]  # client, in hexadecimal


class End:
    """One end.

    Args:
        serves: whether it is the server, or all of the clients.
    """

    def __init__(self, *, serves: bool) -> None:
        self.serves = serves
        self.table = Table(
            PLAYERS,
            join=False,
            teams=TEAMS,
            names=NAMES,
            shows_health=fields.SHOWN_TO_TEAM,
            shows_connection=fields.SHOWN_TO_TEAM,
        )
        self.turns = 0
        if not serves:
            for entity in range(PLAYERS):
                self.table.clients.add(token(entity, random=bytes(88), issued_at=1.0))

    def turn(self, datagrams: Datagrams) -> Datagrams:
        """Take the other end's datagrams, and return what this one sends."""
        self.turns += 1
        heard = [(client, bytes.fromhex(data)) for client, data in datagrams]
        sent = self._serve(heard) if self.serves else self._speak(heard)
        return [(client, data.hex()) for client, data in sent]

    def _serve(self, heard: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        table, state = self.table, self.table.match_state
        for client, data in heard:
            table.say(client, data)
        state[: fields.MATCH_SCORES_AT] = 0
        state[fields.MATCH_PHASE], state[fields.MATCH_COUNTDOWN] = fields.PHASE_PLAYING, 864_000
        state[fields.MATCH_ALIVE], state[fields.MATCH_SCORES], state[fields.MATCH_OBJECTIVES] = 3, 2, 2
        state[fields.MATCH_SCORES_AT :][:2] = 4, 5
        for flag in range(2):
            at = fields.MATCH_OBJECTIVES_AT + flag * fields.OBJECTIVE_COLUMNS
            state[at : at + 3] = flag, flag - 1, flag
        table.hints[:] = 0b1101
        table.wire.state.identity["vitals_changed"] = 0
        for entity in range(PLAYERS):
            note_vitals(table.wire.state, entity, 90 - entity, True)
            record = pack_player(0.25 * self.turns, 10.0 * entity, 0.5, 127, FLAG_ALIVE)
            if HAS_ADDED:
                record = with_field(record, place_of("added_player"), 1 + self.turns % 7)
            table.world[entity] = record
        if self.turns == 30:
            for kind in RELIABLE_KINDS[6:]:  # which only a later version has
                table.wire.queue_reliable(-1, kind.number, 1)
            table.wire.queue_reliable(-1, RELIABLE_KILL, *KILL)
            table.wire.queue_reliable(0, RELIABLE_HIT, *HIT)
            table.wire.set_player(2, 7, "Nova")
        return table.serve()

    def _speak(self, heard: list[tuple[int, bytes]]) -> list[tuple[int, bytes]]:
        table = self.table
        table.now_s += 1 / 60
        for client, data in heard:
            table.receive(client, data)
        if self.turns == 30:
            table.clients.ping(1, 5.0, -7.0, 9)
        said = [(client, table.transmit(client, 10 * client, -5, 300, 1)) for client in range(PLAYERS)]
        return [(client, data) for client, data in said if data]

    def state(self) -> dict[str, Any]:
        """What this end knows of the match."""
        table = self.table
        if self.serves:
            newest = table.wire.input_newest
            return {
                "status": table.wire.status.tolist(),
                "inputs": [table.wire.inputs[c, newest[c] % 32, 1:6].tolist()[:4] for c in range(PLAYERS)],
                "ahead": (newest - table.tick).tolist(),
                "waiting": table.wire.state.slots["reliable_count"].tolist(),
                "drops": {name: count for name, count in table.wire.drops_by_reason().items() if count},
            }
        state, sessions = table.clients.state, table.clients.sessions
        names = ("match_phase", "alive_count", "countdown_ticks", "score_count", "objective_count", "hints")
        return {
            "state": sessions["state"].tolist(),
            "match": [sessions[name].tolist() for name in names],
            "scores": state.scores[:, :3].tolist(),
            "objectives": state.objectives[:, :2, :3].tolist(),
            "vitals": state.vitals.tolist(),
            "teams": state.roster_team.tolist(),
            "players": state.roster_player.tolist(),
            "names": [[table.clients.name_of(c, e) for e in range(PLAYERS)] for c in range(PLAYERS)],
            "events": [state.events[c, : sessions["events_count"][c], :6].tolist() for c in range(PLAYERS)],
            "seen": [field_array(state.seen, name).tolist() for name in ("x", "y", "health", "flags")],
            "added": field_array(state.seen, "added_player").tolist() if HAS_ADDED else None,
            "lag": (sessions["input_tick"] - sessions["input_applied"]).tolist(),
            "drops": {name: count for name, count in table.clients.drops_by_reason().items() if count},
        }

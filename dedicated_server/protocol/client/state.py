"""The clients' wire state: one record a client, and arrays over (client, entity)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.client_kinds import CLIENT_PING_FIELDS
from dedicated_server.protocol.datagrams import PLAIN_WORDS, WORKSPACE_BYTES
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import (
    HISTORY_TICKS,
    MATCH_FIELDS,
    MAX_OBJECTIVES,
    MAX_SCORES,
    OBJECTIVE_COLUMNS,
)
from dedicated_server.protocol.inputs import INPUT_COLUMNS, INPUT_RING
from dedicated_server.protocol.reliable_kinds import MAX_NAME_BYTES, RELIABLE_COLUMNS

(
    CLIENT_FREE,
    CLIENT_REQUESTING,
    CLIENT_RESPONDING,
    CLIENT_CONNECTED,
    CLIENT_TIMED_OUT,
    CLIENT_LEAVING,
    CLIENT_GONE,
    CLIENT_REFUSED,
    CLIENT_DISMISSED,
) = range(9)

UNKNOWN = -1  # a team, a player, vitals that the client has not been told
EVENT_RING = 64
ROW_COLUMNS = 64  # more than any table of a message has fields
SENT_RING = 64
SAID_COLUMNS = len(CLIENT_PING_FIELDS)  # of the kind that has most fields
NAME_ROOM = 1 + MAX_NAME_BYTES  # of a roster name: how many bytes it has, then UTF-8

# What the state of the match is called in SESSION, by its table's names; more fields keep their own.
_MATCH_NAMES = {
    "phase": "match_phase",
    "alive": "alive_count",
    "countdown": "countdown_ticks",
    "scores": "score_count",
    "objectives": "objective_count",
}

_SESSION = np.dtype(
    [
        ("state", np.int64),
        ("own_entity", np.int64),
        ("team", np.int64),
        ("cipher", np.int64),
        ("lengths", np.uint8, (datagrams.SERVER_LENGTHS_BYTES,)),  # bits of the server's tables, see `layout`
        ("entity_layout", np.uint8, (datagrams.ENTITY_LAYOUT_BYTES,)),  # its kinds, see `entities.layout`
        ("input_tick", np.int64),  # newest client tick
        ("input_echo", np.int64),  # newest that the server has received
        ("input_applied", np.int64),  # newest that the server has used
        ("snapshot_tick", np.int64),  # newest snapshot; 0: none
        ("snapshot_at_s", np.float64),
        ("snapshots", np.int64),
        ("ack_bits", np.int64),  # bit i: the snapshot of snapshot_tick − 1 − i came too
        ("rtt_s", np.float64),
        ("pace", np.int64),  # how fast the server wants inputs, PACE_… of the newest snapshot
        ("due_inputs", np.float64),  # by how many inputs a pace has put the client ahead, not sent yet
        ("held_buttons", np.int64),  # pressed in a frame that had no input
        ("match", np.int64, (len(MATCH_FIELDS),)),  # the table; its fields have names of their own, too
        ("match_over", np.int64),
        ("hints", np.int64),
        ("events_count", np.int64),
        ("reliable_received", np.int64),  # number of the newest message of this session
        ("received_bytes", np.int64),
        ("received_datagrams", np.int64),
        ("sent_bytes", np.int64),
        ("sent_datagrams", np.int64),
        ("leaves_left", np.int64),  # good-byes still to be sent
        ("reason", np.int64),  # why the server refused the client or ended its session, of `reasons`; 0: not
        ("refused_ms", np.int64),  # the server's Unix time when it refused the token
        ("hint", np.int64),  # the reason of an unsealed answer, which anybody could have sent; 0: none
        ("hinted_at_s", np.float64),  # when it came first, after anything authentic
        # The client's reliable message: its number, whether it waits for `heard`, and what it says.
        ("said_number", np.int64),
        ("said_waiting", np.int64),
        ("said_kind", np.int64),
        ("said", np.int64, (SAID_COLUMNS,)),
        ("said_refused", np.int64),  # messages that the server heard and did not take
        ("connection_tag", np.int64),  # of this session, in every header
        ("send_sequence", np.int64),
        ("receive_newest", np.int64),
        ("started_at_s", np.float64),  # of the handshake; below 0: not begun
        ("repeat_at_s", np.float64),  # when to repeat the request or response
        ("challenged_at_s", np.float64),  # when it took the challenge it answers; below 0: it has none
        ("received_at_s", np.float64),
        ("sent_at_s", np.float64, (SENT_RING,)),  # when client tick t was first sent, at t % ring
        ("up_key", np.uint8, (connect_token.KEY_BYTES,)),  # the token's
        ("down_key", np.uint8, (connect_token.KEY_BYTES,)),
        ("send_key", np.uint8, (connect_token.KEY_BYTES,)),  # the session's
        ("receive_key", np.uint8, (connect_token.KEY_BYTES,)),
        ("request", np.uint8, (datagrams.REQUEST_BYTES,)),
        ("response", np.uint8, (datagrams.RESPONSE_BYTES,)),
        ("replay", np.uint32, (datagrams.REPLAY_WINDOW,)),
        ("inputs", np.int32, (INPUT_RING, INPUT_COLUMNS)),  # columns as the server's
    ],
    align=True,
)


def _with_match_names(session: np.dtype[Any]) -> np.dtype[Any]:
    """The record with a name for each place of its ``match``."""
    layout = {name: session.fields[name] for name in session.names or ()} if session.fields else {}
    number, match_at = np.dtype(np.int64), int(layout["match"][1])
    for place, field in enumerate(MATCH_FIELDS):
        name = _MATCH_NAMES.get(field.name, field.name)
        layout[name] = (number, match_at + place * number.itemsize)
    return np.dtype(
        {
            "names": list(layout),
            "formats": [each[0] for each in layout.values()],
            "offsets": [each[1] for each in layout.values()],
            "itemsize": session.itemsize,
        }
    )


SESSION = _with_match_names(_SESSION)


class ClientState(NamedTuple):
    """Every array of the clients' wire: C clients, E entities."""

    sessions: npt.NDArray[Any]  # SESSION[C]
    seen: npt.NDArray[np.int64]  # [C, E, RECORD_WORDS]: newest record
    seen_tick: npt.NDArray[np.int32]  # [C, E]: server tick of that record; 0: not in view
    # [C, HISTORY_TICKS, E, RECORD_WORDS]: records by tick of the snapshot that held them
    history: npt.NDArray[np.int64]
    history_ticks: npt.NDArray[np.int32]  # [C, HISTORY_TICKS]: that tick; 0: none
    events: npt.NDArray[np.int64]  # [C, EVENT_RING, RELIABLE_COLUMNS], as `reliable_kinds` has a message
    roster_team: npt.NDArray[np.int16]  # [C, E]: team of the slot; UNKNOWN
    roster_player: npt.NDArray[np.int64]  # [C, E]: player who has it, 0: nobody; UNKNOWN
    roster_name: npt.NDArray[
        np.uint8
    ]  # [C, E or 0, NAME_ROOM]: the player's name, where there is room for it
    vitals: npt.NDArray[np.int16]  # [C, E]: health | connected << 7 of those that are told so; UNKNOWN
    scores: npt.NDArray[np.int32]  # [C, MAX_SCORES]: by score field, then by team; score_count of them
    objectives: npt.NDArray[np.int32]  # [C, MAX_OBJECTIVES, OBJECTIVE_COLUMNS]; objective_count of them
    row: npt.NDArray[np.int64]  # [ROW_COLUMNS] scratch: one table's values
    scratch: npt.NDArray[np.uint64]  # [PLAIN_WORDS]: one datagram in the clear
    workspace: npt.NDArray[np.uint8]  # [WORKSPACE_BYTES]
    drops: npt.NDArray[np.int64]  # by CLIENT_DROP_REASONS


def allocate(capacity: int, entities: int, *, names: bool = False) -> ClientState:
    """Allocate for ``capacity`` clients of matches of at most ``entities``; with ``names`` to keep those.

    Untouched history costs no memory.
    """
    sessions = np.zeros(capacity, SESSION)
    return ClientState(
        sessions=sessions,
        seen=np.zeros((capacity, entities, RECORD_WORDS), np.int64),
        seen_tick=np.zeros((capacity, entities), np.int32),
        history=np.zeros((capacity, HISTORY_TICKS, entities, RECORD_WORDS), np.int64),
        history_ticks=np.zeros((capacity, HISTORY_TICKS), np.int32),
        events=np.zeros((capacity, EVENT_RING, RELIABLE_COLUMNS), np.int64),
        roster_team=np.full((capacity, entities), UNKNOWN, np.int16),
        roster_player=np.full((capacity, entities), UNKNOWN, np.int64),
        roster_name=np.zeros((capacity, entities if names else 0, NAME_ROOM), np.uint8),
        vitals=np.full((capacity, entities), UNKNOWN, np.int16),
        scores=np.zeros((capacity, MAX_SCORES), np.int32),
        objectives=np.zeros((capacity, MAX_OBJECTIVES, OBJECTIVE_COLUMNS), np.int32),
        row=np.zeros(ROW_COLUMNS, np.int64),
        scratch=np.zeros(PLAIN_WORDS, np.uint64),
        workspace=np.zeros(WORKSPACE_BYTES, np.uint8),
        drops=np.zeros(len(datagrams.CLIENT_DROP_REASONS), np.int64),
    )

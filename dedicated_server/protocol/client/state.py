"""The clients' wire state: one record a client, and arrays over (client, entity)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedicated_server.protocol import connect_token, datagrams
from dedicated_server.protocol.datagrams import PLAIN_WORDS, WORKSPACE_BYTES
from dedicated_server.protocol.entities import RECORD_WORDS
from dedicated_server.protocol.fields import HISTORY_TICKS
from dedicated_server.protocol.inputs import INPUT_COLUMNS, INPUT_RING

(
    CLIENT_FREE,
    CLIENT_REQUESTING,
    CLIENT_RESPONDING,
    CLIENT_CONNECTED,
    CLIENT_TIMED_OUT,
    CLIENT_LEAVING,
    CLIENT_GONE,
    CLIENT_REFUSED,
) = range(8)

EVENT_RING = 64
SENT_RING = 64
EVENT_KIND, EVENT_A, EVENT_B = range(3)

SESSION = np.dtype(
    [
        ("state", np.int64),
        ("own_entity", np.int64),
        ("team", np.int64),
        ("cipher", np.int64),
        ("input_tick", np.int64),  # newest client tick
        ("input_echo", np.int64),  # newest that the server has received
        ("input_applied", np.int64),  # newest that the server has used
        ("snapshot_tick", np.int64),  # newest snapshot; 0: none
        ("snapshot_at_s", np.float64),
        ("snapshots", np.int64),
        ("ack_bits", np.int64),  # bit i: the snapshot of snapshot_tick − 1 − i came too
        ("rtt_s", np.float64),
        ("match_phase", np.int64),
        ("zone_x", np.int64),
        ("zone_y", np.int64),
        ("zone_radius", np.int64),
        ("alive_count", np.int64),
        ("countdown_ticks", np.int64),
        ("match_over", np.int64),
        ("hints", np.int64),
        ("events_count", np.int64),
        ("reliable_received", np.int64),  # number of the newest message of this session
        ("received_bytes", np.int64),
        ("received_datagrams", np.int64),
        ("sent_bytes", np.int64),
        ("sent_datagrams", np.int64),
        ("leaves_left", np.int64),  # good-byes still to be sent
        ("refusal", np.int64),  # why the server refused the token, REFUSED_…; 0: it did not
        ("refused_ms", np.int64),  # the server's Unix time when it did
        ("send_sequence", np.int64),
        ("receive_newest", np.int64),
        ("started_at_s", np.float64),  # of the handshake; below 0: not begun
        ("repeat_at_s", np.float64),  # when to repeat the request or response
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


class ClientState(NamedTuple):
    """Every array of the clients' wire: C clients, E entities."""

    sessions: npt.NDArray[Any]  # SESSION[C]
    seen: npt.NDArray[np.int64]  # [C, E, RECORD_WORDS]: newest record
    seen_tick: npt.NDArray[np.int32]  # [C, E]: server tick of that record; 0: not in view
    # [C, HISTORY_TICKS, E, RECORD_WORDS]: records by tick of the snapshot that held them
    history: npt.NDArray[np.int64]
    history_ticks: npt.NDArray[np.int32]  # [C, HISTORY_TICKS]: that tick; 0: none
    events: npt.NDArray[np.int64]  # [C, EVENT_RING, 3]: kind, a, b
    scratch: npt.NDArray[np.uint64]  # [PLAIN_WORDS]: one datagram in the clear
    workspace: npt.NDArray[np.uint8]  # [WORKSPACE_BYTES]
    drops: npt.NDArray[np.int64]  # by CLIENT_DROP_REASONS


def allocate(capacity: int, entities: int) -> ClientState:
    """Allocate for ``capacity`` clients of matches of at most ``entities``.

    Untouched history costs no memory.
    """
    sessions = np.zeros(capacity, SESSION)
    return ClientState(
        sessions=sessions,
        seen=np.zeros((capacity, entities, RECORD_WORDS), np.int64),
        seen_tick=np.zeros((capacity, entities), np.int32),
        history=np.zeros((capacity, HISTORY_TICKS, entities, RECORD_WORDS), np.int64),
        history_ticks=np.zeros((capacity, HISTORY_TICKS), np.int32),
        events=np.zeros((capacity, EVENT_RING, 3), np.int64),
        scratch=np.zeros(PLAIN_WORDS, np.uint64),
        workspace=np.zeros(WORKSPACE_BYTES, np.uint8),
        drops=np.zeros(len(datagrams.CLIENT_DROP_REASONS), np.int64),
    )

"""The server's wire state: one record a client, and a few arrays over (client, entity) and (age, entity).

A client's fixed-size state is one record, because a datagram touches many fields of one client; what the
tick reads for all clients is an array a field. All of it is allocated here, once a match, and travels into
kernels as one named tuple.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.native.memory import AllocateZeros
from dedicated_server.native.mmsg import ADDRESS_BYTES
from dedicated_server.protocol import connect_token, datagrams, reasons
from dedicated_server.protocol.client_kinds import CLIENT_PING_FIELDS, CLIENT_SAYS_FIELDS
from dedicated_server.protocol.datagrams import IP_UDP_BYTES, PLAIN_WORDS, ROW_BYTES, WORKSPACE_BYTES
from dedicated_server.protocol.delta import CODE_WORDS, LONGEST_CODE_BITS
from dedicated_server.protocol.entities import EXTRA_FIELDS, NO_ROW
from dedicated_server.protocol.entity_table import RECORD_WORDS
from dedicated_server.protocol.fields import CLIENT_MESSAGE_FIELDS, HISTORY_TICKS, MAX_VITALS, TICK_HZ
from dedicated_server.protocol.inputs import INPUT_COLUMNS, INPUT_RING
from dedicated_server.protocol.reliable_kinds import MAX_NAME_BYTES, RELIABLE_COLUMNS
from dedicated_server.protocol.server.line import LINE, NO_LIMIT

DEFAULT_BUDGET_BYTES = 256_000 // 8 // TICK_HZ - IP_UDP_BYTES  # 256 kbit/s, IP and UDP headers counted
MAX_RECORDS = 256  # entities in one snapshot
MAX_LEAVES = 63
RUN_AGES = 8  # most clients' newest snapshots are of the last few ticks
# A head of 5 words and 64 records, each with its gap of at most 14 bits; odd, see ROW_BYTES.
RUN_WORDS = (LONGEST_CODE_BITS + 21) | 1
RELIABLE_RING = 128


# Rows of ServerState.per_slot.
(
    INPUT_NEWEST,
    INPUT_APPLIED,
    ACKED_TICK,
    BUDGET_BYTES,
    PACKED_COUNT,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    PLAIN_BITS,
    LEAVING_COUNT,
    PHASE_SENT,
    NEWCOMER,
    VACATED,
    SNAPSHOT_EVERY,
    LINE_BYTES,
    PACE,
) = range(PER_SLOT_ROWS := 15)

# Values of NEWCOMER, for a slot that was given to a player while the match runs: the player is still to come,
# or arrives in this tick.
EXPECTED, ARRIVES = 1, 2
# Values of VACATED, for a slot whose player is gone for good: their body goes in the next tick, or in this.
EMPTIED, GONE = 1, 2

# A slot's token_issued_ms from the moment its player is kicked: no token is issued later.
SHUT = 2**63 - 1

# A slot's path_credit_bytes where its address has proved itself, see `paths`.
PROVED = -1

# Planes of ServerState.views.
BASELINE, FLOOR = range(2)
# Sets of entities: entity e is bit e % GROUP of word e / GROUP.
GROUP = 64
# Of ServerState.sent, and of ServerState.sets.
SENT_RECORDS, SENT_LEAVES = range(2)
MEMBERS, ODD = range(2)

SLOT = np.dtype(
    [
        ("player_id", np.int64),
        ("cipher", np.int64),
        ("head_bits", np.int64),  # of CLIENT_MESSAGE_FIELDS as this client has it
        ("input_bits", np.int64),  # and of INPUT_FIELDS
        ("token_issued_ms", np.int64),  # of the token in use; −1: none yet; SHUT: no token opens the slot
        ("challenge_counter", np.int64),  # of the session in use; −1: none yet
        ("connection_tag", np.int64),  # of the session in use, see `handshake`; −1: none yet
        ("send_sequence", np.int64),  # next to be sent
        ("receive_newest", np.int64),  # newest that was authentic; −1: none yet
        ("sent_newest_tick", np.int64),  # newest snapshot sent in this session
        ("reliable_first", np.int64),  # number of the oldest message that is not acknowledged
        (
            "reliable_base",
            np.int64,
        ),  # newest that an earlier session delivered: numbers on the wire start behind it
        ("reliable_count", np.int64),  # messages waiting
        ("waiting", np.uint64),  # bit −t % 64: the snapshot of tick t is kept, and not acknowledged
        ("view_age_ticks", np.float64),  # how old what the player is shown can be, see `view_age`
        ("dismissal", np.int64),  # why the player has to go with the next batch, of `reasons`; 0: no
        ("farewell", np.int64),  # why the session was ended, until its client answers; 0: it was not
        ("farewell_left", np.int64),  # how often that is still to be said
        ("said_newest", np.int64),  # number of the client's newest reliable message
        ("received_at_s", np.float64),
        ("sent_at_s", np.float64),
        ("address", np.uint8, (ADDRESS_BYTES,)),
        ("path_credit_bytes", np.int64),  # that may still be sent to the address; PROVED: any number
        ("token_tag", np.uint8, (16,)),
        ("send_key", np.uint8, (32,)),
        ("receive_key", np.uint8, (32,)),
        ("replay", np.uint32, (datagrams.REPLAY_WINDOW,)),  # sequence + 1 last seen at sequence % window
        ("path_began_tick", np.int64),  # newest snapshot sent before the slot moved there
        ("path_drawn_tick", np.int64),  # newest of which it is known whether it was sent there
        ("path_drawn", np.uint64),  # bit i: the snapshot of path_drawn_tick − i was sent there
        ("path_acked", np.uint64),  # … and is acknowledged
        ("path_proofs", np.int64),  # how many have been; FALSE_PROOF or a little more: one that was not sent
        ("proved_address", np.uint8, (ADDRESS_BYTES,)),  # the last that proved itself
        ("session_at_s", np.float64),  # when the session began
        ("roster_cursor", np.int64),  # how far the client's present pass over the roster is, see `roster`
        ("roster_known", np.int64),  # roster version up to which every change is queued for the client
        ("roster_target", np.int64),  # … and will be after the pass
        ("pings_paid_s", np.float64),  # when the pings so far would have been due, one in PING_EVERY_S
        # Of the session that this one has replaced, for its farewells: how many are left, when the last was.
        ("old_left", np.int64),
        ("old_at_s", np.float64),
        ("old_cipher", np.int64),
        ("old_sequence", np.int64),
        ("old_key", np.uint8, (32,)),
        ("old_address", np.uint8, (ADDRESS_BYTES,)),
        ("reliable", np.int64, (RELIABLE_RING, RELIABLE_COLUMNS)),  # at number % ring, as `reliable_kinds`
    ],
    align=True,
)

# What everybody is told of a slot, beside the id of its player.
ROSTER = np.dtype(
    [
        ("team", np.int64),
        ("version", np.int64),  # IDENTITY's roster_version when this last changed
        ("name_bytes", np.int64),
        ("name", np.uint8, (MAX_NAME_BYTES,)),  # UTF-8
    ],
    align=True,
)

# Rows of ServerState.words: of each reason, how many handshakes were refused, how many sessions were told
# farewell and how many of them have answered it, and how many unsealed answers were given.
WORDS_REFUSED, WORDS_SAID, WORDS_ACKNOWLEDGED, WORDS_UNSEALED = range(WORDS_ROWS := 4)

# Rows of ServerState.vitals.
VITALS_VALUE, VITALS_CHANGED, VITALS_FRESH = range(VITALS_ROWS := 3)

SLOT_HEAD_BYTES = int(SLOT.fields["replay"][1]) if SLOT.fields else 0  # what most datagrams need of it

IDENTITY = np.dtype(
    [
        ("fleet_key", np.uint8, (32,)),
        ("cookie_key", np.uint8, (16,)),
        ("draw_key", np.uint8, (16,)),  # which ticks' snapshots an unproved path is sent
        ("salt_prefix", np.uint8, (16,)),
        ("match_id", np.uint8, (16,)),
        # IPv6 or mapped IPv4, then the port, little endian: how tokens may name this server
        ("address", np.uint8, (18,)),
        ("other_address", np.uint8, (18,)),  # the same again where there is one alone
        ("challenge_counter", np.int64),
        ("requests", np.int64),  # looked at in this batch
        ("responses", np.int64),  # with a cookie of this server, in this batch
        ("responses_per_batch", np.int64),
        ("unsealed", np.int64),  # answers under no key in this batch
        ("replaced", np.int64),  # sessions that lost their slots, and whose farewells are not all said
        ("closed", np.int64),  # why nobody is let in any more, of `reasons`; 0: the server is open
        ("time_out_s", np.float64),
        ("roster_version", np.int64),  # grows with every change of a slot
        ("shows_health", np.int64),  # to whom a player's health is shown, SHOWN_TO_…
        ("shows_connection", np.int64),
        ("vitals_changed", np.int64),  # players whose vitals have changed in this tick
        ("last_tick", np.int64),  # in which datagrams were opened
        ("resumed_tick", np.int64),  # first behind the last ticks that were missed
        ("token_ahead_s", np.float64),  # Unix time, by which tokens expire, minus the time of ticks
    ],
    align=True,
)


class ServerState(NamedTuple):
    """Every array of the server's wire.

    N clients, E entities (players, then objects), M rows out (one a client, one a handshake that is
    answered), G = E / 64 words a set of entities.
    """

    slots: npt.NDArray[Any]  # SLOT[N]
    identity: npt.NDArray[Any]  # IDENTITY[1]
    status: npt.NDArray[np.uint8]  # [N]
    per_slot: npt.NDArray[np.int32]  # [PER_SLOT_ROWS, N], named above
    inputs: npt.NDArray[np.int32]  # [N, INPUT_RING, 6]
    views: npt.NDArray[
        np.int32
    ]  # [2, N, E]: baseline tick of (client, entity); acks up to the floor do not count
    sent_ticks: npt.NDArray[
        np.int32
    ]  # [N, HISTORY_TICKS]: tick of the snapshot kept there, 0: none or acknowledged
    sent: npt.NDArray[
        np.uint64
    ]  # [N, HISTORY_TICKS, 2, G]: sets of entities in the snapshot kept there: records, leaves
    lines: npt.NDArray[Any]  # LINE[N]: what each client's line carries
    sent_bytes: npt.NDArray[np.int32]  # [N, HISTORY_TICKS]: size of the snapshot kept there, headers counted
    roster: npt.NDArray[Any]  # ROSTER[N]
    # [VITALS_ROWS, N]: health and connected of each player as `vitals` packs them; in the first places, the
    # players whose have changed in this tick; and whether each one's have
    vitals: npt.NDArray[np.int32]
    shown: npt.NDArray[np.int32]  # [MAX_VITALS] scratch: whose vitals one client gets
    team_start: npt.NDArray[
        np.int32
    ]  # [T + 1] the players of team t are team_members[team_start[t] : …[t + 1]]
    team_members: npt.NDArray[np.int32]  # [N]
    own_rows: npt.NDArray[np.int32]  # [fields of EXTRA_PLACES] the mode's own row of players with its values
    leaving: npt.NDArray[np.uint64]  # [N, G]: the set of entities whose leave is not acknowledged
    history: npt.NDArray[np.int64]  # [HISTORY_TICKS, E, RECORD_WORDS]: records of all entities by tick
    # [HISTORY_TICKS, E, CODE_WORDS + 1] by age: encoded bits; tick << 8 | length
    codes: npt.NDArray[np.uint64]
    plain: npt.NDArray[np.uint64]  # [N, PLAIN_WORDS]: snapshots before sealing
    scratch: npt.NDArray[np.uint64]  # [PLAIN_WORDS]: one opened datagram
    heads: npt.NDArray[np.int64]  # the head of one client message
    workspace: npt.NDArray[np.uint8]  # [WORKSPACE_BYTES]: one handshake, nonces
    sets: npt.NDArray[np.uint64]  # [2, G]: whose records are being written, and which are odd
    runs: npt.NDArray[
        np.uint64
    ]  # [G, RUN_AGES, RUN_WORDS]: records put together in this tick, see `snapshot_records`
    out_buf: npt.NDArray[np.uint8]  # [M, ROW_BYTES]
    out_len: npt.NDArray[np.int32]  # [M]
    out_addr: npt.NDArray[np.uint8]  # [M, ADDRESS_BYTES]
    out_count: npt.NDArray[np.int32]  # [1]
    said: npt.NDArray[np.int64]  # scratch: the values of one table of a client's message
    words: npt.NDArray[np.int64]  # [WORDS_ROWS, reasons]: what the server has told clients, named above
    drops: npt.NDArray[np.int64]
    counters: npt.NDArray[np.int64]


def allocate(
    fleet_key: bytes,
    match_id: UUID,
    player_ids: Sequence[int],
    host: str,
    port: int,
    secret: bytes,
    time_out_s: float,
    teams: Sequence[int],
    shows: tuple[int, int],
    zeros: AllocateZeros = np.zeros,
    objects: int = 0,
    own_rows: Sequence[str] = (),
    other_host: str = "",
) -> ServerState:
    """Allocate the state of a match; arguments as of `wire.ServerWire`, ``zeros`` allocates arrays."""
    n = len(player_ids)
    team = np.asarray(teams, np.int32)
    roster = zeros(n, ROSTER)
    roster["team"] = team
    roster["version"] = 1
    team_start = zeros(int(team.max()) + 2, np.int32)
    team_start[1:] = np.cumsum(np.bincount(team))
    team_members = zeros(n, np.int32)
    team_members[:] = np.argsort(team, kind="stable")
    slots = zeros(n, SLOT)
    slots["player_id"] = player_ids
    slots["token_issued_ms"] = -1
    slots["challenge_counter"] = -1
    slots["receive_newest"] = -1
    slots["connection_tag"] = -1
    slots["path_credit_bytes"] = PROVED
    slots["session_at_s"] = -np.inf
    slots["reliable_first"] = 1
    identity = zeros(1, IDENTITY)
    identity["fleet_key"] = _bytes(fleet_key)
    identity["cookie_key"] = _bytes(secret[:16])
    identity["draw_key"] = _bytes(secret[16:32])
    identity["salt_prefix"] = _bytes(secret[32:48])
    identity["match_id"] = _bytes(match_id.bytes)
    for name, address in (("address", host), ("other_address", other_host or host)):
        identity[name] = _bytes(connect_token.pack_address(address) + port.to_bytes(2, "little"))
    identity["time_out_s"] = time_out_s
    identity["roster_version"] = 1
    identity["shows_health"], identity["shows_connection"] = shows
    lines = zeros(n, LINE)
    lines["limit_bytes"] = NO_LIMIT
    per_slot = zeros((PER_SLOT_ROWS, n), np.int32)
    per_slot[BUDGET_BYTES] = DEFAULT_BUDGET_BYTES
    per_slot[PACKED_COUNT] = -1
    per_slot[SNAPSHOT_EVERY] = 1
    per_slot[LINE_BYTES] = datagrams.MAX_DATAGRAM_BYTES
    responses = max(datagrams.LEAST_RESPONSES_PER_BATCH, n // datagrams.PLAYERS_PER_RESPONSE)
    identity["responses_per_batch"] = responses
    answers = datagrams.REQUESTS_PER_BATCH + responses + datagrams.UNSEALED_PER_BATCH
    rows = n + answers + datagrams.LAST_WORDS_PER_BATCH
    e = n + objects
    groups = (e + 63) // 64
    return ServerState(
        slots=slots,
        identity=identity,
        status=zeros(n, np.uint8),
        per_slot=per_slot,
        inputs=zeros((n, INPUT_RING, INPUT_COLUMNS), np.int32),
        views=zeros((2, n, e), np.int32),
        sent_ticks=zeros((n, HISTORY_TICKS), np.int32),
        sent=zeros((n, HISTORY_TICKS, 2, groups), np.uint64),
        lines=lines,
        sent_bytes=zeros((n, HISTORY_TICKS), np.int32),
        roster=roster,
        vitals=zeros((VITALS_ROWS, n), np.int32),
        shown=zeros(MAX_VITALS, np.int32),
        team_start=team_start,
        team_members=team_members,
        own_rows=extra_rows(own_rows),
        leaving=zeros((n, groups), np.uint64),
        history=zeros((HISTORY_TICKS, e, RECORD_WORDS), np.int64),
        codes=zeros((HISTORY_TICKS, e, CODE_WORDS + 1), np.uint64),
        plain=zeros((n, PLAIN_WORDS), np.uint64),
        scratch=zeros(PLAIN_WORDS, np.uint64),
        heads=zeros(len(CLIENT_MESSAGE_FIELDS), np.int64),
        workspace=zeros(WORKSPACE_BYTES, np.uint8),
        sets=zeros((2, groups), np.uint64),
        runs=zeros((groups, RUN_AGES, RUN_WORDS), np.uint64),
        out_buf=zeros((rows, ROW_BYTES), np.uint8),
        out_len=zeros(rows, np.int32),
        out_addr=zeros((rows, ADDRESS_BYTES), np.uint8),
        out_count=zeros(1, np.int32),
        said=zeros(max(len(CLIENT_SAYS_FIELDS), len(CLIENT_PING_FIELDS)), np.int64),
        words=zeros((WORDS_ROWS, len(reasons.NAMES)), np.int64),
        drops=zeros(len(datagrams.DROP_REASONS), np.int64),
        counters=zeros(len(datagrams.COUNTERS), np.int64),
    )


def extra_rows(own_rows: Sequence[str]) -> npt.NDArray[np.int32]:
    """The mode's own row of each of `entities.EXTRA_FIELDS`, by its name; NO_ROW where it has none."""
    rows = [own_rows.index(name) if name in own_rows else NO_ROW for name in EXTRA_FIELDS]
    return np.array(rows, np.int32)


def _bytes(data: bytes) -> npt.NDArray[np.uint8]:
    return np.frombuffer(data, np.uint8)

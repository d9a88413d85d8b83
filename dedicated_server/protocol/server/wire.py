"""The server's end of the fast lane: compiled stages over all clients of one match.

The tick calls the kernels, in this order (`tick.stages`); ``wire.state`` is a named tuple of arrays::

    wire = ServerWire(fleet_key=…, match_id=…, player_ids=[…], host="203.0.113.7", port=7001, secret=…)
    # drain: the transport fills datagrams, lengths, addresses
    receive.open_batch(wire.state, datagrams, lengths, addresses, count, now_s, tick)
    # apply and simulate: read wire.inputs, wire.input_newest; write wire.input_applied
    # interest: fill world, selected, selected_count, left, left_count, match_state, hints
    snapshot.encode_batch(
        wire.state, tick, world, selected, selected_count, left, left_count, match_state, hints
    )
    transmit.seal_batch(wire.state, now_s)
    # send: rows 0 to wire.out_count[0] of wire.out_buf, out_len, out_addr; challenges are among them

`ServerWire` has the same stages as methods, for tools and tests that call them from Python.

Conventions: ``N`` players; a slot is a player's entity index, its index in the roster. Ticks are int32,
start at 1, and grow by one; 0 means "none". ``now_s`` is seconds, a float that never goes backwards. Connect
tokens expire by it too, plus ``token_ahead_s``: what Unix time is ahead of it, 0 where it is Unix time.

What the transport gives (any row stride; rows at least 1,200 bytes):

- ``datagrams`` uint8[M, 1200+], ``lengths`` int32[M] (a length above 1,200 marks a truncated one),
  ``count`` ≤ M
- ``addresses`` uint8[M, ADDRESS_BYTES]: ``struct sockaddr_in6``, or ``sockaddr_in`` and zeros, as recvmmsg
  writes it. All of it identifies a client. Transports without sockaddr build it with
  `native.mmsg.sockaddr(host, port)`.

What a tick reads after ``open_batch``:

- ``status`` uint8[N]: VACANT 0 (never came), CONNECTED 1, TIMED_OUT 2, LEFT 3. Only CONNECTED slots are
  sent to.
- ``inputs`` int32[N, INPUT_RING, INPUT_COLUMNS], column names INPUT_TICK, INPUT_MOVE_X, INPUT_MOVE_Y
  (−127…127: part of full speed), INPUT_YAW (0…65535: a full turn), INPUT_BUTTONS (BUTTON_… bits),
  INPUT_VIEW_TICK and INPUT_VIEW_FRACTION (the tick, and sixteenths of one, that the player says to have been
  shown when acting: rewind to it; at most the newest snapshot acknowledged), INPUT_OLDEST_VIEW (the oldest
  tick that their line lets them be shown, see `view_age`). The input of client tick t is row t % INPUT_RING
  if that row's INPUT_TICK is t. Client ticks count from 1, one a client frame. Views ``input_tick``,
  ``input_move_x`` … are columns.
- ``input_newest`` int32[N]: newest client tick received, 0: none yet.
- ``acked_tick`` int32[N]: newest snapshot the client has acknowledged, 0: none yet.
- ``newly_connected``, ``newly_lost`` int32[N]: 1 where status became CONNECTED (also on a reconnect), or
  TIMED_OUT or LEFT, in this batch.

What a tick writes:

- ``input_applied`` int32[N]: newest client tick that the simulation has used; echoed to the client.
- ``per_slot[PACE]`` int32[N]: how fast the client is to count its ticks, PACE_….
- ``budget_bytes`` int32[N]: most bytes of one datagram; default 256 kbit/s at 60 Hz with 28 bytes of IP and
  UDP header counted.
- ``snapshot_every`` int32[N]: a client gets a snapshot once in so many ticks; 1 by default.
- ``line_bytes`` int32[N]: most bytes of a snapshot that a client's line carries, whatever its budget.

What ``encode_batch`` takes:

- ``world`` int64[E, RECORD_WORDS]: the record of every entity, players first, such as
  `entities.pack_player(x_m, y_m, yaw_radians, health, flags)` makes (compiled, inlined), in metres
  −1,024…1,024.
- ``selected`` int32[N, K], ``selected_count`` int32[N]: for each client, entities to send in this tick,
  most important first, no repeats; K is any number up to N. A count of −1 sends this client no snapshot in
  this tick (lower rate); 0 sends the header alone. An entity that is in view but not listed stays in the
  client's view as it was. The client's own entity is listed like any other.
- ``left`` int32[N, L], ``left_count`` int32[N]: entities that left the client's view in this tick. Say it
  once: the wire repeats it until acknowledged. Listing an entity in ``selected`` brings it (back) into
  view, with all its fields.
- ``match_state`` int32[MATCH_COLUMNS]: the table MATCH_FIELDS, from MATCH_SCORES_AT on the scores (by score
  field, then by team), from MATCH_OBJECTIVES_AT on the objectives, OBJECTIVE_COLUMNS each: sent to each
  client every 8th tick and at each change of phase.
- ``hints`` int32[N]: 8 octants × 2 bits of intensity, octant 0 east, counter-clockwise; 0: none.

It fills ``packed_count`` int32[N]: how many of ``selected`` fitted, a prefix of the list (−1: no snapshot).

Reliable messages, repeated until acknowledged, delivered once and in order: ``wire.queue_reliable(slot, kind,
*values)`` or, compiled, ``reliable.queue_reliable(state, slot, kind, values)`` with slot −1 for all who are
connected. Kinds and their fields are in `reliable_kinds`. Who has which slot is told by itself: at every
change call ``wire.set_player(entity, player_id, name)``.

Where a mode does not show health and connection to everybody, ``world`` holds HEALTH_NOT_SHOWN in their
place, and a tick calls `vitals.note_vitals` for each player.

Counters: ``drops`` int64[len(DROP_REASONS)] by reason (`datagrams.DROP_REASONS` names them), ``counters``
int64[…] named by `datagrams.COUNTERS`; ``drops_by_reason()`` and ``counters_by_name()`` give dicts.
"""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import numpy as np
import numpy.typing as npt

from dedicated_server.native.memory import AllocateZeros
from dedicated_server.protocol import datagrams
from dedicated_server.protocol.fields import MAX_ENTITIES, SHOWN_TO_EVERYBODY
from dedicated_server.protocol.inputs import (
    INPUT_BUTTONS,
    INPUT_MOVE_X,
    INPUT_MOVE_Y,
    INPUT_TICK,
    INPUT_VIEW_TICK,
    INPUT_YAW,
)
from dedicated_server.protocol.reasons import NAMES
from dedicated_server.protocol.reliable_kinds import MAX_NAME_BYTES
from dedicated_server.protocol.server.receive import open_batch
from dedicated_server.protocol.server.reliable import queue_reliable
from dedicated_server.protocol.server.snapshot import encode_batch
from dedicated_server.protocol.server.state import (
    ACKED_TICK,
    BUDGET_BYTES,
    INPUT_APPLIED,
    INPUT_NEWEST,
    LINE_BYTES,
    NEWLY_CONNECTED,
    NEWLY_LOST,
    PACKED_COUNT,
    SNAPSHOT_EVERY,
    allocate,
)
from dedicated_server.protocol.server.transmit import seal_batch

SECRET_BYTES = 48


def cut_name(name: str) -> bytes:
    """A name as the wire has it: UTF-8, of at most 32 bytes, cut between two characters."""
    return name.encode(errors="ignore")[:MAX_NAME_BYTES].decode(errors="ignore").encode()


IntArray = npt.NDArray[np.int32]


class ServerWire:
    """The wire of one match.

    Args:
        fleet_key: the 32 bytes that connect tokens are sealed with.
        match_id: the match.
        player_ids: in roster order, 1 to MAX_ENTITIES of them.
        teams: of each slot; by default each is a team of its own.
        names: of the players; by default they have none.
        shows_health, shows_connection: to whom a player's are shown, SHOWN_TO_… of `fields`.
        host, port: as connect tokens name the server.
        other_host: its address of the other family, by which they may name it too; "": it has none.
        secret: SECRET_BYTES bytes of this server alone, fit for keys: cookie key, draw key, salt prefix.
        time_out_s: silence after which a client is timed out.
        zeros: allocates arrays.
        objects: entities beside the players.
        own_rows: names of the mode's own rows of players; they fill a player's fields of such names.

    Raises ValueError for a number of players that the wire cannot express.
    """

    def __init__(
        self,
        *,
        fleet_key: bytes,
        match_id: UUID,
        player_ids: Sequence[int],
        host: str,
        port: int,
        secret: bytes,
        teams: Sequence[int] | None = None,
        names: Sequence[str] = (),
        shows_health: int = SHOWN_TO_EVERYBODY,
        shows_connection: int = SHOWN_TO_EVERYBODY,
        time_out_s: float = datagrams.TIME_OUT_S,
        zeros: AllocateZeros = np.zeros,
        objects: int = 0,
        own_rows: Sequence[str] = (),
        other_host: str = "",
    ) -> None:
        if not 1 <= len(player_ids) <= MAX_ENTITIES - objects:
            most = MAX_ENTITIES - objects
            raise ValueError(
                f"a match has 1 to {most} players beside {objects} objects, not {len(player_ids)}"
            )
        self.state = state = allocate(
            fleet_key,
            match_id,
            player_ids,
            host,
            port,
            secret,
            time_out_s,
            range(len(player_ids)) if teams is None else teams,
            (shows_health, shows_connection),
            zeros,
            objects,
            own_rows,
            other_host,
        )
        for entity, name in enumerate(names):
            self._write_name(entity, name)
        self.players = len(player_ids)
        self.status = state.status
        self.inputs = state.inputs
        self.input_tick: IntArray = state.inputs[:, :, INPUT_TICK]
        self.input_move_x: IntArray = state.inputs[:, :, INPUT_MOVE_X]
        self.input_move_y: IntArray = state.inputs[:, :, INPUT_MOVE_Y]
        self.input_yaw: IntArray = state.inputs[:, :, INPUT_YAW]
        self.input_buttons: IntArray = state.inputs[:, :, INPUT_BUTTONS]
        self.input_view_tick: IntArray = state.inputs[:, :, INPUT_VIEW_TICK]
        self.input_newest: IntArray = state.per_slot[INPUT_NEWEST]
        self.input_applied: IntArray = state.per_slot[INPUT_APPLIED]
        self.acked_tick: IntArray = state.per_slot[ACKED_TICK]
        self.budget_bytes: IntArray = state.per_slot[BUDGET_BYTES]
        self.snapshot_every: IntArray = state.per_slot[SNAPSHOT_EVERY]
        self.line_bytes: IntArray = state.per_slot[LINE_BYTES]
        self.packed_count: IntArray = state.per_slot[PACKED_COUNT]
        self.newly_connected: IntArray = state.per_slot[NEWLY_CONNECTED]
        self.newly_lost: IntArray = state.per_slot[NEWLY_LOST]
        self.out_buf = state.out_buf
        self.out_len = state.out_len
        self.out_addr = state.out_addr
        self.out_count = state.out_count

    def open_batch(
        self,
        batch: npt.NDArray[np.uint8],
        lengths: IntArray,
        senders: npt.NDArray[np.uint8],
        count: int,
        now_s: float,
        tick: int,
    ) -> None:
        """Take in the datagrams of this tick; begins a new set of rows to send."""
        open_batch(self.state, batch, lengths, senders, count, now_s, tick)

    def encode_batch(
        self,
        tick: int,
        world: npt.NDArray[np.int64],
        selected: IntArray,
        selected_count: IntArray,
        left: IntArray,
        left_count: IntArray,
        match_state: IntArray,
        hints: IntArray,
    ) -> None:
        """Write each client's snapshot; what fitted is in ``packed_count``."""
        encode_batch(self.state, tick, world, selected, selected_count, left, left_count, match_state, hints)

    def seal_batch(self, now_s: float) -> None:
        """Seal the snapshots into the rows to send, and keep-alives where none is due."""
        seal_batch(self.state, now_s)

    @property
    def token_ahead_s(self) -> float:
        """Seconds by which the Unix time that connect tokens expire by is ahead of ``now_s``."""
        return float(self.state.identity["token_ahead_s"][0])

    @token_ahead_s.setter
    def token_ahead_s(self, seconds: float) -> None:
        self.state.identity["token_ahead_s"] = seconds

    def queue_reliable(self, slot: int, kind: int, *values: int) -> None:
        """Queue a message with these values of its kind's fields; slot −1 is everybody who is connected."""
        queue_reliable(self.state, slot, kind, values)

    def set_player(self, entity: int, player_id: int, name: str = "") -> None:
        """Give a slot to a player, or with player id 0 to nobody: all clients are told."""
        state = self.state
        state.slots["player_id"][entity] = player_id
        self._write_name(entity, name)
        state.identity["roster_version"] += 1
        state.roster["version"][entity] = state.identity["roster_version"][0]

    def _write_name(self, entity: int, name: str) -> None:
        written = cut_name(name)
        self.state.roster["name_bytes"][entity] = len(written)
        self.state.roster["name"][entity, : len(written)] = np.frombuffer(written, np.uint8)

    def drops_by_reason(self) -> dict[str, int]:
        """How many datagrams were dropped so far, by reason."""
        return dict(zip(datagrams.DROP_REASONS, self.state.drops.tolist(), strict=True))

    def words_by_reason(self) -> dict[str, dict[str, int]]:
        """What the server has told clients, by reason: ``refusals``, ``farewells`` that it began and those of
        them that were ``answered``, and ``unsealed`` answers.
        """
        rows = zip(("refusals", "farewells", "answered", "unsealed"), self.state.words.tolist(), strict=True)
        return {
            kind: {name: count for name, count in zip(NAMES, row, strict=True) if count} for kind, row in rows
        }

    def counters_by_name(self) -> dict[str, int]:
        """Everything counted so far."""
        return dict(zip(datagrams.COUNTERS, self.state.counters.tolist(), strict=True))

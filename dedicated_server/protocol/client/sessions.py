"""Many clients of the fast lane in one process, with kernels to be called from other kernels.

How it is used::

    clients = ClientSessions(capacity=200, entities=100)
    index = clients.add(connect_token)  # raises ConnectTokenError; send to clients.address_of(index)
    # compiled, for each datagram that arrived:
    result = client_receive(state, index, datagram, length, now_s)
    # compiled, once a client frame (60 Hz), for each client:
    length = client_transmit(state, index, now_s, move_x, move_y, yaw, buttons, view_tick, out)
    clients.leave(index)  # the next three transmits say good-bye; then nothing is sent

where ``state = clients.state`` is a named tuple of arrays (one argument to any kernel). ``now_s`` is any
float clock in seconds that never goes backwards.

``client_receive(state, index, datagram: uint8[:], length: int, now_s: float) -> int``: RECEIVED_DROPPED 0
(counted in ``state.drops``), RECEIVED_CHALLENGE 1, RECEIVED_KEEP_ALIVE 2, RECEIVED_SNAPSHOT 3,
RECEIVED_REFUSAL 4, RECEIVED_FAREWELL 5 (``reason`` in sessions says why, of `reasons`), RECEIVED_HINT 6. The
datagram must have at least 1,200 bytes of room or be at least ``length`` long.

``client_transmit(state, index, now_s, move_x: int8, move_y: int8, yaw: uint16, buttons: uint8, view_tick:
float, out: uint8[1200+]) -> int``: what to send now, its length in bytes, or 0 for nothing: a connection
request or response (repeated each 100 ms until answered), or, when connected, one new client tick's input
(at the server's pace none or two in one call of fifty) with all that the server has not yet received.
``move_x``, ``move_y`` −127…127 part of full speed; ``yaw`` 65536 a turn; ``buttons`` BUTTON_… bits;
``view_tick`` the server tick that the player is shown, with fraction (0.0: the newest).

Both may be called for different indexes from one kernel; ``nogil``; they allocate nothing.

What they keep, for reading (``c`` a client's index, ``e`` an entity's):

- ``state.sessions`` record array [C]; fields useful to a bot: ``state`` (CLIENT_… below), ``own_entity``,
  ``team``, ``input_tick`` (newest client tick), ``input_echo`` (newest client tick that the server has
  received), ``input_applied`` (… has used), ``snapshot_tick`` (newest snapshot), ``snapshot_at_s`` (when it
  came), ``snapshots`` (count), ``rtt_s`` (smoothed, with the wait for the server's tick; 0: not known),
  ``match_phase``, ``zone_x``, ``zone_y``, ``zone_radius`` (1/64 m), ``alive_count``, ``countdown_ticks``,
  ``score_count``, ``objective_count``, ``hints``, ``received_bytes``, ``received_datagrams``, ``sent_bytes``,
  ``sent_datagrams``, ``events_count``.
- ``state.seen`` int64[C, E, RECORD_WORDS]: newest record of an entity; of `entities`, ``load_record(row)``
  loads one, and ``entity_x(record)``, ``entity_y`` (metres), ``entity_yaw`` (radians), ``entity_health``,
  ``entity_flags`` unpack it. For arrays there are ``x_array(state.seen[c])``, ``y_array`` and
  ``field_array(state.seen[c], name)``.
- ``state.seen_tick`` int32[C, E]: server tick of that record; 0: not in view.
- ``state.events`` int64[C, 64, RELIABLE_COLUMNS]: reliable messages in order, ring: message n (0-based) of
  client c is row n % 64, its kind and then the fields of the kind's table, whose columns `reliable_kinds`
  names; ``sessions["events_count"]`` messages so far. ``match_over`` in sessions becomes 1 with
  RELIABLE_MATCH_OVER. What the roster's messages say is kept beside, and is no event:
- ``state.roster_team`` int16[C, E], ``state.roster_player`` int64[C, E]: of each slot, UNKNOWN until it is
  told; player 0: nobody has it. ``clients.name_of(c, e)``, where ``ClientSessions(…, names=True)``.
- ``state.scores`` int32[C, MAX_SCORES], by score field and then by team, and ``state.objectives`` int32[C,
  MAX_OBJECTIVES, OBJECTIVE_COLUMNS]: the match's flags.
- ``state.vitals`` int16[C, E]; `sections.known_health` says what a client knows of a player's health.
- ``state.drops`` int64[len(CLIENT_DROP_REASONS)].

States: CLIENT_FREE 0, CLIENT_REQUESTING 1, CLIENT_RESPONDING 2, CLIENT_CONNECTED 3, CLIENT_TIMED_OUT 4 (5 s
without a sealed datagram, or 10 s without an answer), CLIENT_LEAVING 5, CLIENT_GONE 6, CLIENT_REFUSED 7 (the
server does not take the token), CLIENT_DISMISSED 8 (the server has ended the session).
``reason_of(index)`` is why, in a word. ``ping(index, x_m, y_m)`` shows the team a place, with the next
transmits.
``clients.reconnect(index)`` starts the handshake again with the same token, from any address. A client whose
address changes while it is connected does nothing: it goes on sending, and the server follows.
"""

from __future__ import annotations

import numpy as np

from dedicated_server.errors import DedicatedServerError
from dedicated_server.protocol import connect_token, datagrams, reasons
from dedicated_server.protocol.client.state import (
    CLIENT_CONNECTED,
    CLIENT_DISMISSED,
    CLIENT_FREE,
    CLIENT_GONE,
    CLIENT_LEAVING,
    CLIENT_REFUSED,
    CLIENT_REQUESTING,
    SESSION,
    UNKNOWN,
    allocate,
)
from dedicated_server.protocol.client.transmit import client_ping
from dedicated_server.protocol.layout import CLIENT_LENGTHS


class ClientCapacityError(DedicatedServerError, RuntimeError):
    """Raised when all client indexes are in use. Free one, or make ClientSessions larger."""


class ClientSessions:
    """Up to ``capacity`` clients, of matches of at most ``entities`` players."""

    def __init__(self, capacity: int, entities: int, *, names: bool = False) -> None:
        self.state = allocate(capacity, entities, names=names)
        self.sessions = self.state.sessions
        self._addresses: list[list[tuple[str, int]]] = [[("", 0)]] * capacity

    def add(self, token: bytes, prefer: connect_token.Family | None = None) -> int:
        """Begin with a connect token; returns the client's index.

        ``prefer``: the family of the server's address to be taken where it has both; None: the token's first.
        Raises ConnectTokenError, ClientCapacityError.
        """
        public = connect_token.read_public(token)
        free = np.flatnonzero(self.sessions["state"] == CLIENT_FREE)
        if not len(free):
            raise ClientCapacityError(f"{len(self.sessions)} clients are in use")
        index = int(free[0])
        session = self.sessions[index]
        session["own_entity"] = public.entity
        session["team"] = public.team
        session["cipher"] = public.cipher
        session["up_key"] = np.frombuffer(public.client_to_server_key, np.uint8)
        session["down_key"] = np.frombuffer(public.server_to_client_key, np.uint8)
        request = datagrams.request_of(public.request_part, CLIENT_LENGTHS)
        session["request"] = np.frombuffer(request, np.uint8)
        self._addresses[index] = [(address, public.port) for address in public.addresses(prefer)]
        self.reconnect(index)
        return index

    def reconnect(self, index: int) -> None:
        """Start the handshake again with the same token, from whatever address the client has now.

        The view is empty until the first snapshot; the counts of events and bytes go on.
        """
        session = self.sessions[index]
        for name in _OF_ONE_SESSION:
            session[name] = 0
        session["receive_newest"] = -1
        session["started_at_s"] = session["challenged_at_s"] = -1.0
        session["state"] = CLIENT_REQUESTING
        self._forget_match(index)

    def leave(self, index: int) -> None:
        """Say good-bye with the next transmits, three times as nobody acknowledges; then CLIENT_GONE."""
        session = self.sessions[index]
        if session["state"] in (CLIENT_DISMISSED, CLIENT_REFUSED):
            return  # the server has parted already
        connected = session["state"] == CLIENT_CONNECTED
        session["leaves_left"] = datagrams.LEAVE_REPEATS
        session["state"] = CLIENT_LEAVING if connected else CLIENT_GONE

    def ping(self, index: int, x_m: float, y_m: float, what: int = 0) -> bool:
        """Show the client's team a place on the map, in metres; whether it will be said.

        One message waits at a time. ``what``: 0 to 15, as the game likes.
        """
        return bool(client_ping(self.state, index, x_m, y_m, what))

    def reason_of(self, index: int) -> str:
        """Why the server did not let a client in, or let it go, in a word; empty where it said nothing."""
        return reasons.name_of(int(self.sessions["reason"][index]))

    def free(self, index: int) -> None:
        """Forget a client, whatever its state; its index may be given to another."""
        self.sessions[index] = np.zeros((), SESSION)
        self._forget_match(index)

    def name_of(self, index: int, entity: int) -> str:
        """The name of the player who has a slot; empty where they have none, or it is not known."""
        if entity >= self.state.roster_name.shape[1]:
            return ""
        length, *name = self.state.roster_name[index, entity].tolist()
        return bytes(name[:length]).decode(errors="replace")

    def _forget_match(self, index: int) -> None:
        state = self.state
        state.seen_tick[index] = 0
        state.history_ticks[index] = 0
        state.roster_team[index] = state.roster_player[index] = state.vitals[index] = UNKNOWN
        state.roster_name[index, :, 0] = 0
        state.scores[index] = 0
        state.objectives[index] = 0

    def address_of(self, index: int) -> tuple[str, int]:
        """Where to send this client's datagrams: host and port, best of `addresses_of`."""
        return self._addresses[index][0]

    def addresses_of(self, index: int) -> list[tuple[str, int]]:
        """Where the client's server is reached, best first: one, or one of each family.

        It is one socket of the server's: a client whose network has no way to the first takes the second, and
        may change between them as between any two networks.
        """
        return self._addresses[index]

    def drops_by_reason(self) -> dict[str, int]:
        """How many datagrams were dropped so far, of all clients, by reason."""
        return dict(zip(datagrams.CLIENT_DROP_REASONS, self.state.drops.tolist(), strict=True))


# What a handshake starts anew; identity, token and totals stay.
_OF_ONE_SESSION = (
    "input_tick", "input_echo", "input_applied", "snapshot_tick", "snapshot_at_s", "ack_bits", "rtt_s",
    "pace", "due_inputs", "held_buttons", "reliable_received", "leaves_left", "reason", "refused_ms", "hint",
    "hinted_at_s", "said_number", "said_waiting", "send_sequence", "repeat_at_s", "received_at_s",
    "connection_tag", "replay", "sent_at_s", "inputs",
)  # fmt: skip

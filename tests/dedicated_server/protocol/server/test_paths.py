"""A slot follows its player's address, and no stranger is sent what they did not ask for."""

from __future__ import annotations

import numpy as np
import pytest

from dedicated_server.protocol import datagrams
from dedicated_server.protocol.server.paths import AMPLIFICATION, PROOFS, find_slot
from dedicated_server.protocol.server.state import PROVED, SLOT
from tests.dedicated_server.protocol.oracle import Input, OracleClient, unseal, write_message
from tests.dedicated_server.protocol.rig import Table, token

STANDING = [Input(0, 0, 0, 0, 0)]
HOME, AWAY, FAR = 0, 50, 60


def drops(table: Table) -> dict[str, int]:
    return {reason: count for reason, count in table.wire.drops_by_reason().items() if count}


class Roamer:
    """A client of one slot; says how many bytes it has sent from, and was sent at, each address."""

    def __init__(self, table: Table, entity: int = 0, at: int = HOME) -> None:
        self.table = table
        self.client = OracleClient(token(entity))
        self.input_tick = 0
        self.heard: set[int] = set()  # ticks of the snapshots that arrived
        self.up: dict[int, int] = {}
        self.down: dict[int, int] = {}
        table.say(at, self.client.request())
        [challenge] = [datagram for receiver, datagram in table.serve() if receiver == at]
        table.say(at, self.client.respond(challenge))

    def message(self, ack: int | None = None, bits: int | None = None) -> bytes:
        newest = max(self.heard, default=0) if ack is None else ack
        received = sum(1 << i for i in range(32) if newest - 1 - i in self.heard) if bits is None else bits
        self.input_tick += 1
        return self.client.seal(write_message(newest, received, 0, self.input_tick, STANDING))

    def say(self, at: int, datagram: bytes) -> None:
        self.up[at] = self.up.get(at, 0) + len(datagram)
        self.table.say(at, datagram)

    def listen(self, *at: int) -> None:
        """A tick of the server. The client is at these addresses."""
        for receiver, datagram in self.table.serve():
            self.down[receiver] = self.down.get(receiver, 0) + len(datagram)
            if receiver in at and self.opens(datagram):
                self.heard.add(self.table.tick)

    def opens(self, datagram: bytes) -> bool:
        """Whether it is a snapshot for this client."""
        client = self.client
        return datagram[0] == datagrams.FROM_SERVER and bool(
            unseal(client.cipher, client.receive_key, datagram)
        )

    def play(self, ticks: int, at: int) -> None:
        for _ in range(ticks):
            self.say(at, self.message())
            self.listen(at)

    @property
    def proved(self) -> bool:
        return int(self.table.wire.state.slots["path_credit_bytes"][0]) == PROVED


def at_home(players: int = 1, ticks: int = 30) -> Roamer:
    roamer = Roamer(Table(players, join=False))
    roamer.listen(HOME)
    roamer.play(ticks, HOME)
    return roamer


def test_a_slot_is_found_by_the_connection_that_a_datagram_names() -> None:
    slots = np.zeros(3, SLOT)
    slots["connection_tag"] = [-1, 0xABCD, 0]
    found = [
        find_slot(slots, np.frombuffer(header.ljust(9, b"\0"), np.uint8))
        for header in (
            b"\3\1\0\xcd\xab",
            b"\3\1\0\xcd\xaa",
            b"\3\2\0\0\0",
            b"\3\0\0\xff\xff",  # no session has begun
            b"\3\3\0\0\0",
            b"\3\xff\xff\xff\xff",
        )
    ]
    assert found == [1, -1, 2, -1, -1, -1]


def test_a_player_whose_address_changes_goes_on_at_once() -> None:
    roamer = at_home()
    before = max(roamer.heard)
    roamer.play(4, AWAY)
    assert max(roamer.heard) > before
    assert roamer.table.wire.input_newest[0] == roamer.input_tick
    assert roamer.table.wire.status.tolist() == [1]
    assert drops(roamer.table) == {}
    counters = roamer.table.wire.counters_by_name()
    assert (counters["moves"], counters["reconnects"], counters["time_outs"]) == (1, 0, 0)


def test_a_new_path_that_is_acknowledged_is_sent_everything() -> None:
    roamer = at_home()
    roamer.play(60, AWAY)
    assert roamer.proved
    heard = len(roamer.heard)
    roamer.play(20, AWAY)
    assert len(roamer.heard) == heard + 20
    assert roamer.table.wire.counters_by_name()["held_back"] > 0


@pytest.mark.parametrize("every", [1, 3, 20])
def test_a_stranger_is_sent_at_most_three_times_what_came_from_their_address(every: int) -> None:
    """A player with a token writes another's address into their datagrams."""
    roamer = at_home(players=40)
    for tick in range(240):
        if tick % every == 0:
            roamer.say(AWAY, roamer.message())
        roamer.listen(HOME)
        assert roamer.down.get(AWAY, 0) <= AMPLIFICATION * roamer.up[AWAY]
    assert roamer.down[AWAY] > 0
    assert not roamer.proved


def test_who_acknowledges_at_a_guess_proves_nothing_however_long() -> None:
    roamer = at_home(players=40)
    for _ in range(600):
        newest = int(roamer.table.wire.state.slots["sent_newest_tick"][0])
        roamer.say(AWAY, roamer.message(newest, 0xFFFFFFFF))
        roamer.listen()
        assert roamer.down.get(AWAY, 0) <= AMPLIFICATION * roamer.up[AWAY]
        assert not roamer.proved


def test_who_guessed_wrong_once_proves_no_other_address_with_this_session() -> None:
    roamer = at_home()
    roamer.say(AWAY, roamer.message())
    for _ in range(20):
        roamer.listen()
    newest = int(roamer.table.wire.state.slots["sent_newest_tick"][0])
    roamer.say(AWAY, roamer.message(newest, 0xFFFF))
    roamer.listen()
    roamer.heard = set()
    roamer.play(200, FAR)
    assert not roamer.proved
    assert roamer.down[FAR] <= AMPLIFICATION * roamer.up[FAR]


def test_fewer_snapshots_than_it_takes_prove_nothing() -> None:
    roamer = at_home()
    roamer.say(AWAY, roamer.message())
    began = len(roamer.heard)
    while len(roamer.heard) - began < PROOFS - 1:
        roamer.play(1, AWAY)
        assert not roamer.proved
    roamer.play(8, AWAY)
    assert roamer.proved


@pytest.mark.parametrize("loss", [0.1, 0.3])
def test_a_bad_line_proves_its_address_too(loss: float) -> None:
    random = np.random.default_rng(3)
    roamer = at_home()
    for _ in range(240):
        message = roamer.message()
        if random.random() >= loss:
            roamer.say(AWAY, message)
        roamer.listen(*([AWAY] if random.random() >= loss else []))
    assert roamer.proved


def test_who_goes_to_and_fro_between_two_networks_is_always_heard() -> None:
    roamer = at_home()
    for turn in range(40):
        roamer.play(3, AWAY if turn % 2 else HOME)
    assert roamer.input_tick == roamer.table.wire.input_newest[0]
    assert len(roamer.heard) > 60
    roamer.play(1, HOME)
    assert roamer.proved  # it was, before


def test_what_comes_late_from_the_old_address_moves_nobody_back() -> None:
    roamer = at_home()
    late = roamer.message()
    roamer.play(10, AWAY)
    roamer.say(HOME, late)
    roamer.listen(AWAY)
    assert drops(roamer.table) == {"old_path": 1}
    down = dict(roamer.down)
    roamer.play(10, AWAY)
    assert roamer.down[HOME] == down[HOME]


def test_what_is_not_authentic_moves_nobody() -> None:
    roamer = at_home()
    message = bytearray(roamer.message())
    for place in (1, 3, 4, 5, 8, 9, len(message) - 1):
        forged = bytearray(message)
        forged[place] ^= 0x40
        roamer.say(AWAY, bytes(forged))
    roamer.say(HOME, bytes(message))
    roamer.say(AWAY, bytes(message))  # overheard, and sent again from elsewhere
    roamer.listen(HOME)
    # They are told that such a connection is not known, under no key, and in fewer bytes than they sent.
    assert roamer.down.get(AWAY, 0) < roamer.up[AWAY]
    assert set(drops(roamer.table)) <= {"unknown_connection", "too_old", "forged", "replayed"}
    assert roamer.table.wire.counters_by_name()["moves"] == 0


def test_two_players_of_one_address_are_told_apart() -> None:
    """A translator has given a port to another player before its first one was heard again."""
    table = Table(2, join=False)
    first = Roamer(table, 0, HOME)
    first.listen(HOME)
    second = Roamer(table, 1, AWAY)
    for _ in range(20):
        table.say(AWAY, first.message())
        table.say(AWAY, second.message())
        for receiver, datagram in table.serve():
            assert receiver in (HOME, AWAY)
            for roamer in (first, second):
                if roamer.opens(datagram):
                    roamer.heard.add(table.tick)
    assert len(first.heard) > 3
    assert len(second.heard) > 15
    assert table.wire.input_newest.tolist() == [first.input_tick, second.input_tick]


def test_a_session_that_has_ended_is_not_moved() -> None:
    roamer = at_home()
    roamer.table.now_s += datagrams.TIME_OUT_S
    roamer.listen()
    roamer.say(AWAY, roamer.message())
    roamer.listen(AWAY)
    assert drops(roamer.table) == {"not_connected": 1}
    assert roamer.table.wire.status.tolist() == [datagrams.TIMED_OUT]
    # Its farewell is said once more.
    assert roamer.down[AWAY] <= AMPLIFICATION * roamer.up[AWAY]

"""First datagrams of every kind from an address that hears nothing: what they have the server send there.

An attacker writes somebody else's address into datagrams, forged ones or those of a session of their own.
Nothing that is sent there is ever answered. The figure is the most bytes, at any moment, that had been sent
there for each byte that came from there.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from uuid import UUID

import numpy as np

from dedicated_server.protocol import datagrams
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.reasons import KICKED
from loadtest.bench.mutations.target import (
    PLAYERS,
    START_S,
    Address,
    Target,
    sender_rows,
)

VICTIM: Final[Address] = ("203.0.113.77", 33_000)
ATTACKER: Final[Address] = ("203.0.113.66", 34_000)
CHEAT: Final = 3  # whose session is the attacker's own
TICKS: Final = 240


@dataclass(frozen=True, slots=True)
class Case:
    """A kind of first datagram.

    Attributes:
        request: makes it, where it is a handshake's; None: it is of a session.
        attack: is called before each tick with its number, and delivers datagrams as of the victim; None:
            those of ``request`` alone.
        prepare: is called before.
    """

    request: Callable[[Target], bytes] | None = None
    attack: Callable[[Target, int], None] | None = None
    prepare: Callable[[Target], None] = lambda target: None


def amplification_of(
    name: str, seed: int = 1, spoil: Callable[[Target], None] = lambda target: None
) -> float:
    """Return the most that a case had sent to an address for each byte from there.

    ``spoil`` is called after each tick: a test plants faults with it.
    """
    case, target = CASES[name], Target(seed)
    target.join()
    case.prepare(target)
    most = 0.0
    for number in range(TICKS):
        if case.request is not None and number < TICKS // 2:
            target.deliver(case.request(target), VICTIM)
        elif case.attack is not None:
            case.attack(target, number)
        target.tick(silent=frozenset((CHEAT,)))
        spoil(target)
        came, went = target.came[VICTIM], target.went[VICTIM]
        if went:
            most = max(most, went / came if came else float("inf"))
    return round(most, 3)


def _request(target: Target, entity: int = CHEAT, **changes: Any) -> bytes:
    """Return the first datagram of a client with such a token."""
    client, out = ClientSessions(1, PLAYERS), np.zeros(datagrams.ROW_BYTES, np.uint8)
    client.add(target.token(entity, **changes))
    length = client_transmit(client.state, 0, target.now_s, 0, 0, 0, 0, 0.0, out)
    return out[:length].tobytes()


def _with_byte(datagram: bytes, at: int, value: int) -> bytes:
    return datagram[:at] + bytes((value,)) + datagram[at + 1 :]


def _other_version(target: Target) -> bytes:
    """A request whose version's last digit is another."""
    request = _request(target)
    last = request.index(b"LDWIRE") + len("LDWIRE0")
    return _with_byte(request, last, request[last] - 1)


def _response_without_cookie(target: Target) -> bytes:
    """A request's body and a cookie that nobody gave."""
    request = _request(target)
    behind = secrets.token_bytes(datagrams.RESPONSE_BYTES - datagrams.REQUEST_BYTES)
    return bytes((datagrams.RESPONSE,)) + request[1:] + behind


def _unknown_connection(target: Target) -> bytes:
    tag = secrets.token_bytes(datagrams.CONNECTION_TAG_BYTES)
    return bytes((datagrams.FROM_CLIENT, 0, 0)) + tag + secrets.token_bytes(60)


def _random(target: Target) -> bytes:
    return secrets.token_bytes(200)


def _roam(target: Target, number: int) -> None:
    """The attacker's own session, whose newest snapshot stays that of before."""
    if datagram := target.speak(CHEAT):
        target.deliver(datagram, VICTIM)


def _roam_and_guess(target: Target, number: int) -> None:
    """… and says each time that the newest snapshot had come."""
    session = target.clients.sessions[CHEAT]
    session["snapshot_tick"] = target.engine.tick_number
    session["snapshot_at_s"] = session["received_at_s"] = target.now_s
    _roam(target, number)


def _roam_once(target: Target, number: int) -> None:
    if number < 4:
        _roam(target, number)


def _roam_and_leave(target: Target, number: int) -> None:
    if number == 30:
        target.clients.leave(CHEAT)
    _roam(target, number)


def _roam_and_be_kicked(target: Target, number: int) -> None:
    if number == 30:
        target.engine.slots.kick(CHEAT, KICKED)
    _roam(target, number)


def _roam_after_a_farewell(target: Target, number: int) -> None:
    """The session's end is being said when its datagrams begin to come from elsewhere."""
    if number == 0:
        target.engine.slots.kick(CHEAT, KICKED)
    if number >= 3:
        _roam(target, number)


def _roam_and_be_replaced(target: Target, number: int) -> None:
    """… and a new handshake of the same player, from where they are, ends that session."""
    if number < 30:
        _roam(target, number)
    elif number == 30:
        begin_anew(target, CHEAT, ATTACKER)


def begin_anew(target: Target, entity: int, address: Address) -> None:
    """Have a slot's player shake hands from an address, and say nothing more."""
    client, out = ClientSessions(1, PLAYERS), np.zeros(datagrams.ROW_BYTES, np.uint8)
    client.add(target.token(entity, issued_at=target.now_s))
    for _ in range(2):
        length = client_transmit(client.state, 0, target.now_s, 0, 0, 0, 0, 0.0, out)
        answers = target.open_batch(out[None], np.array([length], np.int32), sender_rows([address]))
        for row, (_kind, size, _to) in enumerate(answers):
            client_receive(client.state, 0, target.engine.wire.out_buf[row], size, target.now_s)


def _close(target: Target) -> None:
    target.engine.wire.state.identity["closed"] = KICKED


def _kick(target: Target) -> None:
    target.engine.slots.kick(CHEAT, KICKED)


CASES: Final[dict[str, Case]] = {
    "request": Case(lambda target: _request(target, issued_at=target.now_s)),
    "used token": Case(lambda target: _request(target, issued_at=START_S - 1.0)),
    "expired": Case(lambda target: _request(target, issued_at=START_S - 9.0, expires_at=START_S - 1.0)),
    "another version": Case(_other_version),
    "forged token": Case(lambda target: _request(target, fleet_key=secrets.token_bytes(32))),
    "another match": Case(lambda target: _request(target, match_id=UUID(int=1))),
    "another server": Case(lambda target: _request(target, port=1)),
    "another player": Case(lambda target: _request(target, player_id=5)),
    "kicked": Case(lambda target: _request(target, issued_at=target.now_s), prepare=_kick),
    "closed": Case(lambda target: _request(target, issued_at=target.now_s), prepare=_close),
    "response without a cookie": Case(_response_without_cookie),
    "unknown connection": Case(_unknown_connection),
    "random": Case(_random),
    "roams": Case(attack=_roam),
    "roams and guesses": Case(attack=_roam_and_guess),
    "roams once": Case(attack=_roam_once),
    "roams and leaves": Case(attack=_roam_and_leave),
    "roams and is kicked": Case(attack=_roam_and_be_kicked),
    "roams and is replaced": Case(attack=_roam_and_be_replaced),
    "roams after a farewell": Case(attack=_roam_after_a_farewell),
}

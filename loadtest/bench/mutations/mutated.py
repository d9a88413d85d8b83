"""``mutated``: a million datagrams of every kind that nobody sent so, between the ticks of a match.

What is not authentic must change nothing: all that the match and its sessions are is hashed before and after
each batch. An address that has answered nothing must be sent no more than three times what came from it.
"""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from dedicated_server.protocol import datagrams
from dedicated_server.protocol.client.receive import client_receive
from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.client.transmit import client_transmit
from dedicated_server.protocol.server.paths import AMPLIFICATION
from loadtest.bench.harness.statistics import ratio
from loadtest.bench.mutations.first_datagrams import CASES, amplification_of
from loadtest.bench.mutations.mutants import MUTATIONS, Batch, Original, mutate
from loadtest.bench.mutations.target import PLAYERS, Address, Target, address_of, sender_rows

DATAGRAMS: Final = 1_000_000
BATCH: Final = 1_000
STRANGERS: Final = [("203.0.113.9", 20_000 + number) for number in range(56)]
SHOWN_CHANGES: Final = 5
NAMES: Final = (
    "request", "challenge", "response", "from_client", "from_server", "none", "refusal", "version"
)  # fmt: skip
# Half of what a player's datagram is made into comes from that player's own address.
OWN_SHARE: Final = 0.5


@dataclass(slots=True)
class Findings:
    """What a flood of mutants did."""

    sent: int = 0
    changed: list[str] = field(default_factory=list)
    crashed: str = ""
    kinds: Counter[str] = field(default_factory=Counter)
    mutations: Counter[str] = field(default_factory=Counter)
    came: Counter[Address] = field(default_factory=Counter)  # bytes, from addresses of nobody
    went: Counter[Address] = field(default_factory=Counter)


def run(count: int = DATAGRAMS, *, seed: int = 1) -> dict[str, Any]:
    """Send ``count`` mutants to a match, and first datagrams of every kind; return what is printed."""
    began_s = time.perf_counter()
    target = Target(seed)
    target.join()
    found = flood(target, count, np.random.default_rng(seed))
    cases = {name: amplification_of(name, seed) for name in CASES}
    return describe(target, found, cases, time.perf_counter() - began_s)


def flood(target: Target, count: int, random: np.random.Generator) -> Findings:
    """Feed ``count`` mutants between the ticks of a match, a batch a tick, and look what they changed."""
    found = Findings()
    addresses = [address_of(client) for client in range(PLAYERS)] + STRANGERS
    rows = sender_rows(addresses)
    pending = Pending(target)
    while found.sent < count and not found.crashed:
        originals = [*pending.originals(), *_taken_in(target, random)]
        batch = mutate(originals, min(BATCH, count - found.sent), random)
        senders = _senders(batch, originals, len(addresses), random)
        target.settle()
        before = target.fingerprint()
        try:
            answers = target.open_batch(batch.data, batch.lengths, rows[senders])
        except Exception as error:  # a kernel never raises, and a bench says so if one does
            found.crashed = repr(error)
            break
        for _kind, length, address in answers:
            found.went[address] += length
        target.settle()
        if target.fingerprint() != before:
            found.changed.append(_what(batch, found.sent))
        _count(found, batch, [addresses[sender] for sender in senders.tolist()])
        target.tick()
    return found


class Pending:
    """Datagrams that the server would take in and has not: of players' sessions, and of one more handshake.

    A player's are made anew for each batch, as if the line had lost them. The handshake is for a slot whose
    player is in the match: it would take the place of that session.
    """

    def __init__(self, target: Target) -> None:
        self._target = target
        self._response = b""
        self._asked_s = -np.inf
        self._old: list[Original] = _refused_requests(target)

    def originals(self) -> list[Original]:
        """Return fresh datagrams, requests of each way to be refused, and what servers send."""
        target = self._target
        if target.now_s - self._asked_s > datagrams.CHALLENGE_S / 2:
            self._ask()
        spoken = [(client, target.speak(client)) for client in range(PLAYERS)]
        fresh = [Original(datagram, client, fresh=True) for client, datagram in spoken if datagram]
        return [*fresh, *3 * [Original(self._response, 0, fresh=True)], *self._old]

    def _ask(self) -> None:
        """Have another client with player 0's slot challenged, and keep what it answers."""
        target, out = self._target, np.zeros(datagrams.ROW_BYTES, np.uint8)
        another = ClientSessions(1, PLAYERS)
        another.add(target.token(0, issued_at=target.now_s))
        length = client_transmit(another.state, 0, target.now_s, 0, 0, 0, 0, 0.0, out)
        request = out[:length].tobytes()
        target.open_batch(out[None], np.array([length], np.int32), sender_rows([address_of(0)]))
        wire = target.engine.wire
        client_receive(another.state, 0, wire.out_buf[0], int(wire.out_len[0]), target.now_s)
        length = client_transmit(another.state, 0, target.now_s, 0, 0, 0, 0, 0.0, out)
        self._response, self._asked_s = out[:length].tobytes(), target.now_s
        self._old = [*_refused_requests(target), Original(request)]


def _refused_requests(target: Target) -> list[Original]:
    """A request for each reason that it could be refused for."""
    return [Original(one.request(target)) for one in CASES.values() if one.request is not None]


def _taken_in(target: Target, random: np.random.Generator) -> list[Original]:
    """Some of what the server took in of players, and of what it sent them."""
    chosen = [target.real[place] for place in random.integers(0, len(target.real), 12)]
    chosen += [target.answers[place] for place in random.integers(0, len(target.answers), 6)]
    chosen += target.real[:2]  # of a long time ago
    return [Original(datagram) for datagram in chosen]


def _senders(
    batch: Batch, originals: list[Original], addresses: int, random: np.random.Generator
) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Choose an address for each row: its original's own for half of what has one, else any."""
    senders = random.integers(0, addresses, len(batch.lengths))
    own = np.array([one.player for one in originals])[batch.original]
    at_home = (own >= 0) & (random.random(len(own)) < OWN_SHARE)
    senders[at_home] = own[at_home]
    return senders


def _count(found: Findings, batch: Batch, senders: list[Address]) -> None:
    found.sent += len(batch.lengths)
    for address, length in zip(senders, batch.lengths.tolist(), strict=True):
        found.came[address] += length
    for kind, count in zip(*np.unique(batch.data[:, 0], return_counts=True), strict=True):
        found.kinds[NAMES[kind] if kind < len(NAMES) else "none"] += int(count)
    for mutation, count in zip(*np.unique(batch.mutation, return_counts=True), strict=True):
        found.mutations[MUTATIONS[mutation]] += int(count)


def _what(batch: Batch, sent: int) -> str:
    return f"a batch of {len(batch.lengths)} after {sent} datagrams"


def describe(target: Target, found: Findings, cases: dict[str, float], seconds: float) -> dict[str, Any]:
    """Return what is printed.

    ``changed``: batches after which the match or a session was another one, of ``batches``, and the first of
    them; ``amplification``: bytes sent to an address that has answered nothing for each byte that came from
    it, the most of the flood's strangers and at any moment of each first datagram; ``good``: whether nothing
    crashed, nothing changed, everybody is in the match and nothing was sent more than three times.
    """
    strangers = [ratio(found.went[address], found.came[address]) for address in STRANGERS]
    amplification = {"flood": max(strangers, default=0.0), **cases}
    lost = target.players_lost()
    return {
        "bench": "mutated",
        "datagrams": found.sent,
        "batches": -(-found.sent // BATCH),
        "seconds": round(seconds, 1),
        "kinds": dict(found.kinds),
        "mutations": dict(found.mutations),
        "dropped": {name: count for name, count in target.engine.wire.drops_by_reason().items() if count},
        "crashed": found.crashed,
        "changed": len(found.changed),
        "changes": found.changed[:SHOWN_CHANGES],
        "players_lost": lost,
        "amplification": amplification,
        "most": max(amplification.values()),
        "good": not (found.crashed or found.changed or lost) and max(amplification.values()) <= AMPLIFICATION,
    }

"""Warm up: load every kernel of the tick, or compile it, so that no tick of a match ever has to.

The fleet's warm parent does this once; the servers that it forks inherit the result. It takes about a second
from the cache, and about a minute without one.
"""

from __future__ import annotations

from uuid import UUID

import numpy as np

from dedicated_server.cards import cards_in_force
from dedicated_server.match.report import build_report
from dedicated_server.modes import load_mode
from dedicated_server.native.mmsg import ADDRESS_BYTES, HEADER_WORDS, SUPPORTED, VECTOR_WORDS
from dedicated_server.protocol.server.wire import SECRET_BYTES
from dedicated_server.recording import recorder
from dedicated_server.simulation.match import MatchConfig, RosterPlayer
from dedicated_server.tick.engine import Engine
from dedicated_server.tick.pacing import CAN_SPIN, sleep_until_ns, spin_until_ns
from dedicated_server.transport import mmsg
from dedicated_server.transport.memory import MemoryTransport
from launchday import kernel_cache
from launchday.settings import settings

SECONDS = (1.0, 2.0, 4.0, 8.0)  # the match begins without players, is over at once, and has sent its result


def warm_up() -> None:
    """Play an empty match of every mode in force without a network.

    Then call what only a real socket and a real clock use. Raises CardError and HooksError.
    """
    with kernel_cache.compiling("dedicated_server"):
        _play_all_modes()
        _call_the_rest()


def _play_all_modes() -> None:
    roster = [RosterPlayer(player_id=entity + 1, team=entity, entity=entity) for entity in range(2)]
    cards = list(cards_in_force(settings().modes).values())
    for card in cards:
        load_mode(card)  # wrong hooks are told at once, and not after a minute of compiling
    for card in cards:
        config = MatchConfig(UUID(int=1), card, seed=0, match_s=1.0, players=roster, join_timeout_s=0.5)
        engine = Engine(config, bytes(32), MemoryTransport(), secret=bytes(SECRET_BYTES))
        for now_s in SECONDS:
            engine.prefetch()
            engine.tick(now_s)
        engine.drain_events()
        build_report(engine)
        recorder.load_kernels(engine.wire.state)


def _call_the_rest() -> None:
    if SUPPORTED:
        headers, vectors = (
            np.zeros((1, HEADER_WORDS), np.uint64),
            np.zeros((1, VECTOR_WORDS), np.uint64),
        )
        rows, address, length = (
            np.zeros((1, 1), np.uint8),
            np.zeros((1, ADDRESS_BYTES), np.uint8),
            np.zeros(1, np.int32),
        )
        mmsg.receive(-1, headers, length)  # no such descriptor: both return at once
        mmsg.send(-1, headers, vectors, rows, length, address, 0, 0)
    if CAN_SPIN:
        sleep_until_ns(0, np.zeros(2, dtype=np.int64))
        spin_until_ns(0, np.zeros(2, dtype=np.int64))

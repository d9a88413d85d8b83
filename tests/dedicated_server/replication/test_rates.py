"""Once in how many ticks each client gets a snapshot, and how large it may be."""

from __future__ import annotations

from uuid import UUID

import numpy as np
import pytest

from dedicated_server.protocol.datagrams import CONNECTED, IP_UDP_BYTES, MAX_DATAGRAM_BYTES
from dedicated_server.protocol.fields import PHASE_OVER, PHASE_PLAYING, PHASE_WAITING
from dedicated_server.protocol.server.line import COMFORT_BYTES, LEAST_LIMIT, NO_LIMIT
from dedicated_server.protocol.server.wire import SECRET_BYTES, ServerWire
from dedicated_server.replication.rates import (
    DEATH_TICKS,
    LEAST_BYTES,
    MOST_EVERY,
    SILENT_TICKS,
    WATCHING_EVERY,
    set_rates,
)
from dedicated_server.simulation import world as w

TICK = 1_000


class Clients:
    """Three clients, connected and alive, whose lines are good."""

    def __init__(self) -> None:
        self.wire = ServerWire(
            fleet_key=bytes(32),
            match_id=UUID(int=1),
            player_ids=[1, 2, 3],
            host="192.0.2.1",
            port=1,
            secret=bytes(SECRET_BYTES),
        )
        self.wire.status[:] = CONNECTED
        self.world = w.new_world([0, 1, 2], np.zeros((2, 3)), np.zeros(w.RULES))
        self.world.status[w.ALIVE] = 1
        self.lines = self.wire.state.lines
        self.lines["heard_at"] = TICK
        self.lines["review_at"] = TICK + 1

    def rates(self, phase: int = PHASE_PLAYING, every: int = 1) -> list[int]:
        set_rates(self.world, self.wire.state, TICK, phase, every)
        return [int(each) for each in self.wire.snapshot_every]


def test_the_living_get_a_snapshot_in_every_tick_of_any_size() -> None:
    clients = Clients()
    assert clients.rates() == [1, 1, 1]
    assert clients.rates(PHASE_OVER) == [1, 1, 1]
    assert clients.wire.line_bytes.tolist() == [MAX_DATAGRAM_BYTES] * 3


def test_before_the_match_everybody_gets_15_a_second() -> None:
    assert Clients().rates(PHASE_WAITING) == [WATCHING_EVERY] * 3


def test_the_dead_get_15_a_second_once_they_know_that_they_died() -> None:
    clients = Clients()
    clients.world.status[w.ALIVE, :2] = 0
    clients.world.status[w.DIED_TICK, :2] = TICK - DEATH_TICKS, TICK - DEATH_TICKS - 1
    assert clients.rates() == [1, WATCHING_EVERY, 1]
    clients.world.status[w.ALIVE, 1] = 1
    assert clients.rates() == [1, 1, 1]


@pytest.mark.parametrize("every", [1, 2, 4])
def test_overload_makes_all_rarer_and_nobody_more_than_by_its_own_reason(every: int) -> None:
    clients = Clients()
    clients.world.status[w.ALIVE, 1] = 0
    assert clients.rates(every=every) == [every, max(every, WATCHING_EVERY), every]


@pytest.mark.parametrize("wanted_bytes", [84.0, 150.0, 1_200.0])
@pytest.mark.parametrize("limit", [LEAST_LIMIT, 30.0, 56.0, 200.0, NO_LIMIT - 1.0])
def test_a_limit_is_kept_by_fewer_snapshots_before_smaller_ones(limit: float, wanted_bytes: float) -> None:
    clients = Clients()
    clients.lines["limit_bytes"][1] = limit
    clients.lines["wanted_bytes"][1] = wanted_bytes
    every = clients.rates()
    assert every[0] == every[2] == 1
    largest = int(clients.wire.line_bytes[1])
    assert LEAST_BYTES <= largest <= MAX_DATAGRAM_BYTES
    assert largest == LEAST_BYTES or (largest + IP_UDP_BYTES) <= limit * every[1]
    wanted = min(wanted_bytes, COMFORT_BYTES)
    assert every[1] == MOST_EVERY or limit * every[1] >= wanted
    assert every[1] == 1 or limit * (every[1] // 2) < wanted


def test_who_acknowledges_nothing_for_a_second_gets_the_least() -> None:
    clients = Clients()
    clients.lines["wanted_bytes"] = 500.0
    clients.lines["heard_at"] = TICK, TICK - SILENT_TICKS, TICK - SILENT_TICKS - 1
    assert clients.rates() == [1, 1, MOST_EVERY]
    clients.wire.state.identity["resumed_tick"] = TICK - 1  # the server had stopped, and heard nobody
    assert clients.rates() == [1, 1, 1]


def test_nothing_is_said_of_who_is_not_connected() -> None:
    clients = Clients()
    clients.wire.status[1] = 0
    assert clients.rates(every=4) == [4, 1, 4]

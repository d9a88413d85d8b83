"""The staleness of clients against a plain computation, the poller, and the memory that processes share."""

from __future__ import annotations

import math
import resource
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.replication.priority import HORIZON_M
from loadtest.bench.harness import clients as clients_module
from loadtest.bench.harness.clients import NEVER, STALENESS_BIN_MS, STALENESS_BINS, Clients, measure_staleness
from loadtest.bench.harness.movement import WALKER
from loadtest.bench.harness.poller import Poller, allow_descriptors
from loadtest.bench.harness.shared_state import TICK_TIMES, SharedState, Window
from loadtest.bench.harness.worker import CONTEXT
from loadtest.bench.tick import transport
from loadtest.errors import BenchError

PLAYERS = 4
POSITIONS = st.floats(-500.0, 500.0)


def clients_of(truth: np.ndarray, seen_tick: np.ndarray, tick_at_s: np.ndarray) -> Clients:
    sessions = ClientSessions(PLAYERS, PLAYERS)
    sessions.sessions["own_entity"] = np.arange(PLAYERS)
    sessions.state.seen_tick[0] = seen_tick
    return Clients(
        state=sessions.state,
        descriptors=np.full(2 * PLAYERS, -1, np.int32),
        walkers=np.zeros(PLAYERS, WALKER),
        streams=np.zeros(PLAYERS, np.uint64),
        tick_at_s=tick_at_s,
        ground_truth=truth,
        inside_since_s=np.full((PLAYERS, PLAYERS), NEVER),
        staleness=np.zeros(STALENESS_BINS, np.int64),
        scratch=np.zeros((2, 1_232), np.uint8),
    )


@given(
    places=st.lists(st.tuples(POSITIONS, POSITIONS), min_size=PLAYERS, max_size=PLAYERS),
    later=st.lists(st.tuples(POSITIONS, POSITIONS), min_size=PLAYERS, max_size=PLAYERS),
    seen=st.lists(st.integers(0, 100), min_size=PLAYERS, max_size=PLAYERS),
)
@settings(deadline=None)
def test_staleness_is_the_age_of_what_is_known_of_everyone_within_the_horizon(
    places: list[tuple[float, float]], later: list[tuple[float, float]], seen: list[int]
) -> None:
    tick_at_s = np.arange(TICK_TIMES) / 60.0
    truth = np.array(places).T.copy()
    clients = clients_of(truth, np.array(seen), tick_at_s)
    expected: list[float] = []
    since_s: dict[int, float] = {}
    for now_s, where in ((1.5, places), (2.0, later)):
        truth[:] = np.array(where).T
        for entity in range(PLAYERS):
            distance_m = math.dist(where[0], where[entity])
            if abs(distance_m - HORIZON_M) < 1e-6:
                return  # on the edge itself, rounding may decide either way
            if distance_m > HORIZON_M:
                since_s.pop(entity, None)
                continue
            since_s.setdefault(entity, now_s)
            told_s = tick_at_s[seen[entity]] if seen[entity] else 0.0
            expected.append(max(0.0, now_s - max(told_s, since_s[entity])) * 1e3)

        measure_staleness(clients, 0, 0, now_s, True)

    bins = np.minimum((np.array(expected) / STALENESS_BIN_MS).astype(int), STALENESS_BINS - 1)
    assert (clients.staleness == np.bincount(bins, minlength=STALENESS_BINS)).all()


def test_nothing_is_counted_before_the_window_opens() -> None:
    clients = clients_of(np.zeros((2, PLAYERS)), np.ones(PLAYERS, np.int32), np.zeros(TICK_TIMES))

    measure_staleness(clients, 0, 0, 1.0, False)

    assert clients.staleness.sum() == 0
    assert (clients.inside_since_s[0] == 1.0).all()


def test_both_kernels_run_on_clients_that_nobody_has_connected() -> None:
    shared = SharedState(CONTEXT, 4)

    assert clients_module.prepare(shared, lambda _message: None)
    clients_module.step(
        clients_of(np.zeros((2, PLAYERS)), np.zeros(PLAYERS, np.int32), np.zeros(TICK_TIMES)),
        1,
        0.0,
        1.0,
        1,
        False,
    )
    clients_module.read(
        clients_of(np.zeros((2, PLAYERS)), np.zeros(PLAYERS, np.int32), np.zeros(TICK_TIMES)),
        np.zeros(0, np.int32),
        0.0,
    )


def test_shared_state_holds_what_is_written_to_it() -> None:
    shared = SharedState(CONTEXT, 4)

    assert shared.window == Window.CLOSED
    shared.window = Window.OPEN
    shared.ground_truth[1, 3] = 7.0

    copy = SharedState.__new__(SharedState)
    copy.__setstate__(shared.__getstate__())
    assert copy.window == Window.OPEN
    assert copy.ground_truth[1, 3] == 7.0


def test_the_poller_tells_which_rows_can_be_read_and_the_echo_answers_them() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with here, there, Poller() as poller:
        here.setblocking(False)
        descriptors = np.array([-1, here.fileno()], np.int32)
        poller.watch(descriptors)
        assert len(poller.wait(0.0)) == 0

        there.send(b"knock")
        rows = poller.wait(5.0)

        assert rows.tolist() == [1]
        assert transport.answer(descriptors, rows, np.zeros(64, np.uint8), 9) == 1
        assert len(there.recv(100)) == 9
        assert transport.answer(descriptors, rows, np.zeros(64, np.uint8), 9) == 0  # nothing more to read


def test_more_sockets_than_the_process_may_ever_open_are_refused_with_a_reason(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _which: (512, 1_024))

    with pytest.raises(BenchError, match="ulimit -n"):
        allow_descriptors(5_000)

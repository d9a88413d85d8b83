"""Clients behind lines: what is measured of them, against a plain reckoning, and what they were told of their
hits.
"""

from __future__ import annotations

import math
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedicated_server.protocol.client.sessions import ClientSessions
from dedicated_server.protocol.datagrams import REQUEST_BYTES
from dedicated_server.protocol.entities import FLAG_ALIVE, pack_player
from loadtest.bench.harness import lossy_clients
from loadtest.bench.harness.lossy_clients import (
    ERROR_BIN_M,
    LossyClients,
    deliver_to_clients,
    deliver_to_server,
    measure_shown_error,
    read,
    step,
)
from loadtest.bench.harness.run_config import LinkConfig, RunConfig
from loadtest.bench.harness.shared_state import POSITION_TICKS, SharedState
from loadtest.bench.harness.worker import CONTEXT
from loadtest.bench.tick.lossy import compare
from loadtest.bots.links import DELIVERED, LOST, SENT, link_pop, link_push
from loadtest.bots.udp import open_socket

PLAYERS = 3
PLACES = st.tuples(st.floats(-900, 900), st.floats(-900, 900))


def clients_of(line: LinkConfig, descriptors: list[int] | None = None) -> LossyClients:
    sessions = ClientSessions(PLAYERS, PLAYERS)
    sessions.sessions["own_entity"] = np.arange(PLAYERS)
    return lossy_clients._new_clients(
        RunConfig(PLAYERS, link=line),
        SharedState(CONTEXT, PLAYERS),
        sessions,
        np.array(descriptors or [-1] * PLAYERS, np.int32),
    )


@given(
    shown=st.lists(PLACES, min_size=PLAYERS, max_size=PLAYERS),
    true=st.lists(st.tuples(PLACES, PLACES), min_size=PLAYERS, max_size=PLAYERS),
    alive=st.lists(st.booleans(), min_size=PLAYERS, max_size=PLAYERS),
    seen=st.lists(st.booleans(), min_size=PLAYERS, max_size=PLAYERS),
    tick=st.integers(1, 1_000),
    share=st.floats(0.0, 0.99),
)
@settings(deadline=None, max_examples=60)
def test_the_error_is_the_distance_to_where_the_others_were_between_the_two_ticks(
    shown: list[tuple[float, float]],
    true: list[tuple[tuple[float, float], tuple[float, float]]],
    alive: list[bool],
    seen: list[bool],
    tick: int,
    share: float,
) -> None:
    clients = clients_of(LinkConfig())
    expected = []
    for entity, ((x_m, y_m), (before, after)) in enumerate(zip(shown, true, strict=True)):
        record = pack_player(x_m, y_m, 0.0, 100, FLAG_ALIVE if alive[entity] else 0)
        clients.views.shown[0, entity] = record
        clients.state.seen_tick[0, entity] = seen[entity]
        clients.position_history[tick % POSITION_TICKS, :, entity] = before
        clients.position_history[(tick + 1) % POSITION_TICKS, :, entity] = after
        if entity != 0 and alive[entity] and seen[entity]:
            at = [one + share * (other - one) for one, other in zip(before, after, strict=True)]
            expected.append(math.dist((round(x_m * 64) / 64, round(y_m * 64) / 64), at))
    clients.position_history_tick[tick % POSITION_TICKS] = tick
    clients.position_history_tick[(tick + 1) % POSITION_TICKS] = tick + 1
    clients.views.clocks[0]["view_tick"] = tick + share

    measure_shown_error(clients, 0)

    found = np.repeat(np.arange(len(clients.errors)), clients.errors) * ERROR_BIN_M
    assert found == pytest.approx(sorted(min(error, 20.0 - ERROR_BIN_M) for error in expected), abs=0.02)
    assert clients.behind.tolist() == [pytest.approx(1.0 - share), 1.0]


@pytest.mark.parametrize("known", [(0, 5), (5, 0), (69, 70)])
def test_a_tick_that_is_not_kept_is_not_judged(known: tuple[int, int]) -> None:
    clients = clients_of(LinkConfig())
    clients.position_history_tick[5 % POSITION_TICKS], clients.position_history_tick[6 % POSITION_TICKS] = (
        known
    )
    clients.views.clocks[0]["view_tick"] = 5.5
    measure_shown_error(clients, 0)
    assert clients.errors.sum() == 0


def test_what_players_say_reaches_the_server_after_its_line_and_not_before() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as ears:
        ears.bind(("127.0.0.1", 0))
        ears.setblocking(False)
        with open_socket(*ears.getsockname()) as mouth:
            clients = clients_of(
                LinkConfig(rtt_ms=100.0, jitter_ms=0.0, loss=0.0), [mouth.fileno()] * PLAYERS
            )
            clients.state.sessions["state"] = 1  # they want to come in, and say so
            clients.state.sessions["started_at_s"] = -1.0
            for number in range(lossy_clients.STEPS_PER_FRAME):
                step(clients, number, 10.0, 50.0, True)
            deliver_to_server(clients, 10.049)
            deliver_to_clients(clients, 10.049)
            with pytest.raises(BlockingIOError):
                ears.recv(2_000)
            deliver_to_server(clients, 10.051)
            deliver_to_clients(clients, 10.051)
            assert clients.up.counts[DELIVERED] == clients.up.counts[SENT] == PLAYERS
            assert [len(ears.recv(2_000)) for _ in range(PLAYERS)] == [REQUEST_BYTES] * PLAYERS

            ears.sendto(b"nothing that a client would take in", mouth.getsockname())
            read(clients, np.array([0], np.int32), 11.0)
            assert clients.down.counts[SENT] == 1
            deliver_to_server(clients, 11.1)
            deliver_to_clients(clients, 11.1)
            assert clients.state.drops.sum() == 1


def test_a_line_loses_and_delays_what_it_says() -> None:
    line = LinkConfig(rtt_ms=100.0, jitter_ms=20.0, loss=0.05, burst=4.0)
    clients = clients_of(line)
    out = np.zeros(100, np.uint8)
    for number in range(30_000):
        link_push(clients.up, number % PLAYERS, out, 100, number * 0.005)
        while link_pop(clients.up, number * 0.005) >= 0:
            pass
    assert clients.up.counts[LOST] / clients.up.counts[SENT] == pytest.approx(0.05, abs=0.01)
    link = line.link_fields()
    assert 2.0 * (link["delay_s"] + link["jitter_s"]) == pytest.approx(0.1)
    assert (2.0 * link["jitter_s"] ** 2) ** 0.5 == pytest.approx(0.02)


FIRST, SECOND, OTHER = (5, 5, 5), (6, 6, 6), (1, 1, 1)


def test_what_was_heard_is_held_against_what_was_told() -> None:
    told = [[(1, FIRST), (2, SECOND), (9, (7, 7, 7))], [(3, OTHER)]]

    assert compare(told, [[FIRST, SECOND], [OTHER]], 5) == {
        "sent": 4,
        "received": 3,
        "missing": 0,
        "wrong": 0,
    }
    assert compare(told, [[FIRST], []], 5)["missing"] == 2
    assert compare(told, [[FIRST, FIRST, SECOND], [OTHER]], 5)["wrong"] == 2  # heard twice
    assert compare(told, [[SECOND, FIRST], [OTHER]], 5)["wrong"] == 2  # in another order
    assert compare(told, [[FIRST, SECOND], [OTHER, (8, 8, 8)]], 5)["wrong"] == 1  # never told
